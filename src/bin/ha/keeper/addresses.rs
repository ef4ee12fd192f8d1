//! The shared addresses on this machine: the only part of the program that changes them and sends ARP for them.

use std::net::IpAddr;

use ha::announce;
use ha::budget::Budget;
use ha::config::{Cidr, MAX_ADDRESSES};
use ha::time::{Duration, Instant};
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};

use super::device::{Device, Fitness};
use super::fence::Links;
use super::promotion::Promotion;
use super::shortage::Shortage;
use crate::linux::clock;
use crate::linux::name::Name;
use crate::linux::netlink::{Added, Family, Found, Interface, Refused, Requests};
use crate::linux::packet::Sender;
use crate::log::{error, info, warn};
use crate::settings::Settings;
use crate::settings::place::Others;
use crate::text::{Listed, Refusal, Text, text};

/// Holds what is needed to change addresses.
#[derive(Debug)]
pub struct Addresses {
    requests: Requests,
    arp: Sender,
    /// The interface with the real address.
    interface: u32,
    /// Whether it has others, if that is known: the only one by which the server is reached is not ours to remove.
    others: Option<Others>,
    /// Where they were added: there they are removed, whatever has the name of it then.
    held_on: Option<u32>,
    /// What the kernel calls the interface.
    name: Name,
    /// The one that has them, if it is not that.
    device: Option<Device>,
    /// Asks the LAN on the interface, where the device may be down.
    prober: Option<Sender>,
    /// As they are added: where they are, or are to be, other addresses may cover them.
    addresses: heapless::Vec<Added, MAX_ADDRESSES>,
    /// What follows the name in their label.
    alias: Text,
    /// Of the addresses, where they are, or are to be.
    label: Name,
    lease_s: u32,
    /// All are up, for all that is known.
    are_up: bool,
    /// When those of IPv6 are to be renewed.
    renew_at: Instant,
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
        let added = |&cidr| Added { cidr, is_covered: false };
        let addresses: heapless::Vec<_, _> = settings.config.addresses().iter().map(added).collect();
        if let Err(errno) = requests.may_change_addresses() {
            return Err(text!("change addresses: {errno}; expected root or CAP_NET_ADMIN"));
        }
        let sender = || Sender::open().map_err(|error| text!("send ARP: {error}; expected root or CAP_NET_RAW"));
        let has_v4 = addresses.iter().any(|added: &Added| added.cidr.address.is_ipv4());
        // To IPv6 no address of a subnet is the primary one.
        let names = [Some(settings.interface), settings.device].map(|name| name.filter(|_| has_v4));
        let device = settings.device.map(|name| Device::new(name, settings.config.link_delay()));
        Ok(Self {
            requests,
            arp: sender()?,
            interface: NO_INTERFACE,
            others: None,
            held_on: None,
            name: Name::default(),
            prober: device.as_ref().map(|_| sender()).transpose()?,
            device,
            addresses,
            alias: settings.alias,
            label: Name::default(),
            are_up: false,
            renew_at: clock::now(),
            promotions: names.into_iter().flatten().map(Promotion::new).collect(),
            lease_s: settings.config.lease().map_or(FOREVER, |lease| lease.secs()),
            frames: Frames::new(settings.config.announce_rate(), clock::now()),
            kept: heapless::Vec::new(),
            kept_at: None,
            not_added: Shortage::default(),
            not_removed: Shortage::default(),
            remove_at: None,
        })
    }

    /// Works on interface `index` from now on, which has these other addresses. What was added to another one stays there until it is
    /// released.
    pub fn follow(&mut self, index: u32, others: Option<Others>) {
        self.others = others;
        if index != std::mem::replace(&mut self.interface, index) && index != NO_INTERFACE {
            self.name = self.named(index);
            if self.device.is_none() {
                self.label = self.name.label(self.alias);
            }
        }
        if let Some(promotion) = self.promotions.first_mut() {
            promotion.follow(index, &mut self.requests);
        }
        self.look_for_cover();
    }

    /// Finds out which of them other addresses of the interface cover; a device has none of IPv6. What changes of that is set with the
    /// next renewal.
    fn look_for_cover(&mut self) {
        if self.interface == NO_INTERFACE || !self.has(Family::V6) {
            return;
        }
        let mut addresses = self.addresses.clone();
        addresses.iter_mut().for_each(|added| added.is_covered = false);
        let asked = self.requests.addresses(self.interface, &mut |there| {
            if !self.addresses.iter().any(|added| added.cidr.address == there.cidr.address) {
                addresses.iter_mut().for_each(|added| added.is_covered |= there.cidr.contains(added.cidr.address));
            }
        });
        if asked.is_ok() && addresses != self.addresses {
            self.addresses = addresses;
            self.renew_at = clock::now();
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

    /// True if some of them are of this family.
    pub fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|added| Family::of(added.cidr.address) == family)
    }

    /// True if this process has added the addresses to interface `index`.
    pub fn are_held_on(&self, index: u32) -> bool {
        self.held_on == Some(index)
    }

    /// True if it has added them somewhere and not removed them since.
    pub fn are_held(&self) -> bool {
        self.held_on.is_some()
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
        self.are_up = false;
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
        let asked = self.requests.addresses(index, &mut |found| {
            missing.retain(|&Added { cidr, .. }| {
                // One of IPv6 keeps the prefix with which another program may have added it.
                cidr != found.cidr && (cidr.address != found.cidr.address || cidr.address.is_ipv4())
            });
        });
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
        self.remove(index, &self.addresses.clone(), &mut |_| ());
        // What the kernel refused to remove is still there.
        self.held_on = self.held_on.filter(|_| self.remove_at.is_some());
        true
    }

    /// Removes what another program has added; on the interface only what is not its only address.
    fn clear(&mut self, each: &mut dyn FnMut(Cidr)) {
        let mut meant = self.addresses.clone();
        if let Some(index) = self.device.as_ref().map(|device| device.index) {
            self.remove(index, &meant, each);
        }
        let others = self.others;
        meant.retain(|added| others.is_some_and(|others| others.allow_removal(added.cidr.address)));
        self.remove(self.interface, &meant, each);
    }

    fn end_shortage(&mut self) {
        if self.remove_at.is_none() && self.not_removed.record_success() {
            info!("remove {} from {}: done this time", Listed(&self.addresses), self.label);
        }
    }

    /// Tells the LAN of the address with this index, if there is one: by gratuitous ARP, both forms, or by an NA.
    pub fn announce(&mut self, index: u8, now: Instant) {
        if let Some(address) = self.held(index) {
            let is_router = address.is_ipv6() && self.requests.forwards(self.index()).unwrap_or(false);
            self.send(Frame::Announcement { address, is_router }, now);
        }
    }

    /// Asks a neighbour on behalf of the address with this index, if there is one.
    pub fn ask(&mut self, index: u8, neighbour: IpAddr, to: Option<Mac>, now: Instant) {
        if let Some(address) = self.held(index) {
            self.send(Frame::Question { address, neighbour, to }, now);
        }
    }

    /// Asks the LAN who has `address`. No cache learns from it, so it does not matter from where.
    pub fn probe(&mut self, address: IpAddr, now: Instant) {
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

    /// The gateways of their interface: one of each of their families at most.
    pub fn gateways(&mut self) -> io::Result<Found> {
        let mut found = Found::new();
        for family in self.families() {
            found.extend(self.requests.gateway(self.interface, family)?);
        }
        Ok(found)
    }

    /// The hosts on their LAN that the kernel knows, those of one of their families before those of the other.
    pub fn neighbours(&mut self) -> io::Result<Found> {
        let mut found = Found::new();
        for family in self.families() {
            let room = found.capacity() - found.len();
            found.extend(self.requests.neighbours(self.interface, family)?.into_iter().take(room));
        }
        Ok(found)
    }

    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        [Family::V4, Family::V6].map(|family| self.has(family).then_some(family)).into_iter().flatten()
    }

    /// The address with this index, if they are where they ought to be.
    fn held(&self, index: u8) -> Option<IpAddr> {
        let addresses = Some(&self.addresses).filter(|_| self.are_held_on(self.index()));
        Some(addresses?.get(usize::from(index))?.cidr.address)
    }

    /// Adds or renews them. With each renewal of an address of IPv6 the kernel reports all multicast groups of the interface anew, so
    /// that those are renewed more rarely, all at once, so that their leases end as one: whatever timer ends the first of them is late for
    /// the others.
    fn add(&mut self, verb: &str) -> bool {
        let now = clock::now();
        let is_all = !self.are_up || now >= self.renew_at;
        let (index, label) = (self.index(), self.label);
        let mut due = self.addresses.clone();
        due.retain(|added| is_all || added.cidr.address.is_ipv4());
        if due.is_empty() {
            return true;
        }
        let lease_s = self.lease_s;
        let outcome = twice(&mut self.requests, &mut |requests| requests.add(index, &due, label.as_bytes(), lease_s));
        self.are_up = outcome.is_ok();
        if is_all {
            self.renew_at = now + LONG_LEASE_RENEWED.min(Duration::from_secs(self.lease_s.into()) / 2);
        }
        match outcome {
            Ok(()) => {
                if self.not_added.record_success() {
                    info!("{verb} {} on {}: done this time", Listed(&self.addresses), self.label);
                }
            }
            Err(refused) => {
                // The worker logs each time that this node is unfit for it, and tries again more and more rarely.
                if self.not_added.record_refusal() {
                    error!("{verb} {} on {}: {}", about(&due, refused), self.label, refused.errno);
                }
            }
        }
        self.are_up
    }

    /// Removes `meant` from interface `index`, with whatever prefixes: the kernel removes one of each at a time. Calls `each` with
    /// those that were there.
    fn remove(&mut self, index: u32, meant: &[Added], each: &mut dyn FnMut(Cidr)) {
        if meant.is_empty() {
            return;
        }
        for removed in 0..PREFIXES {
            let mut is_done = true;
            let outcome = twice(&mut self.requests, &mut |requests| {
                requests.remove(index, meant, &mut |position| {
                    if removed == 0 {
                        each(meant[position].cidr);
                    }
                    is_done = false;
                })
            });
            if let Err(refused) = outcome
                && self.remove_at.is_none()
            {
                if self.not_removed.record_refusal() {
                    let (about, errno) = (about(meant, refused), refused.errno);
                    error!("remove {about} from {}: {errno}; tried again, at least every 10s", self.label);
                }
                self.remove_at = Some(clock::now() + self.not_removed.pause());
            }
            if is_done {
                return;
            }
        }
    }

    fn send(&mut self, frame: Frame, now: Instant) {
        let count = match frame {
            Frame::Announcement { address, .. } => announce::cost(address.is_ipv4()),
            Frame::Question { .. } | Frame::Probe(_) => 1,
        };
        if self.frames.spend(count, now) {
            self.try_send(frame, true);
        }
    }

    /// Sends a frame. Of one that a fence drops, because no heartbeat has left for a while, the kernel says so (ENOBUFS): it may
    /// be kept for later.
    fn try_send(&mut self, frame: Frame, may_keep: bool) {
        let (verb, address, outcome) = match frame {
            Frame::Announcement { address, is_router } => ("announce", address, self.arp.announce(address, is_router)),
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

/// What the daemon sends by ARP or neighbour discovery.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// To all; whether this host is a router is of use for IPv6 only.
    Announcement { address: IpAddr, is_router: bool },
    /// From a shared address.
    Question { address: IpAddr, neighbour: IpAddr, to: Option<Mac> },
    /// From no address.
    Probe(IpAddr),
}

/// What of `addresses` was refused: one of them, or any.
fn about(addresses: &[Added], refused: Refused) -> Listed<'_, Added> {
    Listed(refused.position.and_then(|position| addresses.get(position..=position)).unwrap_or(addresses))
}

/// Asks twice where the kernel had no memory for the request or for its reply a moment ago: it may have some now, a second request
/// does no harm, and no other node has to take over.
fn twice(requests: &mut Requests, ask: &mut dyn FnMut(&mut Requests) -> Result<(), Refused>) -> Result<(), Refused> {
    match ask(requests) {
        Err(Refused { errno: Errno::NOBUFS | Errno::NOMEM | Errno::AGAIN, .. }) => ask(requests),
        outcome => outcome,
    }
}

/// Frames that may be sent. The core keeps to less by itself; a worker that an attacker has taken over does not.
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

/// However long the lease is.
const LONG_LEASE_RENEWED: Duration = Duration::from_secs(1);

/// No interface has this number.
const NO_INTERFACE: u32 = 0;

/// An address of IPv4 can be there once with each prefix length, 0..=32; one of IPv6 is there once.
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
