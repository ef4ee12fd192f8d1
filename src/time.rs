//! Instants and durations that neither wrap nor panic.
//!
//! A difference is zero where it would be negative, and a sum that is too large is the largest instant or span there is. In
//! `smoltcp::time`, which has the same grain of a microsecond, `Instant - Instant` is the absolute difference, and a sum wraps.

use core::fmt;
use core::ops::{Add, Div};

/// A point on the caller's clock, in microseconds since an arbitrary origin; the daemon uses `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

/// A span of time in microseconds; its names are those of [`core::time::Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(u64);

impl Instant {
    /// Later than any clock shows; whatever is added to it, it stays so.
    pub const NEVER: Self = Self(u64::MAX);

    /// `micros` after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// `span` before here, not before the origin.
    pub const fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for Duration {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The `divisor` is not zero.
impl Div<u32> for Duration {
    type Output = Self;

    fn div(self, divisor: u32) -> Self {
        Self(self.0 / u64::from(divisor))
    }
}

/// The earliest of those that are.
pub fn earliest(times: &[Option<Instant>]) -> Option<Instant> {
    times.iter().flatten().min().copied()
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `micros` microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// A span of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// The span in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The span `factor` times over.
    pub const fn saturating_mul(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(factor as u64))
    }

    /// What remains after `other` is taken away, zero if `other` is longer.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// `3.5s`, `350ms`, `0.4ms`, `12us`: one unit, no more than three decimals, as options and log lines write it.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        let (unit, name) = match micros {
            1_000_000.. => (1_000_000, "s"),
            100.. => (1_000, "ms"),
            _ => (1, "us"),
        };
        let whole = micros / unit;
        let thousandths = micros % unit * 1_000 / unit;
        if thousandths == 0 {
            return write!(f, "{whole}{name}");
        }
        let (digits, width) = match thousandths {
            t if t % 100 == 0 => (t / 100, 1),
            t if t % 10 == 0 => (t / 10, 2),
            t => (t, 3),
        };
        write!(f, "{whole}.{digits:0width$}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn differences_sums_and_products_saturate() {
        let (late, longest) = (Instant::from_micros(u64::MAX - 1), Duration::from_secs(u64::MAX));
        assert_eq!((late + Duration::from_micros(1), late + longest), (Instant::NEVER, Instant::NEVER));
        assert_eq!((longest.saturating_mul(2), longest + longest), (longest, longest));
        assert_eq!(longest, Duration::from_micros(u64::MAX));
        assert_eq!(Instant::from_micros(1).since(late), Duration::ZERO);
        assert_eq!(Instant::from_micros(1).saturating_sub(longest), Instant::from_micros(0));
        assert_eq!(Duration::from_micros(1).saturating_sub(Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn durations_read_like_the_options_that_set_them() {
        for (micros, text) in [
            (0, "0us"),
            (12, "12us"),
            (400, "0.4ms"),
            (1_234, "1.234ms"),
            (350_000, "350ms"),
            (3_500_000, "3.5s"),
            (60_000_000, "60s"),
            (1_050_000, "1.05s"),
        ] {
            assert_eq!(Duration::from_micros(micros).to_string(), text);
        }
    }
}
