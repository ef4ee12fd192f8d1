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

use crate::announce::Announcer;
use crate::budget::Budget;
use crate::config::Config;
use crate::counters::Counters;
use crate::defence::Defence;
use crate::lease;
use crate::neighbours::Neighbours;
use crate::peers::{Peer, Peers};
use crate::proxies::Proxies;
use crate::strangers::Strangers;
use crate::time::{Duration, Instant, earliest};
use crate::timers::{Timer, Timers};
use crate::wire::arp::Mac;
use crate::wire::{Flags, Heartbeat, Kind, LEN, NodeId, Seal, State};

mod claims;
mod hearing;
mod io;
mod listening;
mod missing;
mod moves;
mod probing;
mod proving;
mod quorum;
mod reason;
mod speaking;
mod standing;
mod telling;

use io::push;
pub use io::{Input, Link, MAX_OUTPUTS, Output, Outputs};
use listening::Listening;
pub use moves::PUT_BACK_GAP;
use probing::Probing;
pub use reason::{Note, Reason, Unfit};
pub use speaking::{BURST, BURST_GAP};

/// One node of the group.
#[derive(Debug, Clone)]
pub struct Node {
    config: Config,
    seal: Seal,
    id: Option<NodeId>,
    /// The hardware address of the interface.
    mac: Option<Mac>,
    /// Bits of the prefix of its subnet.
    prefix: u8,
    boot: u64,
    seq: u64,
    role: Role,
    /// The state that the last [`Output::Changed`] told.
    told: State,
    peers: Peers,
    strangers: Strangers,
    listening: Listening,
    /// The same for the silence of a single peer: a missing quorum makes no difference.
    ears: Listening,
    timers: Timers,
    /// ARP of all kinds.
    frames: Budget,
    announcer: Announcer,
    neighbours: Neighbours,
    defence: Defence,
    probing: Probing,
    /// When the LAN was asked last who has the address.
    probed_at: Option<Instant>,
    proxies: Proxies,
    /// Addresses that were drawn to find these out.
    decoys: u64,
    /// Who has claimed an address last, by ARP, and when.
    claimant: Option<(Mac, Instant)>,
    counters: Counters,
    /// Who was ACTIVE last, as far as we heard.
    last_active: Option<NodeId>,
    /// When a packet with a wrong tag was heard last.
    forged_at: Option<Instant>,
    /// Since when others can know that we are ready.
    ready_since: Option<Instant>,
    /// When the address was last taken.
    active_since: Instant,
    /// Until then whoever else has just taken it, unheard too, may be given way to, if it answers a probe.
    may_yield_until: Option<Instant>,
    /// The addresses were added just now, so that their lease is new.
    is_lease_new: bool,
    /// When it was last put back.
    repaired_at: Instant,
    /// From then on it may be said again that it was put back.
    may_say_put_back_from: Instant,
    /// When it last went.
    released_at: Option<Instant>,
    /// Whom we asked for it last.
    claimed_from: Option<NodeId>,
    /// Takes that the kernel refused, one after the other.
    refusals: u32,
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
        successor: NodeId,
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
            frames: Budget::new(BURST_OF_FRAMES, config.announce_rate(), now),
            config,
            seal,
            neighbours: Neighbours::default(),
            defence: Defence::default(),
            probing: Probing::default(),
            probed_at: None,
            proxies: Proxies::default(),
            decoys: 0,
            claimant: None,
            id: None,
            mac: None,
            prefix: 0,
            boot: seed,
            seq: 0,
            role: Role::Unfit,
            told: State::Unfit,
            peers: Peers::default(),
            strangers: Strangers::new(seed, now),
            listening: Listening::DEAF,
            ears: Listening::DEAF,
            timers: Timers::default(),
            counters: Counters::default(),
            last_active: None,
            forged_at: None,
            ready_since: None,
            active_since: now,
            may_yield_until: None,
            is_lease_new: false,
            repaired_at: now,
            may_say_put_back_from: now,
            released_at: None,
            claimed_from: None,
            refusals: 0,
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
        self.is_lease_new = matches!(input, Input::Taken);
        let mut out = Outputs::new();
        self.look_at_the_clock(now, &mut out);
        match input {
            Input::Tick => self.tick(now, &mut out),
            Input::Heard { from, ttl, bytes } => self.hear(now, from, ttl, bytes, &mut out),
            Input::Link(Link::Up { node, prefix, mac, already }) => {
                (self.prefix, self.mac) = (prefix, Some(mac));
                self.link_up(now, node, already, &mut out);
            }
            Input::Link(Link::Down(why)) => self.link_down(now, why, &mut out),
            Input::Taken => self.taken(now, &mut out),
            Input::Refused => self.refused(now, &mut out),
            Input::Released => self.released(now, &mut out),
            Input::Lost => self.lost(now, &mut out),
            Input::MacChanged(mac) => {
                self.mac = Some(mac);
                self.announce_again(now, &mut out);
            }
            Input::Arp(arp) => self.hear_arp(now, arp, &mut out),
            Input::Neighbour { address, is_gateway } => self.know(now, address, is_gateway),
            Input::Shutdown => self.shut_down(now, &mut out),
        }
        out
    }

    /// When to hand in the next [`Input::Tick`] at the latest; nothing is due without a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.last_call;
        let [evidence, doubt, expiry] = match self.role {
            Role::Standby { .. } => {
                let doubt = self.doubts_until().filter(|&at| at > now);
                [self.listening.next(now, &self.config), doubt, self.peers.next_expiry(now)]
            }
            Role::Active => [None, self.quorum_doubt(now), self.peers.next_expiry(now)],
            Role::Unfit | Role::Taking { .. } | Role::Releasing { .. } | Role::Shutdown => [None; 3],
        };
        earliest(&[self.timers.earliest(), self.tells_at(), evidence, doubt, expiry])
    }

    /// Signs with other keys from now on, and checks with them.
    pub fn use_seal(&mut self, seal: Seal) {
        self.seal = seal;
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
        matches!(self.role, Role::Shutdown) && !self.timers.is_set(Timer::Burst)
    }

    /// The peers.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The hardware address from which somebody else claimed an address last, by ARP, and when that was.
    pub fn claimant(&self) -> Option<(Mac, Instant)> {
        self.claimant
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
        let limit = match self.role {
            Role::Standby { .. } => self.config.interval().times(2).min(self.config.tolerance()),
            Role::Taking { .. } | Role::Active | Role::Releasing { then: Then::Standby { .. }, .. } => {
                lease::longest_pause(self.config.lease(), self.config.tolerance())
            }
            Role::Unfit | Role::Releasing { .. } | Role::Shutdown => return,
        };
        let gap = now.since(self.last_beat);
        if gap <= limit {
            return;
        }
        self.last_beat = now;
        self.ears.restart(now);
        match self.role {
            Role::Taking { .. } | Role::Active => {
                self.release(now, Then::Listen { link_up: None }, Reason::Slept { gap }, out);
            }
            Role::Releasing { since, reason, .. } => {
                self.role = Role::Releasing { since, then: Then::Listen { link_up: None }, reason };
            }
            Role::Standby { .. } | Role::Unfit | Role::Shutdown => {
                self.listening.restart(now);
                for timer in [Timer::Claim, Timer::Claimed, Timer::Query] {
                    self.timers.stop(timer);
                }
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
        // These say that it is time to look, or that the time for something is over.
        let _ = self.timers.take(Timer::Claimed, now);
        let _ = self.timers.take(Timer::Decide, now);
        let _ = self.timers.take(Timer::Released, now);
        if self.timers.take(Timer::Retry, now) {
            self.stand_by(now, Listening::since(now), out);
        }
        if self.timers.take(Timer::Repair, now) {
            self.lost(now, out);
        }
        if self.timers.take(Timer::PutBack, now) {
            self.say_put_back(now, out);
        }
        if self.timers.take(Timer::Outdone, now) {
            self.yield_unanswered(now, out);
        }
        match self.role {
            Role::Standby { successor } => self.stand_for_election(now, successor, out),
            Role::Active => self.look_at_the_quorum(now, out),
            Role::Unfit | Role::Taking { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
        if matches!(self.role, Role::Active) {
            self.announcer.pace(now, self.announce_interval(now));
            self.announce(now, out);
        }
        self.name_the_missing(now, out);
    }

    /// The regular heartbeat, with what has to go with it.
    fn beat(&mut self, now: Instant, out: &mut Outputs) {
        self.timers.set(Timer::Beat, now + self.config.interval());
        if let Role::Releasing { since, then, .. } = self.role {
            // Whoever slept must not say ACTIVE: a less worthy owner would let go.
            if !matches!(then, Then::Listen { .. }) {
                self.speak(now, Kind::Heartbeat, out);
            }
            let is_gone = self.config.lease().is_some_and(|lease| now.since(since) >= lease.end());
            if is_gone {
                self.released(now, out)
            } else {
                push(out, Output::Release)
            }
            return;
        }
        if matches!(self.role, Role::Standby { .. }) {
            push(out, Output::AssertAbsent);
        }
        self.speak(now, Kind::Heartbeat, out);
    }
}

/// Who was refused again and again tries more and more rarely, since each try costs the group a hand-over.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Whoever waits for an answer asks again within the interval, so that one lost packet costs little.
const ASKS_PER_INTERVAL: u64 = 4;

/// Whoever fears that the ACTIVE is gone asks more often: at 30 % loss six questions of an interval and their answers all fail
/// once in fifty times.
const QUERIES_PER_INTERVAL: u64 = 6;

/// ARP frames at once after a rest: both forms of the first announcement, questions to the gateway and one more, and two other
/// announcements.
const BURST_OF_FRAMES: u64 = 8;

/// Nobody is answered more often than this in the interval of the asker.
const ANSWERS_PER_INTERVAL: u64 = 20;

#[cfg(test)]
mod tests;
