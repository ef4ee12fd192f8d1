//! Processes: copies of this one, programs of the user, and the end (clone(2), execve(2)).

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::process::Pid;

use super::signals::signal_set_len;
use super::{check, check_long, last_errno};

/// Starts a program in a process of its own, told apart from ours in every way that matters to a script: own session and
/// process group, default signals, ordinary scheduling, stdin from /dev/null, stdout and stderr to our stderr as
/// we were given it, nothing
/// else open. Its pidfd becomes readable when it has ended. The first of `arguments` is its path.
///
/// A copy of this process (fork) calls execve, and not posix_spawn: that suspends its caller until the child has read the
/// program from disk, as an ordinary process that waits for its turn on the CPU: 3.1 ms, at worst 12 ms, for a caller
/// under SCHED_FIFO beside four busy processes, 0.07 ms this way (Linux 6.18, one CPU), and for ever with a dead disk.
///
/// What the child cannot do shows in its exit status, as a shell says it: 127 if the program or its interpreter does not
/// exist, 126 if it cannot be executed. Since Linux 5.2 (CLONE_PIDFD).
pub fn spawn(arguments: &[&CStr], environment: &[&CStr]) -> io::Result<(Pid, OwnedFd)> {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    let mut pidfd: libc::c_int = -1;
    let flags = libc::c_long::from(libc::CLONE_PIDFD | libc::SIGCHLD);
    let nothing: libc::c_long = 0;
    // SAFETY: without CLONE_VM the child has a copy of all memory and cannot harm us; it makes system calls only, as a
    // copy of a process with threads must. The kernel writes a descriptor, ours alone, if it returns a process id.
    unsafe {
        let pid = check_long(libc::syscall(libc::SYS_clone, flags, nothing, &raw mut pidfd, nothing, nothing))?;
        match Pid::from_raw(pid) {
            Some(pid) => Ok((pid, OwnedFd::from_raw_fd(pidfd))),
            None => execute(&argv, &envp),
        }
    }
}

/// Programs get this as their standard output and error instead of ours.
pub fn lend(fd: OwnedFd) {
    LENT.store(fd.into_raw_fd(), Ordering::Relaxed);
}

static LENT: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// What the child does.
///
/// # Safety
/// The caller is a process made for this; both lists end with a null pointer, all others go to strings.
unsafe fn execute(argv: &[*const c_char; MAX_STRINGS + 1], envp: &[*const c_char; MAX_STRINGS + 1]) -> ! {
    // SAFETY: system calls with constants and locals of the types that they want; the lists are as the caller promised.
    unsafe {
        libc::dup2(LENT.load(Ordering::Relaxed), libc::STDERR_FILENO);
        // At once and not at execve, which may hang: nobody shall take this process for ours by a socket that is still
        // open. Before Linux 5.9 at execve after all.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        libc::setsid();
        // By a system call: the C library's own thoughts about signals are 1 KB. Whatever the fields of the structure are
        // on this processor, where all are zero it is SIG_DFL.
        let default = [0u64; 8];
        for signal in 1..=libc::SIGRTMAX() {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0usize, signal_set_len());
        }
        let ordinary: libc::sched_param = std::mem::zeroed();
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const ordinary);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        // A daemon may be spared by the kernel when memory is short; a script of it is not.
        let open = |path: &CStr, access| rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty());
        let _ = open(c"/proc/self/oom_score_adj", OFlags::WRONLY).and_then(|score| io::write(score, b"0"));
        // Without devices it is left with our standard input.
        let is_stuck = open(c"/dev/null", OFlags::RDONLY).is_ok_and(|null| libc::dup2(null.as_raw_fd(), 0) < 0);
        if is_stuck || libc::dup2(2, 1) < 0 {
            libc::_exit(126);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(argv[0], argv.as_ptr(), envp.as_ptr());
        let is_missing = last_errno() == Errno::NOENT;
        libc::_exit(if is_missing { 127 } else { 126 })
    }
}

fn pointers(strings: &[&CStr]) -> [*const c_char; MAX_STRINGS + 1] {
    assert!(strings.len() <= MAX_STRINGS, "callers count what they pass");
    let mut list = [ptr::null(); MAX_STRINGS + 1];
    for (slot, string) in list.iter_mut().zip(strings) {
        *slot = string.as_ptr();
    }
    list
}

/// Another process like this one; `None` in it (fork(2)). By a system call: what the C library does for other threads is 2 KB.
pub fn fork() -> io::Result<Option<Pid>> {
    let (flags, nothing): (libc::c_long, libc::c_long) = (libc::SIGCHLD.into(), 0);
    // SAFETY: a copy of all memory; this process has one thread, so that the copy may do whatever the original may.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, nothing, nothing, nothing, nothing) };
    Ok(Pid::from_raw(check_long(pid)?))
}

/// Ends this process without the C library's farewell, which a confined process may not make.
pub fn exit(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor but standard error and the `kept`.
pub fn close_all_but(kept: [Option<RawFd>; 2]) {
    let [one, other] = kept.map(|fd| fd.unwrap_or(2));
    let (low, high) = (one.min(other), one.max(other));
    // SAFETY: constants and numbers; the caller uses no descriptor but those that it keeps from then on.
    unsafe {
        for (from, to) in [(0, 1), (3, low - 1), (low + 1, high - 1), (high + 1, RawFd::MAX)] {
            if from > to {
                continue;
            }
            let done = libc::syscall(libc::SYS_close_range, libc::c_long::from(from), libc::c_long::from(to), 0);
            if done < 0 {
                // Before Linux 5.9: one by one, as far as the limit of descriptors goes by default.
                for fd in from..=to.min(1024) {
                    libc::close(fd);
                }
            }
        }
    }
}

/// Runs this thread before all ordinary ones (SCHED_FIFO). A system call of its own, since musl's function refuses.
pub fn set_realtime(priority: i32) -> io::Result<()> {
    // SAFETY: zero is a valid value of every field; the kernel reads the structure during the call only.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = priority;
        let done = libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const parameters);
        check(i32::try_from(done).unwrap_or(-1)).map(drop)
    }
}

/// Arguments or variables of a program at most.
pub const MAX_STRINGS: usize = 24;
