//! The clock that goes on while the machine sleeps, and that no program can set (clock_gettime(2), CLOCK_BOOTTIME).

use ha::time::{Duration, Instant};
use rustix::time::{ClockId, clock_getres};

/// Now. By the C library, which reads the clock without a system call where it can, and where `long` has 32 bits by 64-bit calls
/// with the older ones as fallback; 32 bits are enough for 68 years since boot.
pub fn now() -> Instant {
    let [secs, nanos] = read(libc::CLOCK_BOOTTIME);
    let secs = u64::try_from(secs).expect("time since boot is positive");
    let nanos = u64::try_from(nanos).expect("nanoseconds are positive");
    Instant::from_micros(secs * 1_000_000 + nanos / 1_000)
}

/// How long ago the clock by which the kernel dates packets, CLOCK_REALTIME, showed this. It may have been set meanwhile; of a date
/// that is still to come it is for ever.
pub fn age(secs: libc::c_long, nanos: libc::c_long) -> Duration {
    let [secs_now, nanos_now] = read(libc::CLOCK_REALTIME);
    // Where `long` has 32 bits the kernel counts the seconds modulo that.
    let secs = (secs_now - wide(secs)).rem_euclid(1 << 32);
    let micros = secs * 1_000_000 + (nanos_now - wide(nanos)) / 1_000;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Seconds and nanoseconds.
fn read(clock: libc::clockid_t) -> [i64; 2] {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written during the call only.
    let done = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert!(done == 0, "every Linux since 2.6.39 has these clocks");
    [wide(time.tv_sec), wide(time.tv_nsec)]
}

/// A `long`, which has 32 bits on some processors.
fn wide(number: impl Into<i64>) -> i64 {
    number.into()
}

/// The tick of the kernel's timers, in which it counts what it need not know better: the clock that goes on once a tick shows it
/// (CONFIG_HZ).
pub fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::from_micros(u64::try_from(tick.tv_nsec).unwrap_or(0) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_is_still_to_come_is_older_than_any() {
        let [secs, nanos] = read(libc::CLOCK_REALTIME);
        let ages = [secs - 5, secs, secs + 5].map(|secs| age(secs, nanos).as_micros());
        assert!((5_000_000..6_000_000).contains(&ages[0]) && ages[1] < 1_000_000, "{ages:?}");
        assert!(ages[2] > 1_000_000 * 60 * 60 * 24 * 365, "{ages:?}");
    }
}
