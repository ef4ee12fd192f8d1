//! What a node says: every packet carries its whole state.

use super::io::{Output, Outputs, push};
use super::station::Station;
use super::{Node, Role};
use crate::time::{Duration, Instant};
use crate::wire::{Flags, Heartbeat, Kind, LEN, NodeId, Release, State};

/// One packet, apart from what a node says in each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub kind: Kind,
    pub state: State,
    pub following: Option<NodeId>,
    /// The address is here.
    pub has_address: bool,
    /// In a challenge new, in a response the one of the challenge.
    pub nonce: u64,
}

impl Word {
    /// An ordinary heartbeat.
    pub(super) fn heartbeat(state: State, following: Option<NodeId>) -> Self {
        Self { kind: Kind::Heartbeat, state, following, has_address: false, nonce: 0 }
    }

    /// A heartbeat of an ACTIVE that has the address: it opens the fence.
    pub(super) fn of_owner(following: Option<NodeId>) -> Self {
        Self { has_address: true, ..Self::heartbeat(State::Active, following) }
    }
}

impl Station {
    /// Sends one packet to the group.
    pub(super) fn send(&mut self, now: Instant, word: Word, out: &mut Outputs) {
        let Some(node) = self.id() else { return };
        self.voice.last_beat = now;
        self.voice.seq += 1;
        let is_ready = self.listening.is_nearly_ready(now, &self.config);
        self.ready_since = is_ready.then(|| self.ready_since.unwrap_or(now));
        let flags = self
            .constant_flags()
            .with(Flags::SETTLED, self.listening.is_settled(now, &self.config))
            .with(Flags::READY, is_ready)
            .with(Flags::RELEASED, self.released.is_set())
            .with(Flags::FENCED, self.is_fenced && word.has_address);
        let packet = self.seal.sign(&self.heartbeat(node, self.voice.seq, word, flags));
        push(out, Output::Send(packet));
    }

    /// One packet has said a change: two more follow, and the regular heartbeat an interval later.
    pub(super) fn begin_burst(&mut self, now: Instant) {
        self.voice.beat.set(now + self.config.interval());
        self.voice.burst.set(now + BURST_GAP);
        self.voice.burst_left = BURST - 1;
    }

    fn constant_flags(&self) -> Flags {
        Flags::default().with(Flags::STICKY, self.config.is_sticky()).with(Flags::SEALED, self.seal.is_keyed())
    }

    fn heartbeat(&self, node: NodeId, seq: u64, word: Word, flags: Flags) -> Heartbeat {
        let Word { kind, state, following, nonce, has_address: _ } = word;
        Heartbeat {
            kind,
            group: self.config.group(),
            state,
            flags,
            release: Release::OWN,
            worthiness: self.config.worthiness(),
            node,
            following,
            boot: self.voice.boot,
            seq,
            interval: self.config.interval(),
            hold: self.config.tolerance(),
            addresses: self.config.addresses_hash(),
            nonce,
        }
    }
}

impl Node {
    /// Sends one packet that names the node that this one follows.
    pub(super) fn speak(&mut self, now: Instant, kind: Kind, out: &mut Outputs) {
        let following = self.role.following(&self.station, now);
        self.speak_to(now, kind, following, 0, out);
    }

    /// Sends one packet that names `following`; an ACTIVE renews its lease first.
    pub(super) fn speak_to(
        &mut self,
        now: Instant,
        kind: Kind,
        following: Option<NodeId>,
        nonce: u64,
        out: &mut Outputs,
    ) {
        if let Role::Active(active) = &mut self.role {
            active.renew_lease(&self.station, now, out);
        }
        let has_address = matches!(self.role, Role::Active(_));
        self.station.send(now, Word { kind, state: self.role.state(), following, has_address, nonce }, out);
    }

    /// Says a change at once and twice more.
    pub(super) fn say_change(&mut self, now: Instant, out: &mut Outputs) {
        self.speak(now, Kind::Heartbeat, out);
        self.station.begin_burst(now);
    }

    /// A packet of the burst is out: plans the next one.
    pub(super) fn continue_burst(&mut self, now: Instant) {
        let Station { voice, config, .. } = &mut self.station;
        voice.burst_left = voice.burst_left.saturating_sub(1);
        if voice.burst_left > 0 {
            voice.burst.set(now + BURST_GAP);
            return;
        }
        match &self.role {
            Role::Shutdown => self.end_if_all_is_said(),
            Role::Active(active) if active.is_outdone() => {
                voice.burst.set(now + config.interval() / ASKS_PER_INTERVAL);
            }
            Role::Active(_) | Role::Unfit { .. } | Role::Standby(_) | Role::Taking(_) | Role::Releasing(_) => {}
        }
    }

    /// A node that leaves is silent after its last packet.
    pub(super) fn end_if_all_is_said(&mut self) {
        let Station { voice, released, .. } = &mut self.station;
        if matches!(self.role, Role::Shutdown) && !voice.burst.is_set() {
            voice.beat.stop();
            released.stop();
        }
    }

    /// True if a packet alone does not end the address: without a fence the kernel has to remove it. A node that is about to die then
    /// says nothing, since others wait for the end of the lease only as long as they hear no resign.
    pub fn needs_kernel_to_resign(&self) -> bool {
        self.state() == State::Active && !self.station.is_fenced
    }

    /// The last packet of this boot, which one half of the daemon sends in the node's name when the other half dies: the address is
    /// gone, or nobody can see it any more.
    ///
    /// It is newer than every packet that the node will hand out.
    pub fn resign_packet(&self) -> Option<[u8; LEN]> {
        let Station { released, voice, seal, .. } = &self.station;
        let had_it = self.state() == State::Active || released.is_set();
        let flags = self.station.constant_flags().with(Flags::RELEASED, had_it);
        let word = Word::heartbeat(State::Shutdown, None);
        self.station.id().map(|node| seal.sign(&self.station.heartbeat(node, voice.seq + LAST_SEQ, word, flags)))
    }
}

/// How far the last packet of a boot is ahead: a packet a microsecond makes as many in an hour.
const LAST_SEQ: u64 = 1 << 32;

/// A node says a change of its state this many times, since one packet may be lost ...
pub const BURST: u8 = 3;

/// ... this far apart, so that one full buffer does not swallow them all.
pub const BURST_GAP: Duration = Duration::from_millis(3);

/// A node that waits for an answer asks again within the interval, so that one lost packet costs little.
pub(super) const ASKS_PER_INTERVAL: u32 = 4;

/// A STANDBY that fears that the ACTIVE is gone asks more often: at 30 % loss six questions of an interval and their answers all
/// fail once in fifty times.
pub(super) const QUERIES_PER_INTERVAL: u32 = 6;

/// A node answers no more often than this in the interval of the one that asks.
pub(super) const ANSWERS_PER_INTERVAL: u32 = 20;
