//! One node of the group: the state machine.
//!
//! ```text
//!                 listened for its tolerance, no node ACTIVE, most worthy
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
//! comes back as an input, and the state changes only then. A node decides to take or to claim on [`Input::Tick`] only, so that a
//! caller that was late reads its sockets first and then asks.
//!
//! The rules of docs/protocol.md: 1 to 4 and 7 are in `standby`, 4, 5 and 12 in `active`, 3, 6 and 10 in `transition`, 8 in
//! `quorum`, 9 in `probing` and `conflict`, 11 in `listening`.

use core::mem::MaybeUninit;

use crate::config::Config;
use crate::counters::Counters;
use crate::peers::{Peer, Peers};
use crate::time::Instant;
use crate::timers::{Due, Timer, earliest};
use crate::wire::arp::Mac;
use crate::wire::{Heartbeat, Kind, Seal, State};

mod active;
mod admission;
mod announcing;
mod conflict;
mod decoys;
mod io;
mod lan;
mod leave;
mod listening;
mod missing;
mod probing;
mod quorum;
mod reason;
mod role;
mod speaking;
mod standby;
mod station;
mod taking;
mod transition;
mod voice;

pub use active::PUT_BACK_GAP;
use admission::Arrival;
use io::push;
pub use io::{Input, Link, MAX_OUTPUTS, Macs, Output, Outputs};
use leave::{Releasing, Then};
use listening::Listening;
pub(crate) use probing::last_part;
pub use reason::{Note, Reason, Unfit};
use role::Role;
pub use speaking::{BURST, BURST_GAP};
use station::{Interface, Station};

/// One node of the group.
#[derive(Debug, Clone)]
pub struct Node {
    /// What outlives every state.
    station: Station,
    role: Role,
    /// The state that the last [`Output::Changed`] reported.
    reported: State,
    last_call: Instant,
}

impl Node {
    /// A node without a link. `seed` is random and new at every start.
    pub fn new(config: Config, seal: Seal, seed: u64, now: Instant) -> Self {
        let station = Station::new(config, seal, seed, now);
        Self { station, role: Role::Unfit { retry: Timer::OFF }, reported: State::Unfit, last_call: now }
    }

    /// Takes in what happened at `now`; returns what is to be done.
    ///
    /// `now` may stand still; if it runs backwards it is clamped and counted.
    #[must_use]
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Outputs {
        if now < self.last_call {
            self.station.counters.clock_backwards += 1;
        }
        let now = now.max(self.last_call);
        self.last_call = now;
        let mut out = Outputs::new();
        self.notice_sleep(now, &mut out);
        match input {
            Input::Tick => self.tick(now, &mut out),
            Input::Heard { at, from, ttl, bytes } => {
                let arrival = Arrival { at: at.min(now), from, ttl };
                self.hear(now, arrival, bytes, &mut out);
            }
            Input::Link(Link::Up { node, prefix, macs, already }) => {
                self.link_up(now, Interface { node, prefix, macs }, already, &mut out);
            }
            Input::Link(Link::Down(why)) => self.link_down(now, why, &mut out),
            Input::Taken => self.taken(now, &mut out),
            Input::Refused => self.refused(now, &mut out),
            Input::Released => self.released(now, &mut out),
            Input::Lost => self.lost(now, &mut out),
            Input::Found => self.found(&mut out),
            Input::MacChanged(macs) => self.mac_changed(now, macs, &mut out),
            Input::Resolution(said) => self.hear_resolution(now, said, &mut out),
            Input::Neighbour { link, address, is_gateway } => {
                self.station.enter_neighbour(now, link, address, is_gateway);
            }
            Input::Fenced(is_fenced) => self.fenced(now, is_fenced, &mut out),
            Input::Shutdown => self.shut_down(now, &mut out),
        }
        out
    }

