//! Processes: copies of this one, programs of the user, and the end (clone(2), execve(2)).

use std::ffi::{CStr, c_char};
use std::fmt::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno, FdFlags};
use rustix::process::Pid;

use super::signals::{block_only, default_all};
use super::{check, check_long, file, inherited, last_errno};

/// Starts a program in a process of its own, which is separate from ours in every way that matters to a script: own session and
/// process group, default signals, ordinary scheduling, stdin from /dev/null, stdout and stderr to our stderr as we were given
/// it, nothing else open. Its pidfd becomes readable when it has ended. The first of `arguments` is its path. What is run is
/// what `open` opens in the child, which keeps `log` open until then.
///
/// A copy of this process (fork) calls execve, and not posix_spawn: that suspends its caller until the child has read the
/// program from disk, as an ordinary process that waits for its turn on the CPU: 3.1 ms, at worst 12 ms, for a caller
/// under SCHED_FIFO beside four busy processes, 0.07 ms this way (Linux 6.18, one CPU), and for ever with a dead disk.
///
/// What the child cannot do shows in its exit status, as a shell says it: 127 if the program or its interpreter does not
/// exist, 126 if it cannot be executed or `open` gives none. Since Linux 5.2 (CLONE_PIDFD).
pub fn spawn(
    arguments: &[&CStr],
    environment: &[&CStr],
    log: Option<RawFd>,
    open: &dyn Fn() -> Option<OwnedFd>,
) -> io::Result<(Pid, OwnedFd)> {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    let mut pidfd: libc::c_int = -1;
    let flags = libc::c_long::from(libc::CLONE_PIDFD | libc::SIGCHLD);
    let nothing: libc::c_long = 0;
    // SAFETY: without CLONE_VM the child has a copy of all memory and cannot harm us; it makes system calls only, as a copy of
    // a process with threads must, and so does `open`. The kernel writes a descriptor, ours alone, if it returns a process id.
    unsafe {
        let pid = check_long(libc::syscall(libc::SYS_clone, flags, nothing, &raw mut pidfd, nothing, nothing))?;
        match Pid::from_raw(pid) {
            Some(pid) => Ok((pid, OwnedFd::from_raw_fd(pidfd))),
            None => {
                become_ordinary(log);
                if let Some(program) = open() {
                    // When nothing is opened any more. A daemon may be spared by the kernel when memory is short; a script of
                    // it is not.
                    inherited::give_back();
                    let _ = block_only(&[]);
                    execute(program.as_raw_fd(), &argv, &envp);
                }
                libc::_exit(126)
            }
        }
    }
}

/// The user of this process as all of the machine knows it; none in a user namespace, where that cannot be found out, and where there
/// is no /proc.
pub fn global_uid() -> Option<u32> {
    let map = file::read_from("/proc/self/uid_map").ok()?;
    let is_first = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    is_first.then(|| rustix::process::geteuid().as_raw())
}

/// Programs get this as their standard output and error instead of ours.
pub fn lend(fd: OwnedFd) {
    LENT.store(fd.into_raw_fd(), Ordering::Relaxed);
}

static LENT: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// Makes this process like one that a shell has started.
///
/// # Safety
/// The caller is a process made for this, and uses no descriptor that it had but standard error and `log`.
unsafe fn become_ordinary(log: Option<RawFd>) {
    // SAFETY: system calls with constants and locals of the types that they want.
    unsafe {
        libc::dup2(LENT.load(Ordering::Relaxed), libc::STDERR_FILENO);
        // At once and not at execve, which may hang: a socket that is still open would make another daemon take this
        // process for ours. Before Linux 5.9 at execve after all.
        let log = log.unwrap_or(2).max(2);
        if log > 3 {
            libc::syscall(libc::SYS_close_range, 3, log - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, log + 1, RawFd::MAX, 0);
        libc::setsid();
        default_all();
        let ordinary: libc::sched_param = std::mem::zeroed();
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const ordinary);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        let open = |path: &CStr, access| rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty());
        // Without devices it is left with our standard input.
        let is_stuck = open(c"/dev/null", OFlags::RDONLY).is_ok_and(|null| libc::dup2(null.as_raw_fd(), 0) < 0);
        if is_stuck || libc::dup2(2, 1) < 0 {
            libc::_exit(126);
        }
    }
}

/// Becomes the program that is open. A script is read by its interpreter, which opens it again, through /proc: so that its
/// descriptor stays open, and its first argument is /proc/self/fd/N.
///
/// # Safety
/// The caller is a process made for this; both lists end with a null pointer, all others go to strings, the first of `argv` to
/// the path of what is open.
unsafe fn execute(
    program: RawFd,
    argv: &[*const c_char; MAX_STRINGS + 1],
    envp: &[*const c_char; MAX_STRINGS + 1],
) -> ! {
    // SAFETY: constants, and lists as the caller promised; the descriptor is open and the name is a string until the end.
    unsafe {
        let (argv, envp) = (argv.as_ptr(), envp.as_ptr());
        libc::syscall(libc::SYS_execveat, program, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH);
        // So the kernel says that it is a script, and its descriptor is closed by then; an emulator may not know the call.
        if matches!(last_errno(), Errno::NOENT | Errno::NOSYS) {
            let _ = io::fcntl_setfd(BorrowedFd::borrow_raw(program), FdFlags::empty());
            let mut name = heapless::String::<32>::new();
            let _ = write!(name, "/proc/self/fd/{program}\0");
            libc::execve(name.as_ptr().cast(), argv, envp);
            if libc::access(c"/proc/self/fd".as_ptr(), libc::F_OK) < 0 {
                // Without /proc by its path, which no user but root can change: `open` has just found that.
                let _ = io::fcntl_setfd(BorrowedFd::borrow_raw(program), FdFlags::CLOEXEC);
                libc::execve(*argv, argv, envp);
            }
        }
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

/// A child that has ended and that nobody has reaped; this call does not reap it either.
pub fn ended_child() -> Option<Pid> {
    let (any, options) = (0, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
    // SAFETY: zero is a valid value of every field, and says that there is none; the kernel writes what it says of children.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, any, &raw mut info, options) < 0 { 0 } else { info.si_pid() }
    };
    Pid::from_raw(pid)
}

/// Ends this process at once: a confined process may not make the system calls of the C library's exit(3).
pub fn exit(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor but standard error and the `kept`.
pub fn close_all_but(kept: [Option<RawFd>; 3]) {
    let next_kept = |from| kept.into_iter().flatten().filter(|&fd| fd >= from).min();
    let (mut from, mut next) = (0, Some(2));
    // SAFETY: constants and numbers; the caller uses no descriptor but those that it keeps from then on.
    unsafe {
        loop {
            let to = next.map_or(RawFd::MAX, |next| next - 1);
            let done = libc::syscall(libc::SYS_close_range, libc::c_long::from(from), libc::c_long::from(to), 0);
            if done < 0 {
                // Before Linux 5.9: one by one, as far as the limit of descriptors goes by default.
                for fd in from..=to.min(1024) {
                    libc::close(fd);
                }
            }
            let Some(kept) = next else { break };
            from = kept + 1;
            next = next_kept(from);
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

/// The keeper's priority: in the middle, above ordinary processes, below what a kernel thread may need.
pub const KEEPER_PRIORITY: i32 = 50;

/// The worker's: one less, so that a worker that loops for ever does not keep the only processor from the keeper, which watches
/// it.
pub const WORKER_PRIORITY: i32 = KEEPER_PRIORITY - 1;

/// Arguments or variables of a program at most.
pub const MAX_STRINGS: usize = 24;
