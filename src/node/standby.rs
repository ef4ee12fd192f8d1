//! A STANDBY: it waits for its turn, and asks for the address, takes it over, or leaves it to another node.
//!
//! ```text
//!     an ACTIVE is heard ---- it is less worthy ----> claim (rule 4) ---- it hands over ----> take
//!            |                it is overdue --------> query (rule 2)
//!            v
//!     no node is ACTIVE ----- it resigned, or was silent for its hold, and we are the most worthy (rule 1)
//!                                  ---- and no host answers for the address (rule 9, in `probing`) ----> take
//! ```

use super::Reason;
use super::io::{Output, Outputs, push};
use super::probing::Probing;
use super::speaking::{ASKS_PER_INTERVAL, QUERIES_PER_INTERVAL, Word};
use super::station::Station;
use crate::election::Candidate;
use crate::peers::Peer;
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timer, earliest};
use crate::wire::{Flags, Heartbeat, Kind, NodeId, State};

/// What a STANDBY knows beside what it has heard.
#[derive(Debug, Clone)]
pub(super) struct Standby {
    pub(super) successor: Option<Successor>,
    claimed: Option<Claimed>,
    /// The next claim, as long as it is this node's turn to claim.
    claim: Timer,
    /// The next query, as long as it is this node's turn to take over.
    query: Timer,
    /// A look at the election.
    decide: Timer,
    /// The next time to see to it that the address is not there.
    asserts_at: Instant,
    /// Its heartbeats go with the ACTIVE's, or it has just begun to hear one; what that one says between them does not matter until
    /// then.
    pub(super) in_step_until: Option<Instant>,
    pub(super) probing: Probing,
}

/// A hand-over that this node has seen announced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Successor {
    pub node: NodeId,
    /// This node named it: if it stays silent, this node takes the address back.
    pub is_ours: bool,
    until: Instant,
}

/// An ACTIVE that this node has asked for the address, and how long it may answer.
#[derive(Debug, Clone, Copy)]
struct Claimed {
    from: NodeId,
    until: Instant,
}

impl Standby {
    /// It begins to listen.
    pub(super) fn new() -> Self {
        Self {
            successor: None,
            claimed: None,
            claim: Timer::OFF,
            query: Timer::OFF,
            decide: Timer::OFF,
            asserts_at: Instant::from_micros(0),
            in_step_until: None,
            probing: Probing::default(),
        }
    }

    /// It had the address until now; a host that says by ARP that it has it from now on has it.
    pub(super) fn after_release(now: Instant) -> Self {
        Self { probing: Probing::since(now), ..Self::new() }
    }

    /// It has handed the address over to `node`.
    pub(super) fn handing_over(now: Instant, node: NodeId, station: &Station) -> Self {
        let interval = station.config.interval();
        let mut standby = Self::after_release(now);
        standby.successor = Some(Successor { node, is_ours: true, until: now + interval });
        standby.probing.look.set(now + interval / 2);
        standby
    }

    /// The machine stood still: what this node asked before has no answer any more.
    pub(super) fn forget_questions(&mut self) {
        self.claimed = None;
        self.claim.stop();
        self.query.stop();
    }

    /// The node that its packets name: its successor, or the ACTIVE.
    pub(super) fn following(&self, station: &Station, now: Instant) -> Option<NodeId> {
        self.successor.map(|successor| successor.node).or_else(|| station.active(now))
    }

    pub(super) fn deadline(&self, station: &Station, now: Instant) -> Option<(Instant, Due)> {
        let doubts_until = station.doubts_until().filter(|&at| at > now);
        earliest(&[
            self.decide.due(Due::Decide),
            self.claim.due(Due::Claim),
            self.claimed.map(|claimed| (claimed.until, Due::Claimed)),
            self.query.due(Due::Query),
            self.probing.look.due(Due::Probe),
            self.successor.map(|successor| (successor.until, Due::Successor)),
            station.listening.next(now, &station.config).map(|at| (at, Due::Ready)),
            doubts_until.map(|at| (at, Due::Doubt)),
            station.peers.next_expiry(now).map(|at| (at, Due::Expiry)),
        ])
    }

    /// Rule 12: the address is not to be here. Not with each heartbeat: the kernel reports what somebody adds.
    pub(super) fn assert_absent(&mut self, now: Instant, out: &mut Outputs) {
        if now >= self.asserts_at {
            self.asserts_at = now + ASSERT_INTERVAL;
            push(out, Output::AssertAbsent);
        }
    }

    /// Looks at the election at its time.
    pub(super) fn decide_at(&mut self, at: Instant) {
        self.decide.set(at);
    }

    fn speak(&self, station: &mut Station, now: Instant, kind: Kind, out: &mut Outputs) {
        let following = self.following(station, now);
        station.send(now, Word { kind, ..Word::heartbeat(State::Standby, following) }, out);
    }

