//! An ACTIVE: it keeps the address, tells the LAN where it is, and gives it up to a node that should have it.
//!
//! ```text
//!     a claim of a more worthy node ----------------------> release, and name it (rule 4)
//!     a more worthy ACTIVE ---- it answers, or a tolerance passes ----> release (rule 5)
//!     a less worthy ACTIVE ---- it hears us ----> answer it, and announce (rule 5)
//!                               it does not, for its hold ----> release (rule 5)
//!     too few nodes are alive ----------------------------> release (rule 8)
//!     the address was removed from outside ---------------> put it back (rule 12)
//! ```

use super::io::{Output, Outputs, push};
use super::leave::{Leave, Then};
use super::speaking::{ANSWERS_PER_INTERVAL, Word};
use super::station::Station;
use super::{Note, Reason};
use crate::announce::Announcer;
use crate::election::Candidate;
use crate::peers::Peer;
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timer, earliest};
use crate::wire::{Flags, Heartbeat, Kind, NodeId, State};

/// What an ACTIVE knows beside what it has heard.
#[derive(Debug, Clone)]
pub(super) struct Active {
    /// When the address was taken.
    pub since: Instant,
    /// The node took the address blindly: until then it may give way to a host that it does not hear, if that one answers a probe.
    pub may_yield_until: Option<Instant>,
    pub(super) announcer: Announcer,
    /// As long as this runs, a more worthy ACTIVE may answer that it hears this node.
    outdone: Timer,
    /// While it waits for that: when it may answer a less worthy ACTIVE again.
    defends_from: Instant,
    /// The next time to put the address back.
    repair: Timer,
    repaired_at: Option<Instant>,
    /// The next time to say that it was put back.
    put_back: Timer,
    /// The addresses were added just now, so that their lease is new.
    is_lease_new: bool,
    /// When the lease was renewed last, or began.
    renewed_at: Instant,
}

impl Active {
    pub(super) fn new(station: &Station, now: Instant, may_yield_until: Option<Instant>) -> Self {
        let config = &station.config;
        Self {
            since: now,
            may_yield_until,
            announcer: Announcer::new(config.addresses(), config.announce_interval(), now),
            outdone: Timer::OFF,
            defends_from: now,
            repair: Timer::OFF,
            repaired_at: None,
            put_back: Timer::OFF,
            is_lease_new: true,
            renewed_at: now,
        }
    }

    pub(super) fn deadline(&self, station: &Station, now: Instant) -> Option<(Instant, Due)> {
        earliest(&[
            self.outdone.due(Due::Outdone),
            self.repair.due(Due::Repair),
            self.put_back.due(Due::PutBack),
            self.announces_at(station).map(|at| (at, Due::Announce)),
            station.quorum_doubt(now).map(|at| (at, Due::Quorum)),
            station.peers.next_expiry(now).map(|at| (at, Due::Expiry)),
        ])
    }

    /// True while it waits for the answer of a more worthy ACTIVE.
    pub(super) fn is_outdone(&self) -> bool {
        self.outdone.is_set()
    }

    /// The node that its packets name: itself, or a more worthy ACTIVE, to show that it hears that one.
    pub(super) fn following(&self, station: &Station, now: Instant) -> Option<NodeId> {
        if self.is_outdone() { station.active(now) } else { station.id() }
    }

    /// Renews the lease before a packet. A lease that began before the packet, with the take, ends before one that counts from it.
    ///
    /// Behind a fence, which guards the address, only when half of the lease is over, give or take half an interval: a heartbeat that
    /// is a little late does not cost one renewal more.
    pub(super) fn renew_lease(&mut self, station: &Station, now: Instant, out: &mut Outputs) {
        let is_new = core::mem::take(&mut self.is_lease_new);
        // Without a lease the keeper looks whether the address is still there.
        let lease =
            station.config.lease().map_or(Duration::from_secs(2), |lease| Duration::from_secs(lease.secs().into()));
        let is_young = now + station.config.interval() / 2 <= self.renewed_at + lease / 2;
        if is_new || station.is_fenced && is_young {
            return;
        }
        self.renewed_at = now;
        push(out, Output::Refresh);
    }

    pub(super) fn speak(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        let following = self.following(station, now);
        self.speak_to(station, now, following, out);
    }

    fn speak_to(&mut self, station: &mut Station, now: Instant, following: Option<NodeId>, out: &mut Outputs) {
        self.renew_lease(station, now, out);
        station.send(now, Word::of_owner(following), out);
    }

    /// What is due. Returns why this node gives the address up, if it does.
    pub(super) fn tick(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) -> Option<Leave> {
        if self.repair.take(now) {
            self.lost(station, now, out);
        }
        if self.put_back.take(now) {
            self.say_put_back(station, now, out);
        }
        let is_unanswered = self.outdone.take(now);
        let leave = is_unanswered.then(|| station.yields_unanswered(now)).flatten();
        let leave = leave.or_else(|| station.misses_quorum(now));
        if leave.is_some() {
            return leave;
        }
        self.announcer.pace(now, station.announce_interval(now));
        self.announce(station, now, out);
        None
    }

    /// A peer has said `said`, and `before` the time before. Returns why this node gives the address up, if it does.
    pub(super) fn hear(
        &mut self,
        station: &mut Station,
        now: Instant,
        said: &Heartbeat,
        before: Option<Peer>,
        out: &mut Outputs,
    ) -> Option<Leave> {
        match said.state {
            State::Active if station.is_outdone_by(said) => return self.yield_to(station, now, said, out),
            State::Active => return self.defend(station, now, said, before, out),
            State::Standby if station.hands_over_to(said) => return Some(hand_over(said.node)),
            State::Standby | State::Unfit | State::Shutdown => {}
        }
        if said.asks(station.id()) {
            self.answer(station, now, said.interval, out);
        }
        // A node that was out of our hearing may have had the address meanwhile, and let go of it unheard.
        let is_back = before.is_none_or(|before| !before.is_alive(now) || before.said.boot != said.boot);
        if said.has_just_released(before) {
            self.announce_again(station, now, out);
        } else if is_back {
            self.announce_soon(station, now, out);
        }
        None
    }

