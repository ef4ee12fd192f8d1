//! Being ACTIVE only among enough living nodes (rule 8).
//!
//! In a partition at most one side has more than half of the nodes. So that its ACTIVE may take over as usual, the one on
//! the other side lets go an interval, and what a packet may be late, before the tolerance of those who hear it no more.
//! And no node takes a vacant address while another one may have taken it unheard.

use super::Reason;
use super::leave::{Leave, Then};
use super::station::Station;
use crate::peers::{Peer, hearsay};
use crate::time::Instant;
use crate::wire::State;

impl Station {
    /// True if enough nodes are alive, or if that does not matter.
    pub(super) fn has_quorum(&self, now: Instant) -> bool {
        self.config.quorum().is_none_or(|needed| self.alive(now) >= needed.into())
    }

    /// Rule 8: an ACTIVE that misses its quorum lets go in time, and then needs a tolerance among enough nodes before it takes the
    /// address again.
    pub(super) fn misses_quorum(&self, now: Instant) -> Option<Leave> {
        let needed = self.config.quorum().filter(|_| !self.has_quorum(now))?;
        Some((Then::Listen { link_up: None }, Reason::Quorum { alive: self.alive(now), needed }))
    }

    /// True if a node that could have taken the address is overdue: it may be on the other side of a partition, and is
    /// ACTIVE there until it misses its quorum. That is over when it counts as dead.
    pub(super) fn is_partition_likely(&self, now: Instant) -> bool {
        let is_missed = |peer: &Peer| peer.is_eligible(now) && now > peer.overdue_at();
        self.config.quorum().is_some() && self.peers.iter().any(is_missed)
    }

    /// When one node less may be alive.
    pub(super) fn quorum_doubt(&self, now: Instant) -> Option<Instant> {
        self.config.quorum()?;
        self.peers.iter().filter_map(|peer| self.counted_until(peer)).filter(|&at| at > now).min()
    }

    /// This node and those that were heard of late.
    fn alive(&self, now: Instant) -> usize {
        1 + self.peers.iter().filter(|peer| self.counted_until(peer).is_some_and(|at| at > now)).count()
    }

    fn counted_until(&self, peer: &Peer) -> Option<Instant> {
        let patience = self.config.tolerance().saturating_sub(self.config.interval() + hearsay(self.config.interval()));
        let is_leaving = peer.said.state == State::Shutdown;
        (!is_leaving).then(|| peer.heard_at + patience.min(peer.said.hold))
    }
}
