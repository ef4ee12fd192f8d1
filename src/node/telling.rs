//! How an ACTIVE tells the LAN where the address is.

use core::net::Ipv4Addr;

use super::io::{Output, Outputs, push};
use super::{Node, Note, Role};
use crate::config::MAX_ADDRESSES;
use crate::neighbours::Kind;
use crate::peers::Peer;
use crate::time::{Duration, Instant, earliest};
use crate::wire::arp::Mac;
use crate::wire::{NodeId, State};

impl Node {
    /// Tells everybody from `at` on, and asks the neighbours whether they know.
    pub(super) fn announce_from(&mut self, at: Instant) {
        self.announcer.restart(at);
        self.neighbours.start(at);
    }

    /// Tells everybody again, since caches may be wrong.
    pub(super) fn announce_again(&mut self, now: Instant, out: &mut Outputs) {
        if matches!(self.role, Role::Active) {
            self.announce_from(now);
            self.announce(now, out);
        }
    }

    /// The same once a second at most: for what goes on, so that there are frames left when it ends.
    pub(super) fn announce_soon(&mut self, now: Instant, out: &mut Outputs) {
        if matches!(self.role, Role::Active) && self.announcer.started() <= now {
            self.announce_from(now.max(self.announcer.started() + Duration::from_secs(1)));
            self.announce(now, out);
        }
    }

    /// What is due, as far as there are frames left: gratuitous ARP first.
    pub(super) fn announce(&mut self, now: Instant, out: &mut Outputs) {
        while let Some(index) = self.announcer.poll(now, &mut self.frames) {
            push(out, Output::Announce(index));
        }
        if self.announcer.is_pending() {
            return;
        }
        while let Some(ask) = self.neighbours.poll(now, &mut self.frames) {
            push(out, Output::Ask(ask));
        }
        if let Some(coverage) = self.neighbours.finish(now) {
            self.counters.covered(coverage);
            push(out, Output::Note(Note::Covered(coverage)));
        }
    }

    /// When there is something to tell.
    pub(super) fn tells_at(&self) -> Option<Instant> {
        let gratuitous = self.announcer.deadline(&self.frames);
        let directed = self.neighbours.deadline(&self.frames).filter(|_| !self.announcer.is_pending());
        earliest(&[gratuitous, directed])
    }

    /// A peer that fell silent, did not answer yet, or was never heard may live where only we do not hear it, have the address
    /// there, and let go of it unheard: its clients are ours again within a tolerance. At most two frames a second. What somebody
    /// has recorded of one that has gone makes no difference.
    pub(super) fn announce_interval(&self, now: Instant) -> Duration {
        let usual = self.config.announce_interval();
        let has_left = |peer: &Peer| peer.said.state == State::Shutdown;
        let nobody_is_missing = self.peers.iter().all(|peer| peer.is_alive(now) || has_left(peer));
        let knows_somebody = self.peers.iter().next().is_some();
        let left = |node| self.peers.get(node).is_some_and(has_left);
        if knows_somebody && nobody_is_missing && !self.strangers.is_missing_somebody(now, left) {
            return usual;
        }
        let least = Duration::from_secs(self.config.addresses().len().try_into().unwrap_or(u64::MAX));
        usual.min(self.config.tolerance().max(least))
    }

    /// Living peers may be clients of the address too; and whoever has answered is known by its hardware address.
    pub(super) fn learn_members(&mut self, now: Instant) {
        let all = self.all_addresses();
        for peer in self.peers.iter().filter(|peer| peer.is_alive(now) && peer.said.state != State::Shutdown) {
            self.neighbours.learn(now, peer.node().to_v4(), None, Kind::Member, all);
        }
    }

    /// The kernel knows a neighbour on this LAN.
    pub(super) fn know(&mut self, now: Instant, address: Ipv4Addr, is_gateway: bool) {
        let kind = if is_gateway { Kind::Gateway } else { Kind::Cached };
        if is_neighbourly(address) && self.index_of(address).is_none() {
            self.neighbours.learn(now, address, None, kind, self.all_addresses());
        }
    }

    /// The member of the group with this hardware address, if we know one.
    pub(super) fn member(&self, mac: Mac) -> Option<NodeId> {
        let node = NodeId::from_v4(self.neighbours.named(mac)?);
        self.peers.get(node).map(Peer::node)
    }

    /// Which of the shared addresses this is.
    pub(super) fn index_of(&self, address: Ipv4Addr) -> Option<u8> {
        let position = self.config.addresses().iter().position(|cidr| cidr.address == address);
        position.and_then(|position| u8::try_from(position).ok())
    }

    /// A bit for each of them.
    pub(super) fn all_addresses(&self) -> u16 {
        u16::MAX >> (MAX_ADDRESSES - self.config.addresses().len())
    }
}

/// False for what no host has.
pub(super) fn is_neighbourly(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}
