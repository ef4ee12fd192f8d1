//! A network card by which a test says what it likes, as whole Ethernet frames.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::lan::Namespace;

/// An interface of a host, for ARP or for IPv6.
#[derive(Debug)]
pub struct Card(OwnedFd);

impl Card {
    /// Opens it; ARP that comes in from now on is kept.
    pub fn of(host: &Namespace) -> Self {
        Self::on(host, "eth0")
    }

    /// The same of another interface.
    pub fn on(host: &Namespace, name: &str) -> Self {
        Self::hearing(host, name, ARP)
    }

    /// The same for IPv6.
    pub fn of_ipv6(host: &Namespace) -> Self {
        Self::hearing(host, "eth0", IPV6)
    }

    fn hearing(host: &Namespace, name: &str, ethertype: u16) -> Self {
        host.inside(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).unwrap();
            let index = rustix::net::netdevice::name_to_index(&socket, name).unwrap();
            // SAFETY: all zeros is a valid sockaddr_ll.
            let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
            address.sll_protocol = ethertype.to_be();
            address.sll_ifindex = i32::try_from(index).unwrap();
            let len = u32::try_from(size_of_val(&address)).unwrap();
            // SAFETY: the address and its length belong together.
            let done = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
            assert_eq!(done, 0, "bind: {}", io::Error::last_os_error());
            Self(socket)
        })
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        assert_eq!(rustix::net::send(&self.0, frame, SendFlags::empty()), Ok(frame.len()));
    }

    /// The next frame that came in, if there is one.
    pub fn next(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 128];
        let (_, len) = rustix::net::recv(&self.0, &mut frame[..], RecvFlags::empty()).ok()?;
        frame.truncate(len);
        Some(frame)
    }
}

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
