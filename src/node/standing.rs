//! What a STANDBY does for the address: claim it, take it over, or leave it to somebody else.

use super::io::Outputs;
use super::{ASKS_PER_INTERVAL, Node, QUERIES_PER_INTERVAL, Role, Successor};
use crate::election::Candidate;
use crate::node::Reason;
use crate::peers::{Peer, hearsay};
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{Flags, Kind};

impl Node {
    /// Claims, or takes over, if that is this node's turn.
    pub(super) fn stand_for_election(&mut self, now: Instant, successor: Option<Successor>, out: &mut Outputs) {
        let probes = self.timers.take(Timer::Probe, now);
        if self.listening.is_nearly_ready(now, &self.config) && self.ready_since.is_none() {
            self.speak(now, Kind::Heartbeat, out);
            self.timers.set(Timer::Decide, now + self.until_known());
        }
        if !self.has_quorum(now) {
            self.listening.restart(now);
        }
        if let Some(active) = self.peers.active(now).copied() {
            self.forget_successor();
            self.claim_from(now, &active, out);
            let asks = self.suspect(now, &active, out);
            self.look_out(now, active.expires_at(), probes, asks, out);
            return;
        }
        self.timers.stop(Timer::Claim);
        self.timers.stop(Timer::Query);
        if self.listening.is_ready(now, &self.config) {
            self.listen_for_claims(now);
        }
        // Who names it has heard it; that we do not says nothing.
        let is_able = |named: &Successor| {
            let is_unable = |peer: &Peer| peer.is_alive(now) && !peer.is_eligible(now);
            self.strangers.awaits(named.node) || !self.peers.get(named.node).is_some_and(is_unable)
        };
        let successor = successor.filter(is_able);
        if successor.is_some() && self.timers.is_set(Timer::Successor) && !self.timers.take(Timer::Successor, now) {
            if successor.is_some_and(|named| named.is_ours) && probes {
                self.look_out(now, now, probes, true, out);
            }
            return;
        }
        self.forget_successor();
        if successor.is_some() && self.config.quorum().is_some() {
            // It may have taken the address and be cut off since; then it lets go within our tolerance.
            self.listening.restart(now);
        }
        let Some(me) = self.candidate() else { return };
        if !self.may_take_over(now) || self.is_partition_likely(now) {
            if let Some(ready_at) = self.listening.ready_at(&self.config).filter(|&at| at > now) {
                self.look_out(now, ready_at, probes, true, out);
            }
            return;
        }
        let reason = match successor.filter(|named| named.is_ours) {
            // Whoever is more worthy waits until the successor counts as dead, and we know better.
            Some(Successor { node: peer, .. }) => Reason::SuccessorSilent { peer },
            None if self.is_outdone(now, me) => return,
            None => match self.starter_ready_by(now, me) {
                Some(by) => return self.timers.set(Timer::Decide, by),
                None => self.vacancy(now),
            },
        };
        if reason.is_silence() && self.is_in_use(now, out) {
            let is_due = probes || !self.timers.is_set(Timer::Probe);
            self.look_out(now, now, is_due, true, out);
        } else {
            self.take(now, reason, out);
        }
    }

    /// Asks a less worthy ACTIVE for the address, again and again until it answers.
    fn claim_from(&mut self, now: Instant, active: &Peer, out: &mut Outputs) {
        let is_settled = |peer: &Peer| peer.is_eligible(now) && peer.has(Flags::SETTLED);
        let is_my_turn = self.candidate().is_some_and(|me| {
            self.listening.is_settled(now, &self.config)
                && self.has_quorum(now)
                && me > active.candidate()
                && !active.has(Flags::STICKY)
                && !self.peers.iter().any(|peer| is_settled(peer) && peer.candidate() > me)
        });
        if !is_my_turn {
            self.timers.stop(Timer::Claim);
        } else if !self.timers.is_set(Timer::Claim) || self.timers.take(Timer::Claim, now) {
            self.speak(now, Kind::Claim, out);
            self.claimed_from = Some(active.node());
            self.timers.set(Timer::Claim, now + self.config.interval().split(ASKS_PER_INTERVAL));
            self.timers.set(Timer::Claimed, now + self.config.interval());
        }
    }

