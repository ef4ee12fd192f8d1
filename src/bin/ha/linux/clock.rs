//! The clock that goes on while the machine sleeps (clock_gettime(2)).

/// Microseconds of CLOCK_BOOTTIME. By the C library, which reads it without a system call where it can, and where `long` has
/// 32 bits by 64-bit calls with the older ones as fallback; those bits are enough for 68 years since boot.
pub fn boot_time_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is written during the call only.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert!(done == 0, "every Linux since 2.6.39 has this clock");
    let secs = u64::try_from(time.tv_sec).expect("time since boot is positive");
    let nanos = u64::try_from(time.tv_nsec).expect("nanoseconds are positive");
    secs * 1_000_000 + nanos / 1_000
}
