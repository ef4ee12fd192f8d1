//! What a node does about what it hears.

use super::{ANSWERS_PER_INTERVAL, Probing, Successor, Then, push};
use super::{
    Duration, Flags, Heartbeat, Instant, Kind, LEN, Node, NodeId, Note, Output, Outputs, Peer, Reason, Role, State,
};
use crate::counters::Drop;
use crate::election::Candidate;
use crate::timers::Timer;
use crate::wire::heartbeat::{Defect, GROUP_AT, OLD_VERSION};

impl Node {
    pub(super) fn hear(&mut self, now: Instant, from: NodeId, ttl: u8, bytes: &[u8], out: &mut Outputs) {
        let Some(me) = self.id else { return };
        if matches!(self.role, Role::Shutdown) {
            return;
        }
        let believed = self.authenticate(me, from, ttl, bytes).and_then(|said| self.believe(now, me, said, out));
        match believed {
            Ok((said, before)) => self.react(now, me, &said, before, out),
            Err(cause) => self.refuse(now, from, cause, out),
        }
    }

    fn refuse(&mut self, now: Instant, from: NodeId, cause: Drop, out: &mut Outputs) {
        // Who starts anew is asked first, and that is all; only if it does not answer it is worth a word.
        let is_normal = match cause {
            Drop::OtherGroup | Drop::Duplicate => true,
            Drop::Unproven => !self.strangers.is_silent(from),
            _ => false,
        };
        if cause == Drop::Forged {
            self.forged_at = Some(now);
        }
        if is_normal {
            self.counters.count(cause);
        } else if self.counters.drop(now, from, cause) {
            push(out, Output::Note(Note::Dropped { from, cause }));
        }
    }

    /// What was said, if it came from a member of the group; the cheapest checks come first.
    fn authenticate(&self, me: NodeId, from: NodeId, ttl: u8, bytes: &[u8]) -> Result<Heartbeat, Drop> {
        if ttl != TTL {
            return Err(Drop::Misrouted);
        }
        let group = self.config.group();
        let said = Heartbeat::parse(bytes).map_err(|defect| match defect {
            Defect::Size | Defect::Foreign => Drop::Foreign,
            Defect::Version(_) if bytes[GROUP_AT] != group => Drop::OtherGroup,
            Defect::Version(OLD_VERSION) => Drop::OldVersion,
            Defect::Version(_) => Drop::OtherVersion,
            Defect::Malformed => Drop::Malformed,
        })?;
        if said.group != group {
            return Err(Drop::OtherGroup);
        }
        let packet: &[u8; LEN] = bytes.try_into().map_err(|_| Drop::Foreign)?;
        if !self.seal.is_genuine(packet) {
            return Err(Drop::Forged);
        }
        if said.node == me {
            return Err(if said.boot == self.boot { Drop::Looped } else { Drop::Namesake });
        }
        if said.node != from {
            return Err(Drop::Misattributed);
        }
        if !from.is_on_link(me, self.prefix) {
            return Err(Drop::OffLink);
        }
        Ok(said)
    }

