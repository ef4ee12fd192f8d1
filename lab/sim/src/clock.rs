//! A node's own clock: a little fast or slow, and sometimes it jumps.

use crate::time::Us;

/// Shows microseconds since some time before the run.
#[derive(Debug, Clone)]
pub struct Clock {
    /// It was looked at then ...
    at: Us,
    /// ... and showed this.
    shown: u64,
    ppm: i64,
}

impl Clock {
    /// `ppm` millionths fast.
    pub fn new(ppm: i64) -> Self {
        Self { at: 0, shown: START, ppm }
    }

    /// What it shows.
    pub fn read(&self, now: Us) -> u64 {
        let elapsed = now.saturating_sub(self.at);
        self.shown.saturating_add(elapsed).saturating_add_signed(gain(elapsed, self.ppm))
    }

    /// The first moment at which it shows at least this.
    pub fn when(&self, shown: u64) -> Us {
        let missing = shown.saturating_sub(self.shown);
        let mut when = self.at.saturating_add(missing).saturating_sub_signed(gain(missing, self.ppm));
        while self.read(when) < shown {
            when += (shown - self.read(when)).div_ceil(2);
        }
        while when > self.at && self.read(when - 1) >= shown {
            when -= 1;
        }
        when
    }

    /// It jumps.
    pub fn jump(&mut self, now: Us, by: i64) {
        self.shown = self.read(now).saturating_add_signed(by);
        self.at = now;
    }

    /// It had stood still since `since`.
    pub fn stood_still(&mut self, since: Us, now: Us) {
        self.shown = self.read(since);
        self.at = now;
    }
}

fn gain(span: u64, ppm: i64) -> i64 {
    (i64::try_from(span).unwrap_or(i64::MAX / 1_000).saturating_mul(ppm)).div_euclid(1_000_000)
}

/// Long before, so that a jump backwards never meets the beginning of time.
const START: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_first_moment_that_shows_it() {
        for ppm in [-500, -1, 0, 3, 500] {
            let mut clock = Clock::new(ppm);
            clock.jump(1_234, 77);
            for shown in (0..50_000_000).step_by(999_983).map(|span| START + 1_400 + span) {
                let when = clock.when(shown);
                assert!(clock.read(when) >= shown && clock.read(when - 1) < shown, "{ppm} ppm, {shown}");
            }
        }
    }

    #[test]
    fn a_clock_that_stood_still_shows_what_it_showed() {
        let mut clock = Clock::new(0);
        let before = clock.read(500);
        clock.stood_still(500, 9_000);
        assert_eq!((clock.read(9_000), clock.read(9_001)), (before, before + 1));
    }
}
