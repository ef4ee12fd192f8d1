//! CLOCK_BOOTTIME: it goes on while the machine is suspended, and nobody sets it.

use ha::time::{Duration, Instant};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let micros = u64::try_from(time.tv_nsec).expect("nanoseconds are positive") / 1_000;
    Instant::from_micros(secs * 1_000_000 + micros)
}

/// A span as ppoll(2) takes it.
pub fn timespec(span: Duration) -> Timespec {
    let secs = i64::try_from(span.micros() / 1_000_000).unwrap_or(i64::MAX);
    let nanos = u32::try_from(span.micros() % 1_000_000 * 1_000).expect("less than a second");
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}
