//! The links as the keeper sees them, by rtnetlink: interfaces with shared addresses, of which the first one has the heartbeats.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ha::config::{Cidr, MAX_LINKS, has_v6};
use ha::node::{BURST_GAP, Macs, Unfit};
use ha::time::{Duration, Instant, earliest};
use ha::wire::LEN;
use rustix::io::{self, Errno};

use super::addresses::{Addresses, NO_INTERFACE};
use super::device::Fitness;
use super::shortage::{Shortage, may_pass};
use crate::channel::UP_SOCKETS;
use crate::linux::netlink::{Event, Events, Interface};
use crate::linux::packet::Listener;
use crate::linux::poll::Watch;
use crate::linux::udp::{GroupSocket, Words};
use crate::linux::{clock, icmp6};
use crate::log::{info, warn};
use crate::settings::Settings;
use crate::settings::place::{self, Place};
use crate::text::{Endpoint, Refusal, Text, text};

/// Watches the links, and has the sockets on them.
#[derive(Debug)]
pub struct Link {
    events: Events,
    seen: Seen,
    /// While all can carry packets.
    pub cards: Cards,
    /// While one cannot carry packets, or could not be looked at.
    again_at: Option<Instant>,
    /// A look at the links has to wait until the worker has room for what it shows.
    pub is_look_due: bool,
    /// When the worker heard last which gateway there is.
    pub gateway_sent_at: Instant,
    /// The kernel does not say how one is.
    unknown: Shortage,
    /// The resign packet of a dead worker goes out here.
    group: Option<GroupSocket>,
    /// The kernel does not open sockets.
    no_sockets: Shortage,
}

/// The links as they were last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing: [`Link::look`] has not looked yet.
    Nothing,
    /// This one cannot carry packets.
    Down(Unfit, u8),
    /// All can; the first one is this interface, and has this real address.
    Up(u32, Cidr),
}

/// Of what has the shared addresses of each link: its number and its hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cards {
    indexes: [u32; MAX_LINKS],
    /// What the worker hears.
    pub macs: Macs,
}

/// What a worker hears by.
#[derive(Debug)]
pub struct Sockets {
    /// The group; this one sends, too.
    pub urgent: GroupSocket,
    /// Routine words of the group (see [`Words`]), and of each link ARP, and neighbour discovery if it has addresses of IPv6.
    pub others: heapless::Vec<OwnedFd, UP_SOCKETS>,
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
    /// This link went down, or is still down.
    Down(Unfit, u8),
    /// All are up; `already` if it was so at the first look. The number of the first one's interface, and its real address.
    Up(u32, Cidr, bool),
    /// What has the addresses has other hardware addresses now, or can announce one only now.
    Mac,
    /// Another program has brought it down.
    Lost,
}

