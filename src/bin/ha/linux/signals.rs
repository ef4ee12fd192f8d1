//! Signals as something to read (signalfd(2)), and those that end the process in a way of our own (sigaction(2)).

use std::ffi::{c_int, c_void};
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

/// What a signal interrupts: it gets its number, what the kernel says of it, and the registers.
pub(super) type Handler = unsafe extern "C" fn(c_int, *const libc::siginfo_t, *const c_void) -> !;

/// From now on `signal` ends what runs and calls `handler`, which does not return.
pub(super) fn handle(signal: c_int, handler: Handler) -> io::Result<()> {
    // SAFETY: zero is a valid value of every field; the handler has the type that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        check(libc::sigaction(signal, &raw const action, ptr::null_mut()))?;
    }
    Ok(())
}

/// What was inherited is forgotten: ignored signals, whose children would be lost or which would not be read, blocked ones, and
/// timers that go on through execve and send one.
#[cfg(not(test))]
pub(super) fn forget_inherited() {
    default_all();
    // A reader that has gone, a full file and a soft limit of CPU time are errors, and not the end. Nor is a background job
    // stopped by what it writes to its terminal.
    let _ = block_only(&[libc::SIGPIPE, libc::SIGXFSZ, libc::SIGXCPU, libc::SIGTTOU]);
    let stopped = [0u64; 4];
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: the structure is not longer than that on any processor, and where all is zero the timer is off.
        unsafe { libc::syscall(libc::SYS_setitimer, timer, &raw const stopped, 0usize) };
    }
}

/// Every signal does what it does by default.
pub(super) fn default_all() {
    // By a system call: the C library's own thoughts about signals are 1 KB. Whatever the fields of the structure are on this
    // processor, where all are zero it is SIG_DFL.
    let default = [0u64; 8];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads the structure, which is not longer than that, during the call only.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0usize, signal_set_len()) };
    }
}

/// Keeps `signals` from interrupting this process from now on.
fn block(signals: &[i32]) -> io::Result<libc::sigset_t> {
    change_mask(libc::SIG_BLOCK, signals)
}

/// The same, and all others interrupt it.
pub(super) fn block_only(signals: &[i32]) -> io::Result<libc::sigset_t> {
    change_mask(libc::SIG_SETMASK, signals)
}

fn change_mask(how: i32, signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; the other calls read or change it afterwards.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        check(libc::sigprocmask(how, set.as_ptr(), ptr::null_mut()))?;
        Ok(set.assume_init())
    }
}

/// Bytes of the kernel's set of signals: a bit for each.
fn signal_set_len() -> u32 {
    libc::SIGRTMAX().unsigned_abs().div_ceil(8)
}
