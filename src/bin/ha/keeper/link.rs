//! The interface as the keeper sees it, by rtnetlink.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use ha::config::{Cidr, MAX_ADDRESSES};
use ha::node::{BURST_GAP, Unfit};
use ha::time::{Duration, Instant, earliest};
use ha::wire::LEN;
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};

use super::addresses::Addresses;
use super::device::Fitness;
use super::shortage::{Shortage, may_pass};
use crate::linux::netlink::{Event, Events, Family, Interface};
use crate::linux::packet::Listener;
use crate::linux::poll::Watch;
use crate::linux::udp::{GroupSocket, Words};
use crate::linux::{clock, icmp6};
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::settings::place::{self, Place};
use crate::text::{Endpoint, Refusal, Text, text};

/// Watches one interface, and has the sockets on it.
#[derive(Debug)]
pub struct Link {
    events: Events,
    seen: Seen,
    /// While it cannot carry packets, or could not be looked at.
    again_at: Option<Instant>,
    /// A look at the interface has to wait until the worker has room for what it shows.
    pub is_look_due: bool,
    /// When the worker heard last which gateway there is.
    pub gateway_sent_at: Instant,
    /// The kernel does not say how it is.
    unknown: Shortage,
    /// The resign packet of a dead worker goes out here.
    group: Option<GroupSocket>,
    /// The kernel does not open sockets.
    no_sockets: Shortage,
}

/// The interface as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing: [`Link::look`] has not looked yet.
    Nothing,
    /// It cannot carry packets.
    Down(Unfit),
    /// It can, from this real address. The hardware address, and the number at the end, are of what has the shared ones.
    Up(Interface, Cidr, u32),
}

/// What a worker hears by.
#[derive(Debug)]
pub struct Sockets {
    /// The group; this one sends, too.
    pub urgent: GroupSocket,
    /// See [`Words`].
    pub routine: GroupSocket,
    /// ARP.
    pub arp: Listener,
    /// Neighbour discovery, if there are addresses of IPv6.
    pub nd: Option<icmp6::Listener>,
}

/// What events say of the shared addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Happened {
    /// Another program has added one.
    pub was_added: bool,
    /// One was removed.
    pub may_be_removed: bool,
    /// This program has renewed some, and nothing else has happened: of IPv6 the kernel reports it to us, too.
    pub were_renewed_only: bool,
}

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It went down, or is still down.
    Down(Unfit),
    /// It is up; `already` if it was so at the first look.
    Up(Interface, Cidr, bool),
    /// The interface or device with the addresses has this hardware address now, or can announce it only now.
    Mac(Mac),
    /// Another program has brought it down.
    Lost,
}

impl Link {
    /// Listens for changes.
    ///
    /// # Errors
    /// One line that names what is missing, or why the interface cannot have the addresses.
    pub fn open(settings: &Settings, addresses: &mut Addresses) -> Result<Self, Refusal> {
        let has_v6 = addresses.has(Family::V6) || settings.daemon.multicast().is_ipv6();
        let requests = addresses.requests();
        let events = Events::open(requests, has_v6).map_err(|error| text!("watch interfaces: {error}"))?;
        if let Some(obstacle) = place::obstacle(settings, requests) {
            return Err(obstacle);
        }
        Ok(Self {
            events,
            seen: Seen::Nothing,
            again_at: None,
            is_look_due: false,
            gateway_sent_at: clock::now(),
            unknown: Shortage::default(),
            group: None,
            no_sockets: Shortage::default(),
        })
    }

    /// Forgets what was seen: the next look shows it all again.
    pub fn forget(&mut self) {
        self.seen = Seen::Nothing;
    }

    /// Opens sockets on the interface, whose own address is `own`: two for the group, and those to hear ARP and neighbour
    /// discovery. A link without
    /// them counts as down.
    pub fn open_sockets(
        &mut self,
        interface: Interface,
        own: IpAddr,
        settings: &Settings,
        addresses: &Addresses,
    ) -> io::Result<Sockets> {
        let name = settings.interface;
        let opened = open_sockets(interface, own, settings, addresses);
        match opened {
            Ok(_) => {
                if self.no_sockets.record_success() {
                    info!("open sockets on {name}: done this time");
                }
            }
            Err(errno) => {
                if may_pass(errno) && self.no_sockets.record_refusal() {
                    warn!("open sockets on {name}: {errno}; tried again, at least every 10s");
                }
                self.seen = Seen::Down(Unfit::NoSockets);
                self.again_at = Some(clock::now() + self.no_sockets.pause());
            }
        }
        opened
    }

