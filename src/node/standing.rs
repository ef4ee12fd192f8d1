//! What a STANDBY does for the address: claim it, take it over, or leave it to somebody else.

use super::io::{Output, Outputs, push};
use super::{ASKS_PER_INTERVAL, Node, Role, Successor};
use crate::election::Candidate;
use crate::node::Reason;
use crate::time::Instant;
use crate::timers::Timer;
use crate::wire::{Flags, Kind, NodeId};

impl Node {
    /// Claims, or takes over, if that is this node's turn.
    pub(super) fn stand_for_election(&mut self, now: Instant, successor: Option<Successor>, out: &mut Outputs) {
        if self.timers.take(Timer::Probe, now) && self.peers.active(now).is_none() {
            push(out, Output::Probe);
        }
        let Some(me) = self.candidate() else { return };
        if let Some(active) = self.peers.active(now).copied() {
            self.role = Role::Standby { successor: None };
            self.timers.stop(Timer::Successor);
            let is_my_turn = self.listening.is_settled(now, &self.config)
                && me > active.candidate()
                && !active.has(Flags::STICKY)
                && !self
                    .peers
                    .iter()
                    .any(|peer| peer.is_eligible(now) && peer.has(Flags::SETTLED) && peer.candidate() > me);
            if !is_my_turn {
                self.timers.stop(Timer::Claim);
            } else if !self.timers.is_set(Timer::Claim) || self.timers.take(Timer::Claim, now) {
                self.speak(now, Kind::Claim, out);
                self.timers.set(Timer::Claim, now + self.config.interval().split(ASKS_PER_INTERVAL));
            }
            return;
        }
        self.timers.stop(Timer::Claim);
        if self.timers.is_set(Timer::Successor) && !self.timers.take(Timer::Successor, now) {
            return;
        }
        self.role = Role::Standby { successor: None };
        let passed_over = successor.filter(|successor| successor.is_ours).map(|successor| successor.node);
        if !self.listening.is_ready(now, &self.config) || self.is_outdone(now, me, passed_over) {
            return;
        }
        let reason = passed_over.map(|peer| Reason::SuccessorSilent { peer });
        self.take(now, reason.unwrap_or_else(|| self.vacancy(now)), out);
    }

    /// Why nobody has the address.
    pub(super) fn vacancy(&self, now: Instant) -> Reason {
        match self.last_active.and_then(|node| self.peers.get(node)) {
            Some(peer) if peer.is_alive(now) => Reason::Resigned { peer: peer.node(), state: peer.said.state },
            Some(peer) => Reason::Silent { peer: peer.node(), silence: now.since(peer.heard_at) },
            None => Reason::Nobody { listened: self.config.tolerance() },
        }
    }

    /// True if somebody else should take the address rather than `me`.
    pub(super) fn is_outdone(&self, now: Instant, me: Candidate, passed_over: Option<NodeId>) -> bool {
        let waits_for_starters = self.listening.waits_for_starters(now, &self.config);
        self.peers.iter().any(|peer| {
            peer.is_eligible(now)
                && peer.candidate() > me
                && Some(peer.node()) != passed_over
                && (peer.has(Flags::READY) || waits_for_starters)
        })
    }

    pub(super) fn candidate(&self) -> Option<Candidate> {
        let worthiness = self.config.worthiness();
        self.id.filter(|_| worthiness > 0).map(|node| Candidate { worthiness, node })
    }
}
