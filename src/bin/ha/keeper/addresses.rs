//! The shared addresses on this machine: the only part of the program that changes them and sends ARP for them.

use std::net::{IpAddr, Ipv4Addr};

use ha::budget::Budget;
use ha::config::Cidr;
use ha::time::{Duration, Instant};
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};

use super::device::{Device, Fitness};
use super::fence::Links;
use super::promotion::Promotion;
use super::shortage::Shortage;
use crate::linux::clock;
use crate::linux::name::Name;
use crate::linux::netlink::{Found, Interface, Requests};
use crate::linux::packet::Sender;
use crate::log::{error, info, warn};
use crate::settings::Settings;
use crate::text::{Listed, Refusal, Text, text};

/// Holds what is needed to change addresses.
#[derive(Debug)]
pub struct Addresses {
    requests: Requests,
    arp: Sender,
    /// The interface with the real address.
    interface: u32,
    /// It has such an address: without one, what is there is not ours to remove.
    has_own: bool,
    /// Where they were added: there they are removed, whatever has the name of it then.
    held_on: Option<u32>,
    /// What the kernel calls the interface.
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
    /// All are up, for all that is known.
    are_up: bool,
    /// Of the interface, and of the device.
    promotions: heapless::Vec<Promotion, 2>,
    frames: Frames,
    /// What a closed fence has kept from leaving, and when to send it once more.
    kept: heapless::Vec<Frame, MAX_KEPT>,
    kept_at: Option<Instant>,
    /// The kernel does not add them.
    not_added: Shortage,
    /// Nor remove them.
    not_removed: Shortage,
    /// When to try once more to remove them.
    remove_at: Option<Instant>,
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
            has_own: false,
            held_on: None,
            name: Name::default(),
            prober: device.as_ref().map(|_| sender()).transpose()?,
            device,
            addresses: heapless::Vec::from_slice(addresses).expect("as many as the configuration has"),
            alias: settings.alias,
            label: Name::default(),
            are_up: false,
            promotions: [Some(settings.interface), settings.device].into_iter().flatten().map(Promotion::new).collect(),
            lease_s: settings.config.lease().map_or(FOREVER, |lease| lease.secs()),
            frames: Frames::new(settings.config.announce_rate(), clock::now()),
            kept: heapless::Vec::new(),
            kept_at: None,
            not_added: Shortage::default(),
            not_removed: Shortage::default(),
            remove_at: None,
        })
    }

    /// Works on interface `index` from now on; `has_own`: it has an address of its own. What was added to another one stays there
    /// until it is released.
    pub fn follow(&mut self, index: u32, has_own: bool) {
        self.has_own = has_own;
        if index != std::mem::replace(&mut self.interface, index) && index != NO_INTERFACE {
            self.name = self.named(index);
            if self.device.is_none() {
                self.label = self.name.label(self.alias);
            }
        }
        self.promotions[0].follow(index, &mut self.requests);
    }

    /// What the kernel calls `index`, which was there a moment ago.
    fn named(&mut self, index: u32) -> Name {
        self.requests.name(index).ok().flatten().unwrap_or_default()
    }

    /// What the kernel calls the interface.
    pub fn name(&self) -> Name {
        self.name
    }

    /// True if this process has added the addresses to interface `index`.
    pub fn are_held_on(&self, index: u32) -> bool {
        self.held_on == Some(index)
    }

    /// The interface that it works on; 0 if there was none yet.
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// The device that has the addresses, if it is another one.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// The interfaces by which frames from the addresses may leave.
    pub fn links(&mut self) -> io::Result<Links> {
        let mut links = Links::new();
        for index in [Some(self.interface), self.device.as_ref().map(|device| device.index)].into_iter().flatten() {
            let name = self.requests.name(index)?.ok_or(Errno::NODEV)?;
            assert!(links.push((index, name)).is_ok(), "there are two at most");
        }
        Ok(links)
    }

    /// Looks at the device called `name`.
    pub fn look(&mut self, name: &str) -> io::Result<(Interface, Fitness)> {
        let found = self.requests.interface(name)?;
        if let Some(found) = found
            && self.device.as_ref().is_some_and(|device| device.index != found.index)
        {
            self.label = self.named(found.index);
        }
        let fitness = self.device.as_mut().map_or(Fitness::Fit, |device| device.look(found, &mut self.requests));
        if let (Some(promotion), Some(Interface { index, .. })) = (self.promotions.get_mut(1), found) {
            promotion.follow(index, &mut self.requests);
        }
        Ok((found.unwrap_or_default(), fitness))
    }

    /// Brings the device down if nothing keeps it up.
    pub fn settle(&mut self) {
        if let Some(device) = &mut self.device {
            device.settle(&mut self.requests);
        }
    }

    /// Leaves the device down, and what was set for the addresses as it was.
    pub fn leave(&mut self) {
        for promotion in &mut self.promotions {
            promotion.put_back(&mut self.requests);
        }
        if let Some(device) = &mut self.device {
            device.give_up();
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
        if !self.promotions.iter_mut().all(|promotion| promotion.ensure_again(&mut self.requests)) {
            return false;
        }
        if let Some(device) = &mut self.device
            && let Err(errno) = device.bring_up(&mut self.requests)
        {
            error!("bring {} up: {errno}", device.name);
            return false;
        }
        self.remove_at = None;
        if self.held_on.is_some_and(|index| index != self.index()) {
            self.vacate();
        }
        self.held_on = Some(self.index());
        self.add("add")
    }

    /// Renews the lease of all of them, if they are where they ought to be. True if all are up; else some may be. Without a
    /// lease there is nothing to be done as long as none was removed.
    pub fn renew(&mut self) -> bool {
        for promotion in &mut self.promotions {
            promotion.ensure_again(&mut self.requests);
        }
        self.are_held_on(self.index()) && (self.lease_s == FOREVER && self.are_up || self.add("renew"))
    }

    /// Asks the kernel whether all that this process has added are there.
    pub fn check_presence(&mut self) -> bool {
        let Some(index) = self.held_on else { return true };
        let mut missing = self.addresses.clone();
        let asked = self.requests.addresses(index, &mut |found, _| missing.retain(|&cidr| cidr != found));
        self.are_up = asked.is_ok() && missing.is_empty();
        self.are_up
    }

    /// Removes all of them; what the kernel refuses to remove is tried again at [`Addresses::remove_at`].
    pub fn release(&mut self) {
        self.remove_at = None;
        self.are_up = false;
        self.kept.clear();
        self.kept_at = None;
        for promotion in &mut self.promotions {
            // A release goes on if this fails: the addresses have to go, and a lease would end anyway.
            promotion.ensure(&mut self.requests);
        }
        if !self.vacate() {
            self.clear(&mut |_| ());
        }
        self.end_shortage();
        if let Some(device) = &mut self.device {
            device.end_service();
        }
    }

    /// When to call [`Addresses::release`] again, unless they were taken since.
    pub fn remove_at(&self) -> Option<Instant> {
        self.remove_at
    }

    /// Makes sure that none of them is there; nor on the interface, if a device is to have them.
    pub fn assert_absent(&mut self) {
        self.remove_at = None;
        self.are_up = false;
        if !self.promotions.iter_mut().all(|promotion| promotion.ensure_again(&mut self.requests)) {
            return;
        }
        self.vacate();
        self.clear(&mut |cidr| warn!("{cidr} was up though this node is not active: removed"));
        self.end_shortage();
    }

    /// Removes them from where they were added; false if they were not.
    fn vacate(&mut self) -> bool {
        let Some(index) = self.held_on else { return false };
        for position in 0..self.addresses.len() {
            self.remove(position, index);
        }
        // What the kernel refused to remove is still there.
        self.held_on = self.held_on.filter(|_| self.remove_at.is_some());
        true
    }

    /// Removes what another program has added; on the interface only if it has another address.
    fn clear(&mut self, each: &mut dyn FnMut(Cidr)) {
        let device = self.device.as_ref().map(|device| device.index);
        let interface = Some(self.interface).filter(|_| self.has_own);
        for position in 0..self.addresses.len() {
            let mut was_there = false;
            for index in [device, interface].into_iter().flatten() {
                was_there |= self.remove(position, index);
            }
            if was_there {
                each(self.addresses[position]);
            }
        }
    }

    fn end_shortage(&mut self) {
        if self.remove_at.is_none() && self.not_removed.record_success() {
            info!("remove {} from {}: done this time", Listed(&self.addresses), self.label);
        }
    }

    /// Sends gratuitous ARP, both forms, for the address with this index, if there is one.
    pub fn announce(&mut self, index: u8, now: Instant) {
        if let Some(address) = self.held(index) {
            self.send(Frame::Announcement(address), now);
        }
    }

    /// Asks a neighbour on behalf of the address with this index, if there is one.
    pub fn ask(&mut self, index: u8, neighbour: Ipv4Addr, to: Option<Mac>, now: Instant) {
        if let Some(address) = self.held(index) {
            self.send(Frame::Question { address, neighbour, to }, now);
        }
    }

    /// Asks the LAN who has `address`. No cache learns from it, so it does not matter from where.
    pub fn probe(&mut self, address: Ipv4Addr, now: Instant) {
        self.send(Frame::Probe(address), now);
    }

    /// Notes that a heartbeat is about to leave: behind it goes what a closed fence has kept.
    pub fn expect_heartbeat(&mut self, now: Instant) {
        if !self.kept.is_empty() {
            self.kept_at = Some(now + HEARTBEAT_LEAVES);
        }
    }

    /// When to call [`Addresses::send_kept`].
    pub fn kept_at(&self) -> Option<Instant> {
        self.kept_at
    }

    /// Takes what a closed fence has kept, and sends it, for the last time, if the addresses `are_certain` to be here.
    pub fn send_kept(&mut self, are_certain: bool) {
        self.kept_at = None;
        for frame in std::mem::take(&mut self.kept) {
            if are_certain {
                self.try_send(frame, false);
            }
        }
    }

    /// The gateway of their interface, if it has one.
    pub fn gateway(&mut self) -> io::Result<Option<Ipv4Addr>> {
        self.requests.gateway(self.interface)
    }

    /// The hosts on their LAN that the kernel knows.
    pub fn neighbours(&mut self) -> io::Result<Found> {
        self.requests.neighbours(self.interface)
    }

    /// The address with this index, if they are where they ought to be.
    fn held(&self, index: u8) -> Option<Ipv4Addr> {
        let addresses = Some(&self.addresses).filter(|_| self.are_held_on(self.index()));
        match addresses?.get(usize::from(index))?.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn add(&mut self, verb: &str) -> bool {
        let (index, label) = (self.index(), self.label);
        let add = |requests: &mut Requests| requests.add(index, &self.addresses, label.as_bytes(), self.lease_s);
        let outcome = twice(&mut self.requests, add);
        self.are_up = outcome.is_ok();
        match outcome {
            Ok(()) => {
                if self.not_added.record_success() {
                    info!("{verb} {} on {}: done this time", Listed(&self.addresses), self.label);
                }
            }
            Err(errno) => {
                // The worker logs each time that this node is unfit for it, and tries again more and more rarely.
                if self.not_added.record_refusal() {
                    error!("{verb} {} on {}: {errno}", Listed(&self.addresses), self.label);
                }
            }
        }
        self.are_up
    }

    /// True if the address was there, with whatever prefixes: the kernel removes one of them at a time.
    fn remove(&mut self, position: usize, index: u32) -> bool {
        let cidr = self.addresses[position];
        for removed in 0..PREFIXES {
            match twice(&mut self.requests, |requests| requests.remove(index, cidr.address)) {
                Ok(true) => {}
                Ok(false) => return removed > 0,
                Err(errno) => {
                    if self.remove_at.is_none() {
                        if self.not_removed.record_refusal() {
                            error!("remove {cidr} from {}: {errno}; tried again, at least every 10s", self.label);
                        }
                        self.remove_at = Some(clock::now() + self.not_removed.pause());
                    }
                    return removed > 0;
                }
            }
        }
        true
    }

    fn send(&mut self, frame: Frame, now: Instant) {
        let count = if matches!(frame, Frame::Announcement(_)) { 2 } else { 1 };
        if self.frames.spend(count, now) {
            self.try_send(frame, true);
        }
    }

    /// Sends a frame. Of one that a fence drops, because no heartbeat has left for a while, the kernel says so (ENOBUFS): it may
    /// be kept for later.
    fn try_send(&mut self, frame: Frame, may_keep: bool) {
        let (verb, address, outcome) = match frame {
            Frame::Announcement(address) => ("announce", address, self.arp.announce(address)),
            Frame::Question { address, neighbour, to } => ("ask from", address, self.arp.ask(address, neighbour, to)),
            Frame::Probe(address) => ("probe", address, self.prober.as_ref().unwrap_or(&self.arp).probe(address)),
        };
        match outcome {
            Ok(()) => {}
            // A question whether somebody has it passes a fence.
            Err(Errno::NOBUFS) if may_keep && !matches!(frame, Frame::Probe(_)) && self.kept.push(frame).is_ok() => {}
            Err(error) => warn!("{verb} {address} on {}: {error}", self.label),
        }
    }
}

/// ARP that the daemon sends.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Gratuitous, in both forms.
    Announcement(Ipv4Addr),
    /// From a shared address.
    Question { address: Ipv4Addr, neighbour: Ipv4Addr, to: Option<Mac> },
    /// From no address.
    Probe(Ipv4Addr),
}

