//! Signals as something to read (signalfd(2)).

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io;

use super::{check, check_long};

/// Blocks `signals` and returns a descriptor that reads them (signalfd(2)).
pub fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = block(signals)?;
    // SAFETY: the set is read during the call only; the descriptor is new.
    unsafe {
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        let fd = check_long(libc::syscall(libc::SYS_signalfd4, -1, &raw const set, signal_set_len(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The next signal waiting at `fd`, if there is one.
pub fn next_signal(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let len = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer is as long as said; it is read only if the kernel filled all of it.
    unsafe {
        let got = libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), len);
        (usize::try_from(got) == Ok(len)).then(|| info.assume_init().ssi_signo)
    }
}

/// Keeps `signals` from interrupting this process from now on.
pub(super) fn block(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; the other calls read or change it afterwards.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()))?;
        Ok(set.assume_init())
    }
}

/// Bytes of the kernel's set of signals: a bit for each.
pub(super) fn signal_set_len() -> u32 {
    libc::SIGRTMAX().unsigned_abs().div_ceil(8)
}
