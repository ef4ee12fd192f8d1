//! Options of sockets that rustix does not have, or has with numbers of processes that cannot be zero (getsockopt(2)).

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::{self, Errno};

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

/// Delivers the time at which each datagram arrived with it (SO_TIMESTAMPNS), as two numbers of the processor's own width: every
/// kernel knows that form.
pub fn receive_time(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, TIMESTAMP, &1i32)
}

/// Process and user that listen where this socket is connected to (SO_PEERCRED, unix(7)); process 0 if it is in a PID namespace
/// that cannot be seen from here.
pub fn peer(fd: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let mut found = MaybeUninit::<libc::ucred>::uninit();
    let mut len = socklen(size_of::<libc::ucred>());
    // SAFETY: the kernel writes as many bytes as `len` says, and says how many; the structure is read only if that is all of it.
    unsafe {
        let place = found.as_mut_ptr().cast();
        check(libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, place, &raw mut len))?;
        if len < socklen(size_of::<libc::ucred>()) {
            return Err(Errno::INVAL);
        }
        let found = found.assume_init();
        Ok((found.pid, found.uid))
    }
}

/// Lets the kernel send from an address that is not there any more (IP_TRANSPARENT); CAP_NET_ADMIN is asked for.
pub fn send_from_any(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_TRANSPARENT, &1i32)
}

/// SO_TIMESTAMPNS_OLD and SCM_TIMESTAMPNS_OLD (asm/socket.h). The C library has the number of the form that Linux 5.1 brought where
/// `long` has 32 bits.
pub(super) const TIMESTAMP: i32 = 35;

pub(super) fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `value`, of its true length, during the call only; callers pair option and type.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), socklen(size_of::<T>())) };
    check(done).map(drop)
}

pub(super) fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("lengths of addresses and options are small")
}
