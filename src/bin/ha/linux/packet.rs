//! Frames of ARP and neighbour discovery by packet sockets (packet(7)): out; of ARP also in, if they name one of our addresses, or answer a question of ours.

use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ha::config::{Cidr, MAX_ADDRESSES};
use ha::wire::arp::{self, Arp, Mac};
use ha::wire::nd;
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use super::bpf::{BPF_JEQ, BPF_JGE, BPF_LD_H_ABS, BPF_LD_W_ABS, BPF_RET, Instruction, Program, step};
use super::option::socklen;
use super::{bpf, check, last_errno};

/// Sends frames on one interface, and hears nothing. One for life: to close a packet socket takes the kernel 5 to 20 ms.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
}

impl Sender {
    /// Opens the socket, on no interface yet.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: open(NO_INTERFACE, 0)? })
    }

    /// Sends on interface `index` from now on.
    pub fn bind(&self, index: u32) -> io::Result<()> {
        bind_packet(self.socket.as_fd(), index, 0)
    }

    /// Tells the LAN where `address` is: by gratuitous ARP in both forms, the request first, or by an NA that says whether this host
    /// `is_router`.
    pub fn announce(&self, address: IpAddr, is_router: bool) -> io::Result<()> {
        let mac = self.mac()?;
        match address {
            IpAddr::V4(address) => {
                self.send(&arp::gratuitous_request(mac, address))?;
                self.send(&arp::gratuitous_reply(mac, address))
            }
            IpAddr::V6(address) => self.send(&nd::advertisement(mac, address, is_router)),
        }
    }

    /// Asks `neighbour`, on behalf of `address`, which is of the same family; only the one at `to` hears it if that is given.
    pub fn ask(&self, address: IpAddr, neighbour: IpAddr, to: Option<Mac>) -> io::Result<()> {
        let mac = self.mac()?;
        match (address, neighbour) {
            (IpAddr::V4(address), IpAddr::V4(neighbour)) => {
                self.send(&arp::directed_request(mac, address, neighbour, to))
            }
            (IpAddr::V6(address), IpAddr::V6(neighbour)) => self.send(&nd::solicitation(mac, address, neighbour, to)),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Errno::AFNOSUPPORT),
        }
    }

    /// Asks who has `address`.
    pub fn probe(&self, address: IpAddr) -> io::Result<()> {
        let mac = self.mac()?;
        match address {
            IpAddr::V4(address) => self.send(&arp::probe(mac, address)),
            IpAddr::V6(address) => self.send(&nd::probe(mac, address)),
        }
    }

    /// Read for each frame: a bond or a person may have changed it.
    fn mac(&self) -> io::Result<Mac> {
        packet_mac(self.socket.as_fd())
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        send_frame(self.socket.as_fd(), frame)
    }
}

