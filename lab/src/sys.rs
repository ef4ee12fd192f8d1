//! System calls that std does not have; the lab's only file with `unsafe`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use libc::{c_int, c_void, sockaddr_in, sockaddr_ll, socklen_t, timespec};

/// Nanoseconds of some clock.
pub type Nanos = u64;

/// The wall clock: the one that the kernel stamps received frames with.
pub fn now() -> Nanos {
    read_clock(libc::CLOCK_REALTIME)
}

/// The clock that nobody sets.
pub fn monotonic() -> Nanos {
    read_clock(libc::CLOCK_MONOTONIC)
}

fn read_clock(clock: libc::clockid_t) -> Nanos {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    nanos(time)
}

fn nanos(time: timespec) -> Nanos {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Sleeps until `deadline` of the monotonic clock.
pub fn sleep_until(deadline: Nanos) {
    let deadline = timespec {
        tv_sec: (deadline / 1_000_000_000).cast_signed(),
        tv_nsec: (deadline % 1_000_000_000).cast_signed(),
    };
    // SAFETY: `deadline` outlives the call, and nothing is written to the null pointer.
    unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const deadline, std::ptr::null_mut())
    };
}

/// Makes this thread wake up on time: real-time priority where that is permitted, and no timer slack.
pub fn be_punctual(priority: c_int) -> bool {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: plain values, and a pointer that outlives the call.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) == 0
    }
}

/// Does `work` in another network namespace, in a thread that ends with it.
///
/// Sockets stay in the namespace where they were made, whoever uses them later.
pub fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(namespace)?;
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // SAFETY: changes this thread only.
            check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lets `command` run in that network namespace, and not survive the thread that starts it.
pub fn confine(command: &mut Command, namespace: File) {
    let enter = move || {
        // SAFETY: two system calls on plain values: allowed between fork and exec.
        unsafe {
            check(libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET))?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        }
        Ok(())
    };
    // SAFETY: `enter` neither allocates nor takes a lock.
    unsafe { command.pre_exec(enter) };
}

/// Whether this process may create network namespaces.
pub fn may_unshare() -> io::Result<()> {
    thread::scope(|scope| {
        // SAFETY: changes that thread only, which ends at once.
        let tried = scope.spawn(|| check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop));
        tried.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A socket that sends ICMP through the kernel's own routing and ARP cache, and hears nothing.
pub fn icmp_socket() -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
    let mut nothing = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }; // BPF_RET: keep 0 bytes
    let filter = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    set_option(&socket, libc::SO_ATTACH_FILTER, filter)?;
    Ok(socket)
}

/// A socket for whole Ethernet frames of one type; what it receives has the kernel's time on it.
pub fn packet_socket(interface: &str, ether_type: u16) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    set_option(&socket, libc::SO_TIMESTAMPNS, 1 as c_int)?;
    set_option(&socket, libc::SO_RCVBUFFORCE, 16_000_000 as c_int)?;
    let name = CString::new(interface)?;
    // SAFETY: `name` ends with a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut address: sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = family(libc::AF_PACKET);
    address.sll_protocol = ether_type.to_be();
    address.sll_ifindex = c_int::try_from(index).map_err(io::Error::other)?;
    // SAFETY: the address and its length belong together.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of::<sockaddr_ll>()) })?;
    Ok(socket)
}

/// A socket that is told of every change in the neighbour table of a namespace (rtnetlink(7), `RTMGRP_NEIGH`).
pub fn neighbour_socket() -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    set_option(&socket, libc::SO_RCVBUFFORCE, 1_000_000 as c_int)?;
    // SAFETY: all zeros is a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = family(libc::AF_NETLINK);
    address.nl_groups = u32::try_from(libc::RTMGRP_NEIGH).map_err(io::Error::other)?;
    // SAFETY: the address and its length belong together.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of::<libc::sockaddr_nl>()) })?;
    Ok(socket)
}

/// A socket by which the devices of a namespace can be changed from elsewhere.
pub fn device_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
}

/// Takes a device up or down, in the namespace of `socket`.
pub fn set_device(socket: &OwnedFd, device: &str, is_up: bool) -> io::Result<()> {
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if device.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    let fd = socket.as_raw_fd();
    let up = libc::c_short::try_from(libc::IFF_UP).expect("IFF_UP is 1");
    // SAFETY: both calls read and write one ifreq; the flags are the member that SIOCGIFFLAGS has written.
    unsafe {
        check(libc::ioctl(fd, libc::SIOCGIFFLAGS, &raw mut request))?;
        let flags = request.ifr_ifru.ifru_flags;
        request.ifr_ifru.ifru_flags = if is_up { flags | up } else { flags & !up };
        check(libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw mut request))?;
    }
    Ok(())
}