    /// A peer has said `said`, and `before` the time before. Returns why this node takes the address, if that is its answer.
    pub(super) fn hear(
        &mut self,
        station: &mut Station,
        now: Instant,
        said: &Heartbeat,
        before: Option<Peer>,
        out: &mut Outputs,
    ) -> Option<Reason> {
        let peer = said.node;
        if said.state == State::Active {
            self.hear_active(station, now, before, out);
            return None;
        }
        if let Some(successor) = &mut self.successor
            && successor.is_ours
            && successor.node == peer
            && said.kind == Kind::Claim
        {
            // Rule 4: it did not hear the answer. It gets it again, and its time again.
            successor.until = now + station.config.interval();
            self.speak(station, now, Kind::Heartbeat, out);
            return None;
        }
        if station.is_unknown_to(now, said) {
            self.speak(station, now, Kind::Heartbeat, out);
        }
        if station.peers.active(now).is_some() {
            return None;
        }
        let me = station.id();
        let is_handed_over = said.kind == Kind::Heartbeat && said.state == State::Standby && said.following == me;
        if is_handed_over && self.claimed.is_some_and(|claimed| claimed.from == peer && claimed.until > now) {
            return Some(Reason::HandedOver { peer });
        }
        // Rule 3: the ACTIVE has resigned.
        let was_active = before.is_some_and(|before| before.is_active(now));
        if was_active || said.has_just_released(before) {
            self.decide.set(now);
            let named = said.following.filter(|&node| node != peer && Some(node) != me);
            if let Some(node) = named.filter(|_| said.state == State::Standby) {
                let until = now + said.interval.saturating_mul(2).min(said.hold);
                self.successor = Some(Successor { node, is_ours: false, until });
            }
        }
        None
    }

    /// An ACTIVE is heard: no other node is to have the address.
    fn hear_active(&mut self, station: &mut Station, now: Instant, before: Option<Peer>, out: &mut Outputs) {
        self.probing.forget();
        self.successor = None;
        // One that was not heard since this node had the address, asleep perhaps, does not know that: its clients may still be ours.
        let is_news = station.released_at.is_some_and(|at| before.is_none_or(|before| before.heard_at < at));
        if is_news && !station.released.is_set() {
            station.released.set(now + station.config.tolerance());
            self.speak(station, now, Kind::Heartbeat, out);
        }
        // What its silence would have called for is not due yet.
        if let Some(active) = station.peers.active(now) {
            if self.query.is_set() {
                self.query.set(active.suspect_at());
            }
            if self.probing.look.is_set() {
                self.probing.look.set(station.last_part(active.expires_at()));
            }
        }
    }

    /// Claims, asks, or waits. Returns why this node takes the address over, if it is its turn.
    pub(super) fn tick(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) -> Option<Reason> {
        // These two say that it is time to look, or that the time for something is over.
        self.decide.take(now);
        self.claimed.take_if(|claimed| claimed.until <= now);
        let is_look_due = self.probing.look.take(now);
        if station.listening.is_nearly_ready(now, &station.config) && station.ready_since.is_none() {
            self.speak(station, now, Kind::Heartbeat, out);
            self.decide.set(now + station.until_known());
        }
        if !station.has_quorum(now) {
            station.listening.restart(now);
        }
        if let Some(active) = station.peers.active(now).copied() {
            self.successor = None;
            self.claim_from(station, now, &active, out);
            let asks = self.suspect(station, now, &active, out);
            self.probing.look_out(station, now, active.expires_at(), is_look_due, asks, out);
            return None;
        }
        self.claim.stop();
        self.query.stop();
        if station.listening.is_ready(now, &station.config) {
            self.probing.listen(now);
        }
        let successor = self.successor.filter(|named| station.may_be_able(now, named.node));
        if let Some(named) = successor.filter(|named| now < named.until) {
            if named.is_ours && is_look_due {
                self.probing.look_out(station, now, now, is_look_due, true, out);
            }
            return None;
        }
        self.successor = None;
        if successor.is_some() && station.config.quorum().is_some() {
            // It may have taken the address and be cut off since; then it lets go within our tolerance.
            station.listening.restart(now);
        }
        self.take_over(station, now, successor, is_look_due, out)
    }

    /// Rule 1: takes a vacant address over, if that is this node's turn and, by rule 9, no host answers for it.
    fn take_over(
        &mut self,
        station: &mut Station,
        now: Instant,
        successor: Option<Successor>,
        is_look_due: bool,
        out: &mut Outputs,
    ) -> Option<Reason> {
        let me = station.candidate()?;
        if !station.may_take_over(now) || station.is_partition_likely(now) {
            if let Some(ready_at) = station.listening.ready_at(&station.config).filter(|&at| at > now) {
                self.probing.look_out(station, now, ready_at, is_look_due, true, out);
            }
            return None;
        }
        let reason = match successor.filter(|named| named.is_ours) {
            // A more worthy node waits until the successor counts as dead, and we know better.
            Some(Successor { node: peer, .. }) => Reason::SuccessorSilent { peer },
            None if station.is_outdone(now, me) => return None,
            None => match station.starter_ready_by(now, me) {
                Some(by) => {
                    self.decide.set(by);
                    return None;
                }
                None => station.vacancy(now),
            },
        };
        if reason.is_silence() && self.probing.is_in_use(station, now, out) {
            let is_due = is_look_due || !self.probing.look.is_set();
            self.probing.look_out(station, now, now, is_due, true, out);
            return None;
        }
        Some(reason)
    }

