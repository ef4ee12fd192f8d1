//! Timers, each a field of what it belongs to, so that none outlives its state; and the names of what they are for.

use crate::time::Instant;

/// A moment at which something is due, unless the timer is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer(Instant);

/// What a node waits for: the name of its next deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The next heartbeat.
    Beat,
    /// The next packet of a burst: a node says a change of its state three times, since one packet may be lost.
    Burst,
    /// The end of the flag that says "I had the address".
    Released,
    /// A look at the election, since the node heard something that may call for a decision.
    Decide,
    /// The next claim.
    Claim,
    /// The end of the time in which the answer to a claim may come.
    Claimed,
    /// The next query to an ACTIVE that may be gone.
    Query,
    /// The next look whether a host that the node does not hear has the address.
    Probe,
    /// The end of a successor's time.
    Successor,
    /// The moment from which the node's own silence is evidence, or lets it claim.
    Ready,
    /// The end of the wait for an ACTIVE that has not proven yet that it lives.
    Doubt,
    /// The end of a peer's hold.
    Expiry,
    /// The end of the time in which a more worthy ACTIVE may answer that it hears this one.
    Outdone,
    /// Putting the address back that is removed again and again.
    Repair,
    /// Saying that the address was put back, which was said too short a time ago.
    PutBack,
    /// The moment at which the quorum may be missed.
    Quorum,
    /// The next ARP frame that tells the LAN where the address is.
    Announce,
    /// Standing for election again after the kernel refused the address.
    Retry,
}

impl Timer {
    /// A timer that is off.
    pub const OFF: Self = Self(Instant::NEVER);

    /// A timer that is due at `at`.
    pub const fn at(at: Instant) -> Self {
        Self(at)
    }

    /// True if it is due at `at`, or before.
    pub fn is_due_by(&self, at: Instant) -> bool {
        self.0 <= at
    }

    /// Sets it to `at`, wherever it stood.
    pub fn set(&mut self, at: Instant) {
        self.0 = at;
    }

    /// Turns it off.
    pub fn stop(&mut self) {
        *self = Self::OFF;
    }

    /// True if it is not off.
    pub fn is_set(self) -> bool {
        self != Self::OFF
    }

    /// True, once, when it has come due; it is off then.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_due = self.0 <= now;
        if is_due {
            self.stop();
        }
        is_due
    }

    /// When it is due, and what for.
    pub fn due(self, due: Due) -> Option<(Instant, Due)> {
        self.is_set().then_some((self.0, due))
    }
}

/// The earliest of several deadlines; of two at once the first.
pub fn earliest(deadlines: &[Option<(Instant, Due)>]) -> Option<(Instant, Due)> {
    deadlines.iter().flatten().copied().min_by_key(|&(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_timer_comes_due_once() {
        let mut timer = Timer::OFF;
        assert!(!timer.is_set() && timer.due(Due::Claim).is_none() && !timer.take(at(9)));
        timer.set(at(10));
        assert_eq!(timer.due(Due::Claim), Some((at(10), Due::Claim)));
        assert!(!timer.take(at(9)) && timer.is_set());
        assert!(timer.take(at(10)) && !timer.is_set());
        assert!(!timer.take(at(10)));
        timer.set(at(20));
        timer.stop();
        assert_eq!(timer, Timer::OFF);
    }

    #[test]
    fn the_earliest_deadline_says_what_it_is_for() {
        let beat = Timer::at(at(20)).due(Due::Beat);
        let claim = Timer::at(at(10)).due(Due::Claim);
        assert_eq!(earliest(&[beat, None, claim]), Some((at(10), Due::Claim)));
        assert_eq!(earliest(&[beat, Timer::at(at(20)).due(Due::Burst)]), beat);
        assert_eq!(earliest(&[None, Timer::OFF.due(Due::Retry)]), None);
    }
}