/// Sends an ICMP message.
pub fn send_icmp(socket: &OwnedFd, to: std::net::Ipv4Addr, message: &[u8]) -> io::Result<()> {
    let address = sockaddr_in {
        sin_family: family(libc::AF_INET),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both buffers are valid for the lengths given with them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            0,
            (&raw const address).cast(),
            length_of::<sockaddr_in>(),
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a frame out of the interface that the socket is bound to.
pub fn send_frame(socket: &OwnedFd, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is valid for its length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends frames out of the interface that the socket is bound to, by one system call; how many of them were sent.
pub fn send_frames(socket: &OwnedFd, frames: &[&[u8]]) -> io::Result<usize> {
    let slice = |frame: &&[u8]| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
    let mut slices: Vec<_> = frames.iter().map(slice).collect();
    let message = |slice: &mut libc::iovec| {
        // SAFETY: all zeros is a valid mmsghdr.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        message.msg_hdr.msg_iov = slice;
        message.msg_hdr.msg_iovlen = 1;
        message
    };
    let mut messages: Vec<_> = slices.iter_mut().map(message).collect();
    let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
    // SAFETY: so many messages, each with one slice of a frame; the kernel only reads frames that are to be sent.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What the bytes at some offset of a frame have to be, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// One byte.
    One(u32, u8),
    /// Two.
    Two(u32, u16),
    /// Four.
    Four(u32, u32),
}

/// From now on a packet socket receives only frames of which all of that is true.
pub fn attach_filter(socket: &OwnedFd, all_of: &[Bytes]) -> io::Result<()> {
    let mut program = Vec::new();
    let mut left = all_of.len();
    for condition in all_of {
        let (load, offset, value) = match *condition {
            Bytes::One(offset, value) => (LOAD_BYTE, offset, value.into()),
            Bytes::Two(offset, value) => (LOAD_HALF, offset, value.into()),
            Bytes::Four(offset, value) => (LOAD_WORD, offset, value),
        };
        left -= 1;
        // To the last instruction: over two for each condition that is left, and over the one that keeps the frame.
        let drop = u8::try_from(2 * left + 1).map_err(io::Error::other)?;
        program.push(libc::sock_filter { code: load, jt: 0, jf: 0, k: offset });
        program.push(libc::sock_filter { code: JUMP_EQUAL, jt: 0, jf: drop, k: value });
    }
    program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX });
    program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 });
    let len = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    set_option(socket, libc::SO_ATTACH_FILTER, libc::sock_fprog { len, filter: program.as_mut_ptr() })
}

/// Ticks of the clock by which the kernel counts processor time, in a second.
pub fn ticks_per_s() -> f64 {
    // SAFETY: a plain value.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    i32::try_from(ticks).ok().filter(|ticks| *ticks > 0).map_or(100.0, f64::from)
}

/// The next frame, if there is one: how many bytes of `buffer` it took, and when the kernel saw it.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<(usize, Nanos)>> {
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u64; 16];
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = mem::size_of_val(&control);
    // SAFETY: every pointer of `message` is valid for the length beside it.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    };
    // SAFETY: the kernel has filled `control`, and the macros walk it within msg_controllen.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = libc::CMSG_DATA(header).cast::<timespec>().read_unaligned();
                return Ok(Some((length, nanos(time))));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Some((length, now())))
}

/// Waits until one of the sockets has something, at most `timeout_ms`.
pub fn wait_readable<'a>(sockets: impl IntoIterator<Item = &'a OwnedFd>, timeout_ms: c_int) {
    let wanted = |socket: &OwnedFd| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut fds: Vec<_> = sockets.into_iter().map(wanted).collect();
    let count = libc::nfds_t::try_from(fds.len()).expect("not that many sockets");
    // SAFETY: so many entries.
    unsafe { libc::poll(fds.as_mut_ptr(), count, timeout_ms) };
}

/// Frames that a packet socket has lost since the last question, for want of room.
pub fn lost_frames(socket: &OwnedFd) -> io::Result<u32> {
    let mut statistics = [0_u32; 2]; // tpacket_stats: packets, drops
    let mut length = length_of::<[u32; 2]>();
    // SAFETY: the buffer is as long as `length` says.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    })?;
    Ok(statistics[1])
}

/// Sends a signal to a process, or to a whole group if `pid` is negative. That it has ended already is no error.
pub fn signal(pid: i32, signal: c_int) {
    // SAFETY: plain values.
    unsafe { libc::kill(pid, signal) };
}

/// From now on `wait_for_end` alone gets the signals that ask us to end. To be called before any thread starts.
pub fn hold_ends() {
    let set = ends();
    // SAFETY: the set outlives the call, and nothing is written to the null pointer.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for a signal that asks us to end, and says which.
pub fn wait_for_end() -> c_int {
    let set = ends();
    let mut number = 0;
    // SAFETY: both pointers outlive the call.
    while unsafe { libc::sigwait(&raw const set, &raw mut number) } != 0 {}
    number
}

fn ends() -> libc::sigset_t {
    // SAFETY: sigemptyset makes a set of it before it is used.
    unsafe {
        let mut set = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, number);
        }
        set
    }
}

fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: plain values; the descriptor is new, and nobody else's.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn set_option<T>(socket: &OwnedFd, option: c_int, value: T) -> io::Result<()> {
    let pointer = (&raw const value).cast::<c_void>();
    // SAFETY: `value` is valid for its size.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, pointer, length_of::<T>()) })?;
    Ok(())
}

/// Classic BPF (linux/filter.h): BPF_LD with BPF_ABS by width, BPF_JMP | BPF_JEQ, BPF_RET.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(mem::size_of::<T>()).expect("no option or address is that long")
}

fn family(number: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).expect("address families are small")
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
