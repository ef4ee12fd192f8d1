//! Heartbeats by UDP multicast on one interface (udp(7), ip(7), ipv6(7)).

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ha::wire::LEN;
use ha::wire::heartbeat::{FLAGS_AT, FOLLOWING_V4_AT, GROUP_AT, MAGIC, OLD_LEN, OLD_VERSION, VERSION_AT};
use ha::wire::routine::{self, RELEASED};
use rustix::io;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use super::bpf::{BPF_JEQ, BPF_JSET, BPF_LD_B_ABS, BPF_LD_H_ABS, BPF_LD_W_ABS, BPF_LD_W_LEN, BPF_RET, Program, step};
use super::datagram::{self, Datagram};
use super::name::Name;
use super::option::{bind_to_device, receive_time, send_from_any, set_option, socklen};
use super::{bpf, last_errno};

/// Sends to a group and hears it.
#[derive(Debug)]
pub struct GroupSocket {
    /// It has joined the group.
    socket: OwnedFd,
    /// Another one by which it sends over IPv6: one that hears a group there cannot be told from which address to send.
    sender: Option<OwnedFd>,
    group: SocketAddr,
}

/// Which packets a socket receives; one of each kind receives all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// What calls for an answer, or changes who may have the address. This one sends, too.
    Urgent,
    /// See [`routine`].
    Routine,
}

impl GroupSocket {
    /// Opens it on the interface with this name and index, whose real address is `local`, of the family of the group. The kernel
    /// drops what is no packet of ha, those of groups with another `number`, and those for the other socket of the two.
    pub fn open(
        name: Name,
        index: u32,
        local: IpAddr,
        group: SocketAddr,
        number: u8,
        words: Words,
    ) -> io::Result<Self> {
        let filter = packets_of(number, words);
        let (socket, sender) = match (local, group) {
            (IpAddr::V4(local), SocketAddr::V4(group)) => (open_v4(name, index, local, group, &filter)?, None),
            (IpAddr::V6(local), SocketAddr::V6(group)) => {
                let sender = (words == Words::Urgent).then(|| send_v6(name, index, local, group)).transpose()?;
                (hear_v6(name, index, group, &filter)?, sender)
            }
            (IpAddr::V4(_), SocketAddr::V6(_)) | (IpAddr::V6(_), SocketAddr::V4(_)) => {
                return Err(io::Errno::AFNOSUPPORT);
            }
        };
        Ok(Self { socket, sender, group })
    }

    /// What the keeper has opened for `group`.
    pub fn adopt(socket: OwnedFd, sender: Option<OwnedFd>, group: SocketAddr) -> Self {
        Self { socket, sender, group }
    }

    /// Sends to the group.
    pub fn send(&self, packet: &[u8; LEN]) -> io::Result<()> {
        send_to(self.sender(), packet, self.group)
    }

    /// By which it sends.
    pub fn sender(&self) -> BorrowedFd<'_> {
        self.sender.as_ref().unwrap_or(&self.socket).as_fd()
    }

    /// The next datagram; `WOULDBLOCK` when there is none.
    pub fn receive(&self) -> io::Result<Datagram> {
        datagram::receive(self.socket.as_fd())
    }
}

impl From<GroupSocket> for OwnedFd {
    fn from(group: GroupSocket) -> Self {
        group.socket
    }
}

impl AsFd for GroupSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends to `group` by the [`GroupSocket::sender`] of one that was opened for it. A handler of a signal may call it.
pub(super) fn send_to(socket: BorrowedFd<'_>, packet: &[u8; LEN], group: SocketAddr) -> io::Result<()> {
    match group {
        SocketAddr::V4(group) => {
            rustix::net::sendto(socket, packet, SendFlags::DONTWAIT, &group)?;
            Ok(())
        }
        // To where it is connected. With an address, of no family and as long as one of IPv4: a confined worker may send with no
        // other one.
        SocketAddr::V6(_) => {
            let nowhere = libc::sockaddr_in {
                sin_family: 0,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: 0 },
                sin_zero: [0; 8],
            };
            let len = socklen(size_of::<libc::sockaddr_in>());
            // SAFETY: the kernel reads the packet and the address, of their true lengths, during the call only.
            let sent = unsafe {
                let address = (&raw const nowhere).cast();
                libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), LEN, libc::MSG_DONTWAIT, address, len)
            };
            if sent < 0 { Err(last_errno()) } else { Ok(()) }
        }
    }
}

