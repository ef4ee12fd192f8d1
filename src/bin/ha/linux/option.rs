//! Options of sockets that rustix does not have (setsockopt(2)).

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io;

use super::check;

/// Sends and hears only on the interface with this name (SO_BINDTODEVICE; the kernel adds the NUL).
pub fn bind_to_device(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads the slice during the call only.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            socklen(name.len()),
        )
    };
    check(done).map(drop)
}

/// Delivers the TTL of each datagram with it (IP_RECVTTL).
pub fn receive_ttl(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &1i32)
}

pub(super) fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `value`, of its true length, during the call only; callers pair option and type.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), socklen(size_of::<T>())) };
    check(done).map(drop)
}

pub(super) fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("lengths of addresses and options are small")
}
