//! How the state changes, and what has to go with it.

use super::io::{Output, Outputs, push};
use super::listening::Listening;
use super::{ANSWERS_PER_INTERVAL, BURST, MAX_RETRY, Node, Note, Probing, Reason, Role, Successor, Then, Unfit};
use crate::config::OnConflict;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{Kind, NodeId};

impl Node {
    pub(super) fn take(&mut self, now: Instant, reason: Reason, out: &mut Outputs) {
        let is_blind = reason.is_silence() && self.config.on_conflict() == OnConflict::Hold;
        self.may_yield_until = is_blind.then(|| now + self.config.tolerance());
        self.role = Role::Taking { since: now, reason };
        self.last_active = None;
        self.probing = Probing::default();
        for timer in [Timer::Claim, Timer::Claimed, Timer::Query, Timer::Probe, Timer::Successor, Timer::Released] {
            self.timers.stop(timer);
        }
        push(out, Output::Take);
    }

    pub(super) fn taken(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { since, reason } => {
                self.refusals = 0;
                self.active_since = now;
                self.become_(now, Role::Active, reason, now.since(since), out);
            }
            Role::Active => {
                // The repair renewed the lease; peers have to count from the same moment.
                self.speak(now, Kind::Heartbeat, out);
                self.announce_again(now, out);
                self.say_put_back(now, out);
            }
            Role::Unfit | Role::Standby { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    pub(super) fn refused(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { .. } | Role::Active => {
                self.release(now, Then::Unfit, Reason::Unfit(Unfit::Refused), out);
            }
            Role::Unfit | Role::Standby { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    /// Puts the address back, since a repair is said: at once, but no more often than others may ask.
    pub(super) fn lost(&mut self, now: Instant, out: &mut Outputs) {
        if !matches!(self.role, Role::Active) || self.timers.is_set(Timer::Repair) {
            return;
        }
        let at = self.repaired_at + self.config.interval().split(ANSWERS_PER_INTERVAL);
        if now < at {
            self.timers.set(Timer::Repair, at);
            return;
        }
        self.repaired_at = now;
        self.counters.repairs += 1;
        push(out, Output::Take);
        push(out, Output::Note(Note::Repaired));
    }

    /// Says that the address was put back: at once, but for the user's sake not again within ten seconds. What comes meanwhile is
    /// said when they are over, since the last time counts.
    pub(super) fn say_put_back(&mut self, now: Instant, out: &mut Outputs) {
        if now < self.may_say_put_back_from {
            self.timers.set(Timer::PutBack, self.may_say_put_back_from);
        } else {
            self.may_say_put_back_from = now + PUT_BACK_GAP;
            push(out, Output::PutBack);
        }
    }

    pub(super) fn release(&mut self, now: Instant, then: Then, reason: Reason, out: &mut Outputs) {
        self.role = Role::Releasing { since: now, then, reason };
        self.announcer.stop();
        self.neighbours.stop();
        self.burst = 0;
        self.timers.stop(Timer::Burst);
        self.timers.stop(Timer::Outdone);
        self.timers.stop(Timer::Repair);
        self.timers.stop(Timer::PutBack);
        self.timers.set(Timer::Beat, now + self.config.interval());
        push(out, Output::Release);
    }

    pub(super) fn released(&mut self, now: Instant, out: &mut Outputs) {
        let Role::Releasing { since, then, reason } = self.role else {
            return;
        };
        self.released_at = Some(now);
        // Who claims the address from now on has it.
        self.probing = Probing::since(now);
        self.timers.set(Timer::Released, now + self.config.tolerance());
        let role = match then {
            Then::Standby { successor: node } => {
                self.last_active = Some(node);
                self.timers.set(Timer::Successor, now + self.config.interval());
                self.timers.set(Timer::Probe, now + self.config.interval().split(2));
                Role::Standby { successor: Some(Successor { node, is_ours: true }) }
            }
            Then::Listen { link_up } => {
                self.listening = link_up.map_or(Listening::since(now), |at| Listening::link_up(at, &self.config));
                if link_up.is_some() {
                    self.ears = self.listening;
                }
                Role::Standby { successor: None }
            }
            Then::Unfit => Role::Unfit,
            Then::Shutdown => Role::Shutdown,
        };
        self.become_(now, role, reason, now.since(since), out);
        match (then, reason) {
            (Then::Unfit, Reason::Unfit(Unfit::Refused)) => {
                let doubled = self.config.tolerance().times(1 << self.refusals.min(16));
                self.timers.set(Timer::Retry, now + doubled.min(MAX_RETRY.max(self.config.tolerance())));
                self.refusals += 1;
            }
            (Then::Unfit, _) => {
                // There is no later for the other two: the sockets are closed now.
                for _ in 1..BURST {
                    self.speak(now, Kind::Heartbeat, out);
                }
                self.fall_silent();
            }
            (Then::Standby { .. } | Then::Listen { .. } | Then::Shutdown, _) => {}
        }
    }

    /// The only place where the state that others see changes, but for a start and an end without the address.
    pub(super) fn become_(&mut self, now: Instant, role: Role, reason: Reason, took: Duration, out: &mut Outputs) {
        self.role = role;
        self.say_change(now, out);
        if matches!(role, Role::Active) {
            self.learn_members(now);
            self.announce_from(now);
            self.announce(now, out);
        }
        self.tell(reason, took, out);
    }

    /// A node that was refused the address, or outdone, while it took it was never told to be ACTIVE.
    fn tell(&mut self, reason: Reason, took: Duration, out: &mut Outputs) {
        let to = self.state();
        let from = core::mem::replace(&mut self.told, to);
        if from != to {
            push(out, Output::Changed { from, to, reason, took });
        }
    }

    pub(super) fn link_up(&mut self, now: Instant, node: NodeId, already: bool, out: &mut Outputs) {
        self.id = Some(node);
        match self.role {
            Role::Unfit => {
                let listening = if already { Listening::since(now) } else { Listening::link_up(now, &self.config) };
                self.stand_by(now, listening, out);
            }
            Role::Releasing { since, then: Then::Unfit, reason } => {
                self.role = Role::Releasing { since, then: Then::Listen { link_up: Some(now) }, reason };
            }
            Role::Standby { .. } | Role::Taking { .. } | Role::Active | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    /// From unfit, or from nothing: listens before it does anything else.
    pub(super) fn stand_by(&mut self, now: Instant, listening: Listening, out: &mut Outputs) {
        push(out, Output::AssertAbsent);
        self.role = Role::Standby { successor: None };
        (self.listening, self.ears) = (listening, listening);
        self.last_beat = now;
        self.timers.stop(Timer::Retry);
        self.timers.set(Timer::Beat, now);
        self.probing = Probing::default();
        if let Some(node) = self.id {
            self.tell(Reason::Fit { node }, Duration::ZERO, out);
        }
    }

    pub(super) fn link_down(&mut self, now: Instant, why: Unfit, out: &mut Outputs) {
        let reason = Reason::Unfit(why);
        match self.role {
            Role::Taking { .. } | Role::Active => self.release(now, Then::Unfit, reason, out),
            Role::Standby { .. } => {
                self.become_(now, Role::Unfit, reason, Duration::ZERO, out);
                self.fall_silent();
            }
            Role::Releasing { then: Then::Shutdown, .. } | Role::Shutdown => {}
            Role::Releasing { since, .. } => self.role = Role::Releasing { since, then: Then::Unfit, reason },
            Role::Unfit => {
                self.fall_silent();
                push(out, Output::AssertAbsent);
            }
        }
    }

    /// Without a link there is nobody to speak to.
    pub(super) fn fall_silent(&mut self) {
        self.burst = 0;
        self.timers.stop_all();
        (self.listening, self.ears) = (Listening::DEAF, Listening::DEAF);
    }

    pub(super) fn shut_down(&mut self, now: Instant, out: &mut Outputs) {
        match self.role {
            Role::Taking { .. } | Role::Active => self.release(now, Then::Shutdown, Reason::Shutdown, out),
            Role::Releasing { since, .. } => {
                self.role = Role::Releasing { since, then: Then::Shutdown, reason: Reason::Shutdown };
            }
            Role::Standby { .. } | Role::Unfit => {
                self.timers.stop_all();
                self.become_(now, Role::Shutdown, Reason::Shutdown, Duration::ZERO, out);
            }
            Role::Shutdown => {}
        }
    }
}

/// Somebody who removes the address again and again does not start a program each time.
pub const PUT_BACK_GAP: Duration = Duration::from_secs(10);
