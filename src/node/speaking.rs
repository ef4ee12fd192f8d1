//! What a node says: every packet carries its whole state.

use super::io::{Output, Outputs, push};
use super::{ASKS_PER_INTERVAL, Node, Role};
use crate::peers::Peer;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{Flags, Heartbeat, Kind, LEN, NodeId, Release, State};

impl Node {
    /// Sends one packet to all.
    pub(super) fn speak(&mut self, now: Instant, kind: Kind, out: &mut Outputs) {
        self.speak_to(now, kind, self.following(now), out);
    }

    /// Sends one packet that names `following`; an ACTIVE renews its lease first, unless it has just begun.
    pub(super) fn speak_to(&mut self, now: Instant, kind: Kind, following: Option<NodeId>, out: &mut Outputs) {
        self.say(now, kind, following, 0, out);
    }

    /// Asks a node of an unknown boot to show that it lives.
    pub(super) fn challenge(&mut self, now: Instant, node: NodeId, nonce: u64, out: &mut Outputs) {
        self.say(now, Kind::Challenge, Some(node), nonce, out);
    }

    /// Answers a challenge.
    pub(super) fn respond(&mut self, now: Instant, nonce: u64, out: &mut Outputs) {
        self.say(now, Kind::Response, self.following(now), nonce, out);
    }

    fn say(&mut self, now: Instant, kind: Kind, following: Option<NodeId>, nonce: u64, out: &mut Outputs) {
        let Some(node) = self.id else { return };
        // A lease that began before the packet, with the take, ends before one that counts from the packet.
        if matches!(self.role, Role::Active) && !core::mem::take(&mut self.is_lease_new) {
            push(out, Output::Refresh);
        }
        self.last_beat = now;
        self.seq += 1;
        let is_ready = self.listening.is_nearly_ready(now, &self.config);
        self.ready_since = is_ready.then(|| self.ready_since.unwrap_or(now));
        let flags = self
            .constant_flags()
            .with(Flags::SETTLED, self.listening.is_settled(now, &self.config))
            .with(Flags::READY, is_ready)
            .with(Flags::RELEASED, self.timers.is_set(Timer::Released));
        let heartbeat = Heartbeat { kind, state: self.state(), flags, following, nonce, ..self.word(node, self.seq) };
        push(out, Output::Send(self.seal.sign(&heartbeat)));
    }

    /// What whoever guards the address sends in this node's name when the process dies: that the address is gone.
    ///
    /// Newer than every packet handed out so far; to be replaced before a newer packet is sent.
    pub fn last_words(&self) -> Option<[u8; LEN]> {
        let had_it = self.state() == State::Active || self.timers.is_set(Timer::Released);
        let flags = self.constant_flags().with(Flags::RELEASED, had_it);
        let seq = self.seq + 1;
        self.id.map(|node| self.seal.sign(&Heartbeat { state: State::Shutdown, flags, ..self.word(node, seq) }))
    }

    fn constant_flags(&self) -> Flags {
        Flags::default().with(Flags::STICKY, self.config.is_sticky()).with(Flags::SEALED, self.seal.is_keyed())
    }

    /// A packet with what does not change from one to the next.
    fn word(&self, node: NodeId, seq: u64) -> Heartbeat {
        Heartbeat {
            kind: Kind::Heartbeat,
            group: self.config.group(),
            state: State::Unfit,
            flags: Flags::default(),
            release: Release::OWN,
            worthiness: self.config.worthiness(),
            node,
            following: None,
            boot: self.boot,
            seq,
            interval: self.config.interval(),
            hold: self.config.tolerance(),
            addresses: self.config.addresses_hash(),
            nonce: 0,
        }
    }

    pub(super) fn following(&self, now: Instant) -> Option<NodeId> {
        match self.role {
            Role::Standby { successor: Some(successor) } => Some(successor.node),
            // Whoever waits for the answer of a more worthy ACTIVE shows that it hears it.
            Role::Active if self.timers.is_set(Timer::Outdone) => self.peers.active(now).map(Peer::node),
            Role::Taking { .. } | Role::Active | Role::Releasing { .. } => self.id,
            Role::Standby { successor: None } | Role::Unfit | Role::Shutdown => self.peers.active(now).map(Peer::node),
        }
    }

    /// Says a change at once and twice more, and puts the regular heartbeat one interval off.
    pub(super) fn say_change(&mut self, now: Instant, out: &mut Outputs) {
        self.speak(now, Kind::Heartbeat, out);
        self.timers.set(Timer::Beat, now + self.config.interval());
        self.burst = BURST;
        self.continue_burst(now);
    }

    pub(super) fn continue_burst(&mut self, now: Instant) {
        self.burst = self.burst.saturating_sub(1);
        if self.burst > 0 {
            self.timers.set(Timer::Burst, now + BURST_GAP);
        } else if matches!(self.role, Role::Shutdown) {
            self.timers.stop_all();
        } else if self.timers.is_set(Timer::Outdone) {
            self.timers.set(Timer::Burst, now + self.config.interval().split(ASKS_PER_INTERVAL));
        }
    }
}

/// A change of state is said this many times, since one packet may be lost ...
pub const BURST: u8 = 3;

/// ... this far apart, so that one full buffer does not swallow them all.
pub const BURST_GAP: Duration = Duration::from_millis(3);
