//! What outlives every state of a node: its identity, the peers that it hears, what it may send, and what it counts.

use core::net::IpAddr;

use super::io::Macs;
use super::lan::{Lan, is_neighbourly};
use super::listening::Listening;
use super::voice::Voice;
use crate::config::{Config, of_family};
use crate::counters::Counters;
use crate::election::Candidate;
use crate::neighbours::Kind;
use crate::peers::{Peer, Peers, hearsay};
use crate::strangers::Strangers;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::arp::Mac;
use crate::wire::{NodeId, Seal};

/// A node without its state.
#[derive(Debug, Clone)]
pub(super) struct Station {
    pub config: Config,
    pub seal: Seal,
    /// None until the link was up for the first time.
    pub interface: Option<Interface>,
    pub counters: Counters,
    pub peers: Peers,
    pub strangers: Strangers,
    /// What its silence is worth as evidence that no node is ACTIVE.
    pub listening: Listening,
    /// What its silence is worth as evidence that a peer is missing: a missing quorum makes no difference to that.
    pub ears: Listening,
    /// Since when others can know that this node is ready.
    pub ready_since: Option<Instant>,
    /// The node that was ACTIVE last, as far as this one heard.
    pub last_active: Option<NodeId>,
    /// When the node heard the last packet with a wrong tag.
    pub forged_at: Option<Instant>,
    pub voice: Voice,
    pub lan: Lan,
    /// Frames from the address leave only while this node says ACTIVE.
    pub is_fenced: bool,
    /// When the address went last.
    pub released_at: Option<Instant>,
    /// As long as this runs, packets say that the node had the address a moment ago.
    pub released: Timer,
    /// From then on the node may say again that it has put the address back.
    pub may_say_put_back_from: Instant,
    /// Takes that the kernel has refused one after the other.
    pub refusals: u32,
}

/// The interface that the node is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    /// The real address that the node is known by.
    pub node: NodeId,
    /// Bits of the prefix of its subnet.
    pub prefix: u8,
    pub macs: Macs,
}

impl Station {
    pub(super) fn new(config: Config, seal: Seal, seed: u64, now: Instant) -> Self {
        Self {
            lan: Lan::new(&config, now),
            config,
            seal,
            interface: None,
            counters: Counters::default(),
            peers: Peers::default(),
            strangers: Strangers::new(seed, now),
            listening: Listening::DEAF,
            ears: Listening::DEAF,
            ready_since: None,
            last_active: None,
            forged_at: None,
            voice: Voice::new(seed, now),
            is_fenced: false,
            released_at: None,
            released: Timer::OFF,
            may_say_put_back_from: now,
            refusals: 0,
        }
    }

    /// The address is gone, or the fence has closed: caches may still point here.
    pub(super) fn note_release(&mut self, now: Instant) {
        self.released_at = Some(now);
        self.released.set(now + self.config.tolerance());
    }

    /// The node's own name.
    pub(super) fn id(&self) -> Option<NodeId> {
        self.interface.map(|interface| interface.node)
    }

    /// The node's own hardware address on this link.
    pub(super) fn mac(&self, link: u8) -> Option<Mac> {
        self.interface?.macs.get(usize::from(link)).copied()
    }

    /// This node's place in the election; none if it never hosts.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        let worthiness = self.config.worthiness();
        self.id().filter(|_| worthiness > 0).map(|node| Candidate::new(worthiness, node))
    }

    /// A peer that is ACTIVE.
    pub(super) fn active(&self, now: Instant) -> Option<NodeId> {
        self.peers.active(now).map(Peer::node)
    }

    /// The node that was ACTIVE last, with what it said last.
    pub(super) fn last_owner(&self) -> Option<&Peer> {
        self.last_active.and_then(|node| self.peers.get(node))
    }

    /// Silence counts anew, as after a link that came up or a node that slept.
    pub(super) fn listen_from(&mut self, listening: Listening) {
        (self.listening, self.ears) = (listening, listening);
    }

    /// True if a STANDBY sends its heartbeats when it hears those of an ACTIVE. With a quorum it is counted on to the moment.
    pub(super) fn is_in_step(&self, now: Instant) -> bool {
        self.config.quorum().is_none() && self.peers.active(now).is_some()
    }

    /// True if silence is evidence, and the others know that this node thinks so: else two could believe to be the most worthy.
    pub(super) fn may_take_over(&self, now: Instant) -> bool {
        let is_known = self.ready_since.is_some_and(|since| now >= since + self.until_known());
        let is_doubtful = self.doubts_until().is_some_and(|until| now < until);
        is_known && self.listening.is_ready(now, &self.config) && !is_doubtful
    }

    /// A node of an unknown boot has said that it is ACTIVE. The packet may be recorded, or its response may have got lost: a node
    /// that has just begun to listen waits one tolerance longer for it, once.
    pub(super) fn doubts_until(&self) -> Option<Instant> {
        let active_until = self.strangers.active_until();
        active_until.and_then(|until| self.listening.doubts_until(&self.config).map(|end| end.min(until)))
    }

    /// From saying that this node is ready until others know it, or, with a quorum, until a node that does not know it shows that
    /// by its silence.
    pub(super) fn until_known(&self) -> Duration {
        let silence = self.config.quorum().map_or(Duration::ZERO, |_| self.config.interval());
        hearsay(self.config.interval()) + silence
    }

    /// The kernel knows a neighbour on this link.
    pub(super) fn enter_neighbour(&mut self, now: Instant, link: u8, address: IpAddr, is_gateway: bool) {
        let kind = if is_gateway { Kind::Gateway } else { Kind::Cached };
        if is_neighbourly(address) && self.index_of(link, address).is_none() {
            self.lan.neighbours.learn(now, (link, address), None, kind, self.addresses_for(link, address));
        }
    }

    /// Which of the shared addresses of this link this is.
    pub(super) fn index_of(&self, link: u8, address: IpAddr) -> Option<u8> {
        let position = self.config.addresses().iter().position(|cidr| cidr.address == address);
        let index = position.filter(|&index| self.config.links()[index] == link)?;
        u8::try_from(index).ok()
    }

    /// A bit for each of them from which `neighbour` can be asked: those of its link and family.
    pub(super) fn addresses_for(&self, link: u8, neighbour: IpAddr) -> u16 {
        let links = self.config.links().iter().enumerate();
        let here = links.fold(0, |bits, (index, &its)| if its == link { bits | 1 << index } else { bits });
        here & of_family(self.config.addresses(), neighbour.is_ipv4())
    }
}