/// Hears ARP that names one of our addresses, as sender or as target, or answers a probe of ours; of that what the interface
/// hears, too.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Opens the socket on interface `index`; and on `device`, for answers to what it asked.
    pub fn open(index: u32, device: Option<u32>, addresses: &[Cidr]) -> io::Result<OwnedFd> {
        // Bound to an interface only when the filter is in place: before that, nothing is heard.
        let socket = open(NO_INTERFACE, 0)?;
        let mut program = hear_by(index, device);
        keep_arp_for(&mut program, addresses);
        bpf::attach_filter(socket.as_fd(), &program)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
        bind_packet(socket.as_fd(), if device.is_some() { NO_INTERFACE } else { index }, ETH_P_ARP)?;
        Ok(socket)
    }

    /// The next packet that was heard.
    pub fn next(&self) -> Option<Arp> {
        let mut buffer = [0; 64];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, len)) => {
                    if let Some(arp) = Arp::parse(&buffer[..len.min(buffer.len())]) {
                        return Some(arp);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

/// A packet socket on interface `index`; with EtherType 0 it hears nothing.
pub fn open(index: u32, ethertype: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    bind_packet(socket.as_fd(), index, ethertype)?;
    Ok(socket)
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

/// Goes on with what comes in by `interface` for this host or for all, and with what comes in by `device` for its own hardware
/// address: the rest comes in by both, which are on one LAN, and is heard once.
///
/// The kernel has taken a VLAN's tag off when it looks for a socket for ARP, and says then that the frame is for another host,
/// unless the tag only says a priority (VLAN 0): measured, Linux 6.18 on veth. So the type of packet says what the interface
/// hears.
fn hear_by(interface: u32, device: Option<u32>) -> Program {
    let by_device = [
        step(BPF_LD_W_ABS, 0, 0, SKF_AD_IFINDEX),
        step(BPF_JEQ, 5, 0, interface),
        step(BPF_JEQ, 1, 0, device.unwrap_or(interface)),
        DROP,
        step(BPF_LD_W_ABS, 0, 0, SKF_AD_PKTTYPE),
        step(BPF_JEQ, 4, 0, PACKET_HOST),
        DROP,
    ];
    let by_interface = [step(BPF_LD_W_ABS, 0, 0, SKF_AD_PKTTYPE), step(BPF_JGE, 0, 1, PACKET_OTHERHOST), DROP];
    let by_device = if device.is_some() { &by_device[..] } else { &[] };
    by_device.iter().chain(&by_interface).copied().collect()
}

/// Those of `addresses` that ARP is about, as a filter loads them.
pub fn words(addresses: &[Cidr]) -> heapless::Vec<u32, MAX_ADDRESSES> {
    addresses.iter().filter_map(Cidr::v4).map(Ipv4Addr::to_bits).collect()
}

/// Keeps ARP whose SPA or TPA is one of `addresses`, and replies to this host whose TPA is 0, since it asked without an
/// address; drops all else.
fn keep_arp_for(program: &mut Program, addresses: &[Cidr]) {
    let words = words(addresses);
    let answers = [
        step(BPF_JEQ, 1, 0, 0),
        DROP,
        step(BPF_LD_H_ABS, 0, 0, OPERATION_OFFSET),
        step(BPF_JEQ, 1, 0, ARP_REPLY),
        DROP,
        step(BPF_LD_W_ABS, 0, 0, SKF_AD_PKTTYPE),
        step(BPF_JEQ, 1, 0, PACKET_HOST),
        DROP,
    ];
    bpf::jump_if_any(program, SPA_OFFSET, &words, words.len() + 1 + answers.len());
    bpf::jump_if_any(program, TPA_OFFSET, &words, answers.len());
    let is_whole = program.extend_from_slice(&answers).is_ok() && program.push(step(BPF_RET, 0, 0, u32::MAX)).is_ok();
    assert!(is_whole, "programs are short");
}

const ETH_P_ARP: u16 = 0x0806;
/// A packet socket bound to it hears every interface.
const NO_INTERFACE: u32 = 0;
/// Where a filter finds whose a frame is (linux/filter.h): this host's, everybody's, or, from here on, not ours
/// (linux/if_packet.h).
pub const SKF_AD_PKTTYPE: u32 = 0xffff_f000 + 4;
pub const PACKET_HOST: u32 = 0;
const PACKET_OTHERHOST: u32 = 3;
/// And by which interface it came.
const SKF_AD_IFINDEX: u32 = 0xffff_f000 + 8;
const DROP: Instruction = step(BPF_RET, 0, 0, 0);
/// Where the fields of ARP are in a frame, and the number of a reply (RFC 826).
const OPERATION_OFFSET: u32 = 20;
const ARP_REPLY: u32 = 2;
const SPA_OFFSET: u32 = 28;
const TPA_OFFSET: u32 = 38;

/// Bytes of the kernel's memory, of which a short frame takes less than a thousand.
const BUFFER: usize = 64 * 1024;
