//! One node of the group: the state machine.
//!
//! ```text
//!                 listened for its tolerance, nobody ACTIVE, most worthy
//!                 or: the ACTIVE resigned / named us as its successor
//!      STANDBY ---------------------- Take ----------------------> taking
//!       ^  ^                                                         | Taken
//!       |  |  Released                                               v
//!       |  +----- releasing <------ Release ---------------------- ACTIVE
//!       |           |   |      claim of a more worthy node, a more worthy ACTIVE,
//!    link up        |   |      slept, link down, shutdown
//!       |           v   v
//!      unfit <------+   +----> shutdown
//! ```
//!
//! `taking` and `releasing` are ACTIVE to others: ACTIVE on the wire means "may have the address". What the outside did
//! comes back as an input; the state changes when it is told so. Take-overs and claims are decided on [`Input::Tick`] only,
//! so that a caller which was late reads its sockets first and then asks.

use core::net::Ipv4Addr;

use heapless::Vec;

use crate::announce::Announcer;
use crate::config::Config;
use crate::counters::Counters;
use crate::election::Candidate;
use crate::lease;
use crate::peers::{Peer, Peers};
use crate::time::{Duration, Instant};
use crate::timers::{Timer, Timers};
use crate::wire::arp::Mac;
use crate::wire::{Flags, Heartbeat, Kind, LEN, NodeId, Seal, State};

mod hearing;
mod listening;
mod reason;

use listening::Listening;
pub use reason::{Note, Reason, Unfit};

/// What happened outside.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Time passed; everything that was received before has been handed in.
    Tick,
    /// A datagram arrived.
    Heard {
        /// Its source address.
        from: NodeId,
        /// Its TTL or hop limit.
        ttl: u8,
        /// Its content.
        bytes: &'a [u8],
    },
    /// The interface changed.
    Link(Link),
    /// The address is up, as [`Output::Take`] asked.
    Taken,
    /// The address could not be added or refreshed.
    Refused,
    /// The address is gone, as [`Output::Release`] asked.
    Released,
    /// Somebody else removed the address.
    Lost,
    /// The hardware address of the interface changed.
    MacChanged,
    /// A host answered [`Output::Probe`].
    Answered {
        /// Who says so.
        mac: Mac,
        /// Which shared address it has.
        address: Ipv4Addr,
    },
    /// Leave the group.
    Shutdown,
}

/// The interface as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It can carry packets.
    Up {
        /// The real address that the node is known by.
        node: NodeId,
        /// It was up before we looked, so it is not deaf.
        already: bool,
    },
    /// It cannot.
    Down(Unfit),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send this to the group.
    Send([u8; LEN]),
    /// Add the addresses; answer with [`Input::Taken`] or [`Input::Refused`].
    Take,
    /// Renew the lease of the addresses; answer with [`Input::Refused`] if that fails.
    Refresh,
    /// Remove the addresses; answer with [`Input::Released`].
    Release,
    /// See to it that the addresses are not there.
    AssertAbsent,
    /// Broadcast gratuitous ARP, both forms, for the address with this index.
    Announce(u8),
    /// Ask the LAN who has the addresses.
    Probe,
    /// The state changed.
    Changed {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        reason: Reason,
        /// From the decision to the answer of the outside.
        took: Duration,
    },
    /// Something that a person should know.
    Note(Note),
}

/// Everything to be done after one input.
///
/// Worst case: an ACTIVE that repairs (Take), wins a conflict (Refresh, Send), beats (Refresh, Send), announces four addresses
/// within its burst, and has a note to make: 10. Twice that leaves room for a change of state on top.
pub type Outputs = Vec<Output, MAX_OUTPUTS>;

/// Most outputs of one input.
pub const MAX_OUTPUTS: usize = 20;

/// One node of the group.
#[derive(Debug)]
pub struct Node {
    config: Config,
    seal: Seal,
    id: Option<NodeId>,
    boot: u64,
    seq: u64,
    role: Role,
    peers: Peers,
    listening: Listening,
    timers: Timers,
    announcer: Announcer,
    counters: Counters,
    /// Who was ACTIVE last, as far as we heard.
    last_active: Option<NodeId>,
    /// Packets of the present burst still to be sent.
    burst: u8,
    last_call: Instant,
    last_beat: Instant,
}

