//! How a node changes its state: [`Node::enter`] alone does it, with all that has to go with it.

use super::active::Active;
use super::io::{Output, Outputs, push};
use super::leave::{Leave, Releasing, Then};
use super::listening::Listening;
use super::standby::Standby;
use super::station::Interface;
use super::taking::Taking;
use super::{Node, Reason, Role, Unfit};
use crate::config::OnConflict;
use crate::lease;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{Kind, State};

impl Node {
    /// The only place that changes the role.
    fn enter(&mut self, now: Instant, role: Role, reason: Reason, out: &mut Outputs) {
        let from = core::mem::replace(&mut self.role, role);
        match (&from, &self.role) {
            (Role::Unfit { .. }, Role::Standby(_)) => {
                push(out, Output::AssertAbsent);
                self.station.voice.last_beat = now;
                self.station.voice.beat.set(now);
                self.report(&from, now, reason, out);
            }
            (Role::Standby(_), Role::Taking(_)) => {
                self.station.last_active = None;
                self.station.released.stop();
                push(out, Output::Take);
            }
            (Role::Taking(_), Role::Active(_)) => {
                self.station.refusals = 0;
                self.say_change(now, out);
                self.begin_to_announce(now, out);
                self.report(&from, now, reason, out);
            }
            (Role::Taking(_) | Role::Active(_), Role::Releasing(releasing)) => {
                let closes_fence = releasing.said.is_some();
                self.station.lan.neighbours.stop();
                self.station.voice.stop_burst();
                self.station.voice.beat.set(now + self.station.config.interval());
                if closes_fence {
                    self.station.note_release(now);
                    self.say_change(now, out);
                }
                push(out, Output::Release);
            }
            (Role::Releasing(releasing), Role::Standby(_) | Role::Shutdown) => {
                self.say_unless_said(now, releasing.said, out);
                self.report(&from, now, reason, out);
                self.end_if_all_is_said();
            }
            (Role::Releasing(releasing), Role::Unfit { retry }) => {
                let keeps_its_link = retry.is_set();
                self.say_unless_said(now, releasing.said, out);
                self.report(&from, now, reason, out);
                if !keeps_its_link {
                    // There is no later for the other two packets: the sockets are closed now.
                    for _ in 0..self.station.voice.burst_left {
                        self.speak(now, Kind::Heartbeat, out);
                    }
                    self.fall_silent();
                }
            }
            (Role::Standby(_), Role::Unfit { .. }) => {
                self.say_change(now, out);
                self.report(&from, now, reason, out);
                self.fall_silent();
            }
            (Role::Unfit { .. } | Role::Standby(_), Role::Shutdown) => {
                self.station.released.stop();
                self.say_change(now, out);
                self.report(&from, now, reason, out);
            }
            (Role::Unfit { .. }, Role::Unfit { .. } | Role::Taking(_) | Role::Active(_) | Role::Releasing(_))
            | (Role::Standby(_), Role::Standby(_) | Role::Active(_) | Role::Releasing(_))
            | (Role::Taking(_), Role::Unfit { .. } | Role::Standby(_) | Role::Taking(_) | Role::Shutdown)
            | (Role::Active(_), Role::Unfit { .. } | Role::Standby(_) | Role::Taking(_) | Role::Active(_))
            | (Role::Active(_), Role::Shutdown)
            | (Role::Releasing(_), Role::Taking(_) | Role::Active(_) | Role::Releasing(_))
            | (
                Role::Shutdown,
                Role::Unfit { .. }
                | Role::Standby(_)
                | Role::Taking(_)
                | Role::Active(_)
                | Role::Releasing(_)
                | Role::Shutdown,
            ) => unreachable!("a node has no such change of state"),
        }
    }

    /// Reports a change of the state that others see. A node that was refused the address, or outdone, while it took it was never
    /// reported as ACTIVE.
    fn report(&mut self, left: &Role, now: Instant, reason: Reason, out: &mut Outputs) {
        let took = match left {
            Role::Taking(Taking { since, .. }) | Role::Releasing(Releasing { since, .. }) => now.since(*since),
            Role::Unfit { .. } | Role::Standby(_) | Role::Active(_) | Role::Shutdown => Duration::ZERO,
        };
        let to = self.state();
        let from = core::mem::replace(&mut self.reported, to);
        if from != to {
            push(out, Output::Changed { from, to, reason, took });
        }
    }

