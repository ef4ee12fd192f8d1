//! How many of something may be done: a number at once after a rest, and a number a second in the long run (a token bucket).

use crate::time::{Duration, Instant};

/// A purse that fills at an even pace and holds no more than it can.
#[derive(Debug, Clone)]
pub struct Budget {
    at_once: u64,
    per_s: u64,
    /// In millionths.
    left: u64,
    counted_at: Instant,
}

impl Budget {
    /// Full at `now`.
    pub fn new(at_once: u64, per_s: u64, now: Instant) -> Self {
        Self { at_once, per_s, left: at_once.saturating_mul(MILLION), counted_at: now }
    }

    /// True if there is room for `count` more, which are spent then.
    pub fn spend(&mut self, count: u64, now: Instant) -> bool {
        self.spend_but(0, count, now)
    }

    /// The same, if there is room for `kept` after that.
    pub fn spend_but(&mut self, kept: u64, count: u64, now: Instant) -> bool {
        let earned = now.since(self.counted_at).as_micros().saturating_mul(self.per_s);
        self.left = self.left.saturating_add(earned).min(self.at_once.saturating_mul(MILLION));
        self.counted_at = self.counted_at.max(now);
        let left = self.left.checked_sub(count.saturating_mul(MILLION));
        let left = left.filter(|&left| left >= kept.saturating_mul(MILLION));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// When there is room for `count`, unless some is spent before.
    pub fn has_at(&self, count: u64) -> Instant {
        let missing = count.saturating_mul(MILLION).saturating_sub(self.left);
        self.counted_at + Duration::from_micros(missing.div_ceil(self.per_s))
    }
}

const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_at_its_pace_holds_no_more_than_it_can_and_knows_when_there_is_room() {
        let at = |millis: u64| Instant::from_micros(millis * 1_000);
        let mut budget = Budget::new(8, 10, at(5_000));
        assert!((0..4).all(|_| budget.spend(2, at(5_000))));
        assert_eq!(budget.has_at(2), at(5_200));
        assert!(!budget.spend(2, at(5_199)));
        assert_eq!(budget.has_at(2), at(5_200), "to ask costs nothing");
        assert!(budget.spend(2, at(5_200)));
        assert!(!budget.spend(1, at(4_000)), "a clock that runs backwards earns nothing");
        assert!((0..6).all(|_| budget.spend_but(2, 1, at(60_000))) && !budget.spend_but(2, 1, at(60_000)));
        assert!((0..2).all(|_| budget.spend(1, at(60_000))));
        assert!(!budget.spend(1, at(60_000)));
    }
}