impl Link {
    /// Listens for changes.
    ///
    /// # Errors
    /// One line that names what is missing, or why the interface cannot have the addresses.
    pub fn open(settings: &Settings, addresses: &mut Addresses) -> Result<Self, Refusal> {
        let has_v6 = has_v6(settings.config.addresses()) || settings.daemon.multicast().is_ipv6();
        let requests = addresses.requests();
        let events = Events::open(requests, has_v6).map_err(|error| text!("watch interfaces: {error}"))?;
        if let Some(obstacle) = place::obstacle(settings, requests) {
            return Err(obstacle);
        }
        Ok(Self {
            events,
            seen: Seen::Nothing,
            cards: Cards::default(),
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

    /// Opens sockets: two for the group on the first one's `interface`, whose own address is `own`, and those to hear ARP and neighbour
    /// discovery on each. Without them it counts as down.
    ///
    /// # Errors
    /// What the kernel says, with the name of the interface.
    pub fn open_sockets(
        &mut self,
        interface: u32,
        own: IpAddr,
        settings: &Settings,
        addresses: &Addresses,
    ) -> Result<Sockets, (Text, Errno)> {
        let opened = open_sockets(interface, own, settings, addresses);
        match opened {
            Ok(_) => {
                if self.no_sockets.record_success() {
                    info!("open sockets on {}: done this time", settings.interface);
                }
            }
            Err((name, errno)) => {
                if may_pass(errno) && self.no_sockets.record_refusal() {
                    warn!("open sockets on {name}: {errno}; tried again, at least every 10s");
                }
                self.seen = Seen::Down(Unfit::NoSockets, NO_LINK);
                self.again_at = Some(clock::now() + self.no_sockets.pause());
            }
        }
        opened
    }

    /// Counts as unfit, for a reason that is not seen at an interface, until the next look.
    pub fn refuse(&mut self, why: Unfit) {
        self.seen = Seen::Down(why, NO_LINK);
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

    /// True if all can carry packets.
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
        self.events.drain(&addresses.interfaces(), |event| {
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
        let mut cards = self.cards;
        let (found, fitness, name) = match find(settings, addresses, &mut cards) {
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
                (Seen::Down(Unfit::Unknown, NO_LINK), Fitness::Fit, name)
            }
        };
        let before = std::mem::replace(&mut self.seen, found);
        let old = std::mem::replace(&mut self.cards, cards);
        self.again_at = if self.is_up() { None } else { Some(clock::now() + pause) };
        let mut changes = heapless::Vec::new();
        let mut push = |change| assert!(changes.push(change).is_ok(), "three at most");
        match (before, found) {
            (_, Seen::Down(why, link)) => {
                if before == Seen::Nothing {
                    info!("unfit: {why}; waiting for {name}");
                } else if let Seen::Down(_, was) = before
                    && before != found
                {
                    if needs_a_person(why) {
                        warn!("unfit: {why}; waiting for {name}");
                    } else if was != link && ![was, link].contains(&NO_LINK) {
                        info!("unfit: {why}; waiting for {name}");
                    }
                }
                push(Change::Down(why, link));
            }
            (Seen::Up(was, _), Seen::Up(interface, own)) => {
                let link = cards.changed(&old);
                let is_same = was == interface && old.indexes == cards.indexes;
                if found != before || !is_same {
                    push(Change::Down(if is_same { Unfit::Readdressed } else { Unfit::Exchanged }, link));
                    push(Change::Up(interface, own, false));
                } else if cards.macs != old.macs {
                    let called = settings.links.get(usize::from(link)).filter(|_| link > 0).unwrap_or(&name);
                    info!("hardware address of {called} changed");
                    push(Change::Mac);
                }
            }
            (_, Seen::Up(interface, own)) => push(Change::Up(interface, own, before == Seen::Nothing)),
            (_, Seen::Nothing) => {}
        }
        match (found, fitness) {
            (Seen::Up(..), Fitness::Late) => push(Change::Mac),
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

impl Cards {
    fn set(&mut self, link: u8, Interface { index, mac, .. }: Interface) {
        let link = usize::from(link);
        (self.indexes[link], self.macs[link]) = (index, mac);
    }

    /// The first link for which this is another one than before.
    fn changed(&self, old: &Self) -> u8 {
        let is_same = |link: &usize| (self.indexes[*link], self.macs[*link]) == (old.indexes[*link], old.macs[*link]);
        u8::try_from((0..MAX_LINKS).take_while(is_same).count()).unwrap_or(NO_LINK)
    }
}

fn open_sockets(
    interface: u32,
    own: IpAddr,
    settings: &Settings,
    addresses: &Addresses,
) -> Result<Sockets, (Text, Errno)> {
    let Settings { daemon, config, .. } = settings;
    let open = |words| {
        let (name, multicast) = (addresses.name(0), daemon.multicast());
        GroupSocket::open(name, interface, own, multicast, config.group(), words)
            .map_err(|errno| (settings.interface, errno))
    };
    addresses.attach().map_err(|errno| (settings.interface, errno))?;
    let mut others = heapless::Vec::from_iter([open(Words::Routine)?.into()]);
    for (link, name) in (0..).zip(&settings.links) {
        listen(link, settings, addresses, &mut others).map_err(|errno| (*name, errno))?;
    }
    Ok(Sockets { urgent: open(Words::Urgent)?, others })
}

/// Hears on this link who says that it has one of the addresses there.
fn listen(
    link: u8,
    settings: &Settings,
    addresses: &Addresses,
    sockets: &mut heapless::Vec<OwnedFd, UP_SOCKETS>,
) -> io::Result<()> {
    let card = usize::from(link);
    let (name, index) = (addresses.name(card), addresses.interface(card));
    let here = settings.config.on_link(link);
    sockets.extend([Listener::open(index, addresses.device().map(|device| device.index), &here)?]);
    if has_v6(&here) {
        sockets.extend([icmp6::Listener::open(name, index, &here)?]);
    }
    Ok(())
}

/// Finds the links, or the device if that has the addresses: what is seen of them, how good it is, and the name of what that is
/// about. The error has the name of what cannot be looked at. All are looked at, even if one is down.
fn find(
    settings: &Settings,
    addresses: &mut Addresses,
    cards: &mut Cards,
) -> Result<(Seen, Fitness, Text), (Text, Errno)> {
    let mut found = (Seen::Nothing, Fitness::Fit, settings.interface);
    for (link, &name) in (0..).zip(&settings.links) {
        let seen = find_link(link, settings, addresses, cards).map_err(|errno| (name, errno))?;
        if matches!((found.0, seen), (Seen::Nothing, _) | (Seen::Up(..), Seen::Down(..))) {
            (found.0, found.2) = (seen, name);
        }
    }
    // Looked at even if the interface is down: it may be up, and shall not.
    let Some(name) = settings.device else { return Ok(found) };
    let (device, fitness) = addresses.look(name).map_err(|errno| (name, errno))?;
    if matches!(found.0, Seen::Up(..)) {
        (found.1, found.2) = (fitness, name);
        cards.set(0, device);
        if let Fitness::Unfit(why) = fitness {
            found.0 = Seen::Down(why, 0);
        }
    }
    Ok(found)
}

/// What is seen of this one alone. Only the first one needs an address of its own, from which heartbeats go.
fn find_link(link: u8, settings: &Settings, addresses: &mut Addresses, cards: &mut Cards) -> io::Result<Seen> {
    let card = usize::from(link);
    let found = addresses.requests().interface(settings.links[card])?;
    let index = found.map_or(NO_INTERFACE, |found| found.index);
    if link == 0 && index != addresses.interface(0) {
        addresses.keep_others(None);
    }
    addresses.follow(card, index);
    let Some(interface) = found else { return Ok(Seen::Down(Unfit::NoInterface, link)) };
    let place = Place::of(link, interface, settings, addresses.requests())?;
    if link == 0 {
        addresses.keep_others(Some(place.others));
    }
    cards.set(link, interface);
    Ok(match place.unfit(addresses.are_held_on(index)) {
        Some(why) => Seen::Down(why, link),
        None if !interface.is_running => Seen::Down(Unfit::NoCarrier, link),
        None if link > 0 => Seen::Up(index, NO_ADDRESS),
        None => place.own.map_or_else(|why| Seen::Down(why, link), |own| Seen::Up(index, own)),
    })
}

/// True for what does not pass by itself.
fn needs_a_person(why: Unfit) -> bool {
    matches!(why, Unfit::NoArp | Unfit::OnlyAddress | Unfit::NotHost | Unfit::Duplicate)
}

/// No link has this number: the reason is not one of an interface.
pub const NO_LINK: u8 = u8::MAX;

/// Of a link that needs none.
const NO_ADDRESS: Cidr = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Without a link, for changes without an event.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
