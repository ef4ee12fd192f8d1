//! Sockets for whole frames (packet(7)).

use std::mem::size_of_val;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io;

use super::option::socklen;
use super::{check, last_errno};

/// Binds a packet socket to an interface and an EtherType (packet(7)).
pub fn bind_packet(fd: BorrowedFd<'_>, index: u32, ethertype: u16) -> io::Result<()> {
    let address = link_layer(index, ethertype, [0; 6]);
    // SAFETY: the kernel reads the structure, of the length said, during the call only.
    let done = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), socklen(size_of_val(&address))) };
    check(done).map(drop)
}

/// The hardware address that the interface of a bound packet socket has at this moment.
pub fn packet_mac(fd: BorrowedFd<'_>) -> io::Result<[u8; 6]> {
    let mut address = link_layer(0, 0, [0; 6]);
    let mut len = socklen(size_of_val(&address));
    // SAFETY: the kernel writes at most `len` bytes into the structure; every bit pattern is valid in it.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) })?;
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    Ok([a, b, c, d, e, f])
}

/// Sends a frame from a bound packet socket.
pub fn send_frame(fd: BorrowedFd<'_>, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads the slice during the call only.
    let sent = unsafe { libc::send(fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
    if sent < 0 { Err(last_errno()) } else { Ok(()) }
}

fn link_layer(index: u32, ethertype: u16, mac: [u8; 6]) -> libc::sockaddr_ll {
    let [a, b, c, d, e, f] = mac;
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("a small constant"),
        sll_protocol: ethertype.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    }
}
