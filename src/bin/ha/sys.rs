//! The only file with `unsafe` but heap.rs: system calls and socket options that rustix does not have.
//!
//! Each function is safe to call with any argument: lengths come from the types, pointers from references that outlive
//! the call, and what the kernel wrote is read only after it said so.

use std::ffi::{CStr, c_char};
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::ioctl;
use rustix::process::Pid;

/// A classic BPF instruction (linux/filter.h).
pub type Instruction = libc::sock_filter;

/// One with its code, how many to jump over if true and if false, and its operand.
pub const fn step(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Loads the big-endian word at an offset (linux/filter.h).
pub const BPF_LD_W_ABS: u16 = 0x20;

/// Loads the big-endian half word at an offset.
pub const BPF_LD_H_ABS: u16 = 0x28;

/// Loads the byte at an offset.
pub const BPF_LD_B_ABS: u16 = 0x30;

/// Loads the length of the packet.
pub const BPF_LD_W_LEN: u16 = 0x80;

/// Jumps over so many instructions if the word equals, over so many others if not.
pub const BPF_JEQ: u16 = 0x15;

/// Keeps so many bytes of the packet; none drops it.
pub const BPF_RET: u16 = 0x06;

/// A program of classic BPF; all of ours are short.
pub type Program = heapless::Vec<Instruction, MAX_PROGRAM>;

const MAX_PROGRAM: usize = 64;

/// Ends `program` with a drop unless what `load` finds at `offset` is `value`; else it goes on.
pub fn require(program: &mut Program, load: u16, offset: u32, value: u32) {
    let step = [step(load, 0, 0, offset), step(BPF_JEQ, 1, 0, value), step(BPF_RET, 0, 0, 0)];
    assert!(program.extend_from_slice(&step).is_ok(), "programs are short");
}

/// Ends `program`: the second of `answers` if the word at `offset` is one of `words`, else the first.
pub fn answer_any(program: &mut Program, offset: u32, words: &[u32], answers: [u32; 2]) {
    jump_if_any(program, offset, words, 1);
    for answer in answers {
        assert!(program.push(step(BPF_RET, 0, 0, answer)).is_ok(), "programs are short");
    }
}

/// Goes on in `program` if the word at `offset` is none of `words`, else so many instructions later.
pub fn jump_if_any(program: &mut Program, offset: u32, words: &[u32], by: usize) {
    let mut push = |instruction| assert!(program.push(instruction).is_ok(), "programs are short");
    push(step(BPF_LD_W_ABS, 0, 0, offset));
    let last = words.len() - 1 + by;
    for (position, &word) in words.iter().enumerate() {
        push(step(BPF_JEQ, u8::try_from(last - position).expect("programs are short"), 0, word));
    }
}

/// Where the C library begins. What std does before its `main` and is of use here is done here, in a tenth of the code:
/// descriptors 0 to 2 are open, so that no socket gets their numbers, and a reader that has gone is an error and not the end.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn main(count: libc::c_int, words: *const *const c_char) -> libc::c_int {
    use std::os::fd::IntoRawFd;

    let _ = block(&[libc::SIGPIPE]);
    // SAFETY: constants; the C library hands over as many strings as it says, which live as long as the program.
    let arguments = unsafe {
        for fd in 0..=2 {
            // The lowest free number is given to what is opened. Where there are no devices yet, it is something that
            // takes nothing and gives nothing.
            let is_open = libc::dup2(fd, fd) == fd;
            let null = || rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty()).map(OwnedFd::into_raw_fd);
            if !is_open && null() != Ok(fd) && libc::epoll_create1(0) != fd {
                exit(1);
            }
        }
        (1..usize::try_from(count).unwrap_or(0)).map(|position| CStr::from_ptr(*words.add(position)))
    };
    crate::run(arguments.map(|word| word.to_str().unwrap_or("\u{fffd}")).collect()).into()
}

/// A variable of the environment that is text.
pub fn variable(name: &CStr) -> Option<&'static str> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the list ends with a null pointer; nobody changes it, so that what it has lives as long as the program.
    let entry = |place| unsafe { (*environ.add(place)).as_ref().map(|entry| CStr::from_ptr(entry).to_bytes()) };
    let value = |entry: &'static [u8]| entry.strip_prefix(name.to_bytes())?.strip_prefix(b"=");
    (0..).map_while(entry).find_map(value).and_then(|value| str::from_utf8(value).ok())
}

/// What the kernel drew when it started this program, from what it had by then (AT_RANDOM, getauxval(3)).
pub fn start_bytes() -> [u8; 16] {
    // SAFETY: the kernel puts 16 bytes at that address, where they stay; zero says that it did not.
    unsafe { (libc::getauxval(libc::AT_RANDOM) as *const [u8; 16]).as_ref().copied().unwrap_or_default() }
}

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

/// Bytes of the kernel's set of signals: a bit for each.
fn signal_set_len() -> u32 {
    libc::SIGRTMAX().unsigned_abs().div_ceil(8)
}

