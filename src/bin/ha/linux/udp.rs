//! Heartbeats by UDP multicast on one interface (udp(7), ip(7)).

use std::mem::size_of_val;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ha::time::Duration;
use ha::wire::LEN;
use ha::wire::heartbeat::{FLAGS_AT, FOLLOWING_V4_AT, GROUP_AT, MAGIC, OLD_LEN, OLD_VERSION, VERSION_AT};
use ha::wire::routine::{self, RELEASED};
use rustix::io;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use super::bpf::{BPF_JEQ, BPF_JSET, BPF_LD_B_ABS, BPF_LD_H_ABS, BPF_LD_W_ABS, BPF_LD_W_LEN, BPF_RET, Program, step};
use super::name::Name;
use super::option::{TIMESTAMP, bind_to_device, receive_time, receive_ttl, send_from_any, socklen};
use super::{bpf, clock, last_errno};

/// A socket that has joined the group.
#[derive(Debug)]
pub struct GroupSocket {
    socket: OwnedFd,
    group: SocketAddrV4,
}

/// Which packets a socket receives; one of each kind receives all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// What calls for an answer, or changes who may have the address.
    Urgent,
    /// See [`routine`].
    Routine,
}

impl GroupSocket {
    /// Opens a socket on the interface with this name and index, whose real address is `local`. The kernel drops what is no
    /// packet of ha, those of groups with another `number`, and those for the other socket of the two.
    pub fn open(
        name: Name,
        index: u32,
        local: Ipv4Addr,
        group: SocketAddrV4,
        number: u8,
        words: Words,
    ) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind_to_device(socket.as_fd(), name.as_bytes())?;
        sockopt::set_ip_ttl(&socket, TTL)?;
        sockopt::set_ip_multicast_ttl(&socket, TTL)?;
        sockopt::set_ip_multicast_loop(&socket, false)?;
        sockopt::set_ip_tos(&socket, DSCP_CS6)?;
        receive_ttl(socket.as_fd())?;
        receive_time(socket.as_fd())?;
        sockopt::set_ip_multicast_if_with_ifindex(&socket, &Ipv4Addr::UNSPECIFIED, &local, index)?;
        // A node that has lost its own address resigns from that address: peers know no other. Where the kernel does not allow it
        // they wait for their tolerance.
        let _ = send_from_any(socket.as_fd());
        bpf::attach_filter(socket.as_fd(), &packets_of(number, words))?;
        rustix::net::bind(&socket, &SocketAddrV4::new(*group.ip(), group.port()))?;
        sockopt::set_ip_add_membership_with_ifindex(&socket, group.ip(), &local, index)?;
        Ok(Self { socket, group })
    }

    /// A socket that the keeper has opened for `group`.
    pub fn adopt(socket: OwnedFd, group: SocketAddrV4) -> Self {
        Self { socket, group }
    }

    /// Sends to the group.
    pub fn send(&self, packet: &[u8; LEN]) -> io::Result<()> {
        send_to(self.socket.as_fd(), packet, self.group)
    }

    /// The next datagram; `WOULDBLOCK` when there is none.
    pub fn receive(&self) -> io::Result<Datagram> {
        receive_datagram(self.socket.as_fd())
    }
}

/// Sends to `group` by a socket that [`GroupSocket::open`] has made. A handler of a signal may call it.
pub(super) fn send_to(socket: BorrowedFd<'_>, packet: &[u8; LEN], group: SocketAddrV4) -> io::Result<()> {
    rustix::net::sendto(socket, packet, SendFlags::DONTWAIT, &group)?;
    Ok(())
}

impl AsFd for GroupSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    buffer: [u8; LEN + 1],
    len: usize,
    /// Source address.
    pub from: Ipv4Addr,
    /// Time to live; 0 if the kernel did not say.
    pub ttl: u8,
    /// How long ago it arrived, by a clock that may have been set meanwhile.
    pub age: Duration,
}

impl Datagram {
    /// Its bytes; a longer one is cut, to a length that is no packet's.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len.min(self.buffer.len())]
    }
}

/// A membership that lasts as long as the socket, which hears nothing: switches and the hardware let the group through.
pub fn join(index: u32, group: Ipv4Addr) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_ip_add_membership_with_ifindex(&socket, &group, &Ipv4Addr::UNSPECIFIED, index)?;
    Ok(socket)
}

