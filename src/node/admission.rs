//! Which packet a node believes, and what it does about one.
//!
//! The cheapest checks come first. With a secret key a boot that the node does not know, or that was silent for its hold, has to
//! answer a challenge first: so what was recorded, however long ago, changes nothing. See [`crate::strangers`].

use super::io::{Output, Outputs, push};
use super::leave::{Releasing, Then};
use super::station::{Interface, Station};
use super::taking::Taking;
use super::{Node, Note, Role};
use crate::counters::Drop;
use crate::peers::{Disbelief, Peer};
use crate::time::Instant;
use crate::wire::heartbeat::{Defect, GROUP_AT, OLD_VERSION};
use crate::wire::{Flags, Heartbeat, Kind, LEN, NodeId, State};

/// How a datagram came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// When.
    pub at: Instant,
    /// Its source address.
    pub from: NodeId,
    /// Its TTL.
    pub ttl: u8,
}

impl Node {
    /// A datagram, read now.
    pub(super) fn hear(&mut self, now: Instant, arrival: Arrival, bytes: &[u8], out: &mut Outputs) {
        let Some(interface) = self.station.interface else { return };
        if matches!(self.role, Role::Shutdown) {
            return;
        }
        let said = self.station.authenticate(interface, arrival, bytes);
        match said.and_then(|said| self.believe(now, arrival.at, interface.node, said, out)) {
            Ok((said, before)) => self.react(now, &said, before, out),
            Err(cause) => self.station.refuse(now, arrival.from, cause, out),
        }
    }

    /// What was said and what the same peer said before, if it was said when it arrived and not played back. The peer is alive from
    /// its arrival on, however late it is read.
    fn believe(
        &mut self,
        now: Instant,
        at: Instant,
        me: NodeId,
        mut said: Heartbeat,
        out: &mut Outputs,
    ) -> Result<(Heartbeat, Option<Peer>), Drop> {
        let station = &mut self.station;
        let known = station.peers.get(said.node);
        let is_known = known.is_some_and(|known| known.said.boot == said.boot && known.is_alive(at));
        let following = known.and_then(|known| known.said.following);
        let is_proven = said.kind == Kind::Response && station.strangers.is_answer(&said);
        if station.seal.is_keyed() && !is_known && !is_proven {
            self.doubt(now, me, &said, out);
            return Err(Drop::Unproven);
        }
        let nonce = said.challenges(me).then_some(said.nonce);
        if said.kind == Kind::Challenge {
            // The node that it asks is not the one that it follows.
            said.following = following;
        }
        let heard = station.peers.hear(at, &said, is_proven);
        // One that a newer packet has overtaken is worth an answer too, but may be played back.
        if let Some(nonce) = nonce.filter(|_| heard.is_ok() || station.strangers.may_answer(now)) {
            self.respond(now, nonce, out);
        }
        let before = heard.map_err(|disbelief| match disbelief {
            Disbelief::Duplicate => Drop::Duplicate,
            Disbelief::Replayed => Drop::Replayed,
            Disbelief::Full => Drop::Full,
        })?;
        self.station.listening.heard(now);
        self.station.ears.heard(now);
        Ok((said, before))
    }

    /// A packet of a boot that the node does not know: it changes nothing, but its sender may be there, and want to know us.
    fn doubt(&mut self, now: Instant, me: NodeId, said: &Heartbeat, out: &mut Outputs) {
        let interval = self.station.config.interval();
        let ask = self.station.strangers.doubt(now, said, interval);
        if let Role::Releasing(Releasing { then: Then::Unfit | Then::Refused | Then::Shutdown, .. }) = self.role {
            return;
        }
        if let Some(nonce) = ask {
            self.speak_to(now, Kind::Challenge, Some(said.node), nonce, out);
        }
        // Neither of two that start at once knows the other one: somebody has to answer a stranger.
        if said.challenges(me) && self.station.strangers.may_answer(now) {
            self.respond(now, said.nonce, out);
        } else if ask.is_none()
            && said.asks(Some(me))
            && let Role::Active(active) = &mut self.role
        {
            active.answer(&mut self.station, now, said.interval.max(interval), out);
        }
    }

    /// Answers a challenge.
    fn respond(&mut self, now: Instant, nonce: u64, out: &mut Outputs) {
        let following = self.role.following(&self.station, now);
        self.speak_to(now, Kind::Response, following, nonce, out);
    }

    /// A peer that the node believes has said something; `before` is what it had said the time before.
    fn react(&mut self, now: Instant, said: &Heartbeat, before: Option<Peer>, out: &mut Outputs) {
        let Self { station, role, .. } = self;
        station.report_peer(now, said, before, out);
        if said.state == State::Active {
            station.last_active = Some(said.node);
        }
        let leave = match role {
            Role::Standby(standby) => {
                match standby.hear(station, now, said, before, out) {
                    Some(reason) => self.take(now, reason, out),
                    None => self.keep_step(now, said, out),
                }
                return;
            }
            Role::Taking(_) => Taking::hear(station, said),
            Role::Active(active) => active.hear(station, now, said, before, out),
            Role::Unfit { .. } | Role::Releasing(_) | Role::Shutdown => None,
        };
        if let Some(leave) = leave {
            self.release(now, leave, out);
        }
    }
}

impl Station {
    /// What was said, if it came from a member of the group.
    fn authenticate(&self, me: Interface, arrival: Arrival, bytes: &[u8]) -> Result<Heartbeat, Drop> {
        let Arrival { from, ttl, at: _ } = arrival;
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
        if said.node == me.node {
            return Err(if said.boot == self.voice.boot { Drop::Looped } else { Drop::Namesake });
        }
        if said.node != from {
            return Err(Drop::Misattributed);
        }
        if !from.is_on_link(me.node, me.prefix) {
            return Err(Drop::OffLink);
        }
        Ok(said)
    }

    /// Counts a packet that is dropped, and reports it if it is worth a word.
    fn refuse(&mut self, now: Instant, from: NodeId, cause: Drop, out: &mut Outputs) {
        // A node that starts anew is asked first, and that is all; only if it does not answer it is worth a word.
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

    /// Reports what is new about a peer.
    fn report_peer(&self, now: Instant, said: &Heartbeat, before: Option<Peer>, out: &mut Outputs) {
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
    }
}

impl Heartbeat {
    /// True for a STANDBY that wants to hear from `me` at once, if that is ACTIVE.
    pub(super) fn asks(&self, me: Option<NodeId>) -> bool {
        let is_question = self.following.is_none() || self.kind == Kind::Query && self.following == me;
        is_question && self.state == State::Standby
    }

    /// True if `me` shall show that it lives.
    fn challenges(&self, me: NodeId) -> bool {
        self.kind == Kind::Challenge && self.following == Some(me)
    }

    /// True if the sender has let the address go since it said `before`.
    pub(super) fn has_just_released(&self, before: Option<Peer>) -> bool {
        let has_let_go = |said: &Self| said.flags.has(Flags::RELEASED) && said.state != State::Active;
        has_let_go(self) && before.is_none_or(|before| !has_let_go(&before.said))
    }
}

/// RFC 5082: a packet that came through a router has less.
const TTL: u8 = 255;
