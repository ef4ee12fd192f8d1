//! The clock that goes on while the machine sleeps, and that no program can set (clock_gettime(2), CLOCK_BOOTTIME).

use ha::time::{Duration, Instant};
use rustix::time::{ClockId, clock_getres};

/// Now. By the C library, which reads the clock without a system call where it can, and where `long` has 32 bits by 64-bit calls
/// with the older ones as fallback; 32 bits are enough for 68 years since boot.
pub fn now() -> Instant {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written during the call only.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert!(done == 0, "every Linux since 2.6.39 has this clock");
    let secs = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let nanos = u64::try_from(time.tv_nsec).expect("nanoseconds are positive");
    Instant::from_micros(secs * 1_000_000 + nanos / 1_000)
}

/// The tick of the kernel's timers, in which it counts what it need not know better: the clock that goes on once a tick shows it
/// (CONFIG_HZ).
pub fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::from_micros(u64::try_from(tick.tv_nsec).unwrap_or(0) / 1_000)
}
