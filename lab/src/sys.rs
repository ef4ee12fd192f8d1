//! The system calls that std does not have: clocks, namespaces, sockets, signals.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::{set_pdeathsig, set_timerslack};
use nix::sys::signal::{SigSet, kill};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, NetlinkAddr, bind, getsockopt, setsockopt, sockopt,
};
use nix::sys::socket::{recvmsg, sendmmsg};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::{Pid, gettid};
use nix::{getsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

pub use nix::sys::signal::Signal;

/// Nanoseconds of some clock.
pub type Nanos = u64;

/// The wall clock, with which the kernel stamps received frames.
pub fn now() -> Nanos {
    read_clock(ClockId::CLOCK_REALTIME)
}

/// The clock that no one sets.
pub fn monotonic() -> Nanos {
    read_clock(ClockId::CLOCK_MONOTONIC)
}

/// The processor time of this thread, of the kernel on its behalf too.
pub fn thread_time() -> Nanos {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read_clock(clock: ClockId) -> Nanos {
    nanos(clock_gettime(clock).expect("every Linux has these clocks").into())
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).expect("500 years fit into 64 bits")
}

/// Sleeps until `deadline` of the monotonic clock.
pub fn sleep_until(deadline: Nanos) {
    let deadline = Duration::from_nanos(deadline).into();
    // A signal may end the sleep early; the callers look at the clock.
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &deadline);
}

/// Makes this thread wake up on time: real-time priority where that is permitted, and no timer slack.
pub fn be_punctual(priority: u8) -> bool {
    let _ = set_timerslack(1); // the kernel takes any value
    // chrt(1) is part of util-linux. Neither nix nor rustix sets the policy of a thread.
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", &priority.to_string(), &gettid().to_string()]);
    chrt.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Does `work` in another network namespace, in a thread that ends with it.
///
/// A socket stays in the namespace where it was made, also when another thread uses it.
pub fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(namespace)?;
    in_a_thread(|| {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

/// Lets `command` run in that network namespace, and not survive the thread that starts it.
#[expect(unsafe_code, reason = "std offers no other way to make system calls between fork and exec")]
pub fn confine(command: &mut Command, namespace: File) {
    let enter = move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: between fork and exec `enter` makes two system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(enter) };
}

/// Whether this process may create network namespaces.
pub fn may_unshare() -> io::Result<()> {
    in_a_thread(|| Ok(unshare(CloneFlags::CLONE_NEWNET)?))
}

fn in_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A socket that sends ICMP to `address` through the kernel's own routing and neighbour cache, and hears nothing.
pub fn icmp_socket(address: IpAddr) -> io::Result<OwnedFd> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = socket(domain, Type::RAW, protocol)?;
    SockRef::from(&socket).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?; // keep 0 bytes
    Ok(socket)
}

/// A socket for whole Ethernet frames of one type; the kernel puts the time on each frame that it receives.
pub fn packet_socket(interface: &str, ether_type: u16) -> io::Result<OwnedFd> {
    let socket = socket(Domain::PACKET, Type::RAW, Protocol::from(i32::from(ether_type.to_be())))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RcvBufForce, &16_000_000)?;
    let found = nix::ifaddrs::getifaddrs()?.find_map(|entry| {
        let address = entry.address.filter(|_| entry.interface_name == interface)?;
        address.as_link_addr().copied()
    });
    let address = found.ok_or_else(|| io::Error::other(format!("no interface {interface}")))?;
    // The address names no Ethernet type, so the socket keeps its own (packet(7)).
    bind(socket.as_raw_fd(), &address)?;
    // Until then the socket heard all interfaces.
    while receive(&socket, &mut [0; 1])?.is_some() {}
    Ok(socket)
}

/// A socket to which the kernel reports every change in the neighbour table of a namespace (rtnetlink(7),
/// `RTMGRP_NEIGH`).
pub fn neighbour_socket() -> io::Result<OwnedFd> {
    let socket = socket(Domain::from(libc::AF_NETLINK), Type::RAW, Protocol::from(libc::NETLINK_ROUTE))?;
    setsockopt(&socket, sockopt::RcvBufForce, &1_000_000)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_NEIGH))?;
    Ok(socket)
}

/// A socket that reads and changes the network of a namespace from elsewhere (rtnetlink(7)).
pub fn route_socket() -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    Ok(socket.into()) // which waits for the kernel's acknowledgement
}

/// Reads the neighbour tables of the namespace of `socket`, of all families (rtnetlink(7), `RTM_GETNEIGH`): `read` gets
/// datagrams of messages until it returns false.
pub fn read_neighbours(socket: &OwnedFd, mut read: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let length = u32::try_from(HEADER + NEIGHBOUR).map_err(io::Error::other)?;
    let message = [
        // struct nlmsghdr
        &length.to_ne_bytes()[..],
        &libc::RTM_GETNEIGH.to_ne_bytes(),
        &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes(),
        &[0; 8],
        // struct ndmsg: of every family, device and state
        &[0; NEIGHBOUR],
    ]
    .concat();
    SockRef::from(socket).send(&message)?;
    let mut buffer = [0; 32_768];
    loop {
        let received = nix::unistd::read(socket, &mut buffer)?;
        if !read(&buffer[..received]) {
            return Ok(());
        }
    }
}

