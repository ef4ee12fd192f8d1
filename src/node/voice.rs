//! What a node needs to speak, in every state: its boot, its sequence number, and when it speaks next.

use crate::time::Instant;
use crate::timers::Timer;

/// What a node needs to speak, in every state.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    /// This life of the node.
    pub boot: u64,
    pub seq: u64,
    pub last_beat: Instant,
    /// The next heartbeat.
    pub beat: Timer,
    /// The next packet of a burst ...
    pub burst: Timer,
    /// ... and how many it has still to send.
    pub burst_left: u8,
}

impl Voice {
    pub(super) fn new(boot: u64, now: Instant) -> Self {
        Self { boot, seq: 0, last_beat: now, beat: Timer::OFF, burst: Timer::OFF, burst_left: 0 }
    }

    /// Ends a burst.
    pub(super) fn stop_burst(&mut self) {
        self.burst_left = 0;
        self.burst.stop();
    }
}