/// Asks twice where the kernel had no memory for the request or for its reply a moment ago: it may have some now, a second request
/// does no harm, and no other node has to take over.
fn twice<T>(requests: &mut Requests, ask: impl Fn(&mut Requests) -> Result<T, Errno>) -> Result<T, Errno> {
    match ask(requests) {
        Err(Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN) => ask(requests),
        outcome => outcome,
    }
}

/// ARP frames that may be sent. The core keeps to less by itself; a worker that an attacker has taken over does not.
#[derive(Debug)]
struct Frames {
    budget: Budget,
    per_s: u64,
    is_logged: bool,
}

impl Frames {
    fn new(per_s: u64, now: Instant) -> Self {
        Self { budget: Budget::new(MAX_FRAMES, per_s, now), per_s, is_logged: false }
    }

    /// Spends `frames`; false if there is no room for them.
    fn spend(&mut self, frames: u64, now: Instant) -> bool {
        let has_room = self.budget.spend(frames, now);
        if !has_room && !std::mem::replace(&mut self.is_logged, true) {
            warn!("worker orders more than {} ARP frames a second: not sent; logged once", self.per_s);
        }
        has_room
    }
}

/// As many as the core sends at once.
const MAX_KEPT: usize = 8;

/// Time for the worker to send its packet when a beat is acknowledged.
const HEARTBEAT_LEAVES: Duration = Duration::from_millis(2);

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
    use super::*;

    #[test]
    fn a_flood_of_orders_becomes_ten_frames_a_second() {
        let start = Instant::from_micros(5_000_000);
        let mut frames = Frames::new(10, start);
        let sent = |frames: &mut Frames, from_ms: u64, to_ms: u64| {
            let times = (from_ms * 10..to_ms * 10).map(|tenth| start + Duration::from_micros(tenth * 100));
            times.filter(|&now| frames.spend(2, now)).count() * 2
        };
        assert_eq!(sent(&mut frames, 0, 10_000), 32 + 98, "a rest's worth, and what comes while it lasts");
        assert_eq!(sent(&mut frames, 60_000, 60_010), 32, "no more is saved than that");
        assert!(frames.is_logged);
    }
}