/// Takes a device up or down, in the namespace of `socket` (rtnetlink(7), `RTM_NEWLINK`).
pub fn set_device(socket: &OwnedFd, device: &str, is_up: bool) -> io::Result<()> {
    let mut name = device.as_bytes().to_vec();
    name.resize((name.len() + 1).next_multiple_of(4), 0);
    let length = |bytes: usize| u16::try_from(bytes).map_err(io::Error::other);
    let flags = if is_up { IFF_UP } else { 0 };
    let message = [
        // struct nlmsghdr
        &u32::from(length(HEADER + LINK + ATTRIBUTE + name.len())?).to_ne_bytes()[..],
        &libc::RTM_NEWLINK.to_ne_bytes(),
        &(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes(),
        &[0; 8],
        // struct ifinfomsg: no family, no type, no index, the flags and which of them to change
        &[0; 8],
        &flags.to_ne_bytes(),
        &IFF_UP.to_ne_bytes(),
        // struct rtattr
        &length(ATTRIBUTE + device.len() + 1)?.to_ne_bytes(),
        &libc::IFLA_IFNAME.to_ne_bytes(),
        &name,
    ]
    .concat();
    SockRef::from(socket).send(&message)?;
    let mut buffer = [0; 512];
    let received = nix::unistd::read(socket, &mut buffer)?;
    // struct nlmsgerr: a negative errno, or 0
    let error = buffer[..received].get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("netlink: an acknowledgement that is too short")),
    }
}

/// Sends an ICMP message.
pub fn send_icmp(socket: &OwnedFd, to: IpAddr, message: &[u8]) -> io::Result<()> {
    SockRef::from(socket).send_to(message, &SocketAddr::new(to, 0).into()).map(drop)
}

/// Sends a frame out of the interface that the socket is bound to.
pub fn send_frame(socket: &OwnedFd, frame: &[u8]) -> io::Result<()> {
    SockRef::from(socket).send(frame).map(drop)
}

/// Sends frames out of the interface that the socket is bound to, by one system call. Returns how many it sent.
pub fn send_frames(socket: &OwnedFd, frames: &[&[u8]]) -> io::Result<usize> {
    let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
    let mut headers = MultiHeaders::preallocate(frames.len(), None);
    let addresses = vec![None::<()>; frames.len()];
    let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addresses, [], MsgFlags::empty())?;
    Ok(sent.count())
}

/// The value that the bytes at some offset of a frame must have, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// One byte.
    One(u32, u8),
    /// Two bytes.
    Two(u32, u16),
    /// Four bytes.
    Four(u32, u32),
}

/// Makes a packet socket receive only frames that meet all conditions.
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
        program.push(SockFilter::new(load, 0, 0, offset));
        program.push(SockFilter::new(JUMP_EQUAL, 0, drop, value));
    }
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    SockRef::from(socket).attach_filter(&program)
}

/// The next frame, if there is one: how many bytes of `buffer` it took, and when the kernel saw it.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<(usize, Nanos)>> {
    let mut control = nix::cmsg_space!(libc::timespec);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN) => return Ok(None),
        outcome => outcome?,
    };
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(nanos(time.into())),
        _ => None,
    });
    Ok(Some((message.bytes, stamp.unwrap_or_else(now))))
}

/// Waits until one of the sockets has something, at most `timeout_ms`.
pub fn wait_readable<'a>(sockets: impl IntoIterator<Item = &'a OwnedFd>, timeout_ms: u16) {
    let wanted = |socket: &'a OwnedFd| PollFd::new(socket.as_fd(), PollFlags::POLLIN);
    let mut fds: Vec<_> = sockets.into_iter().map(wanted).collect();
    let _ = poll(&mut fds, PollTimeout::from(timeout_ms)); // the callers try to receive in any case
}

/// Frames that a packet socket has lost since the last call because its buffer was full.
pub fn lost_frames(socket: &OwnedFd) -> io::Result<u32> {
    Ok(getsockopt(socket, PacketStatistics)?.tp_drops)
}

sockopt_impl!(PacketStatistics, GetOnly, libc::SOL_PACKET, libc::PACKET_STATISTICS, libc::tpacket_stats);

/// Sends a signal to a process, or to a whole group if `pid` is negative. A process that has ended already is no error.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Reserves the signals that ask us to end for `wait_for_termination`. Call it before any thread starts.
pub fn block_termination() -> io::Result<()> {
    Ok(termination().thread_block()?)
}

/// Waits for a signal that asks us to end, and returns it.
pub fn wait_for_termination() -> Signal {
    loop {
        if let Ok(signal) = termination().wait() {
            return signal;
        }
    }
}

fn termination() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

fn socket(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<OwnedFd> {
    Ok(Socket::new(domain, kind.nonblocking(), Some(protocol))?.into())
}

/// Classic BPF (linux/filter.h): BPF_LD with BPF_ABS by width, BPF_JMP | BPF_JEQ, BPF_RET.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Netlink (linux/netlink.h, linux/rtnetlink.h, linux/if.h): lengths, groups and flags.
const HEADER: usize = 16;
const LINK: usize = 16;
const NEIGHBOUR: usize = 12;
const ATTRIBUTE: usize = 4;
const RTMGRP_NEIGH: u32 = 4;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const IFF_UP: u32 = 1;
