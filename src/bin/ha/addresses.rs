//! The shared addresses on this machine: the only part of the program that changes them or sends ARP for them.

use std::fmt;
use std::net::Ipv4Addr;

use ha::budget::Budget;
use ha::config::Cidr;
use ha::time::Instant;
use ha::wire::arp::Mac;
use rustix::io;

use crate::clock;
use crate::log::{error, warn};
use crate::netlink::{Found, Requests};
use crate::packet::Sender;
use crate::settings::Settings;

/// Holds what is needed to change addresses.
#[derive(Debug)]
pub struct Addresses {
    requests: Requests,
    arp: Sender,
    index: u32,
    addresses: heapless::Vec<Cidr, { ha::config::MAX_ADDRESSES }>,
    label: String,
    lease_s: u32,
    frames: Frames,
}

impl Addresses {
    /// Opens what it needs and finds out whether it may.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let mut requests = Requests::open().map_err(|error| format!("open rtnetlink: {error}"))?;
        let addresses = settings.config.addresses();
        let first = addresses[0];
        if let Err(errno) = requests.remove(NO_INTERFACE, first.address) {
            return Err(format!("change addresses: {errno}; expected root or CAP_NET_ADMIN"));
        }
        let arp = Sender::open().map_err(|error| format!("send ARP: {error}; expected root or CAP_NET_RAW"))?;
        Ok(Self {
            requests,
            arp,
            index: NO_INTERFACE,
            addresses: heapless::Vec::from_slice(addresses).expect("as many as the configuration has"),
            label: settings.label.clone(),
            lease_s: settings.config.lease().map_or(FOREVER, |lease| lease.secs()),
            frames: Frames::new(settings.config.announce_rate(), clock::now()),
        })
    }

    /// Changes addresses of interface `index` from now on.
    pub fn follow(&mut self, index: u32) {
        self.index = index;
    }

    /// The interface that it works on; 0 if there was none yet.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Sends ARP on its interface from now on.
    pub fn attach(&self) -> io::Result<()> {
        self.arp.bind(self.index)
    }

    /// For questions to the kernel.
    pub fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    /// Adds all of them. True if all are up; else some may be. Failures are logged here, where the errno is known.
    pub fn take(&mut self) -> bool {
        self.add("add")
    }

    /// Renews the lease of all of them. True if all are up; else some may be.
    pub fn renew(&mut self) -> bool {
        self.add("renew")
    }

    /// Removes all of them.
    pub fn release(&mut self) {
        for position in 0..self.addresses.len() {
            self.remove(position);
        }
    }

    /// Sees to it that none of them is there.
    pub fn assert_absent(&mut self) {
        for position in 0..self.addresses.len() {
            if self.remove(position) {
                warn!("{} was up though this node is not active: removed", self.addresses[position]);
            }
        }
    }

    /// Gratuitous ARP, both forms, for the address with this index; for one that does not exist, nothing.
    pub fn announce(&mut self, index: u8, now: Instant) {
        self.send("announce", usize::from(index), 2, now, Sender::announce);
    }

    /// Asks a neighbour on behalf of the address with this index; for one that does not exist, nobody.
    pub fn ask(&mut self, index: u8, neighbour: Ipv4Addr, to: Option<Mac>, now: Instant) {
        self.send("ask from", usize::from(index), 1, now, |sender, address| sender.ask(address, neighbour, to));
    }

    /// Asks the LAN who has the address with this index; for one that does not exist, nothing.
    pub fn probe(&mut self, index: u8, now: Instant) {
        self.send("probe", usize::from(index), 1, now, Sender::probe);
    }

    /// The gateway of their interface, if it has one.
    pub fn gateway(&mut self) -> io::Result<Option<Ipv4Addr>> {
        self.requests.gateway(self.index)
    }

    /// Whom the kernel knows on their LAN.
    pub fn neighbours(&mut self) -> io::Result<Found> {
        self.requests.neighbours(self.index)
    }

    fn add(&mut self, verb: &str) -> bool {
        let Err(errno) = self.requests.add(self.index, &self.addresses, &self.label, self.lease_s) else {
            return true;
        };
        error!("{verb} {} on {}: {errno}", Listed(&self.addresses), self.label);
        false
    }

    /// True if the address was there, with whatever prefixes: the kernel removes one of them at a time.
    fn remove(&mut self, position: usize) -> bool {
        let cidr = self.addresses[position];
        for removed in 0..PREFIXES {
            match self.requests.remove(self.index, cidr.address) {
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
        position: usize,
        frames: u64,
        now: Instant,
        send: impl Fn(&Sender, Ipv4Addr) -> io::Result<()>,
    ) {
        let Some(Cidr { address, .. }) = self.addresses.get(position) else { return };
        if !self.frames.take(frames, now) {
            return;
        }
        if let Err(error) = send(&self.arp, *address) {
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

/// RTM_DELADDR with it asks for permission and finds nothing; a packet socket bound to it hears every interface.
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
