//! Virtual time: microseconds since the start of the run.

use std::fmt;

/// A moment of a run, or a span, in microseconds.
pub type Us = u64;

/// Longer than any run.
pub const FOREVER: Us = 1 << 60;

/// A moment, as `  12.345678`.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Us);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:4}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A span, as `3.5s`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Us);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ha::time::Duration::from_micros(self.0).fmt(f)
    }
}