    fn react(&mut self, now: Instant, me: NodeId, said: &Heartbeat, before: Option<Peer>, out: &mut Outputs) {
        let peer = said.node;
        if before.is_none() {
            push(out, Output::Note(Note::Met { peer }));
        }
        if let Some(before) = before.filter(Peer::is_missing) {
            push(out, Output::Note(Note::Back { peer, silence: now.since(before.heard_at) }));
        }
        let is_news = before.is_none_or(|before| before.said.addresses != said.addresses);
        if is_news && said.addresses != self.config.addresses_hash() {
            push(out, Output::Note(Note::OtherAddresses { peer }));
        }
        let (interval, hold) = (said.interval, said.hold);
        let is_news = before.is_none_or(|before| (before.said.interval, before.said.hold) != (interval, hold));
        if is_news && (interval, hold) != (self.config.interval(), self.config.tolerance()) {
            push(out, Output::Note(Note::OtherTiming { peer, interval, hold }));
        }
        if said.state == State::Active {
            self.last_active = Some(peer);
        }
        match self.role {
            Role::Standby { successor } => self.react_in_standby(now, me, said, before, successor, out),
            Role::Taking { .. } | Role::Active => self.react_as_active(now, me, said, before, out),
            Role::Unfit | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    fn react_in_standby(
        &mut self,
        now: Instant,
        me: NodeId,
        said: &Heartbeat,
        before: Option<Peer>,
        successor: Option<Successor>,
        out: &mut Outputs,
    ) {
        let peer = said.node;
        if said.state == State::Active {
            self.probing = Probing::default();
            self.forget_successor();
            self.admit(now, before, out);
            if let Some(active) = self.peers.active(now).filter(|_| self.timers.is_set(Timer::Query)) {
                self.timers.set(Timer::Query, active.suspect_at());
            }
            return;
        }
        let is_named = successor.is_some_and(|successor| successor.is_ours && successor.node == peer);
        if is_named && said.kind == Kind::Claim {
            // It did not hear our answer: say it again, and give it its time again.
            self.timers.set(Timer::Successor, now + self.config.interval());
            self.speak(now, Kind::Heartbeat, out);
            return;
        }
        if self.peers.active(now).is_some() {
            return;
        }
        let is_handed_over = said.kind == Kind::Heartbeat && said.state == State::Standby && said.following == Some(me);
        if is_handed_over && self.claimed_from == Some(peer) && self.timers.is_pending(Timer::Claimed, now) {
            self.take(now, Reason::HandedOver { peer }, out);
            return;
        }
        let was_active = before.is_some_and(|before| before.is_active(now));
        let let_go = said.has_let_go() && before.is_none_or(|before| !before.said.has_let_go());
        if was_active || let_go {
            self.timers.set(Timer::Decide, now);
            if let Some(node) =
                said.following.filter(|&node| node != peer && node != me && said.state == State::Standby)
            {
                self.role = Role::Standby { successor: Some(Successor { node, is_ours: false }) };
                self.timers.set(Timer::Successor, now + said.interval.times(2).min(said.hold));
            }
        }
    }

    /// An ACTIVE that was not heard since we had the address, asleep perhaps, does not know it: its clients may still be ours.
    fn admit(&mut self, now: Instant, before: Option<Peer>, out: &mut Outputs) {
        let is_news = self.released_at.is_some_and(|at| before.is_none_or(|before| before.heard_at < at));
        if is_news && !self.timers.is_set(Timer::Released) {
            self.timers.set(Timer::Released, now + self.config.tolerance());
            self.speak(now, Kind::Heartbeat, out);
        }
    }

    fn react_as_active(&mut self, now: Instant, me: NodeId, said: &Heartbeat, before: Option<Peer>, out: &mut Outputs) {
        let peer = said.node;
        let Some(mine) = self.candidate() else { return };
        let is_more_worthy = Candidate::from(said) > mine;
        let claims_mine = said.kind == Kind::Claim && said.following == Some(me) && said.flags.has(Flags::SETTLED);
        match said.state {
            State::Active if is_more_worthy => self.yield_to(now, me, said, out),
            State::Active => self.defend(now, said, before, out),
            State::Standby if claims_mine && is_more_worthy && said.worthiness > 0 && !self.config.is_sticky() => {
                self.release(now, Then::Standby { successor: peer }, Reason::Claimed { peer }, out);
            }
            State::Standby | State::Unfit | State::Shutdown => {
                if said.asks(me) {
                    self.answer(now, said.interval, out);
                }
                let has_let_go = said.has_let_go() && before.is_none_or(|before| !before.said.has_let_go());
                // Whoever was out of our hearing may have had the address meanwhile, and let go of it unheard.
                let is_back = before.is_none_or(|before| !before.is_alive(now) || before.said.boot != said.boot);
                if has_let_go {
                    self.announce_again(now, out);
                } else if is_back {
                    self.announce_soon(now, out);
                }
            }
        }
    }

    /// A STANDBY fears that we are gone, or knows of no ACTIVE: its tolerance may be shorter than our interval.
    pub(super) fn answer(&mut self, now: Instant, interval: Duration, out: &mut Outputs) {
        let is_due = now.since(self.last_beat) >= interval.split(ANSWERS_PER_INTERVAL);
        if is_due && matches!(self.role, Role::Active) {
            self.speak(now, Kind::Heartbeat, out);
        }
    }

    /// Two ACTIVEs, and the other one is the more worthy.
    ///
    /// It has to hear us before we let go: then it has told the LAN where the address is, and no client is left with our MAC.
    fn yield_to(&mut self, now: Instant, me: NodeId, said: &Heartbeat, out: &mut Outputs) {
        let peer = said.node;
        if matches!(self.role, Role::Taking { .. }) || said.following == Some(me) {
            self.release(now, Then::Standby { successor: peer }, Reason::Outdone { peer }, out);
        } else if !self.timers.is_set(Timer::Outdone) {
            self.timers.set(Timer::Outdone, now + self.config.tolerance());
            self.say_change(now, out);
        }
    }

    /// The more worthy ACTIVE did not answer: it does not hear us, or it has gone.
    pub(super) fn yield_unanswered(&mut self, now: Instant, out: &mut Outputs) {
        let Some(mine) = self.candidate().filter(|_| matches!(self.role, Role::Active)) else { return };
        if let Some(peer) = self.peers.active(now).filter(|peer| peer.candidate() > mine).map(Peer::node) {
            self.release(now, Then::Standby { successor: peer }, Reason::Outdone { peer }, out);
        }
    }

    /// Two ACTIVEs, and we are the more worthy: the other one hears it now, and so does everybody whose cache is wrong.
    ///
    /// Unless it does not hear us, for its hold: then others may not hear us either, and it will never let go.
    fn defend(&mut self, now: Instant, said: &Heartbeat, before: Option<Peer>, out: &mut Outputs) {
        if !matches!(self.role, Role::Active) {
            return;
        }
        let peer = said.node;
        let since = self.peers.get(peer).map_or(now, |peer| peer.steady_since.max(self.active_since));
        let unheard = now.since(since);
        // One that names somebody else has heard that one, and lets go or makes it let go.
        if unheard >= said.hold && said.following == Some(peer) {
            self.release(now, Then::Standby { successor: peer }, Reason::Unheard { peer, unheard }, out);
            return;
        }
        self.speak_to(now, Kind::Heartbeat, Some(peer), out);
        let is_news = before.is_none_or(|before| before.said.state != State::Active || !before.is_alive(now));
        if is_news {
            self.announce_again(now, out);
            push(out, Output::Note(Note::Defended { peer }));
        } else {
            self.announce_soon(now, out);
        }
    }
}

impl Heartbeat {
    /// True for the word of a STANDBY that wants to hear from `me` at once, if that is ACTIVE.
    pub(super) fn asks(&self, me: NodeId) -> bool {
        let is_question = self.following.is_none() || self.kind == Kind::Query && self.following == Some(me);
        is_question && self.state == State::Standby
    }

    /// True for the word of a node that had the address a moment ago.
    fn has_let_go(&self) -> bool {
        self.flags.has(Flags::RELEASED) && self.state != State::Active
    }
}

/// RFC 5082: a packet that came through a router has less.
const TTL: u8 = 255;
