//! rtnetlink: addresses and links (rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h).
//!
//! One file per request that this wing adds to [`Requests`]: a request is `begin`, its header, its attributes, `end`, and
//! `exchange`, see inet_conf.rs. Messages are built and read as bytes; the length of all that comes from the kernel is checked
//! before it is used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use ha::config::{Cidr, MAX_ADDRESSES};
use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::name::{MAX_NAME_LEN, Name};
use super::octets::Octets;

mod changes;
mod events;
mod inet_conf;
pub(super) mod message;
mod neighbours;

pub use changes::Changes;
pub use events::{Event, Events};
pub use message::{Address, Message};
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

/// Of addresses, as the kernel numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4 = 2,
    V6 = 10,
}

impl Family {
    /// That of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What the kernel has refused to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Which of the addresses it was about, if the kernel said so.
    pub position: Option<usize>,
    /// Why.
    pub errno: Errno,
}

/// An address that is to be added, or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// The address.
    pub cidr: Cidr,
    /// The interface.
    pub index: u32,
    /// Of the interface, where it has one; or its alias.
    pub label: Name,
    /// Another address of the interface has its network, and with it the route to it. Of IPv6 only: else the end of this one's
    /// lease would make it a route for a time.
    pub is_covered: bool,
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.cidr, self.label)
    }
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

    /// Calls `each` with every address of interface `index`, or of all if it is 0, those of IPv4 first, and of these the primary ones of a subnet. If they
    /// change meanwhile, it begins again.
    pub fn addresses(&mut self, index: u32, each: &mut dyn FnMut(Address)) -> io::Result<()> {
        for _ in 1..TRIES {
            match self.list_addresses(index, each) {
                Err(Errno::AGAIN) => {}
                outcome => return outcome,
            }
        }
        self.list_addresses(index, each)
    }

    fn list_addresses(&mut self, index: u32, each: &mut dyn FnMut(Address)) -> io::Result<()> {
        self.message.clear();
        let start = self.begin(nl::RTM_GETADDR as u16, nl::NLM_F_ROOT | nl::NLM_F_MATCH);
        self.put(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]);
        self.end(start);
        self.exchange(&mut |kind, body| {
            let address = message::address(body).filter(|_| kind == nl::RTM_NEWADDR as u16);
            address.filter(|address| [0, address.index].contains(&index)).into_iter().for_each(&mut *each);
        })
    }

    /// Whether this process may change addresses.
    pub fn may_change_addresses(&mut self) -> Result<(), Errno> {
        // No interface has this number.
        let cidr = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let nobody = Added { cidr, index: 0, label: Name::default(), is_covered: false };
        self.remove(&[nobody], &mut |_| ()).map_err(|refused| refused.errno)
    }

    /// Adds all of `addresses`, at least one, or renews them, in one call; `lease_s` is their lifetime in seconds. One of IPv6 is there
    /// at once, without being looked for elsewhere (IFA_F_NODAD), and is no source of packets but of those from a socket that is bound to it.
    ///
    /// # Errors
    /// The first that was refused; others may be there.
    pub fn add(&mut self, addresses: &[Added], lease_s: u32) -> Result<(), Refused> {
        self.message.clear();
        for (position, &Added { cidr, index, ref label, is_covered }) in addresses.iter().enumerate() {
            let is_last = position + 1 == addresses.len();
            let ack = if is_last { nl::NLM_F_ACK } else { 0 };
            let start = self.begin(nl::RTM_NEWADDR as u16, nl::NLM_F_CREATE | nl::NLM_F_REPLACE | ack);
            self.address_header(index, cidr);
            let lease = lease_s.to_ne_bytes();
            let preferred = match cidr.address {
                IpAddr::V4(address) => {
                    self.attribute(nl::IFA_ADDRESS as u16, &[&address.octets()]);
                    self.attribute(nl::IFA_LABEL as u16, &[label.as_bytes(), &[0]]);
                    lease
                }
                IpAddr::V6(_) => {
                    let flags = IFA_F_NODAD | if is_covered { IFA_F_NOPREFIXROUTE } else { 0 };
                    self.attribute(nl::IFA_FLAGS as u16, &[&flags.to_ne_bytes()]);
                    [0; 4]
                }
            };
            self.attribute(nl::IFA_CACHEINFO as u16, &[&preferred, &lease, &[0; 8]]);
            self.end(start);
        }
        self.change(false, &mut |_| ())
    }

    /// Removes each of `addresses` from its interface once, whatever its prefix: the kernel may have one of IPv4 with several. Calls
    /// `each` with the positions of those that were there.
    ///
    /// # Errors
    /// The first that was not removed.
    pub fn remove(&mut self, addresses: &[Added], each: &mut dyn FnMut(usize)) -> Result<(), Refused> {
        // Without a prefix one of IPv4 goes with whatever it has.
        let mut prefixes = [0; MAX_ADDRESSES];
        for (position, added) in addresses.iter().enumerate().filter(|(_, added)| added.cidr.address.is_ipv6()) {
            let prefix = self.prefix(added.index, added.cidr);
            prefixes[position] = prefix.map_err(|errno| Refused { position: Some(position), errno })?;
        }
        self.message.clear();
        for (prefix, added) in prefixes.into_iter().zip(addresses) {
            let start = self.begin(nl::RTM_DELADDR as u16, nl::NLM_F_ACK);
            self.address_header(added.index, Cidr { prefix, ..added.cidr });
            self.end(start);
        }
        self.change(true, each)
    }

    /// Sends what was built, a message for each address; calls `done` with the positions of those for which the kernel says so.
    fn change(&mut self, is_removal: bool, done: &mut dyn FnMut(usize)) -> Result<(), Refused> {
        let mut refused = None;
        let heard = self.converse(&mut |_, _| (), &mut |position, reply| match reply {
            Ok(()) => done(position),
            Err(errno) if is_removal && is_absent(errno) => {}
            Err(errno) => refused = refused.or(Some(Refused { position: Some(position), errno })),
        });
        let unheard = heard.err().map(|errno| Refused { position: None, errno });
        refused.or(unheard).map_or(Ok(()), Err)
    }

    /// The prefix that an address of IPv6 has on interface `index`, without which the kernel does not remove it; 0 if it is not there.
    fn prefix(&mut self, index: u32, cidr: Cidr) -> Result<u8, Errno> {
        self.message.clear();
        let start = self.begin(nl::RTM_GETADDR as u16, nl::NLM_F_ACK);
        self.address_header(index, cidr);
        self.end(start);
        let mut prefix = 0;
        let outcome = self.exchange(&mut |_, body| {
            // If there is no such interface the kernel looks at all others.
            if let Some(its) = message::address(body).filter(|its| its.index == index) {
                prefix = its.cidr.prefix;
            }
        });
        outcome.or_else(|errno| if is_absent(errno) { Ok(()) } else { Err(errno) })?;
        Ok(prefix)
    }

    fn address_header(&mut self, index: u32, cidr: Cidr) {
        self.put(&[Family::of(cidr.address) as u8, cidr.prefix, 0, RT_SCOPE_UNIVERSE]);
        self.put(&index.to_ne_bytes());
        self.attribute(nl::IFA_LOCAL as u16, &[Octets::of(cidr.address).as_slice()]);
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
    #[inline(never)] // else it is in each of two dozen messages
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
    #[inline(never)]
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
    pub(super) fn exchange(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Errno> {
        let mut outcome = Ok(());
        let heard = self.converse(each, &mut |_, reply| outcome = outcome.and(reply));
        outcome.and(heard)
    }

    /// The same; `reply` is called with what the kernel says to each of the messages that asked for it, or has failed, by its
    /// position.
    ///
    /// An answer that does not fit is an error, and so is a list that changed while it was read (`AGAIN`): part of it is not
    /// taken for all. What is left of it is passed over by the next exchange, by its number. A socket that does not wait has all
    /// answers as soon as the messages were sent: if the last one is missing, an error before it is the reason.
    fn converse(
        &mut self,
        each: &mut dyn FnMut(u16, &[u8]),
        reply: &mut dyn FnMut(usize, Result<(), Errno>),
    ) -> Result<(), Errno> {
        rustix::net::sendto(&self.socket, &self.message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut outcome = Ok(());
        let (first, last) = (self.first, self.seq);
        let count = last.wrapping_sub(first);
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
                        let position = usize::try_from(message.seq.wrapping_sub(first)).unwrap_or(usize::MAX);
                        reply(position, if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-code)) });
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

/// Whether the kernel says that there is no such address, interface, or protocol on it.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::ADDRNOTAVAIL | Errno::NODEV | Errno::NXIO | Errno::OPNOTSUPP)
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

/// Of requests about all addresses, and of addresses.
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = Family::V4 as u8;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// linux/if_addr.h: is not looked for on the LAN first; brings no route to its network.
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
