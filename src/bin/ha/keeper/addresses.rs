//! The shared addresses on this machine: the only part of the program that changes them and sends ARP for them.

use std::net::IpAddr;

use ha::announce;
use ha::config::{Cidr, MAX_ADDRESSES, MAX_LINKS};
use ha::time::{Duration, Instant};
use ha::wire::arp::Mac;
use rustix::io::{self, Errno};

use super::device::{Device, Fitness};
use super::fence::Links;
use super::frames::Frames;
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
    /// One for each link, the first one with the real address; or that and the device.
    cards: heapless::Vec<Card, MAX_LINKS>,
    /// Whether the first one has others, if that is known: the only one by which the server is reached is not ours to remove.
    others: Option<Others>,
    /// The one that has them, if it is not the first card.
    device: Option<Device>,
    /// As they are added: where they are, or are to be, other addresses may cover them.
    addresses: heapless::Vec<Added, MAX_ADDRESSES>,
    /// The link of each.
    links: [u8; MAX_ADDRESSES],
    /// As they were added: from there they are removed, whatever has the name of it then.
    held: heapless::Vec<Added, MAX_ADDRESSES>,
    /// What follows the name in their label.
    alias: Text,
    lease_s: u32,
    /// All are up, for all that is known.
    are_up: bool,
    /// When those of IPv6 are to be renewed.
    renew_at: Instant,
    frames: Frames,
    /// What a closed fence has kept from leaving, with its card, and when to send it once more.
    kept: heapless::Vec<(usize, Frame), MAX_KEPT>,
    kept_at: Option<Instant>,
    /// The kernel does not add them.
    not_added: Shortage,
    /// Nor remove them.
    not_removed: Shortage,
    /// When to try once more to remove them.
    remove_at: Option<Instant>,
}

/// An interface, such as `eth0`.
#[derive(Debug)]
struct Card {
    /// As the settings call it, perhaps by an alternative name.
    called: Text,
    /// Its number; 0 if there is none of this name.
    index: u32,
    /// What the kernel calls it.
    name: Name,
    sender: Sender,
    /// To IPv6 no address of a subnet is the primary one.
    promotion: Option<Promotion>,
}

impl Addresses {
    /// Opens what it needs and finds out whether it may.
    ///
    /// # Errors
    /// One line that names what is missing; nothing was changed then.
    pub fn open(settings: &Settings) -> Result<Self, Refusal> {
        let mut requests = Requests::open().map_err(|error| text!("open rtnetlink: {error}"))?;
        if let Err(errno) = requests.may_change_addresses() {
            return Err(text!("change addresses: {errno}; expected root or CAP_NET_ADMIN"));
        }
        let config = &settings.config;
        let added = |&cidr| Added { cidr, index: NO_INTERFACE, label: Name::default(), is_covered: false };
        let mut links = [0; MAX_ADDRESSES];
        links[..config.links().len()].copy_from_slice(config.links());
        let mut addresses = Self {
            requests,
            cards: heapless::Vec::new(),
            others: None,
            device: settings.device.map(|name| Device::new(name, config.link_delay())),
            addresses: config.addresses().iter().map(added).collect(),
            links,
            held: heapless::Vec::new(),
            alias: settings.alias,
            are_up: false,
            renew_at: clock::now(),
            lease_s: config.lease().map_or(FOREVER, |lease| lease.secs()),
            frames: Frames::new(config.announce_rate(), clock::now()),
            kept: heapless::Vec::new(),
            kept_at: None,
            not_added: Shortage::default(),
            not_removed: Shortage::default(),
            remove_at: None,
        };
        for (card, &called) in settings.links.iter().chain(&settings.device).enumerate() {
            let sender = Sender::open().map_err(|error| text!("send ARP: {error}; expected root or CAP_NET_RAW"))?;
            let promotion = addresses.has(card, Family::V4).then(|| Promotion::new(called));
            let new = Card { called, index: NO_INTERFACE, name: Name::default(), sender, promotion };
            assert!(addresses.cards.push(new).is_ok(), "a device is the second one");
        }
        Ok(addresses)
    }

    /// The interface of this card is `index` from now on. What was added to another one stays there until it is released.
    pub fn follow(&mut self, card: usize, index: u32) {
        if index != std::mem::replace(&mut self.cards[card].index, index) {
            if index != NO_INTERFACE {
                self.cards[card].name = self.requests.name(index).ok().flatten().unwrap_or_default();
            }
            let label = self.cards[card].name.label(self.alias);
            for position in 0..self.addresses.len() {
                if self.card_of(position) == card {
                    let added = &mut self.addresses[position];
                    (added.index, added.label) = (index, label);
                }
            }
        }
        if let Some(promotion) = &mut self.cards[card].promotion {
            promotion.follow(index, &mut self.requests);
        }
        self.look_for_cover(index);
    }