    /// Rule 4: asks a less worthy ACTIVE for the address, again and again until it answers.
    fn claim_from(&mut self, station: &mut Station, now: Instant, active: &Peer, out: &mut Outputs) {
        let is_settled = |peer: &Peer| peer.is_eligible(now) && peer.has(Flags::SETTLED);
        let is_my_turn = station.candidate().is_some_and(|me| {
            station.listening.is_settled(now, &station.config)
                && station.has_quorum(now)
                && me > active.candidate()
                && !active.has(Flags::STICKY) // rule 7
                && !station.peers.iter().any(|peer| is_settled(peer) && peer.candidate() > me)
        });
        if !is_my_turn {
            self.claim.stop();
        } else if !self.claim.is_set() || self.claim.take(now) {
            self.speak(station, now, Kind::Claim, out);
            let interval = station.config.interval();
            self.claimed = Some(Claimed { from: active.node(), until: now + interval });
            self.claim.set(now + interval / ASKS_PER_INTERVAL);
        }
    }

    /// Rule 2: asks an ACTIVE that is overdue, if this is the node to take over from it. True if it is; a claim is a question too.
    fn suspect(&mut self, station: &mut Station, now: Instant, active: &Peer, out: &mut Outputs) -> bool {
        let is_my_turn = station.may_take_over(now)
            && station.candidate().is_some_and(|me| {
                let is_rival = |peer: &Peer| peer.node() != active.node() && peer.has(Flags::READY);
                !station.peers.iter().any(|peer| is_rival(peer) && peer.is_eligible(now) && peer.candidate() > me)
            });
        let suspect_at = active.suspect_at();
        if !is_my_turn || !station.config.suspicion() || self.claim.is_set() {
            self.query.stop();
        } else if now < suspect_at {
            self.query.set(suspect_at);
        } else if !self.query.is_set() || self.query.take(now) {
            self.speak(station, now, Kind::Query, out);
            self.query.set(now + station.config.interval() / QUERIES_PER_INTERVAL);
        }
        is_my_turn
    }
}

/// The kernel may not have room to report what somebody adds. A little less than a second: heartbeats each second assert each second.
const ASSERT_INTERVAL: Duration = Duration::from_millis(900);

impl Station {
    /// False if this successor has said that it cannot have the address. A node that names it has heard it; that we do not hear
    /// it says nothing.
    fn may_be_able(&self, now: Instant, successor: NodeId) -> bool {
        let is_unable = |peer: &Peer| peer.is_alive(now) && !peer.is_eligible(now);
        self.strangers.awaits(successor) || !self.peers.get(successor).is_some_and(is_unable)
    }

    /// Rule 1: true if a newcomer is ready before it hears this node's next heartbeat. A quarter of its time is for what comes late.
    fn is_unknown_to(&self, now: Instant, newcomer: &Heartbeat) -> bool {
        let listens =
            newcomer.state == State::Standby && newcomer.following.is_none() && !newcomer.flags.has(Flags::READY);
        listens && self.voice.last_beat + self.config.interval() > now + newcomer.hold.saturating_mul(3) / 4
    }

    /// Why no node has the address.
    fn vacancy(&self, now: Instant) -> Reason {
        match self.last_owner() {
            Some(peer) if peer.is_alive(now) => Reason::Resigned { peer: peer.node(), state: peer.said.state },
            Some(peer) => Reason::Silent { peer: peer.node(), silence: now.since(peer.heard_at) },
            None => Reason::Nobody { listened: self.config.tolerance() },
        }
    }

    /// True if another node should take the address rather than `me`.
    fn is_outdone(&self, now: Instant, me: Candidate) -> bool {
        let waits_for_starters = self.listening.waits_for_starters(now, &self.config);
        self.peers.iter().any(|peer| {
            peer.is_eligible(now) && peer.candidate() > me && (peer.has(Flags::READY) || waits_for_starters)
        })
    }

    /// By when a more worthy node that is just getting ready has said so: both would take over if its packet is under way.
    fn starter_ready_by(&self, now: Instant, me: Candidate) -> Option<Instant> {
        let starters = self.peers.iter().filter(|peer| peer.is_eligible(now) && peer.candidate() > me);
        starters.filter_map(|peer| peer.ready_by(now)).max()
    }
}
