//! Receives a datagram with what the kernel knows of it (recvmsg(2), ip(7), ipv6(7), socket(7)).

use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ha::time::Duration;
use ha::wire::LEN;
use rustix::io;

use super::option::{TIMESTAMP, socklen};
use super::{clock, last_errno};

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    buffer: [u8; LEN + 1],
    len: usize,
    /// Source address.
    pub from: IpAddr,
    /// Destination address, if the socket has asked for it.
    pub to: Option<Ipv6Addr>,
    /// Time to live, or hop limit; 0 if the kernel did not say.
    pub ttl: u8,
    /// How long ago it arrived, by a clock that may have been set meanwhile; zero if the socket has not asked for that.
    pub age: Duration,
}

impl Datagram {
    /// Its bytes; a longer one is cut, to a length that is no packet's.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len.min(self.buffer.len())]
    }
}

/// Receives the next one; `WOULDBLOCK` when there is none.
pub fn receive(fd: BorrowedFd<'_>) -> io::Result<Datagram> {
    let mut buffer = [0; LEN + 1];
    let mut control = [0u64; 16];
    // SAFETY: all pointers go to locals, with their true lengths; zero is a valid value of all structures.
    // The control messages are walked by the macros of the C library, within the length that the kernel returned; of each, so much is
    // read as the kernel puts into one of that type. An address of IPv4 is shorter than one of IPv6 and begins like it.
    unsafe {
        let mut source: libc::sockaddr_in6 = std::mem::zeroed();
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
        let from = if i32::from(source.sin6_family) == libc::AF_INET6 {
            source.sin6_addr.s6_addr.into()
        } else {
            let source = (&raw const source).cast::<libc::sockaddr_in>().read();
            Ipv4Addr::from(u32::from_be(source.sin_addr.s_addr)).into()
        };
        let (mut to, mut ttl, mut age) = (None, 0, Duration::ZERO);
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(control) = header.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    let value = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
                    ttl = u8::try_from(value).unwrap_or(0);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let value = libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().read_unaligned();
                    to = Some(value.ipi6_addr.s6_addr.into());
                }
                (libc::SOL_SOCKET, TIMESTAMP) => {
                    let [secs, nanos] = libc::CMSG_DATA(header).cast::<[libc::c_long; 2]>().read_unaligned();
                    age = clock::age(secs, nanos);
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(Datagram { buffer, len, from, to, ttl, age })
    }
}
