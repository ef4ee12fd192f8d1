//! CLOCK_BOOTTIME: it goes on while the machine is suspended, and nobody sets it.

use ha::time::Instant;

use crate::linux;

/// Now.
pub fn now() -> Instant {
    Instant::from_micros(linux::clock::boot_time_us())
}
