//! What a node knows of the LAN by ARP, and how much ARP it may send: the neighbours, the hosts that contradict it, the
//! routers that answer for everybody.

use core::net::Ipv4Addr;

use super::Note;
use super::io::{Output, Outputs, push};
use super::station::Station;
use crate::budget::Budget;
use crate::config::{Config, MAX_ADDRESSES};
use crate::defence::Defence;
use crate::hash::hash;
use crate::neighbours::{Kind, Neighbours};
use crate::peers::{Peer, Peers};
use crate::proxies::{Evidence, Proxies, Suspicion};
use crate::time::{Duration, Instant};
use crate::wire::arp::{Arp, Mac};
use crate::wire::{NodeId, State};

/// What outlives the states of a node, as far as it has to do with ARP.
#[derive(Debug, Clone)]
pub(super) struct Lan {
    /// ARP of all kinds.
    pub frames: Budget,
    pub neighbours: Neighbours,
    pub defence: Defence,
    pub proxies: Proxies,
    /// When this node sent its last probe.
    pub probed_at: Option<Instant>,
    /// The host that said last by ARP that it has an address of ours, and when.
    pub last_conflict: Option<(Mac, Instant)>,
    /// Decoys that were drawn.
    decoys: u64,
}

impl Lan {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            frames: Budget::new(BURST_OF_FRAMES, config.announce_rate(), now),
            neighbours: Neighbours::default(),
            defence: Defence::default(),
            proxies: Proxies::default(),
            probed_at: None,
            last_conflict: None,
            decoys: 0,
        }
    }

    /// Asks the LAN by a probe which host has `address`.
    pub(super) fn probe(&mut self, now: Instant, address: Ipv4Addr, out: &mut Outputs) {
        self.probed_at = Some(now);
        push(out, Output::Probe(address));
    }

    /// True for the answer to a probe of this node.
    pub(super) fn is_answer(&self, now: Instant, arp: &Arp) -> bool {
        arp.answers_probe() && self.probed_at.is_some_and(|at| now < at + ANSWERED_WITHIN)
    }

    /// The member of the group with this hardware address, if the node knows one.
    pub(super) fn member(&self, mac: Mac, peers: &Peers) -> Option<NodeId> {
        let node = NodeId::from_v4(self.neighbours.named(mac)?);
        peers.get(node).map(Peer::node)
    }
}

impl Station {
    /// The kernel knows a neighbour on this LAN.
    pub(super) fn enter_neighbour(&mut self, now: Instant, address: Ipv4Addr, is_gateway: bool) {
        let kind = if is_gateway { Kind::Gateway } else { Kind::Cached };
        if is_neighbourly(address) && self.index_of(address).is_none() {
            self.lan.neighbours.learn(now, address, None, kind, self.all_addresses());
        }
    }

    /// Living peers may be clients of the address too; and the node knows those that have answered by their hardware address.
    pub(super) fn enter_members(&mut self, now: Instant) {
        let all = self.all_addresses();
        for peer in self.peers.iter().filter(|peer| peer.is_alive(now) && peer.said.state != State::Shutdown) {
            self.lan.neighbours.learn(now, peer.node().to_v4(), None, Kind::Member, all);
        }
    }

    /// Which of the shared addresses this is.
    pub(super) fn index_of(&self, address: Ipv4Addr) -> Option<u8> {
        let position = self.config.addresses().iter().position(|cidr| cidr.address == address);
        position.and_then(|position| u8::try_from(position).ok())
    }

    /// A bit for each of them.
    fn all_addresses(&self) -> u16 {
        u16::MAX >> (MAX_ADDRESSES - self.config.addresses().len())
    }

    /// Asks for a decoy, if this host, which has answered a probe, may answer for everybody. True if it does not.
    pub(super) fn examine(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, out: &mut Outputs) -> bool {
        let again = match self.lan.proxies.examine(now, mac) {
            Suspicion::Cleared => return true,
            Suspicion::Open => return false,
            Suspicion::Ask(again) => again,
        };
        let Some(decoy) = again.or_else(|| self.draw_decoy(address)) else {
            self.lan.proxies.clear(now);
            return true;
        };
        if self.lan.frames.spend(1, now) {
            self.lan.proxies.asked(now, decoy);
            push(out, Output::Probe(decoy));
        }
        false
    }

