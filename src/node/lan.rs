//! What a node knows of the LAN by ARP and ND, and how much of it it may send: the neighbours, the hosts that contradict it, the
//! routers that answer for everybody.

use core::net::{IpAddr, Ipv4Addr};

use heapless::Vec;

use super::io::{Output, Outputs, push};
use crate::budget::Budget;
use crate::config::{Config, MAX_LINKS};
use crate::defence::Defence;
use crate::neighbours::{Host, Neighbours};
use crate::peers::{Peer, Peers};
use crate::proxies::Proxies;
use crate::time::{Duration, Instant};
use crate::wire::arp::Mac;
use crate::wire::{NodeId, Resolution};

/// What outlives the states of a node, as far as it has to do with ARP and ND.
#[derive(Debug, Clone)]
pub(super) struct Lan {
    /// ARP and ND of all kinds.
    pub frames: Budget,
    pub neighbours: Neighbours,
    pub defence: Defence,
    pub proxies: Proxies,
    /// When this node sent its last probes, and for what.
    pub probed_at: Option<Instant>,
    probed: Vec<Host, MAX_LINKS>,
    /// The host that said last that it has an address of ours, and when.
    pub last_conflict: Option<(Mac, Instant)>,
    /// Decoys that were drawn.
    pub decoys: u64,
}

impl Lan {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            frames: Budget::new(BURST_OF_FRAMES, config.announce_rate(), now),
            neighbours: Neighbours::default(),
            defence: Defence::default(),
            proxies: Proxies::default(),
            probed_at: None,
            probed: Vec::new(),
            last_conflict: None,
            decoys: 0,
        }
    }

    /// Asks a link by a probe which host has this address; once at a time for each link.
    pub(super) fn probe(&mut self, now: Instant, (link, address): Host, out: &mut Outputs) {
        if self.probed_at.replace(now) != Some(now) || self.probed.is_full() {
            self.probed.clear();
        }
        self.probed.extend([(link, address)]);
        push(out, Output::Probe { link, address });
    }

    /// True for the answer to a probe of this node.
    pub(super) fn is_answer(&self, now: Instant, said: &Resolution) -> bool {
        let may_be_unasked = said.to.is_ipv6();
        let within = if may_be_unasked { ADVERTISED_WITHIN } else { ANSWERED_WITHIN };
        let is_soon = self.probed_at.is_some_and(|at| now < at + within);
        said.answers_probe() && is_soon && (!may_be_unasked || self.probed.contains(&(said.link, said.from)))
    }

    /// The member of the group with this hardware address, if the node knows one.
    pub(super) fn member(&self, mac: Mac, peers: &Peers) -> Option<NodeId> {
        self.neighbours.named(mac).find_map(|address| peers.get(NodeId::new(address))).map(Peer::node)
    }
}

/// False for what no host has.
pub(super) fn is_neighbourly(address: IpAddr) -> bool {
    let is_all = address.is_multicast() || address == Ipv4Addr::BROADCAST;
    !(address.is_unspecified() || address.is_loopback() || is_all)
}

/// Frames at once after a rest: both forms of the first announcement, questions to the gateway and one more, and two other
/// announcements.
const BURST_OF_FRAMES: u64 = 8;

/// An answer to a probe comes within this, or is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// The same for an NA, which does not show whether it was asked for; one that comes later is worth three probes, 100 ms apart.
const ADVERTISED_WITHIN: Duration = Duration::from_millis(100);