    /// When to hand in the next [`Input::Tick`] at the latest; nothing is due without a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_due().map(|(at, _)| at)
    }

    /// The same, and what it is for.
    pub fn next_due(&self) -> Option<(Instant, Due)> {
        let Station { voice, released, .. } = &self.station;
        earliest(&[
            voice.beat.due(Due::Beat),
            voice.burst.due(Due::Burst),
            released.due(Due::Released),
            self.role.deadline(&self.station, self.last_call),
        ])
    }

    /// Signs with other keys from now on, and checks with them.
    pub fn use_seal(&mut self, seal: Seal) {
        self.station.seal = seal;
    }

    /// A fence guards the address.
    pub fn is_fenced(&self) -> bool {
        self.station.is_fenced
    }

    /// The state as others see it.
    pub fn state(&self) -> State {
        self.role.state()
    }

    /// True when a shutdown is complete: nothing more will be done.
    pub fn is_finished(&self) -> bool {
        matches!(self.role, Role::Shutdown) && !self.station.voice.burst.is_set()
    }

    /// Memory in which nothing is, as long as no other peer is heard: most of a node. The system may have it until then.
    pub fn unused(&mut self) -> &mut [MaybeUninit<Peer>] {
        self.station.peers.unused()
    }

    /// The peers.
    pub fn peers(&self) -> &Peers {
        &self.station.peers
    }

    /// The hardware address of the host that said last by ARP or ND that it has an address of ours, and when that was.
    pub fn last_conflict(&self) -> Option<(Mac, Instant)> {
        self.station.lan.last_conflict
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.station.counters
    }

    /// The parameters.
    pub fn config(&self) -> &Config {
        &self.station.config
    }

    fn tick(&mut self, now: Instant, out: &mut Outputs) {
        if self.station.voice.beat.take(now) {
            self.beat(now, out);
        }
        if self.station.voice.burst.take(now) {
            self.speak(now, Kind::Heartbeat, out);
            self.continue_burst(now);
        }
        self.station.released.take(now);
        if let Role::Unfit { retry } = &mut self.role
            && retry.take(now)
        {
            self.stand_by(now, Listening::since(now), out);
        }
        match &mut self.role {
            Role::Standby(standby) => {
                if let Some(reason) = standby.tick(&mut self.station, now, out) {
                    self.take(now, reason, out);
                }
            }
            Role::Active(active) => {
                if let Some(leave) = active.tick(&mut self.station, now, out) {
                    self.release(now, leave, out);
                }
            }
            Role::Unfit { .. } | Role::Taking(_) | Role::Releasing(_) | Role::Shutdown => {}
        }
        if matches!(self.role, Role::Standby(_) | Role::Active(_)) {
            self.station.report_missing(now, out);
        }
    }

    /// The regular heartbeat, with what has to go with it.
    fn beat(&mut self, now: Instant, out: &mut Outputs) {
        let Self { station, role, .. } = self;
        let config = &station.config;
        station.voice.beat.set(now + config.interval());
        match role {
            &mut Role::Releasing(Releasing { since, then, said, .. }) => {
                let is_gone = config.lease().is_some_and(|lease| now.since(since) >= lease.end());
                // A node that slept must not say ACTIVE: a less worthy owner would let go. One that leaves has said so.
                let may_speak = said.map_or(!matches!(then, Then::Listen { .. }), |said| said == State::Standby);
                if may_speak {
                    self.speak(now, Kind::Heartbeat, out);
                }
                if is_gone {
                    self.released(now, out);
                } else {
                    push(out, Output::Release);
                }
            }
            Role::Standby(standby) => {
                if station.is_in_step(now) {
                    station.voice.beat.set(now + config.interval() + config.interval() / STEP_SLACK);
                }
                standby.assert_absent(now, out);
                self.speak(now, Kind::Heartbeat, out);
            }
            Role::Unfit { .. } | Role::Taking(_) | Role::Active(_) | Role::Shutdown => {
                self.speak(now, Kind::Heartbeat, out);
            }
        }
    }

    /// A STANDBY in step with the ACTIVE sends its heartbeat when it hears one: the machine is awake then. One that has lost step
    /// finds it with a heartbeat that is earlier than that.
    fn keep_step(&mut self, now: Instant, said: &Heartbeat, out: &mut Outputs) {
        let Self { station, role: Role::Standby(standby), .. } = self else { return };
        let interval = station.config.interval();
        if said.kind != Kind::Heartbeat || said.state != State::Active || !station.is_in_step(now) {
            return;
        }
        let two_on = now + interval.saturating_mul(2);
        let has_lost_step = now >= *standby.in_step_until.get_or_insert(two_on) && said.interval == interval;
        let early = interval / STEP_EARLY;
        let early = if has_lost_step { interval.saturating_sub(early) } else { early };
        if station.voice.beat.is_due_by(now + early) {
            standby.in_step_until = Some(two_on);
            self.beat(now, out);
        }
    }

    /// Somebody else added the address.
    fn found(&self, out: &mut Outputs) {
        if matches!(self.role, Role::Unfit { .. } | Role::Standby(_)) {
            push(out, Output::AssertAbsent);
        }
    }

    /// Somebody else removed the address.
    fn lost(&mut self, now: Instant, out: &mut Outputs) {
        if let Role::Active(active) = &mut self.role {
            active.lost(&mut self.station, now, out);
        }
    }

    /// The outside has made a fence, or could not: an ACTIVE opens it.
    fn fenced(&mut self, now: Instant, is_fenced: bool, out: &mut Outputs) {
        self.station.is_fenced = is_fenced;
        if let Role::Active(active) = &mut self.role
            && is_fenced
        {
            active.speak(&mut self.station, now, out);
        }
    }

    /// A link has another hardware address: what others know of ours is wrong.
    fn mac_changed(&mut self, now: Instant, macs: Macs, out: &mut Outputs) {
        let Some(interface) = &mut self.station.interface else { return };
        interface.macs = macs;
        if let Role::Active(active) = &mut self.role {
            active.announce_again(&mut self.station, now, out);
        }
    }
}

/// A STANDBY sends its heartbeat this part of an interval early ...
const STEP_EARLY: u32 = 10;

/// ... and waits for the ACTIVE's this part of an interval longer, which covers that the ACTIVE woke up late.
const STEP_SLACK: u32 = 40;

#[cfg(test)]
mod tests;