/// Keeps `signals` from interrupting this process from now on.
fn block(signals: &[i32]) -> io::Result<libc::sigset_t> {
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

/// Sends and hears only on the interface with this name (SO_BINDTODEVICE; the kernel adds the NUL).
pub fn bind_to_device(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let bytes = name.as_bytes();
    // SAFETY: the kernel reads the slice during the call only.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            bytes.as_ptr().cast(),
            socklen(bytes.len()),
        )
    };
    check(done).map(drop)
}

/// Delivers the TTL of each datagram with it (IP_RECVTTL).
pub fn receive_ttl(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &1i32)
}

/// Lets the kernel drop what `program` drops (SO_ATTACH_FILTER).
pub fn attach_filter(fd: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    with_filter(program, |filter| set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, filter))
}

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

fn set_option<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `value`, of its true length, during the call only; callers pair option and type.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), socklen(size_of::<T>())) };
    check(done).map(drop)
}

fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("lengths of addresses and options are small")
}

fn last_errno() -> Errno {
    // SAFETY: the C library keeps it there as long as the thread runs.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn check(done: i32) -> io::Result<i32> {
    if done < 0 { Err(last_errno()) } else { Ok(done) }
}

/// Starts a program in a process of its own, told apart from ours in every way that matters to a script: own session and
/// process group, default signals, ordinary scheduling, stdin from /dev/null, stdout and stderr to our stderr, nothing
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

/// What the child does.
///
/// # Safety
/// The caller is a process made for this; both lists end with a null pointer, all others go to strings.
unsafe fn execute(argv: &[*const c_char; MAX_STRINGS + 1], envp: &[*const c_char; MAX_STRINGS + 1]) -> ! {
    // SAFETY: system calls with constants and locals of the types that they want; the lists are as the caller promised.
    unsafe {
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

/// Arguments or variables of a program at most.
pub const MAX_STRINGS: usize = 24;

fn pointers(strings: &[&CStr]) -> [*const c_char; MAX_STRINGS + 1] {
    assert!(strings.len() <= MAX_STRINGS, "callers count what they pass");
    let mut list = [ptr::null(); MAX_STRINGS + 1];
    for (slot, string) in list.iter_mut().zip(strings) {
        *slot = string.as_ptr();
    }
    list
}

fn check_long(done: libc::c_long) -> io::Result<i32> {
    check(i32::try_from(done).unwrap_or(-1))
}

/// Seconds until a watchdog device fires unless it is fed (WDIOC_GETTIMEOUT of linux/watchdog.h).
pub fn watchdog_timeout_s(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    const GET_TIMEOUT: ioctl::Opcode = ioctl::opcode::read::<libc::c_int>(b'W', 7);
    // SAFETY: for a watchdog the request writes an int; what is no watchdog has no request with this letter.
    unsafe { ioctl::ioctl(fd, ioctl::Getter::<GET_TIMEOUT, libc::c_int>::new()) }
}

/// Microseconds of CLOCK_BOOTTIME. By the C library, which reads it without a system call where it can, and where `long` has
/// 32 bits by 64-bit calls with the older ones as fallback; those bits are enough for 68 years since boot.
pub fn boot_time_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written during the call only.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert!(done == 0, "every Linux since 2.6.39 has this clock");
    let secs = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let nanos = u64::try_from(time.tv_nsec).expect("nanoseconds are positive");
    secs * 1_000_000 + nanos / 1_000
}

/// Waits for `limit_us` microseconds at most until one of `fds` is ready (ppoll(2)). A system call of its own: where `long` has
/// 32 bits a kernel may have the call with 64-bit time only, or the older one only, and musl does not try both.
pub fn poll(fds: &mut [libc::pollfd], limit_us: Option<u64>) -> io::Result<()> {
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let limit = limit_us.map(|us| [long(us / 1_000_000), long(us % 1_000_000 * 1_000)]);
    match poll_by(PPOLL_64, fds, limit) {
        Err(Errno::NOSYS) if cfg!(target_pointer_width = "32") => {
            let short = |number: i64| libc::c_long::try_from(number).unwrap_or(libc::c_long::MAX);
            poll_by(libc::SYS_ppoll, fds, limit.map(|limit| limit.map(short)))
        }
        outcome => outcome,
    }
}

fn poll_by<T>(call: libc::c_long, fds: &mut [libc::pollfd], mut limit: Option<[T; 2]>) -> io::Result<()> {
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let no_signals = ptr::null::<libc::sigset_t>();
    // SAFETY: the kernel writes into as many structures as the slice has, and into the limit, of the type that the call
    // wants, during the call only.
    let done = unsafe { libc::syscall(call, fds.as_mut_ptr(), fds.len(), limit, no_signals, 0usize) };
    check_long(done).map(drop)
}

/// The calls that know 64-bit time.
#[cfg(target_pointer_width = "64")]
pub use libc::{SYS_clock_gettime as CLOCK_GETTIME_64, SYS_ppoll as PPOLL_64};
#[cfg(target_pointer_width = "32")]
mod time_64 {
    use linux_raw_sys::general::{__NR_clock_gettime64, __NR_ppoll_time64};

    pub const CLOCK_GETTIME_64: libc::c_long = __NR_clock_gettime64.cast_signed();
    pub const PPOLL_64: libc::c_long = __NR_ppoll_time64.cast_signed();
}
#[cfg(target_pointer_width = "32")]
pub use time_64::{CLOCK_GETTIME_64, PPOLL_64};

#[cfg(any(target_arch = "arm", target_arch = "mips", target_arch = "powerpc64"))]
pub use libc::{SYS_recv as RECV, SYS_send as SEND};
/// What rustix and some C libraries call where no address is given: ARM, MIPS and POWER have calls without one, all others
/// have those with one only.
#[cfg(not(any(target_arch = "arm", target_arch = "mips", target_arch = "powerpc64")))]
pub use libc::{SYS_recvfrom as RECV, SYS_sendto as SEND};

/// Where rustix makes no system calls of its own it looks for functions of the C library by name. A static program has no names to
/// find; musl says so in 20 KB, and only to callers that are position-independent.
///
/// For little-endian MIPS it has calls of its own (rustix_use_experimental_asm), which must stay off: they do not say that the
/// kernel changes `$1`, `hi` and `lo` (musl's syscall_arch.h does), so that what is kept there is lost (rustix 1.1.6).
#[cfg(all(target_arch = "mips", target_env = "musl"))]
#[unsafe(no_mangle)]
extern "C" fn dlsym(_library: *mut libc::c_void, _name: *const c_char) -> *mut libc::c_void {
    ptr::null_mut()
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

/// Decides about a system call by one of its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its number.
    pub call: libc::c_long,
    /// Which argument, from 0.
    pub argument: u32,
    /// If the lower 32 bits of the argument are this, the rule decides.
    pub value: u32,
    /// What it decides.
    pub is_allowed: bool,
}

/// Ends this process at every system call but those that a rule, the first that decides, or the list allows, from now on and
/// for ever (seccomp(2)).
pub fn allow_only(rules: &[Rule], calls: &[libc::c_long]) -> io::Result<()> {
    let (no, yes) = (libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ALLOW);
    let number = |call: libc::c_long| u32::try_from(call).expect("calls have small numbers");
    let mut program = Program::new();
    let mut push = |instruction| assert!(program.push(instruction).is_ok(), "programs are short");
    for instruction in
        [step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_ARCH), step(BPF_JEQ, 1, 0, AUDIT_ARCH), step(BPF_RET, 0, 0, no)]
    {
        push(instruction);
    }
    for rule in rules {
        push(step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_NR));
        push(step(BPF_JEQ, 0, 3, number(rule.call)));
        push(step(BPF_LD_W_ABS, 0, 0, SECCOMP_DATA_ARGUMENTS + 8 * rule.argument));
        push(step(BPF_JEQ, 0, 1, rule.value));
        push(step(BPF_RET, 0, 0, if rule.is_allowed { yes } else { no }));
    }
    let calls: heapless::Vec<u32, 16> = calls.iter().map(|&call| number(call)).collect();
    answer_any(&mut program, SECCOMP_DATA_NR, &calls, [no, yes]);
    with_filter(&program, |filter| {
        // SAFETY: the kernel copies the program, which outlives the call.
        check_long(unsafe {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, ptr::from_ref(filter))
        })
        .map(drop)
    })
}