/// What belongs to a state lives in its variant.
#[derive(Debug, Clone, Copy)]
enum Role {
    Unfit,
    Standby {
        /// Who was named to take the address.
        successor: Option<Successor>,
    },
    Taking {
        since: Instant,
        reason: Reason,
    },
    Active,
    Releasing {
        since: Instant,
        then: Then,
        reason: Reason,
    },
    Shutdown,
}

/// A hand-over that we saw announced.
#[derive(Debug, Clone, Copy)]
struct Successor {
    node: NodeId,
    /// We named it ourselves: if it stays silent we take the address back.
    is_ours: bool,
}

/// What comes after the address is gone.
#[derive(Debug, Clone, Copy)]
enum Then {
    Standby {
        successor: Option<NodeId>,
    },
    /// What was heard before is no evidence.
    Listen {
        /// The link came up only then.
        link_up: Option<Instant>,
    },
    Unfit,
    Shutdown,
}

impl Node {
    /// A node without a link. `seed` is random and new at every start.
    pub fn new(config: Config, seal: Seal, seed: u64, now: Instant) -> Self {
        Self {
            announcer: Announcer::new(config.addresses().len(), config.announce_interval(), now),
            config,
            seal,
            id: None,
            boot: seed,
            seq: 0,
            role: Role::Unfit,
            peers: Peers::default(),
            listening: Listening::Deaf,
            timers: Timers::default(),
            counters: Counters::default(),
            last_active: None,
            burst: 0,
            last_call: now,
            last_beat: now,
        }
    }

    /// Takes in what happened at `now`; returns what is to be done.
    ///
    /// `now` may stand still; if it runs backwards it is clamped and counted.
    #[must_use]
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Outputs {
        if now < self.last_call {
            self.counters.clock_backwards += 1;
        }
        let now = now.max(self.last_call);
        self.last_call = now;
        let mut out = Outputs::new();
        self.look_at_the_clock(now, &mut out);
        match input {
            Input::Tick => self.tick(now, &mut out),
            Input::Heard { from, ttl, bytes } => self.hear(now, from, ttl, bytes, &mut out),
            Input::Link(Link::Up { node, already }) => self.link_up(now, node, already, &mut out),
            Input::Link(Link::Down(why)) => self.link_down(now, why, &mut out),
            Input::Taken => self.taken(now, &mut out),
            Input::Refused => self.refused(now, &mut out),
            Input::Released => self.released(now, &mut out),
            Input::Lost => self.lost(&mut out),
            Input::MacChanged => self.announce_again(now, &mut out),
            Input::Answered { mac, address } => self.answered(now, mac, address, &mut out),
            Input::Shutdown => self.shut_down(now, &mut out),
        }
        out
    }

