//! Heartbeats by UDP multicast on one interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::wire::LEN;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::sys::{self, Datagram};

/// A socket that has joined the group.
#[derive(Debug)]
pub struct GroupSocket {
    socket: OwnedFd,
    group: SocketAddrV4,
}

impl GroupSocket {
    /// Opens the socket on the interface with this name and number, whose real address is `local`.
    pub fn open(name: &str, index: u32, local: Ipv4Addr, group: SocketAddrV4) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sys::bind_to_device(socket.as_fd(), name)?;
        sockopt::set_ip_ttl(&socket, TTL)?;
        sockopt::set_ip_multicast_ttl(&socket, TTL)?;
        sockopt::set_ip_multicast_loop(&socket, false)?;
        sockopt::set_ip_tos(&socket, DSCP_CS6)?;
        sys::receive_ttl(socket.as_fd())?;
        sockopt::set_ip_multicast_if_with_ifindex(&socket, &Ipv4Addr::UNSPECIFIED, &local, index)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(*group.ip(), group.port()))?;
        sockopt::set_ip_add_membership_with_ifindex(&socket, group.ip(), &local, index)?;
        Ok(Self { socket, group })
    }

    /// A socket that somebody else opened for `group`.
    pub fn adopt(socket: OwnedFd, group: SocketAddrV4) -> Self {
        Self { socket, group }
    }

    /// Sends to the group.
    pub fn send(&self, packet: &[u8; LEN]) -> io::Result<()> {
        rustix::net::sendto(&self.socket, packet, SendFlags::DONTWAIT, &self.group)?;
        Ok(())
    }

    /// The next datagram; an error of kind `WouldBlock` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        sys::receive_datagram(self.socket.as_fd(), buffer)
    }
}

impl AsFd for GroupSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// RFC 5082: whoever gets less knows that a router was between.
const TTL: u32 = 255;

/// Network control, the class of routing protocols (RFC 4594 section 3.1).
const DSCP_CS6: u8 = 0xc0;
