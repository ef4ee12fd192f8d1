//! rtnetlink: addresses and links (rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h).
//!
//! One file per request that this wing adds to [`Requests`]: a request is `begin`, its header, its attributes, `end`, and
//! `exchange`, see inet_conf.rs. Messages are built and read as bytes; the length of all that comes from the kernel is checked
//! before it is used.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ha::config::Cidr;
use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::name::{MAX_NAME_LEN, Name};

mod changes;
mod events;
mod inet_conf;
pub(super) mod message;
mod neighbours;

pub use changes::Changes;
pub use events::{Event, Events};
pub use message::Message;
use message::{IFF_UP, Messages};
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

/// Asks the kernel and changes addresses. linux/netfilter.rs builds other messages with the same parts.
#[derive(Debug)]
pub struct Requests {
    socket: OwnedFd,
    port: u32,
    seq: u32,
    /// Of the first message that is built.
    first: u32,
    // Dropped in this order, so that the heap gets both back.
    answer: Vec<u8>,
    /// What is built; its capacity never changes.
    message: Vec<u8>,
}

impl Requests {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        Self::by(open(SocketFlags::CLOEXEC, 0)?, 2 * 1024, 16 * 1024)
    }

    /// Asks by `socket`, with at most `most_sent` bytes at once; answers have `most_heard` bytes at most.
    pub(super) fn by(socket: OwnedFd, most_sent: usize, most_heard: usize) -> io::Result<Self> {
        let port = SocketAddrNetlink::try_from(rustix::net::getsockname(&socket)?)?.pid();
        let (message, answer) = (Vec::with_capacity(most_sent), vec![0; most_heard]);
        Ok(Self { socket, port, seq: 0, first: 0, message, answer })
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
            found = message::interface(body).map(|(interface, _)| interface);
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
        self.link(index, None, &mut |body| name = message::interface(body).and_then(|(_, name)| Name::new(name?)))?;
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
        self.exchange(&mut |kind, body| {
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
        self.exchange(&mut |_, _| ())
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
        self.exchange(&mut |kind, body| {
            if let Some((local, its_index)) = message::address(body).filter(|_| kind == nl::RTM_NEWADDR as u16)
                && its_index == index
            {
                each(local, message::valid_s(body));
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
            let IpAddr::V4(address) = cidr.address else { return Err(Errno::AFNOSUPPORT) };
            let octets = address.octets();
            self.attribute(nl::IFA_LOCAL as u16, &[&octets]);
            self.attribute(nl::IFA_ADDRESS as u16, &[&octets]);
            self.attribute(nl::IFA_LABEL as u16, &[label, &[0]]);
            let lease = lease_s.to_ne_bytes();
            self.attribute(nl::IFA_CACHEINFO as u16, &[&lease, &lease, &[0; 8]]);
            self.end(start);
        }
        self.exchange(&mut |_, _| ())
    }

    /// Removes `address` whatever its prefix; true if it was there.
    pub fn remove(&mut self, index: u32, address: IpAddr) -> Result<bool, Errno> {
        let IpAddr::V4(address) = address else { return Err(Errno::AFNOSUPPORT) };
        self.message.clear();
        let start = self.begin(nl::RTM_DELADDR as u16, nl::NLM_F_ACK);
        self.address_header(index, 0);
        self.attribute(nl::IFA_LOCAL as u16, &[&address.octets()]);
        self.end(start);
        match self.exchange(&mut |_, _| ()) {
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
    pub(super) fn begin(&mut self, kind: u16, flags: u32) -> usize {
        self.seq = self.seq.wrapping_add(1);
        if self.message.is_empty() {
            self.first = self.seq;
        }
        self.header(kind, flags)
    }

    /// The same with the number of the message before it: one to which the kernel does not reply.
    pub(super) fn header(&mut self, kind: u16, flags: u32) -> usize {
        let start = self.message.len();
        let flags = u16::try_from(flags | nl::NLM_F_REQUEST).expect("flags have 16 bits");
        self.put(&[0; 4]);
        self.put(&kind.to_ne_bytes());
        self.put(&flags.to_ne_bytes());
        self.put(&self.seq.to_ne_bytes());
        self.put(&[0; 4]);
        start
    }

    /// Ends the message that began at `start`: writes its length.
    pub(super) fn end(&mut self, start: usize) {
        let len = u32::try_from(self.message.len() - start).expect("messages are short");
        self.message[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    pub(super) fn attribute(&mut self, kind: u16, parts: &[&[u8]]) {
        let value: usize = parts.iter().map(|part| part.len()).sum();
        let len = u16::try_from(4 + value).expect("attributes are short");
        self.put(&len.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        for part in parts {
            self.put(part);
        }
        self.put(&[0; 3][..value.next_multiple_of(4) - value]);
    }

    /// Starts an attribute that holds others; returns where it starts.
    pub(super) fn begin_list(&mut self, kind: u16) -> usize {
        let start = self.message.len();
        self.attribute(kind | NLA_F_NESTED, &[]);
        start
    }

    /// Ends the one that began at `start`: writes its length.
    pub(super) fn end_list(&mut self, start: usize) {
        let len = u16::try_from(self.message.len() - start).expect("attributes are short");
        self.message[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        assert!(self.message.len() + bytes.len() <= self.message.capacity(), "16 addresses fit");
        self.message.extend_from_slice(bytes);
    }

    /// Forgets what was built.
    pub(super) fn clear(&mut self) {
        self.message.clear();
    }

    /// What is built.
    #[cfg(test)]
    pub(super) fn built(&self) -> &[u8] {
        &self.message
    }

    /// Sends the messages that were built and reads answers until the one to the last of them; the first error counts.
    ///
    /// An answer that does not fit is an error, and so is a list that changed while it was read (`AGAIN`): part of it is not
    /// taken for all. What is left of it is passed over by the next exchange, by its number. A socket that does not wait has all
    /// answers as soon as the messages were sent: if the last one is missing, an error before it is the reason.
    pub(super) fn exchange(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Errno> {
        rustix::net::sendto(&self.socket, &self.message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut outcome = Ok(());
        let last = self.seq;
        let count = last.wrapping_sub(self.first);
        loop {
            let (_, len) = match rustix::net::recv(&self.socket, &mut self.answer[..], RecvFlags::TRUNC) {
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(errno) => return outcome.and(Err(errno)),
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

fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    open_for(None, flags, groups)
}

/// A socket that hears `groups`; without a `protocol` it is for rtnetlink.
pub(super) fn open_for(protocol: Option<Protocol>, flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The attribute holds others.
const NLA_F_NESTED: u16 = 1 << 15;

/// A list that changes each time it is read is left for later.
const TRIES: u32 = 3;

/// Of every request and every address here.
const AF_INET: u8 = 2;
const RT_SCOPE_UNIVERSE: u8 = 0;
