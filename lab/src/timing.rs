//! Interval and tolerance of a group, and times as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Interval and tolerance, with which all nodes of a run start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub interval: Duration,
    /// Silence after which a node counts as dead.
    pub tolerance: Duration,
}

impl Timing {
    /// In milliseconds.
    pub const fn from_millis(interval: u64, tolerance: u64) -> Self {
        Self { interval: Duration::from_millis(interval), tolerance: Duration::from_millis(tolerance) }
    }

    /// The interval, as an option of the daemon.
    pub fn interval_option(self) -> String {
        option(self.interval)
    }

    /// The tolerance, as an option of the daemon.
    pub fn tolerance_option(self) -> String {
        option(self.tolerance)
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Time(self.interval), Time(self.tolerance))
    }
}

/// A time as options have it: `1s`, `3.5s`, `100ms`, `500us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let scale = match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return Err(format!("{text}: expected a time such as 1s, 3.5s or 100ms")),
        };
        let number = text[..text.len() - unit.len()].parse::<f64>();
        let seconds = number.map_err(|_| format!("{text}: expected a time such as 1s, 3.5s or 100ms"))? * scale;
        if seconds > 86_400.0 {
            return Err(format!("{text}: expected a day at most"));
        }
        Ok(Self(Duration::from_micros(Duration::from_secs_f64(seconds).as_micros().try_into().unwrap_or(u64::MAX))))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_secs_f64() * 1e3)
        } else {
            write!(f, "{} s", self.0.as_secs_f64())
        }
    }
}

fn option(time: Duration) -> String {
    Time(time).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_daemon_reads_them() {
        for (text, micros) in
            [("1s", 1_000_000), ("3.5s", 3_500_000), ("100ms", 100_000), ("35ms", 35_000), ("500us", 500)]
        {
            assert_eq!(text.parse(), Ok(Time(Duration::from_micros(micros))), "{text}");
        }
        for text in ["", "1", "s", "1h", "-1s", "1.2.3s", "99999999s", "1e3s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        assert_eq!(Timing::from_millis(1_000, 3_500).to_string(), "1 s/3.5 s");
        assert_eq!(Timing::from_millis(10, 35).to_string(), "10 ms/35 ms");
    }
}