    /// The first card has these other addresses.
    pub fn keep_others(&mut self, others: Option<Others>) {
        self.others = others;
    }

    /// Where the address with this index is, or is to be.
    fn card_of(&self, index: usize) -> usize {
        if self.device.is_some() { DEVICE } else { self.links[index].into() }
    }

    /// Finds out which of them other addresses of the interface cover; a device has none of IPv6. What changes of that is set with the
    /// next renewal.
    fn look_for_cover(&mut self, index: u32) {
        let is_here = |added: &Added| added.index == index && added.cidr.address.is_ipv6();
        if index == NO_INTERFACE || !self.addresses.iter().any(is_here) {
            return;
        }
        let mut addresses = self.addresses.clone();
        addresses.iter_mut().filter(|added| is_here(added)).for_each(|added| added.is_covered = false);
        let asked = self.requests.addresses(index, &mut |there| {
            if !self.addresses.iter().any(|added| added.cidr.address == there.cidr.address) {
                let covered = addresses.iter_mut().filter(|added| is_here(added));
                covered.for_each(|added| added.is_covered |= there.cidr.contains(added.cidr.address));
            }
        });
        if asked.is_ok() && addresses != self.addresses {
            self.addresses = addresses;
            self.renew_at = clock::now();
        }
    }

    /// What the kernel calls the interface of this card.
    pub fn name(&self, card: usize) -> Name {
        self.cards[card].name
    }

    /// True if some of this card are of this family. From a device and its interface all are asked for.
    pub fn has(&self, card: usize, family: Family) -> bool {
        let is_here = |link: u8| self.device.is_some() || usize::from(link) == card;
        let mut all = self.addresses.iter().zip(self.links);
        all.any(|(added, link)| is_here(link) && Family::of(added.cidr.address) == family)
    }

    /// True while they are where they were added, as far as is known.
    pub fn are_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// True if this program has added some to this interface.
    pub fn are_held_on(&self, index: u32) -> bool {
        self.held.iter().any(|added| added.index == index)
    }

    /// The interface of this card; 0 if there was none yet.
    pub fn interface(&self, card: usize) -> u32 {
        self.cards[card].index
    }

    /// All interfaces, by what the settings call them, and by number.
    pub fn interfaces(&self) -> heapless::Vec<(&str, u32), MAX_LINKS> {
        self.cards.iter().map(|card| (card.called, card.index)).collect()
    }

    /// The device that has the addresses, if it is another one.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// The interfaces by which frames from the addresses may leave: each once, even if the settings have two names for it.
    pub fn links(&mut self) -> io::Result<Links> {
        let mut links = Links::new();
        for card in &self.cards {
            let name = self.requests.name(card.index)?.ok_or(Errno::NODEV)?;
            if !links.contains(&(card.index, name)) {
                assert!(links.push((card.index, name)).is_ok(), "as many as there are cards");
            }
        }
        Ok(links)
    }

    /// Looks at the device called `name`.
    pub fn look(&mut self, name: &str) -> io::Result<(Interface, Fitness)> {
        let found = self.requests.interface(name)?;
        let fitness = self.device.as_mut().map_or(Fitness::Fit, |device| device.look(found, &mut self.requests));
        let found = found.unwrap_or_default();
        self.follow(DEVICE, found.index);
        Ok((found, fitness))
    }

    /// Brings the device down if nothing keeps it up.
    pub fn settle(&mut self) {
        if let Some(device) = &mut self.device {
            device.settle(&mut self.requests);
        }
    }

    /// Leaves the device down, and what was set for the addresses as it was.
    pub fn leave(&mut self) {
        for promotion in self.cards.iter_mut().filter_map(|card| card.promotion.as_mut()) {
            promotion.put_back(&mut self.requests);
        }
        if let Some(device) = &mut self.device {
            device.give_up();
        }
        self.settle();
    }

    /// Sends ARP from now on.
    pub fn attach(&self) -> io::Result<()> {
        self.cards.iter().try_for_each(|card| card.sender.bind(card.index))
    }

    /// For questions to the kernel.
    pub fn requests(&mut self) -> &mut Requests {
        &mut self.requests
    }

    /// Adds all of them. True if all are up; else some may be. Failures are logged here, where the errno is known.
    pub fn take(&mut self) -> bool {
        if !self.promote() {
            return false;
        }
        if let Some(device) = &mut self.device
            && let Err(errno) = device.bring_up(&mut self.requests)
        {
            error!("bring {} up: {errno}", device.name);
            return false;
        }
        self.remove_at = None;
        if !self.are_in_place() {
            self.vacate();
        }
        self.held = self.addresses.clone();
        self.are_up = false;
        self.add("add")
    }

