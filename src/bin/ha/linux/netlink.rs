//! rtnetlink: addresses and links (rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h).
//!
//! Messages are built and read as bytes; the length of all that comes from the kernel is checked before it is used.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::config::Cidr;
use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::linux;
use crate::linux::bpf::{BPF_JEQ, BPF_LD_H_ABS, BPF_LD_W_ABS, BPF_RET, step};
use crate::linux::name::{MAX_NAME_LEN, Name};

mod inet_conf;
mod neighbours;

pub use neighbours::Found;

/// What the kernel knows of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its number; another one after it was deleted and created again.
    pub index: u32,
    /// It was brought up; it may lack a carrier.
    pub is_up: bool,
    /// It is up and has a carrier.
    pub is_running: bool,
    /// What is at its other end.
    pub kind: Kind,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// What is at the other end of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Hosts that find each other by ARP.
    #[default]
    Lan,
    /// No other host.
    Loopback,
    /// One host.
    PointToPoint,
    /// Hosts that are not asked by ARP.
    NoArp,
}

/// Asks the kernel and changes addresses.
#[derive(Debug)]
pub struct Requests {
    socket: OwnedFd,
    port: u32,
    seq: u32,
    /// Of the first message that is built.
    first: u32,
    message: heapless::Vec<u8, 2048>,
    /// Behind a pointer, so that it costs little to move this.
    answer: Vec<u8>,
}

