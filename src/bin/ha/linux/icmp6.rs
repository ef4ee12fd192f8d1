//! Hears who says by neighbour discovery that it has a shared address, or looks for one (RFC 4861), on one interface (raw(7),
//! ipv6(7)).
//!
//! A raw socket, not a packet socket: the kernel has checked length and checksum, and a filter on all frames of IPv6 would look at
//! each packet of a busy server. A confined worker cannot send by it: that takes a longer address than it may give.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::config::{Cidr, MAX_ADDRESSES};
use ha::wire::{Resolution, nd};
use rustix::io;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};

use super::bpf::{self, Program};
use super::datagram::{self, Datagram};
use super::name::Name;
use super::option::{bind_to_device, set_option};

/// Hears neighbour solicitations and advertisements whose source, destination or target is one of our addresses.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Opens the socket on the interface with this name and index, for those of `addresses` that are of IPv6. As a member of their
    /// solicited-node groups it hears who looks for them; a switch would let nobody else hear it. That makes the kernel answer for none
    /// of them.
    pub fn open(name: Name, index: u32, addresses: &[Cidr]) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(rustix::net::ipproto::ICMPV6);
        let socket = rustix::net::socket_with(AddressFamily::INET6, SocketType::RAW, flags, protocol)?;
        set_option(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &FILTER)?;
        bpf::attach_filter(socket.as_fd(), &speak_of(addresses))?;
        bind_to_device(socket.as_fd(), name.as_bytes())?;
        for option in [libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVPKTINFO] {
            set_option(socket.as_fd(), libc::IPPROTO_IPV6, option, &1i32)?;
        }
        sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
        let groups: heapless::Vec<_, MAX_ADDRESSES> =
            addresses.iter().filter_map(Cidr::v6).map(nd::solicited_node).collect();
        for (position, group) in groups.iter().enumerate() {
            if !groups[..position].contains(group) {
                sockopt::set_ipv6_add_membership(&socket, group, index)?;
            }
        }
        // What has come in by any interface before it was bound to one.
        for _ in 0..MOST_BEFORE {
            if rustix::net::recv(&socket, &mut [0; 1][..], RecvFlags::empty()).is_err() {
                break;
            }
        }
        Ok(socket)
    }

    /// The next message that was heard.
    pub fn next(&self) -> Option<Resolution> {
        loop {
            match datagram::receive(self.socket.as_fd()) {
                Ok(datagram) => {
                    if let Some(said) = read(&datagram) {
                        return Some(said);
                    }
                }
                Err(io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

fn read(datagram: &Datagram) -> Option<Resolution> {
    let IpAddr::V6(from) = datagram.from else { return None };
    nd::parse(from, datagram.to?, datagram.ttl, datagram.bytes())
}

/// Keeps what has the last four bytes of one of `addresses` as those of its source, destination or target: a filter compares four at
/// once, and who reads it compares the rest.
fn speak_of(addresses: &[Cidr]) -> Program {
    let words: heapless::Vec<u32, MAX_ADDRESSES> = addresses
        .iter()
        .filter_map(Cidr::v6)
        .map(|address| {
            let [.., a, b, c, d] = address.octets();
            u32::from_be_bytes([a, b, c, d])
        })
        .collect();
    let mut program = Program::new();
    let block = words.len() + 1;
    bpf::jump_if_any(&mut program, SKF_NET_OFF + SOURCE_END, &words, 2 * block + 1);
    bpf::jump_if_any(&mut program, SKF_NET_OFF + DESTINATION_END, &words, block + 1);
    bpf::answer_any(&mut program, TARGET_END, &words, [0, u32::MAX]);
    program
}

/// ICMPV6_FILTER (linux/icmpv6.h), and its value: a bit for each type that is not heard.
const ICMPV6_FILTER: i32 = 1;
const FILTER: [u32; 8] = {
    let mut filter = [u32::MAX; 8];
    filter[SOLICITATION / 32] &= !(1 << (SOLICITATION % 32));
    filter[ADVERTISEMENT / 32] &= !(1 << (ADVERTISEMENT % 32));
    filter
};
const SOLICITATION: usize = 135;
const ADVERTISEMENT: usize = 136;

/// Where the last four bytes of addresses are: behind the header of IPv6's beginning (linux/filter.h), or that of ICMPv6's.
const SKF_NET_OFF: u32 = 0xfff0_0000;
const SOURCE_END: u32 = 20;
const DESTINATION_END: u32 = 36;
const TARGET_END: u32 = 20;

/// Bytes of the kernel's memory, of which a short message takes less than a thousand.
const BUFFER: usize = 64 * 1024;

/// As many as that holds.
const MOST_BEFORE: u32 = 256;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn the_longest_filter_fits() {
        assert_eq!(speak_of(&[Cidr::new(Ipv6Addr::LOCALHOST.into(), 128); MAX_ADDRESSES]).len(), 53);
    }
}