    /// Says the new state, unless others were told so when the fence closed.
    fn say_unless_said(&mut self, now: Instant, said: Option<State>, out: &mut Outputs) {
        if said != Some(self.state()) {
            self.say_change(now, out);
        }
    }

    /// A new ACTIVE announces the address.
    fn begin_to_announce(&mut self, now: Instant, out: &mut Outputs) {
        if let Role::Active(active) = &mut self.role {
            self.station.enter_members(now);
            active.announce_again(&mut self.station, now, out);
        }
    }

    /// Without a link there is no node to speak to.
    fn fall_silent(&mut self) {
        let station = &mut self.station;
        station.voice.stop_burst();
        station.voice.beat.stop();
        station.released.stop();
        station.listen_from(Listening::DEAF);
    }

    /// Takes the address.
    pub(super) fn take(&mut self, now: Instant, reason: Reason, out: &mut Outputs) {
        let config = &self.station.config;
        let is_blind = reason.is_silence() && config.on_conflict() == OnConflict::Hold;
        let may_yield_until = is_blind.then(|| now + config.tolerance());
        self.enter(now, Role::Taking(Taking { since: now, reason, may_yield_until }), reason, out);
    }

    /// The outside has added the address.
    pub(super) fn taken(&mut self, now: Instant, out: &mut Outputs) {
        match &mut self.role {
            &mut Role::Taking(Taking { reason, may_yield_until, .. }) => {
                let active = Active::new(&self.station, now, may_yield_until);
                self.enter(now, Role::Active(active), reason, out);
            }
            Role::Active(active) => active.repaired(&mut self.station, now, out),
            Role::Unfit { .. } | Role::Standby(_) | Role::Releasing(_) | Role::Shutdown => {}
        }
    }

    /// Rule 6: the outside could not add the address, or renew its lease.
    pub(super) fn refused(&mut self, now: Instant, out: &mut Outputs) {
        match &self.role {
            Role::Taking(_) | Role::Active(_) => {
                self.release(now, (Then::Refused, Reason::Unfit(Unfit::Refused)), out);
            }
            Role::Unfit { .. } | Role::Standby(_) | Role::Releasing(_) | Role::Shutdown => {}
        }
    }

    /// Rule 3: removes the address; only when it is gone the node says so. Behind a fence it says so at once, which closes the fence.
    pub(super) fn release(&mut self, now: Instant, (then, reason): Leave, out: &mut Outputs) {
        let said = self.station.is_fenced.then(|| then.state());
        self.enter(now, Role::Releasing(Releasing { since: now, then, reason, said }), reason, out);
    }

    /// The outside has removed the address.
    pub(super) fn released(&mut self, now: Instant, out: &mut Outputs) {
        let Role::Releasing(Releasing { then, reason, said, .. }) = self.role else { return };
        let station = &mut self.station;
        let tolerance = station.config.tolerance();
        if said.is_none() {
            station.note_release(now);
        }
        let role = match then {
            Then::Standby { successor } => {
                station.last_active = Some(successor);
                Role::Standby(Standby::handing_over(now, successor, station))
            }
            Then::Listen { link_up: None } => {
                station.listening = Listening::since(now);
                Role::Standby(Standby::after_release(now))
            }
            Then::Listen { link_up: Some(at) } => {
                station.listen_from(Listening::link_up(at, &station.config));
                Role::Standby(Standby::after_release(now))
            }
            Then::Unfit => Role::Unfit { retry: Timer::OFF },
            Then::Refused => {
                let doubled = tolerance.saturating_mul(1 << station.refusals.min(16));
                station.refusals += 1;
                Role::Unfit { retry: Timer::at(now + doubled.min(MAX_RETRY.max(tolerance))) }
            }
            Then::Shutdown => Role::Shutdown,
        };
        self.enter(now, role, reason, out);
    }

