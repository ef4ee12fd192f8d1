//! CLOCK_BOOTTIME: it goes on while the machine is suspended, and nobody sets it.

use ha::time::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let micros = u64::try_from(time.tv_nsec).expect("nanoseconds are positive") / 1_000;
    Instant::from_micros(secs * 1_000_000 + micros)
}