    /// A host has answered for an address that is none of ours. True if it answers for everybody: its answers do not count.
    pub(super) fn hear_decoy(&mut self, now: Instant, arp: Arp, out: &mut Outputs) -> bool {
        let Arp { mac, from: decoy, .. } = arp;
        match self.lan.proxies.answered_for(now, mac, decoy) {
            Evidence::None => false,
            Evidence::AskNext => {
                // Of the same network as the address.
                self.examine(now, mac, decoy, out);
                false
            }
            Evidence::Proxy { is_news } => {
                if is_news {
                    self.report_proxy(mac, out);
                }
                true
            }
        }
    }

    pub(super) fn report_proxy(&self, mac: Mac, out: &mut Outputs) {
        push(out, Output::Note(Note::Proxy { mac, member: self.lan.member(mac, &self.peers) }));
    }

    /// An address of the same network as `address`, drawn at random, unless the network is too small to have decoys.
    pub(super) fn draw_decoy(&mut self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let interface = self.interface?;
        let me = interface.node.to_v4();
        let hosts = |prefix: u8| u32::MAX.checked_shr(prefix.max(LARGEST).into()).unwrap_or(0);
        let is_of_ours = |mask: u32| address.to_bits() & !mask == me.to_bits() & !mask;
        let own = Some(hosts(interface.prefix)).filter(|&mask| is_of_ours(mask));
        let configured = self.config.addresses().iter().map(|cidr| hosts(cidr.prefix)).max();
        let mask = own.or(configured).filter(|&mask| mask >= FEWEST)?;
        (0..DRAWS).find_map(|_| {
            self.lan.decoys += 1;
            let [a, b, c, d, ..] = hash(&[&self.voice.boot.to_le_bytes(), &self.lan.decoys.to_le_bytes()]);
            let host = u32::from_le_bytes([a, b, c, d]) & mask;
            let drawn = Ipv4Addr::from_bits(address.to_bits() & !mask | host);
            let is_free = drawn != me && self.index_of(drawn).is_none() && is_neighbourly(drawn);
            // Neither the network nor its broadcast.
            Some(drawn).filter(|_| is_free && host != 0 && host != mask)
        })
    }

    /// Between two announcements at rest.
    ///
    /// A peer that fell silent, did not answer yet, or was never heard may live where only this node does not hear it, have the
    /// address there, and let go of it unheard: its clients are ours again within a tolerance. At most two frames a second. What
    /// was recorded of a peer that has left makes no difference.
    pub(super) fn announce_interval(&self, now: Instant) -> Duration {
        let usual = self.config.announce_interval();
        let has_left = |peer: &Peer| peer.said.state == State::Shutdown;
        let none_is_missing = self.peers.iter().all(|peer| peer.is_alive(now) || has_left(peer));
        let knows_a_peer = self.peers.iter().next().is_some();
        let left = |node| self.peers.get(node).is_some_and(has_left);
        if knows_a_peer && none_is_missing && !self.strangers.is_missing_one(now, left) {
            return usual;
        }
        let least = Duration::from_secs(self.config.addresses().len().try_into().unwrap_or(u64::MAX));
        usual.min(self.config.tolerance().max(least))
    }
}

/// False for what no host has.
pub(super) fn is_neighbourly(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// ARP frames at once after a rest: both forms of the first announcement, questions to the gateway and one more, and two other
/// announcements.
const BURST_OF_FRAMES: u64 = 8;

/// An answer to a probe comes within this, or is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Decoys are drawn from no more than this part of a network, and from no smaller network than one with eight addresses.
const LARGEST: u8 = 8;
const FEWEST: u32 = 7;
const DRAWS: u32 = 8;
