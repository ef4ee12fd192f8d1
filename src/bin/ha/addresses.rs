//! The shared addresses on this machine: the only part of the program that changes them or sends ARP for them.

use std::fmt;
use std::net::Ipv4Addr;

use ha::budget::Budget;
use ha::config::Cidr;
use ha::time::Instant;
use ha::wire::arp::Mac;
use rustix::io;

use crate::clock;
use crate::device::{Device, Fitness};
use crate::log::{error, warn};
use crate::name::Name;
use crate::netlink::{Found, Interface, Requests};
use crate::packet::Sender;
use crate::settings::Settings;
use crate::text::{Refusal, Text, text};

/// Holds what is needed to change addresses.
#[derive(Debug)]
pub struct Addresses {
    requests: Requests,
    arp: Sender,
    /// The interface with the real address.
    interface: u32,
    /// What the kernel calls it.
    name: Name,
    /// The one that has them, if it is not that.
    device: Option<Device>,
    /// Asks the LAN on the interface, where the device may be down.
    prober: Option<Sender>,
    addresses: heapless::Vec<Cidr, { ha::config::MAX_ADDRESSES }>,
    /// What follows the name in their label.
    alias: Text,
    /// Of the addresses, where they are, or are to be.
    label: Name,
    lease_s: u32,
    frames: Frames,
}

impl Addresses {
    /// Opens what it needs and finds out whether it may.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn open(settings: &Settings) -> Result<Self, Refusal> {
        let mut requests = Requests::open().map_err(|error| text!("open rtnetlink: {error}"))?;
        let addresses = settings.config.addresses();
        let first = addresses[0];
        if let Err(errno) = requests.remove(NO_INTERFACE, first.address) {
            return Err(text!("change addresses: {errno}; expected root or CAP_NET_ADMIN"));
        }
        let sender = || Sender::open().map_err(|error| text!("send ARP: {error}; expected root or CAP_NET_RAW"));
        let device = settings.device.map(|name| Device::new(name, settings.config.link_delay()));
        Ok(Self {
            requests,
            arp: sender()?,
            interface: NO_INTERFACE,
            name: Name::default(),
            prober: device.as_ref().map(|_| sender()).transpose()?,
            device,
            addresses: heapless::Vec::from_slice(addresses).expect("as many as the configuration has"),
            alias: settings.alias,
            label: Name::default(),
            lease_s: settings.config.lease().map_or(FOREVER, |lease| lease.secs()),
            frames: Frames::new(settings.config.announce_rate(), clock::now()),
        })
    }

    /// Works on interface `index` from now on.
    pub fn follow(&mut self, index: u32) {
        if index != std::mem::replace(&mut self.interface, index) {
            self.name = self.named(index);
            if self.device.is_none() {
                self.label = self.name.label(self.alias);
            }
        }
    }

    /// What the kernel calls `index`, which was there a moment ago.
    fn named(&mut self, index: u32) -> Name {
        self.requests.name(index).ok().flatten().unwrap_or_default()
    }

    /// What the kernel calls the interface.
    pub fn name(&self) -> Name {
        self.name
    }

    /// The interface that it works on; 0 if there was none yet.
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// The device that has the addresses, if it is another one.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Looks at the device called `name`.
    pub fn look(&mut self, name: &str) -> (Interface, Fitness) {
        let found = self.requests.interface(name).unwrap_or_else(|error| {
            warn!("look at {name}: {error}");
            None
        });
        if let Some(found) = found
            && self.device.as_ref().is_some_and(|device| device.index != found.index)
        {
            self.label = self.named(found.index);
        }
        let fitness = self.device.as_mut().map_or(Fitness::Fit, |device| device.look(found, &mut self.requests));
        (found.unwrap_or_default(), fitness)
    }

    /// Brings the device down if nothing keeps it up.
    pub fn settle(&mut self) {
        if let Some(device) = &mut self.device {
            device.settle(&mut self.requests);
        }
    }

    /// Leaves the device down.
    pub fn leave(&mut self) {
        if let Some(device) = &mut self.device {
            device.is_given_up();
        }
        self.settle();
    }

    /// Where they are, or are to be.
    fn index(&self) -> u32 {
        self.device.as_ref().map_or(self.interface, |device| device.index)
    }

    /// Sends ARP from now on.
    pub fn attach(&self) -> io::Result<()> {
        if let Some(prober) = &self.prober {
            prober.bind(self.interface)?;
        }
        self.arp.bind(self.index())
    }

    /// For questions to the kernel.
    pub fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    /// Adds all of them. True if all are up; else some may be. Failures are logged here, where the errno is known.
    pub fn take(&mut self) -> bool {
        if let Some(device) = &mut self.device
            && let Err(errno) = device.bring_up(&mut self.requests)
        {
            error!("bring {} up: {errno}", device.name);
            return false;
        }
        self.add("add")
    }

    /// Renews the lease of all of them. True if all are up; else some may be.
    pub fn renew(&mut self) -> bool {
        self.add("renew")
    }

    /// Removes all of them.
    pub fn release(&mut self) {
        for position in 0..self.addresses.len() {
            self.remove(position, self.index());
        }
        if let Some(device) = &mut self.device {
            device.is_vacated();
        }
    }

    /// Sees to it that none of them is there; nor on the interface, if a device shall have them.
    pub fn assert_absent(&mut self) {
        for position in 0..self.addresses.len() {
            let was_there = self.remove(position, self.index());
            if was_there || self.interface != self.index() && self.remove(position, self.interface) {
                warn!("{} was up though this node is not active: removed", self.addresses[position]);
            }
        }
    }

    /// Gratuitous ARP, both forms, for the address with this index; for one that does not exist, nothing.
    pub fn announce(&mut self, index: u8, now: Instant) {
        self.send("announce", index, 2, now, |own, address| own.arp.announce(address));
    }

    /// Asks a neighbour on behalf of the address with this index; for one that does not exist, nobody.
    pub fn ask(&mut self, index: u8, neighbour: Ipv4Addr, to: Option<Mac>, now: Instant) {
        self.send("ask from", index, 1, now, |own, address| own.arp.ask(address, neighbour, to));
    }

    /// Asks the LAN who has the address with this index; for one that does not exist, nothing. No cache learns from it, so it
    /// does not matter from where.
    pub fn probe(&mut self, index: u8, now: Instant) {
        self.send("probe", index, 1, now, |own, address| own.prober.as_ref().unwrap_or(&own.arp).probe(address));
    }

    /// The gateway of their interface, if it has one.
    pub fn gateway(&mut self) -> io::Result<Option<Ipv4Addr>> {
        self.requests.gateway(self.interface)
    }

    /// Whom the kernel knows on their LAN.
    pub fn neighbours(&mut self) -> io::Result<Found> {
        self.requests.neighbours(self.interface)
    }

    fn add(&mut self, verb: &str) -> bool {
        let Err(errno) = self.requests.add(self.index(), &self.addresses, self.label.as_bytes(), self.lease_s) else {
            return true;
        };
        error!("{verb} {} on {}: {errno}", Listed(&self.addresses), self.label);
        false
    }

    /// True if the address was there, with whatever prefixes: the kernel removes one of them at a time.
    fn remove(&mut self, position: usize, index: u32) -> bool {
        let cidr = self.addresses[position];
        for removed in 0..PREFIXES {
            match self.requests.remove(index, cidr.address) {
                Ok(true) => {}
                Ok(false) => return removed > 0,
                Err(errno) => {
                    error!("remove {cidr} from {}: {errno}", self.label);
                    return removed > 0;
                }
            }
        }
        true
    }

    fn send(
        &mut self,
        verb: &str,
        index: u8,
        frames: u64,
        now: Instant,
        send: impl Fn(&Self, Ipv4Addr) -> io::Result<()>,
    ) {
        let Some(&Cidr { address, .. }) = self.addresses.get(usize::from(index)) else { return };
        if !self.frames.take(frames, now) {
            return;
        }
        if let Err(error) = send(self, address) {
            warn!("{verb} {address} on {}: {error}", self.label);
        }
    }
}