    /// Counts as unfit, for a reason that is not seen at the interface, until the next look.
    pub fn refuse(&mut self, why: Unfit) {
        self.seen = Seen::Down(why);
        self.again_at = Some(clock::now() + LOOK_AGAIN);
    }

    /// Keeps the socket for a resign packet.
    pub fn keep_group(&mut self, group: GroupSocket) {
        self.group = Some(group);
    }

    /// Sends `packet` to the group as often as a node that leaves does; of all the times these.
    pub fn send_burst(&self, packet: &[u8; LEN], multicast: SocketAddr, rounds: Range<u8>) {
        let Some(group) = &self.group else { return };
        for round in rounds {
            if round > 0 {
                let _ = Watch::<0>::default().wait(Some(BURST_GAP));
            }
            if let Err(error) = group.send(packet) {
                warn!("send to {}: {error}", Endpoint(multicast));
            }
        }
    }

    /// True if it can carry packets.
    pub fn is_up(&self) -> bool {
        matches!(self.seen, Seen::Up(..))
    }

    /// When to look without an event: while it cannot carry packets, or the kernel has not said, once a second.
    pub fn next_look(&self, addresses: &Addresses) -> Option<Instant> {
        if self.is_look_due {
            return None;
        }
        let device = addresses.device().filter(|_| self.is_up()).and_then(|device| device.next_look());
        earliest(&[self.again_at, device])
    }

    /// Reads all events: what may have happened to the shared addresses.
    pub fn drain(&self, settings: &Settings, addresses: &Addresses) -> Happened {
        let is_shared = |address: IpAddr| settings.config.addresses().iter().any(|cidr| cidr.address == address);
        let is_renewal = |address: IpAddr| address.is_ipv6() && is_shared(address) && addresses.are_held();
        let (mut happened, mut were_renewed, mut is_other) = (Happened::default(), false, false);
        let mut interfaces = heapless::Vec::<_, 2>::from_array([(settings.interface, addresses.interface())]);
        interfaces.extend(addresses.device().map(|device| (device.name, device.index)));
        self.events.drain(&interfaces, |event| {
            match event {
                Event::Added(address) if is_renewal(address) => return were_renewed = true,
                Event::Link => {}
                Event::Added(address) => happened.was_added |= is_shared(address),
                Event::Removed(address) => happened.may_be_removed |= is_shared(address),
                Event::Unknown => (happened.was_added, happened.may_be_removed) = (true, true),
            }
            is_other = true;
        });
        Happened { were_renewed_only: were_renewed && !is_other, ..happened }
    }