    /// From unfit: the node listens before it does anything else.
    pub(super) fn stand_by(&mut self, now: Instant, listening: Listening, out: &mut Outputs) {
        let Some(node) = self.station.id() else { return };
        self.station.listen_from(listening);
        self.enter(now, Role::Standby(Standby::new()), Reason::Fit { node }, out);
    }

    /// The interface can carry packets; `already`: since before this node looked.
    pub(super) fn link_up(&mut self, now: Instant, interface: Interface, already: bool, out: &mut Outputs) {
        self.station.interface = Some(interface);
        match &mut self.role {
            Role::Unfit { .. } => {
                let config = &self.station.config;
                let listening = if already { Listening::since(now) } else { Listening::link_up(now, config) };
                self.stand_by(now, listening, out);
            }
            Role::Releasing(Releasing { then, .. }) => {
                if matches!(then, Then::Unfit | Then::Refused) {
                    *then = Then::Listen { link_up: Some(now) };
                }
            }
            Role::Standby(_) | Role::Taking(_) | Role::Active(_) | Role::Shutdown => {}
        }
    }

    /// Rule 6: the interface cannot carry packets.
    pub(super) fn link_down(&mut self, now: Instant, why: Unfit, out: &mut Outputs) {
        let reason = Reason::Unfit(why);
        match &mut self.role {
            Role::Taking(_) | Role::Active(_) => self.release(now, (Then::Unfit, reason), out),
            Role::Standby(_) => self.enter(now, Role::Unfit { retry: Timer::OFF }, reason, out),
            Role::Releasing(Releasing { then: Then::Shutdown, .. }) | Role::Shutdown => {}
            Role::Releasing(releasing) => (releasing.then, releasing.reason) = (Then::Unfit, reason),
            Role::Unfit { retry } => {
                retry.stop();
                self.fall_silent();
                push(out, Output::AssertAbsent);
            }
        }
    }

    /// The node is to leave.
    pub(super) fn shut_down(&mut self, now: Instant, out: &mut Outputs) {
        let leave = (Then::Shutdown, Reason::Shutdown);
        match &mut self.role {
            Role::Taking(_) | Role::Active(_) => self.release(now, leave, out),
            Role::Releasing(releasing) => (releasing.then, releasing.reason) = leave,
            Role::Standby(_) | Role::Unfit { .. } => self.enter(now, Role::Shutdown, Reason::Shutdown, out),
            Role::Shutdown => {}
        }
    }

    /// Rule 10: a node that slept is not ACTIVE any more, and what it heard before is no evidence.
    pub(super) fn notice_sleep(&mut self, now: Instant, out: &mut Outputs) {
        let station = &mut self.station;
        let config = &station.config;
        let limit = match &self.role {
            Role::Standby(_) => config.interval().saturating_mul(2).min(config.tolerance()),
            Role::Taking(_) | Role::Active(_) | Role::Releasing(Releasing { then: Then::Standby { .. }, .. }) => {
                let leased = lease::longest_pause(config.lease(), config.tolerance());
                // The fence is closed by then, and a heartbeat would open it for a node that others take for dead.
                if station.is_fenced { leased.min(config.fence_span()) } else { leased }
            }
            Role::Unfit { .. } | Role::Releasing(_) | Role::Shutdown => return,
        };
        let gap = now.since(station.voice.last_beat);
        if gap <= limit {
            return;
        }
        station.voice.last_beat = now;
        station.ears.restart(now);
        let then = Then::Listen { link_up: None };
        match &mut self.role {
            Role::Taking(_) | Role::Active(_) => self.release(now, (then, Reason::Slept { gap }), out),
            Role::Releasing(releasing) => releasing.then = then,
            Role::Standby(standby) => {
                station.listening.restart(now);
                standby.forget_questions();
            }
            Role::Unfit { .. } | Role::Shutdown => {}
        }
    }
}

/// A node that was refused again and again tries more and more rarely, since each try costs the group a hand-over.
const MAX_RETRY: Duration = Duration::from_secs(60);
