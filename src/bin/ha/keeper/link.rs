//! The interface as the keeper sees it, by rtnetlink.

use std::os::fd::{AsFd, BorrowedFd};

use ha::config::Cidr;
use ha::node::Unfit;
use ha::time::{Duration, Instant};
use ha::wire::arp::Mac;
use rustix::io;

use crate::addresses::Addresses;
use crate::clock;
use crate::device::Fitness;
use crate::log::{info, warn};
use crate::netlink::{Event, Events, Interface};
use crate::place::{self, Place};
use crate::settings::Settings;
use crate::text::{Refusal, Text, text};

/// Watches one interface.
#[derive(Debug)]
pub struct Link {
    events: Events,
    seen: Seen,
    looked_at: Instant,
    /// The kernel did not answer the last look; said once.
    is_doubtful: bool,
}

/// The interface as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nobody has looked.
    Nothing,
    /// It cannot carry packets.
    Down(Unfit),
    /// It can, from this real address. The hardware address, and the number at the end, are of what has the shared ones.
    Up(Interface, Cidr, u32),
}

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It went down, or is still down.
    Down(Unfit),
    /// It is up; `already` if it was so before anybody looked.
    Up(Interface, Cidr, bool),
    /// What has the addresses has this hardware address now, or can tell of it only now.
    Mac(Mac),
    /// It was brought down by somebody else.
    Lost,
}

impl Link {
    /// Listens for changes.
    ///
    /// # Errors
    /// One line that names what is missing, or why the interface cannot have the addresses.
    pub fn open(settings: &Settings, addresses: &mut Addresses) -> Result<Self, Refusal> {
        let requests = addresses.requests();
        let events = Events::open(requests).map_err(|error| text!("watch interfaces: {error}"))?;
        if let Some(obstacle) = place::obstacle(settings, requests) {
            return Err(obstacle);
        }
        Ok(Self { events, seen: Seen::Nothing, looked_at: clock::now(), is_doubtful: false })
    }

    /// Forgets what was seen: the next look tells it all again.
    pub fn forget(&mut self) {
        self.seen = Seen::Nothing;
    }

    /// It turned out to be of no use.
    pub fn is_unusable(&mut self, why: Unfit) {
        self.seen = Seen::Down(why);
    }

    /// True if it can carry packets.
    pub fn is_up(&self) -> bool {
        matches!(self.seen, Seen::Up(..))
    }

    /// When to look without being told: while it cannot carry packets, or nobody knows, once a second.
    pub fn next_look(&self, addresses: &Addresses) -> Option<Instant> {
        let is_known = self.is_up() && !self.is_doubtful;
        if is_known { addresses.device()?.next_look() } else { Some(self.looked_at + LOOK_AGAIN) }
    }

    /// Reads all events. True if somebody else removed one of the shared addresses.
    pub fn drain(&self, settings: &Settings, addresses: &mut Addresses) -> bool {
        let mut is_lost = false;
        let mut has_missed = false;
        let mut interfaces = heapless::Vec::<_, 2>::from_array([(settings.interface, addresses.interface())]);
        interfaces.extend(addresses.device().map(|device| (device.name, device.index)));
        self.events.drain(&interfaces, |event| match event {
            Event::Removed(address) => {
                is_lost |= settings.config.addresses().iter().any(|cidr| cidr.address == address);
            }
            Event::Unknown => has_missed = true,
            Event::Link | Event::Added => {}
        });
        is_lost || has_missed && addresses.are_lost()
    }

    /// Looks; what is new, in order.
    pub fn look(&mut self, settings: &Settings, addresses: &mut Addresses) -> heapless::Vec<Change, 3> {
        self.looked_at = clock::now();
        let looked = find(settings, addresses);
        if let Err(error) = &looked
            && !self.is_doubtful
        {
            warn!("look at {}: {error}; tried again each second", settings.interface);
        }
        self.is_doubtful = looked.is_err();
        let mut changes = heapless::Vec::new();
        // What was seen holds for as long as the lease can be renewed, which asks the same kernel in the same way.
        let unknown = (Seen::Down(Unfit::Unknown), Fitness::Fit, settings.interface);
        let (found, fitness, name) = match looked {
            Err(_) if self.is_up() => return changes,
            looked => looked.unwrap_or(unknown),
        };
        let before = std::mem::replace(&mut self.seen, found);
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

/// What there is, how the device is, and the name of what it is about.
fn find(settings: &Settings, addresses: &mut Addresses) -> io::Result<(Seen, Fitness, Text)> {
    let seen = find_interface(settings, addresses)?;
    // Looked at even if the interface is down: it may be up, and shall not.
    let Some(name) = settings.device else { return Ok((seen, Fitness::Fit, settings.interface)) };
    let (device, fitness) = addresses.look(name)?;
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
        addresses.follow(NO_INTERFACE, false);
        return Ok(Seen::Down(Unfit::NoInterface));
    };
    let index = interface.index;
    if index != addresses.interface() {
        addresses.follow(index, false);
    }
    let place = Place::of(interface, &settings.config, addresses.requests())?;
    addresses.follow(index, place.own.is_some());
    Ok(match (place.unfit(addresses.are_held_on(index)), place.own) {
        (Some(why), _) => Seen::Down(why),
        (None, _) if !interface.is_running => Seen::Down(Unfit::NoCarrier),
        (None, None) => Seen::Down(Unfit::NoAddress),
        (None, Some(own)) => Seen::Up(interface, own, index),
    })
}

/// True for what does not pass by itself.
fn needs_a_person(why: Unfit) -> bool {
    matches!(why, Unfit::NoArp | Unfit::OnlyAddress | Unfit::NotHost)
}

/// No interface has this number.
const NO_INTERFACE: u32 = 0;

/// Without a link, for what no event tells.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
