//! Datagrams with what the kernel knows of them beside their bytes (recvmsg(2), ip(7)).

use std::mem::size_of_val;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io;

use super::last_errno;
use super::option::socklen;

/// A datagram: how many of its bytes are in `buffer`, its source, and its TTL (0 if the kernel did not say).
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// Bytes of `buffer` that were written; a longer datagram was cut.
    pub len: usize,
    /// Source address.
    pub from: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
}

/// Receives one datagram of an IPv4 socket, with its TTL (recvmsg(2), ip(7)).
pub fn receive_datagram(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut control = [0u64; 8];
    // SAFETY: all pointers go to locals or to `buffer`, with their true lengths; zero is a valid value of both structures.
    // The control messages are walked by the macros of the C library, within the length that the kernel returned.
    unsafe {
        let mut source: libc::sockaddr_in = std::mem::zeroed();
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_name = (&raw mut source).cast();
        message.msg_namelen = socklen(size_of_val(&source));
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = socklen(size_of_val(&control)) as _;
        let got = libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_TRUNC);
        let len = usize::try_from(got).map_err(|_| last_errno())?;
        let mut ttl = 0;
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(control) = header.as_ref() {
            if control.cmsg_level == libc::IPPROTO_IP && control.cmsg_type == libc::IP_TTL {
                let value = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
                ttl = u8::try_from(value).unwrap_or(0);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(Datagram { len, from: Ipv4Addr::from(u32::from_be(source.sin_addr.s_addr)), ttl })
    }
}