/// Receives one datagram of an IPv4 socket, with its TTL and its age (recvmsg(2), ip(7), socket(7)).
fn receive_datagram(fd: BorrowedFd<'_>) -> io::Result<Datagram> {
    let mut buffer = [0; LEN + 1];
    let mut control = [0u64; 8];
    // SAFETY: all pointers go to locals, with their true lengths; zero is a valid value of both structures.
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
        let (mut ttl, mut age) = (0, Duration::ZERO);
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(control) = header.as_ref() {
            if control.cmsg_level == libc::IPPROTO_IP && control.cmsg_type == libc::IP_TTL {
                let value = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
                ttl = u8::try_from(value).unwrap_or(0);
            }
            if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == TIMESTAMP {
                let [secs, nanos] = libc::CMSG_DATA(header).cast::<[libc::c_long; 2]>().read_unaligned();
                age = clock::age(secs, nanos);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        Ok(Datagram { buffer, len, from: Ipv4Addr::from(u32::from_be(source.sin_addr.s_addr)), ttl, age })
    }
}

/// Keeps datagrams of the right magic, group and size, those of one kind of [`Words`]; the filter of a UDP socket sees the UDP header
/// first (RFC 768).
fn packets_of(number: u8, words: Words) -> Program {
    let mut program = Program::new();
    bpf::require(&mut program, BPF_LD_H_ABS, UDP_HEADER, u16::from_be_bytes(MAGIC).into());
    bpf::require(&mut program, BPF_LD_B_ABS, behind(GROUP_AT), number.into());
    // As `routine::is_routine` has it.
    let of_routine = if words == Words::Routine { u32::MAX } else { 0 };
    program.extend([
        step(BPF_LD_W_LEN, 0, 0, 0),
        step(BPF_JEQ, 0, 7, behind(LEN)),
        step(BPF_LD_W_ABS, 0, 0, behind(VERSION_AT)),
        step(BPF_JEQ, 0, 5, u32::from_be_bytes(routine::beginning(number))),
        step(BPF_LD_B_ABS, 0, 0, behind(FLAGS_AT)),
        step(BPF_JSET, 3, 0, RELEASED.into()),
        step(BPF_LD_W_ABS, 0, 0, behind(FOLLOWING_V4_AT)),
        step(BPF_JEQ, 1, 0, 0),
        step(BPF_RET, 0, 0, of_routine),
    ]);
    match words {
        Words::Urgent => keep_versions(&mut program, UDP_HEADER),
        Words::Routine => program.extend([step(BPF_RET, 0, 0, 0)]),
    }
    program
}

/// The place or length in a packet, as the filter of a UDP socket sees it.
fn behind(place: usize) -> u32 {
    UDP_HEADER + u32::try_from(place).expect("packets are small")
}

/// Ends `program`: keeps packets behind `headers` bytes that have the right size, and those of version 1, of which the log
/// names the senders.
pub fn keep_versions(program: &mut Program, headers: u32) {
    let [len, old_len] = [LEN, OLD_LEN].map(|len| headers + u32::try_from(len).expect("packets are small"));
    program.extend([
        step(BPF_LD_W_LEN, 0, 0, 0),
        step(BPF_JEQ, 3, 0, len),
        step(BPF_JEQ, 0, 3, old_len),
        step(BPF_LD_B_ABS, 0, 0, headers + u32::try_from(VERSION_AT).expect("packets are small")),
        step(BPF_JEQ, 0, 1, OLD_VERSION.into()),
        step(BPF_RET, 0, 0, u32::MAX),
        step(BPF_RET, 0, 0, 0),
    ]);
}

const UDP_HEADER: u32 = 8;

/// RFC 5082: a receiver that sees less knows that a router was between.
const TTL: u32 = 255;

/// Network control, the class of routing protocols (RFC 4594 section 3.1).
const DSCP_CS6: u8 = 0xc0;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use ha::wire::{Context, Flags, Heartbeat, Kind, NodeId, Seal, State};

    use super::*;

    #[test]
    fn each_packet_of_the_group_comes_to_one_of_the_two_sockets() {
        let [urgent, routine] = [Words::Urgent, Words::Routine].map(|words| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            bpf::attach_filter(socket.as_fd(), &packets_of(1, words)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        });
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let comes = |packet: &[u8]| {
            [&urgent, &routine].map(|socket| {
                sender.send_to(packet, socket.local_addr().unwrap()).unwrap();
                socket.recv(&mut [0; 200]).is_ok()
            })
        };
        let node = NodeId::from_v4([192, 0, 2, 10].into());
        let mut routine_ones = 0;
        for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response] {
            for state in [State::Standby, State::Active, State::Unfit, State::Shutdown] {
                for following in [None, Some(node)] {
                    for flags in [Flags::READY, Flags::RELEASED, Flags::READY.with(Flags::RELEASED, true)] {
                        let said = Heartbeat { kind, state, flags, following, ..Heartbeat::plain(node) };
                        let packet = Seal::public(Context::of_group(1)).sign(&said);
                        let is_routine = routine::is_routine(&packet);
                        routine_ones += i32::from(is_routine);
                        assert_eq!(comes(&packet), [!is_routine, is_routine], "{said:?}");
                        let other = Heartbeat { group: 2, ..said };
                        let [short, long] = [&packet[..LEN - 1], &[&packet[..], &[0]].concat()];
                        for foreign in [&Seal::public(Context::of_group(2)).sign(&other)[..], short, long] {
                            assert_eq!(comes(foreign), [false, false], "{said:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(routine_ones, 1);
        let mut old = [0; OLD_LEN];
        old[..5].copy_from_slice(&[MAGIC[0], MAGIC[1], OLD_VERSION, 0, 1]);
        assert_eq!(comes(&old), [true, false], "the log names its sender");
    }
}