/// A membership that lasts as long as the socket, which hears nothing: switches and the hardware let the group through.
pub fn join(index: u32, group: IpAddr) -> io::Result<OwnedFd> {
    let family = if group.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    match group {
        IpAddr::V4(group) => {
            sockopt::set_ip_add_membership_with_ifindex(&socket, &group, &Ipv4Addr::UNSPECIFIED, index)?;
        }
        IpAddr::V6(group) => sockopt::set_ipv6_add_membership(&socket, &group, index)?,
    }
    Ok(socket)
}

/// A socket on this interface that others with the same port do not disturb.
fn open(family: AddressFamily, name: Name) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind_to_device(socket.as_fd(), name.as_bytes())?;
    Ok(socket)
}

fn open_v4(name: Name, index: u32, local: Ipv4Addr, group: SocketAddrV4, filter: &Program) -> io::Result<OwnedFd> {
    let socket = open(AddressFamily::INET, name)?;
    let options = [
        (libc::IP_TTL, TTL),
        (libc::IP_MULTICAST_TTL, TTL),
        (libc::IP_MULTICAST_LOOP, 0),
        (libc::IP_TOS, DSCP_CS6),
        (libc::IP_RECVTTL, 1),
    ];
    set_options(&socket, libc::IPPROTO_IP, &options)?;
    receive_time(socket.as_fd())?;
    sockopt::set_ip_multicast_if_with_ifindex(&socket, &Ipv4Addr::UNSPECIFIED, &local, index)?;
    // A node that has lost its own address resigns from that address: peers know no other. Where the kernel does not allow it
    // they wait for their tolerance.
    let _ = send_from_any(socket.as_fd());
    bpf::attach_filter(socket.as_fd(), filter)?;
    rustix::net::bind(&socket, &group)?;
    sockopt::set_ip_add_membership_with_ifindex(&socket, group.ip(), &local, index)?;
    Ok(socket)
}

fn hear_v6(name: Name, index: u32, group: SocketAddrV6, filter: &Program) -> io::Result<OwnedFd> {
    let socket = open(AddressFamily::INET6, name)?;
    set_options(&socket, libc::IPPROTO_IPV6, &[(libc::IPV6_RECVHOPLIMIT, 1)])?;
    receive_time(socket.as_fd())?;
    bpf::attach_filter(socket.as_fd(), filter)?;
    rustix::net::bind(&socket, &on(index, *group.ip(), group.port()))?;
    sockopt::set_ipv6_add_membership(&socket, group.ip(), index)?;
    Ok(socket)
}

/// Bound to the node's own address, and connected to the group: it hears nothing. What it sends has this source as long as it is
/// open, though the address may go.
fn send_v6(name: Name, index: u32, local: Ipv6Addr, group: SocketAddrV6) -> io::Result<OwnedFd> {
    let socket = open(AddressFamily::INET6, name)?;
    let options = [
        (libc::IPV6_MULTICAST_HOPS, TTL),
        (libc::IPV6_MULTICAST_LOOP, 0),
        (libc::IPV6_TCLASS, DSCP_CS6),
        (libc::IPV6_MULTICAST_IF, index),
    ];
    set_options(&socket, libc::IPPROTO_IPV6, &options)?;
    rustix::net::bind(&socket, &on(index, local, group.port()))?;
    rustix::net::connect(&socket, &on(index, *group.ip(), group.port()))?;
    Ok(socket)
}

fn set_options(socket: &OwnedFd, level: i32, options: &[(i32, u32)]) -> io::Result<()> {
    options.iter().try_for_each(|(option, value)| set_option(socket.as_fd(), level, *option, value))
}

/// An address on this interface.
fn on(index: u32, address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, index)
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
const DSCP_CS6: u32 = 0xc0;

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