/// ARP frames that may be sent. The core keeps to less by itself; a worker that was taken over does not.
#[derive(Debug)]
struct Frames {
    budget: Budget,
    per_s: u64,
    is_told: bool,
}

impl Frames {
    fn new(per_s: u64, now: Instant) -> Self {
        Self { budget: Budget::new(MAX_FRAMES, per_s, now), per_s, is_told: false }
    }

    /// False if there is no room for so many more.
    fn take(&mut self, frames: u64, now: Instant) -> bool {
        let has_room = self.budget.spend(frames, now);
        if !has_room && !std::mem::replace(&mut self.is_told, true) {
            warn!("the worker orders more than {} ARP frames a second: not sent; said once", self.per_s);
        }
        has_room
    }
}

/// Addresses as a log line shows them.
pub struct Listed<'a>(pub &'a [Cidr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, cidr) in self.0.iter().enumerate() {
            write!(f, "{}{cidr}", if position > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// RTM_DELADDR with it asks for permission and finds nothing.
const NO_INTERFACE: u32 = 0;

/// An address can be there once with each prefix length, 0..=32.
const PREFIXES: usize = 33;

/// At once: two bursts of the core, one of them that of a new worker, and as much again for what was held up.
const MAX_FRAMES: u64 = 32;

/// INFINITY_LIFE_TIME (linux/if_addr.h).
const FOREVER: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use ha::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_orders_becomes_ten_frames_a_second() {
        let start = Instant::from_micros(5_000_000);
        let mut frames = Frames::new(10, start);
        let sent = |frames: &mut Frames, from_ms: u64, to_ms: u64| {
            let times = (from_ms * 10..to_ms * 10).map(|tenth| start + Duration::from_micros(tenth * 100));
            times.filter(|&now| frames.take(2, now)).count() * 2
        };
        assert_eq!(sent(&mut frames, 0, 10_000), 32 + 98, "a rest's worth, and what comes while it lasts");
        assert_eq!(sent(&mut frames, 60_000, 60_010), 32, "no more is saved than that");
        assert!(frames.is_told);
    }
}