/// As the kernel wants a program: a length and a pointer.
fn with_filter<T>(program: &[Instruction], use_it: impl FnOnce(&libc::sock_fprog) -> T) -> T {
    let len = u16::try_from(program.len()).expect("programs are short");
    use_it(&libc::sock_fprog { len, filter: program.as_ptr().cast_mut() })
}

/// Offsets in struct seccomp_data (linux/seccomp.h).
const SECCOMP_DATA_NR: u32 = 0;
const SECCOMP_DATA_ARCH: u32 = 4;
/// The lower half of the first argument.
const SECCOMP_DATA_ARGUMENTS: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

/// Whose calls these are: linux/audit.h and linux/elf-em.h, with the bits for 64 bits and little-endian.
const AUDIT_ARCH: u32 = {
    let machine = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else if cfg!(target_arch = "arm") {
        40
    } else if cfg!(target_arch = "riscv64") {
        243
    } else if cfg!(target_arch = "powerpc64") {
        21
    } else if cfg!(target_arch = "mips") {
        8
    } else {
        0
    };
    let is_64 = if cfg!(target_pointer_width = "64") { 0x8000_0000 } else { 0 };
    let is_little_endian = if cfg!(target_endian = "little") { 0x4000_0000 } else { 0 };
    machine | is_64 | is_little_endian
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_50_ms_is_waited_out() {
        let before = boot_time_us();
        poll(&mut [], Some(50_000)).unwrap();
        let waited = boot_time_us() - before;
        assert!((50_000..10_000_000).contains(&waited), "{waited} us");
    }
}
