//! Requests to a watchdog device (linux/watchdog.h).

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl;

/// Seconds until a watchdog device fires unless it is fed (WDIOC_GETTIMEOUT of linux/watchdog.h).
pub fn watchdog_timeout_s(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    const GET_TIMEOUT: ioctl::Opcode = ioctl::opcode::read::<libc::c_int>(b'W', 7);
    // SAFETY: for a watchdog the request writes an int; what is no watchdog has no request with this letter.
    unsafe { ioctl::ioctl(fd, ioctl::Getter::<GET_TIMEOUT, libc::c_int>::new()) }
}