impl Requests {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let socket = open(SocketFlags::CLOEXEC, 0)?;
        let port = SocketAddrNetlink::try_from(rustix::net::getsockname(&socket)?)?.pid();
        Ok(Self { socket, port, seq: 0, first: 0, message: heapless::Vec::new(), answer: vec![0; 16 * 1024] })
    }

    /// The number that the kernel puts into events that this socket caused.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// The interface called `name`, if there is one; alternative names count.
    pub fn interface(&mut self, name: &str) -> io::Result<Option<Interface>> {
        // Of what fits into both the kernel knows alternative names, too, and an old kernel knows the first one only.
        let kind = if name.len() > MAX_NAME_LEN { nl::IFLA_ALT_IFNAME } else { nl::IFLA_IFNAME };
        let mut found = None;
        let outcome = self.link(0, Some((kind as u16, name)), &mut |body| {
            found = interface(body).map(|(interface, _)| interface);
        });
        match outcome {
            Ok(()) => Ok(found),
            Err(Errno::NODEV) => Ok(None),
            // It knows no alternative names (before Linux 5.5).
            Err(Errno::INVAL) if name.len() > MAX_NAME_LEN => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What the kernel itself calls interface `index`.
    pub fn name(&mut self, index: u32) -> io::Result<Option<Name>> {
        let mut name = None;
        self.link(index, None, &mut |body| name = interface(body).and_then(|(_, name)| Name::new(name?)))?;
        Ok(name)
    }

    fn link(&mut self, index: u32, name: Option<(u16, &str)>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        self.message.clear();
        let start = self.begin(nl::RTM_GETLINK as u16, nl::NLM_F_ACK);
        for word in [0, index, 0, 0] {
            self.put(&word.to_ne_bytes());
        }
        if let Some((kind, name)) = name {
            self.attribute(kind, &[name.as_bytes(), &[0]]);
        }
        self.end(start);
        let seq = self.seq;
        self.exchange(seq, &mut |kind, body| {
            if kind == nl::RTM_NEWLINK as u16 {
                each(body);
            }
        })
    }

    /// Brings interface `index` up or down.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), Errno> {
        self.message.clear();
        let start = self.begin(nl::RTM_NEWLINK as u16, nl::NLM_F_ACK);
        // Family and type, number, flags, and which of them count.
        self.put(&[0; 4]);
        for word in [index, u32::from(up) * IFF_UP, IFF_UP] {
            self.put(&word.to_ne_bytes());
        }
        self.end(start);
        let seq = self.seq;
        self.exchange(seq, &mut |_, _| ())
    }

    /// Calls `each` with every IPv4 address of interface `index`, its prefix, and the seconds that it has left (`u32::MAX`: for
    /// ever), primary ones of a subnet first. If they change meanwhile, it begins again.
    pub fn addresses(&mut self, index: u32, each: &mut dyn FnMut(Cidr, u32)) -> io::Result<()> {
        for _ in 1..TRIES {
            match self.list_addresses(index, each) {
                Err(Errno::AGAIN) => {}
                outcome => return outcome,
            }
        }
        self.list_addresses(index, each)
    }

    fn list_addresses(&mut self, index: u32, each: &mut dyn FnMut(Cidr, u32)) -> io::Result<()> {
        self.message.clear();
        let start = self.begin(nl::RTM_GETADDR as u16, nl::NLM_F_ROOT | nl::NLM_F_MATCH);
        self.put(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]);
        self.end(start);
        let seq = self.seq;
        self.exchange(seq, &mut |kind, body| {
            if let Some((local, its_index)) = address(body).filter(|_| kind == nl::RTM_NEWADDR as u16)
                && its_index == index
            {
                each(local, valid_s(body));
            }
        })
    }

    /// Adds all of `addresses`, or renews them, in one call; `lease_s` is their lifetime in seconds.
    pub fn add(&mut self, index: u32, addresses: &[Cidr], label: &[u8], lease_s: u32) -> Result<(), Errno> {
        self.message.clear();
        for (position, cidr) in addresses.iter().enumerate() {
            let is_last = position + 1 == addresses.len();
            let ack = if is_last { nl::NLM_F_ACK } else { 0 };
            let start = self.begin(nl::RTM_NEWADDR as u16, nl::NLM_F_CREATE | nl::NLM_F_REPLACE | ack);
            self.address_header(index, cidr.prefix);
            let octets = cidr.address.octets();
            self.attribute(nl::IFA_LOCAL as u16, &[&octets]);
            self.attribute(nl::IFA_ADDRESS as u16, &[&octets]);
            self.attribute(nl::IFA_LABEL as u16, &[label, &[0]]);
            let lease = lease_s.to_ne_bytes();
            self.attribute(nl::IFA_CACHEINFO as u16, &[&lease, &lease, &[0; 8]]);
            self.end(start);
        }
        let seq = self.seq;
        self.exchange(seq, &mut |_, _| ())
    }

    /// Removes `address` whatever its prefix; true if it was there.
    pub fn remove(&mut self, index: u32, address: Ipv4Addr) -> Result<bool, Errno> {
        self.message.clear();
        let start = self.begin(nl::RTM_DELADDR as u16, nl::NLM_F_ACK);
        self.address_header(index, 0);
        self.attribute(nl::IFA_LOCAL as u16, &[&address.octets()]);
        self.end(start);
        let seq = self.seq;
        match self.exchange(seq, &mut |_, _| ()) {
            Ok(()) => Ok(true),
            Err(Errno::ADDRNOTAVAIL | Errno::NODEV) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn address_header(&mut self, index: u32, prefix: u8) {
        self.put(&[AF_INET, prefix, 0, RT_SCOPE_UNIVERSE]);
        self.put(&index.to_ne_bytes());
    }

    /// Starts a message; returns where it starts.
    fn begin(&mut self, kind: u16, flags: u32) -> usize {
        let start = self.message.len();
        self.seq = self.seq.wrapping_add(1);
        if start == 0 {
            self.first = self.seq;
        }
        let flags = u16::try_from(flags | nl::NLM_F_REQUEST).expect("flags have 16 bits");
        self.put(&[0; 4]);
        self.put(&kind.to_ne_bytes());
        self.put(&flags.to_ne_bytes());
        self.put(&self.seq.to_ne_bytes());
        self.put(&[0; 4]);
        start
    }

    /// Ends the message that began at `start`: writes its length.
    fn end(&mut self, start: usize) {
        let len = u32::try_from(self.message.len() - start).expect("messages are short");
        self.message[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, parts: &[&[u8]]) {
        let value: usize = parts.iter().map(|part| part.len()).sum();
        let len = u16::try_from(4 + value).expect("attributes are short");
        self.put(&len.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        for part in parts {
            self.put(part);
        }
        self.put(&[0; 3][..value.next_multiple_of(4) - value]);
    }

    fn put(&mut self, bytes: &[u8]) {
        assert!(self.message.extend_from_slice(bytes).is_ok(), "16 addresses fit");
    }

    /// Sends what was built and reads answers until the one to message `last`; the first error counts.
    ///
    /// An answer that does not fit is an error, and so is a list that changed while it was read (`AGAIN`): part of it is not
    /// taken for all. What is left of it is passed over by the next exchange, by its number.
    fn exchange(&mut self, last: u32, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Errno> {
        rustix::net::sendto(&self.socket, &self.message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut outcome = Ok(());
        let count = last.wrapping_sub(self.first);
        loop {
            let (_, len) = match rustix::net::recv(&self.socket, &mut self.answer[..], RecvFlags::TRUNC) {
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let Some(answer) = self.answer.get(..len) else { return Err(Errno::MSGSIZE) };
            for message in Messages(answer).filter(|message| last.wrapping_sub(message.seq) <= count) {
                if u32::from(message.flags) & nl::NLM_F_DUMP_INTR != 0 {
                    outcome = Err(Errno::AGAIN);
                }
                match u32::from(message.kind) {
                    nl::NLMSG_ERROR => {
                        let code = message.body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        if code != 0 && outcome.is_ok() {
                            outcome = Err(Errno::from_raw_os_error(-code));
                        }
                        if message.seq == last {
                            return outcome;
                        }
                    }
                    nl::NLMSG_DONE if message.seq == last => return outcome,
                    _ => each(message.kind, message.body),
                }
            }
        }
    }
}

/// What changed on this machine.
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
}

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Of the interface with this number, or of one that has the name asked for.
    Link,
    /// An address came.
    Added,
    /// This address was removed from an interface, by any program.
    Removed(Ipv4Addr),
    /// The kernel has dropped changes because there were too many, or sent more than can be read at once: look at everything again.
    Unknown,
}

impl Events {
    /// Listens for links and IPv4 addresses. Of what `requests` causes only removals are heard: others may have gone along.
    pub fn open(requests: &Requests) -> io::Result<Self> {
        let socket = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, nl::RTMGRP_LINK | nl::RTMGRP_IPV4_IFADDR)?;
        // The header stands in host order, and BPF loads big-endian.
        let ours = u32::from_be_bytes(requests.port().to_ne_bytes());
        let removal = u16::from_be_bytes((nl::RTM_DELADDR as u16).to_ne_bytes());
        let program = [
            step(BPF_LD_W_ABS, 0, 0, NLMSG_PID_OFFSET),
            step(BPF_JEQ, 0, 3, ours),
            step(BPF_LD_H_ABS, 0, 0, NLMSG_TYPE_OFFSET),
            step(BPF_JEQ, 1, 0, removal.into()),
            step(BPF_RET, 0, 0, 0),
            step(BPF_RET, 0, 0, u32::MAX),
        ];
        linux::bpf::attach_filter(socket.as_fd(), &program)?;
        Ok(Self { socket })
    }

    /// Calls `each` with every change that concerns one of `interfaces`, by name or number; reads until nothing is left.
    pub fn drain(&self, interfaces: &[(&str, u32)], mut each: impl FnMut(Event)) {
        let mut buffer = [0; 8 * 1024];
        loop {
            let len = match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC) {
                Ok((_, len)) if len > buffer.len() => {
                    each(Event::Unknown);
                    continue;
                }
                Ok((_, len)) => len,
                Err(Errno::INTR) => continue,
                Err(Errno::NOBUFS) => {
                    each(Event::Unknown);
                    continue;
                }
                Err(_) => return,
            };
            for message in Messages(&buffer[..len]) {
                interfaces.iter().filter_map(|&(name, index)| event(message, name, index)).for_each(&mut each);
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn event(message: Message<'_>, name: &str, index: u32) -> Option<Event> {
    match u32::from(message.kind) {
        kind if kind == nl::RTM_NEWLINK as u32 || kind == nl::RTM_DELLINK as u32 => {
            let (interface, its_name) = interface(message.body)?;
            let is_meant =
                interface.index == index || its_name == Some(name.as_bytes()) || has_name(message.body, name);
            is_meant.then_some(Event::Link)
        }
        kind if kind == nl::RTM_DELADDR as u32 => {
            let (local, its_index) = address(message.body)?;
            (its_index == index).then_some(Event::Removed(local.address))
        }
        kind if kind == nl::RTM_NEWADDR as u32 => {
            let (_, its_index) = address(message.body)?;
            (its_index == index).then_some(Event::Added)
        }
        _ => None,
    }
}

fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Interface and name in the body of a link message.
fn interface(body: &[u8]) -> Option<(Interface, Option<&[u8]>)> {
    let (header, attributes) = body.split_at_checked(IFINFOMSG_LEN)?;
    let word = |at: usize| header[at..].first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let flags = word(8)?;
    let mut interface = Interface {
        index: word(4)?,
        is_up: flags & IFF_UP != 0,
        is_running: flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING,
        kind: kind(flags),
        mac: [0; 6],
    };
    let mut name = None;
    for (kind, value) in Attributes(attributes) {
        if kind == nl::IFLA_ADDRESS as u16 {
            interface.mac = value.try_into().unwrap_or_default();
        } else if kind == nl::IFLA_IFNAME as u16 {
            name = value.strip_suffix(&[0]);
        }
    }
    Some((interface, name))
}

/// Whether a link message has this alternative name.
fn has_name(body: &[u8], name: &str) -> bool {
    let attributes = body.get(IFINFOMSG_LEN..).unwrap_or_default();
    let lists = Attributes(attributes).filter(|(kind, _)| kind & KIND == nl::IFLA_PROP_LIST as u16);
    lists
        .flat_map(|(_, list)| Attributes(list))
        .any(|(kind, value)| kind == nl::IFLA_ALT_IFNAME as u16 && value.strip_suffix(&[0]) == Some(name.as_bytes()))
}

fn kind(flags: u32) -> Kind {
    if flags & IFF_LOOPBACK != 0 {
        Kind::Loopback
    } else if flags & IFF_POINTOPOINT != 0 {
        Kind::PointToPoint
    } else if flags & IFF_NOARP != 0 {
        Kind::NoArp
    } else {
        Kind::Lan
    }
}

/// Local address and interface number in the body of an address message.
fn address(body: &[u8]) -> Option<(Cidr, u32)> {
    let (header, attributes) = body.split_at_checked(IFADDRMSG_LEN)?;
    let index = u32::from_ne_bytes(*header[4..].first_chunk()?);
    let (_, local) = Attributes(attributes).find(|&(kind, _)| kind == nl::IFA_LOCAL as u16)?;
    let local: [u8; 4] = local.try_into().ok()?;
    Some((Cidr::new(local.into(), header[1]), index))
}

/// Seconds that the address in the body of an address message has left.
fn valid_s(body: &[u8]) -> u32 {
    let attributes = body.get(IFADDRMSG_LEN..).unwrap_or_default();
    let lifetime = Attributes(attributes).find(|&(kind, _)| kind == nl::IFA_CACHEINFO as u16);
    // Preferred first, then valid.
    lifetime.and_then(|(_, times)| times.get(4..)?.first_chunk()).map_or(u32::MAX, |valid| u32::from_ne_bytes(*valid))
}

#[derive(Clone, Copy)]
struct Message<'a> {
    kind: u16,
    flags: u16,
    seq: u32,
    body: &'a [u8],
}

/// The messages in a buffer.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (header, _) = self.0.split_first_chunk::<NLMSGHDR_LEN>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.0.get(NLMSGHDR_LEN..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        let [kind, flags] = [[k0, k1], [f0, f1]].map(u16::from_ne_bytes);
        Some(Message { kind, flags, seq: u32::from_ne_bytes([s0, s1, s2, s3]), body })
    }
}

/// The attributes in a body.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let (&[l0, l1, k0, k1], _) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]), value))
    }
}

/// Of the kind of an attribute; the bits above say what is in it (NLA_F_NESTED).
const KIND: u16 = 0x3fff;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_POINTOPOINT: u32 = 1 << 4;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_NOARP: u32 = 1 << 7;

/// A list that changes each time it is read is left for later.
const TRIES: u32 = 3;

const AF_INET: u8 = 2;
const RT_SCOPE_UNIVERSE: u8 = 0;
const NLMSGHDR_LEN: usize = 16;
const NLMSG_TYPE_OFFSET: u32 = 4;
const NLMSG_PID_OFFSET: u32 = 12;
const IFINFOMSG_LEN: usize = 16;
const IFADDRMSG_LEN: usize = 8;
const _: () = assert!(size_of::<nl::nlmsghdr>() == NLMSGHDR_LEN && size_of::<nl::ifaddrmsg>() == IFADDRMSG_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let mut bytes = [0u8; 64];
        for len in 0..=255u32 {
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[16..18].copy_from_slice(&u16::try_from(len).unwrap().to_ne_bytes());
            for cut in 0..=bytes.len() {
                let total: usize = Messages(&bytes[..cut]).map(|message| message.body.len()).sum();
                assert!(total <= cut);
                let _ = (interface(&bytes[..cut]), address(&bytes[..cut]));
                let total: usize = Attributes(&bytes[16.min(cut)..cut]).take(64).map(|(_, value)| value.len()).sum();
                assert!(total <= cut);
            }
        }
    }
}
