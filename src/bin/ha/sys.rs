//! The only file with `unsafe`: system calls and socket options that rustix does not have.
//!
//! Each function is safe to call with any argument: lengths come from the types, pointers from references that outlive
//! the call, and what the kernel wrote is read only after it said so.

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A classic BPF instruction: code, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// Loads the big-endian word at an offset (linux/filter.h).
pub const BPF_LD_W_ABS: u16 = 0x20;

/// Jumps over so many instructions if the word equals, over so many others if not.
pub const BPF_JEQ: u16 = 0x15;

/// Keeps so many bytes of the packet; none drops it.
pub const BPF_RET: u16 = 0x06;

/// Blocks `signals` and returns a descriptor that reads them (signalfd(2)).
pub fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; the other calls read or change it afterwards.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?;
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
    let mut instructions = [libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; 32];
    assert!(program.len() <= instructions.len(), "filters are short");
    for (slot, &(code, jt, jf, k)) in instructions.iter_mut().zip(program) {
        *slot = libc::sock_filter { code, jt, jf, k };
    }
    let len = u16::try_from(program.len()).expect("filters are short");
    let filter = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
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
        let len = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
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
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

fn check(done: i32) -> io::Result<i32> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}