    /// When to hand in the next [`Input::Tick`] at the latest; nothing is due without a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.last_call;
        let standby = match self.role {
            Role::Standby { .. } => {
                self.listening.next(now, &self.config).into_iter().chain(self.peers.next_expiry(now)).min()
            }
            Role::Unfit | Role::Taking { .. } | Role::Active | Role::Releasing { .. } | Role::Shutdown => None,
        };
        [self.timers.earliest(), self.announcer.deadline(), standby].into_iter().flatten().min()
    }

    /// The state as others see it.
    pub fn state(&self) -> State {
        match self.role {
            Role::Unfit => State::Unfit,
            Role::Standby { .. } => State::Standby,
            Role::Taking { .. } | Role::Active | Role::Releasing { .. } => State::Active,
            Role::Shutdown => State::Shutdown,
        }
    }

    /// True when a shutdown is complete: nothing more will be done.
    pub fn is_finished(&self) -> bool {
        matches!(self.role, Role::Shutdown) && self.burst == 0
    }

    /// The peers.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whoever slept is not ACTIVE any more, and what it heard before is no evidence.
    fn look_at_the_clock(&mut self, now: Instant, out: &mut Outputs) {
        let has_to_be_awake = match self.role {
            Role::Standby { .. } | Role::Taking { .. } | Role::Active => true,
            Role::Unfit | Role::Releasing { .. } | Role::Shutdown => false,
        };
        if !has_to_be_awake || !lease::slept(now, self.last_beat, self.config.lease(), self.config.tolerance()) {
            return;
        }
        let gap = now.since(self.last_beat);
        self.last_beat = now;
        match self.role {
            Role::Taking { .. } | Role::Active => {
                self.release(now, Then::Listen { link_up: None }, Reason::Slept { gap }, out)
            }
            Role::Standby { .. } | Role::Unfit | Role::Releasing { .. } | Role::Shutdown => {
                self.listening = Listening::Since(now);
            }
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Outputs) {
        if self.timers.take(Timer::Beat, now) {
            self.beat(now, out);
        }
        if self.timers.take(Timer::Burst, now) {
            self.speak(now, Kind::Heartbeat, out);
            self.continue_burst(now);
        }
        let _ = self.timers.take(Timer::Released, now);
        if self.timers.take(Timer::Retry, now) {
            self.stand_by(now, Listening::Since(now), out);
        }
        match self.role {
            Role::Standby { successor } => self.stand_for_election(now, successor, out),
            Role::Unfit | Role::Taking { .. } | Role::Active | Role::Releasing { .. } | Role::Shutdown => {}
        }
        self.announce(now, out);
    }

    /// The regular heartbeat, with what has to go with it.
    fn beat(&mut self, now: Instant, out: &mut Outputs) {
        self.timers.set(Timer::Beat, now + self.config.interval());
        self.speak(now, Kind::Heartbeat, out);
        match self.role {
            Role::Standby { .. } => push(out, Output::AssertAbsent),
            Role::Releasing { since, .. } => {
                let is_gone = self.config.lease().is_some_and(|lease| now.since(since) >= lease.end());
                if is_gone {
                    self.released(now, out);
                } else {
                    push(out, Output::Release);
                }
            }
            Role::Unfit | Role::Taking { .. } | Role::Active | Role::Shutdown => {}
        }
    }

    /// Sends one packet; an ACTIVE renews its lease first.
    fn speak(&mut self, now: Instant, kind: Kind, out: &mut Outputs) {
        let Some(node) = self.id else { return };
        if matches!(self.role, Role::Active) {
            push(out, Output::Refresh);
        }
        self.last_beat = now;
        self.seq += 1;
        let flags = Flags::default()
            .with(Flags::SETTLED, self.listening.is_settled(now, &self.config))
            .with(Flags::READY, self.listening.is_ready(now, &self.config))
            .with(Flags::STICKY, self.config.is_sticky())
            .with(Flags::SEALED, self.seal.is_keyed())
            .with(Flags::RELEASED, self.timers.is_set(Timer::Released));
        let heartbeat = Heartbeat {
            kind,
            group: self.config.group(),
            state: self.state(),
            flags,
            worthiness: self.config.worthiness(),
            node,
            following: self.following(now),
            boot: self.boot,
            seq: self.seq,
            interval: self.config.interval(),
            hold: self.config.tolerance(),
            addresses: self.config.addresses_hash(),
            nonce: 0,
        };
        push(out, Output::Send(self.seal.sign(&heartbeat)));
    }

    fn following(&self, now: Instant) -> Option<NodeId> {
        match self.role {
            Role::Standby { successor: Some(successor) } => Some(successor.node),
            Role::Taking { .. } | Role::Active | Role::Releasing { .. } => self.id,
            Role::Standby { successor: None } | Role::Unfit | Role::Shutdown => self.peers.active(now).map(Peer::node),
        }
    }

    /// Says a change at once and twice more, and puts the regular heartbeat one interval off.
    fn say_change(&mut self, now: Instant, out: &mut Outputs) {
        self.speak(now, Kind::Heartbeat, out);
        self.timers.set(Timer::Beat, now + self.config.interval());
        self.burst = BURST;
        self.continue_burst(now);
    }

    fn continue_burst(&mut self, now: Instant) {
        self.burst = self.burst.saturating_sub(1);
        if self.burst > 0 {
            self.timers.set(Timer::Burst, now + BURST_GAP);
        }
    }

    /// Claims, or takes over, if that is this node's turn.
    fn stand_for_election(&mut self, now: Instant, successor: Option<Successor>, out: &mut Outputs) {
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
                self.timers.set(Timer::Claim, now + self.config.interval().split(CLAIMS_PER_INTERVAL));
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
    fn vacancy(&self, now: Instant) -> Reason {
        match self.last_active.and_then(|node| self.peers.get(node)) {
            Some(peer) if peer.is_alive(now) => Reason::Resigned { peer: peer.node(), state: peer.said.state },
            Some(peer) => Reason::Silent { peer: peer.node(), silence: now.since(peer.heard_at) },
            None => Reason::Nobody { listened: self.config.tolerance() },
        }
    }

    /// True if somebody else should take the address rather than `me`.
    fn is_outdone(&self, now: Instant, me: Candidate, passed_over: Option<NodeId>) -> bool {
        let waits_for_starters = self.listening.waits_for_starters(now, &self.config);
        self.peers.iter().any(|peer| {
            peer.is_eligible(now)
                && peer.candidate() > me
                && Some(peer.node()) != passed_over
                && (peer.has(Flags::READY) || waits_for_starters)
        })
    }

    fn candidate(&self) -> Option<Candidate> {
        let worthiness = self.config.worthiness();
        self.id.filter(|_| worthiness > 0).map(|node| Candidate { worthiness, node })
    }

    fn take(&mut self, now: Instant, reason: Reason, out: &mut Outputs) {
        self.role = Role::Taking { since: now, reason };
        self.last_active = None;
        for timer in [Timer::Claim, Timer::Probe, Timer::Successor] {
            self.timers.stop(timer);
        }
        push(out, Output::Take);
    }

    fn taken(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { since, reason } => {
                self.become_(now, Role::Active, State::Standby, reason, now.since(since), out);
            }
            Role::Active => self.announce_again(now, out),
            Role::Unfit | Role::Standby { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    fn refused(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { .. } | Role::Active => {
                self.release(now, Then::Unfit, Reason::Unfit(Unfit::Refused), out);
            }
            Role::Unfit | Role::Standby { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    fn lost(&mut self, out: &mut Outputs) {
        match self.role {
            Role::Active => {
                self.counters.repairs += 1;
                push(out, Output::Take);
                push(out, Output::Note(Note::Repaired));
            }
            Role::Unfit | Role::Standby { .. } | Role::Taking { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    fn release(&mut self, now: Instant, then: Then, reason: Reason, out: &mut Outputs) {
        self.role = Role::Releasing { since: now, then, reason };
        self.announcer.stop();
        self.burst = 0;
        self.timers.stop(Timer::Burst);
        push(out, Output::Release);
    }

    fn released(&mut self, now: Instant, out: &mut Outputs) {
        let Role::Releasing { since, then, reason } = self.role else {
            return;
        };
        self.timers.set(Timer::Released, now + self.config.interval());
        let role = match then {
            Then::Standby { successor: None } => Role::Standby { successor: None },
            Then::Standby { successor: Some(node) } => {
                self.timers.set(Timer::Successor, now + self.config.interval());
                Role::Standby { successor: Some(Successor { node, is_ours: true }) }
            }
            Then::Listen { link_up } => {
                self.listening = link_up.map_or(Listening::Since(now), |at| Listening::LinkUp { at });
                Role::Standby { successor: None }
            }
            Then::Unfit => Role::Unfit,
            Then::Shutdown => Role::Shutdown,
        };
        self.become_(now, role, State::Active, reason, now.since(since), out);
        match (then, reason) {
            (Then::Unfit, Reason::Unfit(Unfit::Refused)) => {
                self.timers.set(Timer::Retry, now + self.config.tolerance());
            }
            (Then::Unfit, _) => self.fall_silent(),
            (Then::Standby { .. } | Then::Listen { .. } | Then::Shutdown, _) => {}
        }
    }

    /// The only place where the state that others see changes, but for a start and an end without the address.
    fn become_(&mut self, now: Instant, role: Role, from: State, reason: Reason, took: Duration, out: &mut Outputs) {
        self.role = role;
        self.say_change(now, out);
        if matches!(role, Role::Active) {
            self.announcer.restart(now);
            self.announce(now, out);
        }
        push(out, Output::Changed { from, to: self.state(), reason, took });
    }

    fn announce_again(&mut self, now: Instant, out: &mut Outputs) {
        if matches!(self.role, Role::Active) {
            self.announcer.restart(now);
            self.announce(now, out);
        }
    }

    fn announce(&mut self, now: Instant, out: &mut Outputs) {
        while let Some(index) = self.announcer.poll(now) {
            push(out, Output::Announce(index));
        }
    }

    fn link_up(&mut self, now: Instant, node: NodeId, already: bool, out: &mut Outputs) {
        self.id = Some(node);
        match self.role {
            Role::Unfit => {
                let listening = if already { Listening::Since(now) } else { Listening::LinkUp { at: now } };
                self.stand_by(now, listening, out);
            }
            Role::Releasing { since, then: Then::Unfit, reason } => {
                self.role = Role::Releasing { since, then: Then::Listen { link_up: Some(now) }, reason };
            }
            Role::Standby { .. } | Role::Taking { .. } | Role::Active | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    /// From unfit, or from nothing: listens before it does anything else.
    fn stand_by(&mut self, now: Instant, listening: Listening, out: &mut Outputs) {
        push(out, Output::AssertAbsent);
        self.role = Role::Standby { successor: None };
        self.listening = listening;
        self.last_beat = now;
        self.timers.stop(Timer::Retry);
        self.timers.set(Timer::Beat, now);
        self.timers.set(Timer::Probe, now + self.config.interval() + self.config.interval().split(2));
        if let Some(node) = self.id {
            let (from, to, reason) = (State::Unfit, State::Standby, Reason::Fit { node });
            push(out, Output::Changed { from, to, reason, took: Duration::ZERO });
        }
    }

    fn link_down(&mut self, now: Instant, why: Unfit, out: &mut Outputs) {
        let reason = Reason::Unfit(why);
        match self.role {
            Role::Taking { .. } | Role::Active => self.release(now, Then::Unfit, reason, out),
            Role::Standby { .. } => {
                self.become_(now, Role::Unfit, State::Standby, reason, Duration::ZERO, out);
                self.fall_silent();
            }
            Role::Releasing { since, then: Then::Standby { .. } | Then::Listen { .. }, .. } => {
                self.role = Role::Releasing { since, then: Then::Unfit, reason };
            }
            Role::Unfit => self.timers.stop(Timer::Retry),
            Role::Releasing { then: Then::Unfit | Then::Shutdown, .. } | Role::Shutdown => {}
        }
    }

    /// Without a link there is nobody to speak to.
    fn fall_silent(&mut self) {
        self.burst = 0;
        self.timers.stop_all();
        self.listening = Listening::Deaf;
    }

    fn answered(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, out: &mut Outputs) {
        let is_standby = matches!(self.role, Role::Standby { .. });
        if is_standby && self.peers.active(now).is_none() {
            push(out, Output::Note(Note::Foreign { mac, address }));
        }
    }

    fn shut_down(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { .. } | Role::Active => self.release(now, Then::Shutdown, Reason::Shutdown, out),
            Role::Releasing { since, .. } => {
                self.role = Role::Releasing { since, then: Then::Shutdown, reason: Reason::Shutdown };
            }
            Role::Standby { .. } | Role::Unfit => {
                let from = self.state();
                self.timers.stop_all();
                self.become_(now, Role::Shutdown, from, Reason::Shutdown, Duration::ZERO, out);
            }
            Role::Shutdown => {}
        }
    }
}

fn push(out: &mut Outputs, output: Output) {
    assert!(out.push(output).is_ok(), "the capacity is counted beside the type");
}

/// A change of state is said this many times, since one packet may be lost ...
const BURST: u8 = 3;

/// ... and this far apart, so that one full buffer does not swallow them all.
const BURST_GAP: Duration = Duration::from_millis(3);

/// An unanswered claim is repeated within the interval, so that one lost packet costs little.
const CLAIMS_PER_INTERVAL: u64 = 4;

#[cfg(test)]
mod tests;