    /// Rules 1 and 2: a STANDBY fears that we are gone, or knows of no ACTIVE: its tolerance may be shorter than our interval.
    pub(super) fn answer(&mut self, station: &mut Station, now: Instant, interval: Duration, out: &mut Outputs) {
        if now.since(station.voice.last_beat) >= interval / ANSWERS_PER_INTERVAL {
            self.speak(station, now, out);
        }
    }

    /// Rule 5: two ACTIVEs, and the other one is the more worthy.
    ///
    /// It has to hear us before we let go: then it has announced the address, and no client is left with our MAC.
    fn yield_to(&mut self, station: &mut Station, now: Instant, said: &Heartbeat, out: &mut Outputs) -> Option<Leave> {
        if said.following == station.id() {
            return Some(outdone_by(said.node));
        }
        if !self.is_outdone() {
            self.outdone.set(now + station.config.tolerance());
            self.speak(station, now, out);
            station.begin_burst(now);
        }
        None
    }

    /// Rule 5: two ACTIVEs, and we are the more worthy: the other one hears it now, and so does every host whose cache is wrong.
    ///
    /// Unless it does not hear us, for its hold: then others may not hear us either, and it will never let go.
    fn defend(
        &mut self,
        station: &mut Station,
        now: Instant,
        said: &Heartbeat,
        before: Option<Peer>,
        out: &mut Outputs,
    ) -> Option<Leave> {
        let peer = said.node;
        let since = station.peers.get(peer).map_or(now, |peer| peer.steady_since.max(self.since));
        let unheard = now.since(since);
        // One that names another node has heard that one, and lets go or makes it let go.
        if unheard >= said.hold && said.following == Some(peer) {
            return Some((Then::Standby { successor: peer }, Reason::Unheard { peer, unheard }));
        }
        // What it would defend it is about to give up: to answer each of many at once helps nobody.
        if self.is_outdone() && now < self.defends_from {
            return None;
        }
        self.speak_to(station, now, Some(peer), out);
        self.defends_from = now + station.config.interval() / ANSWERS_PER_INTERVAL;
        let is_news = before.is_none_or(|before| before.said.state != State::Active || !before.is_alive(now));
        if is_news {
            self.announce_again(station, now, out);
            push(out, Output::Note(Note::Defended { peer }));
        } else {
            self.announce_soon(station, now, out);
        }
        None
    }

    /// Rule 12: the address was removed from outside. Puts it back: at once, but no more often than others may ask, since each repair
    /// costs a packet.
    pub(super) fn lost(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        if self.repair.is_set() {
            return;
        }
        let gap = station.config.interval() / ANSWERS_PER_INTERVAL;
        if let Some(at) = self.repaired_at.map(|at| at + gap).filter(|&at| now < at) {
            self.repair.set(at);
            return;
        }
        self.repaired_at = Some(now);
        station.counters.repairs += 1;
        push(out, Output::Take);
        push(out, Output::Note(Note::Repaired));
    }

    /// Rule 12: the address is back. The repair renewed the lease; peers have to count from the same moment.
    pub(super) fn repaired(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        (self.is_lease_new, self.renewed_at) = (true, now);
        self.speak(station, now, out);
        self.announce_again(station, now, out);
        self.say_put_back(station, now, out);
    }

    /// Says that the address was put back: at once, but for the user's sake not again within ten seconds. What comes meanwhile is
    /// said when they are over, since the last time counts.
    fn say_put_back(&mut self, station: &mut Station, now: Instant, out: &mut Outputs) {
        if now < station.may_say_put_back_from {
            self.put_back.set(station.may_say_put_back_from);
        } else {
            station.may_say_put_back_from = now + PUT_BACK_GAP;
            push(out, Output::PutBack);
        }
    }
}

pub(super) fn outdone_by(peer: NodeId) -> Leave {
    (Then::Standby { successor: peer }, Reason::Outdone { peer })
}

pub(super) fn hand_over(peer: NodeId) -> Leave {
    (Then::Standby { successor: peer }, Reason::Claimed { peer })
}

impl Station {
    /// True if the sender is more worthy than this node.
    pub(super) fn is_outdone_by(&self, said: &Heartbeat) -> bool {
        self.candidate().is_some_and(|mine| Candidate::from(said) > mine)
    }

    /// Rule 4: true for a claim to this node by which it gives the address up. Rule 7: a sticky node does not.
    pub(super) fn hands_over_to(&self, said: &Heartbeat) -> bool {
        let is_claim = said.kind == Kind::Claim && said.following == self.id() && said.flags.has(Flags::SETTLED);
        is_claim && self.is_outdone_by(said) && said.worthiness > 0 && !self.config.is_sticky()
    }

    /// Rule 5: the more worthy ACTIVE did not answer: it does not hear us, or it has gone.
    fn yields_unanswered(&self, now: Instant) -> Option<Leave> {
        let mine = self.candidate()?;
        let peer = self.peers.active(now).filter(|peer| peer.candidate() > mine)?;
        Some(outdone_by(peer.node()))
    }
}

/// A host that removes the address again and again does not start a program each time.
pub const PUT_BACK_GAP: Duration = Duration::from_secs(10);
