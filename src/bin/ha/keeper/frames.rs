//! How many frames of ARP and neighbour discovery the keeper sends for its worker.

use ha::budget::Budget;
use ha::time::Instant;

use crate::log::warn;

/// Frames that may be sent. The core keeps to less by itself; a worker that an attacker has taken over does not.
#[derive(Debug)]
pub struct Frames {
    budget: Budget,
    per_s: u64,
    is_logged: bool,
}

impl Frames {
    /// This many a second in the long run.
    pub fn new(per_s: u64, now: Instant) -> Self {
        Self { budget: Budget::new(MAX_FRAMES, per_s, now), per_s, is_logged: false }
    }

    /// Spends `frames`; false if there is no room for them.
    pub fn spend(&mut self, frames: u64, now: Instant) -> bool {
        let has_room = self.budget.spend(frames, now);
        if !has_room && !std::mem::replace(&mut self.is_logged, true) {
            warn!("worker orders more than {} ARP frames a second: not sent; logged once", self.per_s);
        }
        has_room
    }
}

/// At once: two bursts of the core, one of them that of a new worker, and as much again for what was held up.
const MAX_FRAMES: u64 = 32;

#[cfg(test)]
mod tests {
    use ha::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_orders_becomes_ten_frames_a_second() {
        let start = Instant::from_micros(5_000_000);
        let mut frames = Frames::new(10, start);
        let sent = |frames: &mut Frames, from_ms: u64, to_ms: u64| {
            let times = (from_ms * 10..to_ms * 10).map(|tenth| start + Duration::from_micros(tenth * 100));
            times.filter(|&now| frames.spend(2, now)).count() * 2
        };
        assert_eq!(sent(&mut frames, 0, 10_000), 32 + 98, "a rest's worth, and what comes while it lasts");
        assert_eq!(sent(&mut frames, 60_000, 60_010), 32, "no more is saved than that");
        assert!(frames.is_logged);
    }
}