    /// Renews the lease of all of them, if they are where they ought to be. True if all are up; else some may be. Without a
    /// lease there is nothing to be done as long as none was removed.
    pub fn renew(&mut self) -> bool {
        self.promote();
        self.are_in_place() && (self.lease_s == FOREVER && self.are_up || self.add("renew"))
    }

    /// True if no other address goes when one of them goes, which may have to be said again.
    fn promote(&mut self) -> bool {
        let mut promotions = self.cards.iter_mut().filter_map(|card| card.promotion.as_mut());
        promotions.all(|promotion| promotion.ensure_again(&mut self.requests))
    }

    /// They were added where they ought to be.
    fn are_in_place(&self) -> bool {
        let index = |added: &Added| added.index;
        self.held.iter().map(index).eq(self.addresses.iter().map(index))
    }

    /// Asks the kernel whether all that this process has added are there.
    pub fn check_presence(&mut self) -> bool {
        let mut missing = self.held.clone();
        let asked = self.requests.addresses(NO_INTERFACE, &mut |found| {
            missing.retain(|&Added { cidr, index, .. }| {
                // One of IPv6 keeps the prefix with which another program may have added it.
                let is_same = cidr == found.cidr || cidr.address == found.cidr.address && cidr.address.is_ipv6();
                index != found.index || !is_same
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
        for promotion in self.cards.iter_mut().filter_map(|card| card.promotion.as_mut()) {
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
        if !self.promote() {
            return;
        }
        self.vacate();
        self.clear(&mut |cidr| warn!("{cidr} was up though this node is not active: removed"));
        self.end_shortage();
    }

    /// Removes them from where they were added; false if they were not.
    fn vacate(&mut self) -> bool {
        let held = self.held.clone();
        self.remove(&held, &mut |_| ());
        if self.remove_at.is_none() {
            // What the kernel refused to remove is still there.
            self.held.clear();
        }
        !held.is_empty()
    }

    /// Removes what another program has added; on the first card only what is not its only address.
    fn clear(&mut self, each: &mut dyn FnMut(Cidr)) {
        let mut meant = self.addresses.clone();
        let first = self.cards[0].index;
        if self.device.is_some() {
            self.remove(&meant, each);
            meant.iter_mut().for_each(|added| added.index = first);
        }
        let may_go = |cidr: Cidr| self.others.is_some_and(|others| others.allow_removal(cidr.address));
        meant.retain(|added| added.index != first || may_go(added.cidr));
        self.remove(&meant, each);
    }

    fn end_shortage(&mut self) {
        if self.remove_at.is_none() && self.not_removed.record_success() {
            info!("remove {}: done this time", Listed(&self.addresses));
        }
    }

    /// Tells the LAN of the address with this index, if there is one: by gratuitous ARP, both forms, or by an NA.
    pub fn announce(&mut self, index: u8, now: Instant) {
        if let Some((card, address)) = self.held(index) {
            let is_router = address.is_ipv6() && self.requests.forwards(self.cards[card].index).unwrap_or(false);
            self.send(card, Frame::Announcement { address, is_router }, now);
        }
    }

    /// Asks a neighbour on behalf of the address with this index, if there is one.
    pub fn ask(&mut self, index: u8, neighbour: IpAddr, to: Option<Mac>, now: Instant) {
        if let Some((card, address)) = self.held(index) {
            self.send(card, Frame::Question { address, neighbour, to }, now);
        }
    }

    /// Asks who has `address` on this link. No cache learns from it, so it does not matter from where: a device may be down.
    pub fn probe(&mut self, link: u8, address: IpAddr, now: Instant) {
        self.send(link.into(), Frame::Probe(address), now);
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
        for (card, frame) in std::mem::take(&mut self.kept) {
            if are_certain {
                self.try_send(card, frame, false);
            }
        }
    }

    /// The gateways of a link: one of each of the families there at most.
    pub fn gateways(&mut self, link: usize) -> io::Result<Found> {
        let mut found = Found::new();
        for family in self.families(link) {
            found.extend(self.requests.gateway(self.cards[link].index, family)?);
        }
        Ok(found)
    }

    /// The hosts on a link that the kernel knows, those of one of the families there before those of the other.
    pub fn neighbours(&mut self, link: usize) -> io::Result<Found> {
        let mut found = Found::new();
        for family in self.families(link) {
            let room = found.capacity() - found.len();
            found.extend(self.requests.neighbours(self.cards[link].index, family)?.into_iter().take(room));
        }
        Ok(found)
    }

    fn families(&self, link: usize) -> impl Iterator<Item = Family> + use<> {
        [Family::V4, Family::V6].map(|family| self.has(link, family).then_some(family)).into_iter().flatten()
    }

    /// The address with this index, and its card, if they are where they ought to be.
    fn held(&self, index: u8) -> Option<(usize, IpAddr)> {
        let index = usize::from(index);
        let added = self.addresses.get(index).filter(|_| self.are_in_place())?;
        Some((self.card_of(index), added.cidr.address))
    }

    /// Adds or renews them. With each renewal of an address of IPv6 the kernel reports all multicast groups of the interface anew, so
    /// that those are renewed more rarely, all at once, so that their leases end as one: whatever timer ends the first of them is late for
    /// the others.
    fn add(&mut self, verb: &str) -> bool {
        let now = clock::now();
        let is_all = !self.are_up || now >= self.renew_at;
        let mut due = self.addresses.clone();
        due.retain(|added| is_all || added.cidr.address.is_ipv4());
        if due.is_empty() {
            return true;
        }
        let lease_s = self.lease_s;
        let outcome = twice(&mut self.requests, &mut |requests| requests.add(&due, lease_s));
        self.are_up = outcome.is_ok();
        if is_all {
            self.renew_at = now + LONG_LEASE_RENEWED.min(Duration::from_secs(self.lease_s.into()) / 2);
        }
        match outcome {
            Ok(()) => {
                if self.not_added.record_success() {
                    info!("{verb} {}: done this time", Listed(&self.addresses));
                }
            }
            Err(refused) => {
                // The worker logs each time that this node is unfit for it, and tries again more and more rarely.
                if self.not_added.record_refusal() {
                    error!("{verb} {}: {}", about(&due, refused), refused.errno);
                }
            }
        }
        self.are_up
    }

    /// Removes `meant`, with whatever prefixes: the kernel removes one of each at a time. Calls `each` with
    /// those that were there.
    fn remove(&mut self, meant: &[Added], each: &mut dyn FnMut(Cidr)) {
        if meant.is_empty() {
            return;
        }
        for removed in 0..PREFIXES {
            let mut is_done = true;
            let outcome = twice(&mut self.requests, &mut |requests| {
                requests.remove(meant, &mut |position| {
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
                    error!("remove {about}: {errno}; tried again, at least every 10s");
                }
                self.remove_at = Some(clock::now() + self.not_removed.pause());
            }
            if is_done {
                return;
            }
        }
    }

    fn send(&mut self, card: usize, frame: Frame, now: Instant) {
        let count = match frame {
            Frame::Announcement { address, .. } => announce::cost(address.is_ipv4()),
            Frame::Question { .. } | Frame::Probe(_) => 1,
        };
        if self.frames.spend(count, now) {
            self.try_send(card, frame, true);
        }
    }

    /// Sends a frame. Of one that a fence drops, because no heartbeat has left for a while, the kernel says so (ENOBUFS): it may
    /// be kept for later.
    fn try_send(&mut self, card: usize, frame: Frame, may_keep: bool) {
        let Some(Card { sender, name, .. }) = self.cards.get(card) else { return };
        let (verb, address, outcome) = match frame {
            Frame::Announcement { address, is_router } => ("announce", address, sender.announce(address, is_router)),
            Frame::Question { address, neighbour, to } => ("ask from", address, sender.ask(address, neighbour, to)),
            Frame::Probe(address) => ("probe", address, sender.probe(address)),
        };
        match outcome {
            Ok(()) => {}
            // A question whether somebody has it passes a fence.
            Err(Errno::NOBUFS)
                if may_keep && !matches!(frame, Frame::Probe(_)) && self.kept.push((card, frame)).is_ok() => {}
            Err(error) => warn!("{verb} {address} on {}: {error}", name.label(self.alias)),
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

/// As many as the core sends at once.
const MAX_KEPT: usize = 8;

/// Time for the worker to send its packet when a beat is acknowledged.
const HEARTBEAT_LEAVES: Duration = Duration::from_millis(2);

/// However long the lease is.
const LONG_LEASE_RENEWED: Duration = Duration::from_secs(1);

/// No interface has this number.
pub const NO_INTERFACE: u32 = 0;

/// Of the cards.
const DEVICE: usize = 1;

/// An address of IPv4 can be there once with each prefix length, 0..=32; one of IPv6 is there once.
const PREFIXES: usize = 33;

/// INFINITY_LIFE_TIME (linux/if_addr.h).
const FOREVER: u32 = u32::MAX;
