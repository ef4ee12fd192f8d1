//! Named deadlines in one table, so that every wake-up has a name.

use crate::time::Instant;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next heartbeat.
    Beat,
    /// The next packet of a burst: a change of state is said three times, since one packet may be lost.
    Burst,
    /// Something was heard that may call for a decision.
    Decide,
    /// The next claim.
    Claim,
    /// The end of the time in which the answer to a claim may come.
    Claimed,
    /// The next question to an ACTIVE that may be gone.
    Query,
    /// Looking whether a stranger has the address.
    Probe,
    /// The end of a successor's time.
    Successor,
    /// The end of the time in which a more worthy ACTIVE may answer that it hears us.
    Outdone,
    /// Putting the address back that somebody removes again and again.
    Repair,
    /// Saying that the address was put back, which was said too short a time ago.
    PutBack,
    /// Standing for election again after the kernel refused the address.
    Retry,
    /// The end of the flag that says "I had the address".
    Released,
}

/// All deadlines of a node.
#[derive(Debug, Clone)]
pub struct Timers {
    /// [`Instant::NEVER`] for one that is not set.
    at: [Instant; COUNT],
}

impl Default for Timers {
    fn default() -> Self {
        Self { at: [Instant::NEVER; COUNT] }
    }
}

impl Timers {
    /// Sets `timer` to `at`, wherever it stood.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer as usize] = at;
    }

    /// Stops `timer`.
    pub fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = Instant::NEVER;
    }

    /// Stops all.
    pub fn stop_all(&mut self) {
        *self = Self::default();
    }

    /// True if `timer` is set.
    pub fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize] < Instant::NEVER
    }

    /// True if `timer` is set and has not come due.
    pub fn is_pending(&self, timer: Timer, now: Instant) -> bool {
        self.is_set(timer) && self.at[timer as usize] > now
    }

    /// True, once, if `timer` has come due; it is stopped then.
    pub fn take(&mut self, timer: Timer, now: Instant) -> bool {
        let is_due = self.at[timer as usize] <= now;
        if is_due {
            self.stop(timer);
        }
        is_due
    }

    /// The earliest deadline.
    pub fn earliest(&self) -> Option<Instant> {
        self.at.iter().copied().min().filter(|&at| at < Instant::NEVER)
    }
}

const COUNT: usize = Timer::Released as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_comes_due_once() {
        let at = Instant::from_micros;
        let mut timers = Timers::default();
        timers.set(Timer::Beat, at(20));
        timers.set(Timer::Claim, at(10));
        assert_eq!(timers.earliest(), Some(at(10)));
        assert!(!timers.take(Timer::Claim, at(9)));
        assert!(timers.take(Timer::Claim, at(10)));
        assert!(!timers.take(Timer::Claim, at(10)));
        assert_eq!(timers.earliest(), Some(at(20)));
        timers.stop(Timer::Beat);
        assert_eq!(timers.earliest(), None);
    }
}