    /// Looks; what is new, in order.
    pub fn look(&mut self, settings: &Settings, addresses: &mut Addresses) -> heapless::Vec<Change, 3> {
        let mut pause = LOOK_AGAIN;
        let (found, fitness, name) = match find(settings, addresses) {
            Ok(found) => {
                if self.unknown.record_success() {
                    info!("look at {}: done this time", found.2);
                }
                found
            }
            Err((name, errno)) => {
                if self.unknown.record_refusal() {
                    warn!("look at {name}: {errno}; tried again, at least every 10s");
                }
                pause = self.unknown.pause();
                if self.is_up() {
                    // What was seen holds for as long as the lease can be renewed, which asks the same kernel in the same way.
                    self.again_at = Some(clock::now() + pause);
                    return heapless::Vec::new();
                }
                (Seen::Down(Unfit::Unknown), Fitness::Fit, name)
            }
        };
        let before = std::mem::replace(&mut self.seen, found);
        self.again_at = if self.is_up() { None } else { Some(clock::now() + pause) };
        let mut changes = heapless::Vec::new();
        let mut push = |change| assert!(changes.push(change).is_ok(), "three at most");
        match (before, found) {
            (_, Seen::Down(why)) => {
                if before == Seen::Nothing {
                    info!("unfit: {why}; waiting for {name}");
                } else if matches!(before, Seen::Down(_)) && before != found && needs_a_person(why) {
                    warn!("unfit: {why}; waiting for {name}");
                }
                push(Change::Down(why));
            }
            (Seen::Up(..), Seen::Up(..)) if found == before => {}
            (Seen::Up(old, old_address, old_owner), Seen::Up(new, address, owner)) => {
                let is_same = (old.index, old_owner) == (new.index, owner);
                if is_same && old_address == address {
                    info!("hardware address of {name} changed");
                    push(Change::Mac(new.mac));
                } else {
                    push(Change::Down(if is_same { Unfit::Readdressed } else { Unfit::Exchanged }));
                    push(Change::Up(new, address, false));
                }
            }
            (_, Seen::Up(interface, address, _)) => push(Change::Up(interface, address, before == Seen::Nothing)),
            (_, Seen::Nothing) => {}
        }
        match (found, fitness) {
            (Seen::Up(Interface { mac, .. }, ..), Fitness::Late) => push(Change::Mac(mac)),
            (Seen::Up(..), Fitness::Lost) => push(Change::Lost),
            _ => {}
        }
        changes
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

fn open_sockets(interface: Interface, own: IpAddr, settings: &Settings, addresses: &Addresses) -> io::Result<Sockets> {
    addresses.attach()?;
    let Settings { daemon, config, .. } = settings;
    let device = addresses.device().map(|device| device.index);
    let arp = Listener::open(interface.index, device, config.addresses())?;
    let multicast = daemon.multicast();
    let open = |words| GroupSocket::open(addresses.name(), interface.index, own, multicast, config.group(), words);
    let v6: heapless::Vec<_, MAX_ADDRESSES> = config.addresses().iter().filter_map(Cidr::v6).collect();
    let nd = if v6.is_empty() { None } else { Some(icmp6::Listener::open(addresses.name(), interface.index, &v6)?) };
    Ok(Sockets { urgent: open(Words::Urgent)?, routine: open(Words::Routine)?, arp, nd })
}

/// Finds the interface, or the device if that has the addresses: what is seen of it, how good it is, and its name. The error
/// has the name of what cannot be looked at.
fn find(settings: &Settings, addresses: &mut Addresses) -> Result<(Seen, Fitness, Text), (Text, Errno)> {
    let seen = find_interface(settings, addresses).map_err(|errno| (settings.interface, errno))?;
    // Looked at even if the interface is down: it may be up, and shall not.
    let Some(name) = settings.device else { return Ok((seen, Fitness::Fit, settings.interface)) };
    let (device, fitness) = addresses.look(name).map_err(|errno| (name, errno))?;
    Ok(match (seen, fitness) {
        (Seen::Up(..), Fitness::Unfit(why)) => (Seen::Down(why), fitness, name),
        (Seen::Up(interface, address, _), Fitness::Fit | Fitness::Late | Fitness::Lost) => {
            (Seen::Up(Interface { mac: device.mac, ..interface }, address, device.index), fitness, name)
        }
        (Seen::Down(_) | Seen::Nothing, _) => (seen, fitness, settings.interface),
    })
}

fn find_interface(settings: &Settings, addresses: &mut Addresses) -> io::Result<Seen> {
    let Some(interface) = addresses.requests().interface(settings.interface)? else {
        addresses.follow(NO_INTERFACE, None);
        return Ok(Seen::Down(Unfit::NoInterface));
    };
    let index = interface.index;
    if index != addresses.interface() {
        addresses.follow(index, None);
    }
    let place = Place::of(interface, settings, addresses.requests())?;
    addresses.follow(index, Some(place.others));
    Ok(match (place.unfit(addresses.are_held_on(index)), place.own) {
        (Some(why), _) => Seen::Down(why),
        (None, _) if !interface.is_running => Seen::Down(Unfit::NoCarrier),
        (None, Err(why)) => Seen::Down(why),
        (None, Ok(own)) => Seen::Up(interface, own, index),
    })
}

/// True for what does not pass by itself.
fn needs_a_person(why: Unfit) -> bool {
    matches!(why, Unfit::NoArp | Unfit::OnlyAddress | Unfit::NotHost | Unfit::Duplicate)
}

/// No interface has this number.
const NO_INTERFACE: u32 = 0;

/// Without a link, for changes without an event.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
