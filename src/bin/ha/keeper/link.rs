//! The interface as the keeper sees it, by rtnetlink.

use std::os::fd::{AsFd, BorrowedFd};

use ha::config::Cidr;
use ha::node::Unfit;
use ha::time::{Duration, Instant, earliest};
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};

use super::addresses::Addresses;
use super::device::Fitness;
use super::shortage::Shortage;
use crate::linux::clock;
use crate::linux::netlink::{Event, Events, Interface};
use crate::log::{info, warn};
use crate::place::{self, Place};
use crate::settings::Settings;
use crate::text::{Refusal, Text, text};

/// Watches one interface.
#[derive(Debug)]
pub struct Link {
    events: Events,
    seen: Seen,
    /// While it cannot carry packets, or could not be looked at.
    again_at: Option<Instant>,
    /// The kernel does not say how it is.
    unknown: Shortage,
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
        Ok(Self { events, seen: Seen::Nothing, again_at: None, unknown: Shortage::default() })
    }

    /// Forgets what was seen: the next look tells it all again.
    pub fn forget(&mut self) {
        self.seen = Seen::Nothing;
    }

    /// It turned out to be of no use until then.
    pub fn is_unusable(&mut self, why: Unfit, again_at: Instant) {
        self.seen = Seen::Down(why);
        self.again_at = Some(again_at);
    }

    /// True if it can carry packets.
    pub fn is_up(&self) -> bool {
        matches!(self.seen, Seen::Up(..))
    }

    /// When to look without being told: while it cannot carry packets, or the kernel has not said, once a second.
    pub fn next_look(&self, addresses: &Addresses) -> Option<Instant> {
        let device = addresses.device().filter(|_| self.is_up()).and_then(|device| device.next_look());
        earliest(&[self.again_at, device])
    }

    /// Reads all events. True if one of the shared addresses may have been removed.
    pub fn drain(&self, settings: &Settings, addresses: &Addresses) -> bool {
        let mut is_doubtful = false;
        let mut interfaces = heapless::Vec::<_, 2>::from_array([(settings.interface, addresses.interface())]);
        interfaces.extend(addresses.device().map(|device| (device.name, device.index)));
        self.events.drain(&interfaces, |event| {
            is_doubtful |= match event {
                Event::Link | Event::Added => false,
                Event::Removed(address) => settings.config.addresses().iter().any(|cidr| cidr.address == address),
                Event::Unknown => true,
            };
        });
        is_doubtful
    }

    /// Looks; what is new, in order.
    pub fn look(&mut self, settings: &Settings, addresses: &mut Addresses) -> heapless::Vec<Change, 3> {
        let mut pause = LOOK_AGAIN;
        let (found, fitness, name) = match find(settings, addresses) {
            Ok(found) => {
                if self.unknown.ends() {
                    info!("{} can be looked at again", found.2);
                }
                found
            }
            Err((name, errno)) => {
                if self.unknown.goes_on() {
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

/// What there is, how the device is, and the name of what it is about; or of what cannot be looked at.
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