    /// Asks an ACTIVE that is overdue, if we are the one to take over from it; a claim is a question too. True if we are the one.
    fn suspect(&mut self, now: Instant, active: &Peer, out: &mut Outputs) -> bool {
        let is_my_turn = self.may_take_over(now)
            && self.candidate().is_some_and(|me| {
                let is_rival = |peer: &Peer| peer.node() != active.node() && peer.has(Flags::READY);
                !self.peers.iter().any(|peer| is_rival(peer) && peer.is_eligible(now) && peer.candidate() > me)
            });
        let suspect_at = active.suspect_at();
        if !is_my_turn || !self.config.suspicion() || self.timers.is_set(Timer::Claim) {
            self.timers.stop(Timer::Query);
        } else if now < suspect_at {
            self.timers.set(Timer::Query, suspect_at);
        } else if !self.timers.is_set(Timer::Query) || self.timers.take(Timer::Query, now) {
            self.speak(now, Kind::Query, out);
            self.timers.set(Timer::Query, now + self.config.interval().split(QUERIES_PER_INTERVAL));
        }
        is_my_turn
    }

    /// Whoever was named to take the address is out of the story.
    pub(super) fn forget_successor(&mut self) {
        self.role = Role::Standby { successor: None };
        self.timers.stop(Timer::Successor);
    }

    /// True if silence is evidence, and others know that we think so: else two could believe to be the most worthy.
    fn may_take_over(&self, now: Instant) -> bool {
        let is_known = self.ready_since.is_some_and(|since| now >= since + self.until_known());
        let is_doubtful = self.doubts_until().is_some_and(|until| now < until);
        is_known && self.listening.is_ready(now, &self.config) && !is_doubtful
    }

    /// Somebody of an unknown boot has said that it is ACTIVE. It may be recorded, or its answer may have got lost: whoever has
    /// just begun to listen waits one tolerance longer for it, once.
    pub(super) fn doubts_until(&self) -> Option<Instant> {
        let active_until = self.strangers.active_until();
        active_until.and_then(|until| self.listening.doubts_until(&self.config).map(|end| end.min(until)))
    }

    /// From saying that we are ready until others know it, or, with a quorum, until who does not know it shows by its silence.
    fn until_known(&self) -> Duration {
        let silence = self.config.quorum().map_or(Duration::ZERO, |_| self.config.interval());
        hearsay(self.config.interval()) + silence
    }

    /// Why nobody has the address.
    fn vacancy(&self, now: Instant) -> Reason {
        match self.last_active.and_then(|node| self.peers.get(node)) {
            Some(peer) if peer.is_alive(now) => Reason::Resigned { peer: peer.node(), state: peer.said.state },
            Some(peer) => Reason::Silent { peer: peer.node(), silence: now.since(peer.heard_at) },
            None => Reason::Nobody { listened: self.config.tolerance() },
        }
    }

    /// True if somebody else should take the address rather than `me`.
    fn is_outdone(&self, now: Instant, me: Candidate) -> bool {
        let waits_for_starters = self.listening.waits_for_starters(now, &self.config);
        self.peers.iter().any(|peer| {
            peer.is_eligible(now) && peer.candidate() > me && (peer.has(Flags::READY) || waits_for_starters)
        })
    }

    /// By when a more worthy node that is just getting ready has said so: both would take over if its word is under way.
    fn starter_ready_by(&self, now: Instant, me: Candidate) -> Option<Instant> {
        let starters = self.peers.iter().filter(|peer| peer.is_eligible(now) && peer.candidate() > me);
        starters.filter_map(|peer| peer.ready_by(now)).max()
    }

    pub(super) fn candidate(&self) -> Option<Candidate> {
        let worthiness = self.config.worthiness();
        self.id.filter(|_| worthiness > 0).map(|node| Candidate::new(worthiness, node))
    }
}
