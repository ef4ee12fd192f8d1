//! The values of one run, in milliseconds, as they are printed and stored.

use std::fmt;

use serde::Serialize;

use crate::analysis::Witness;
use crate::marks::Details;
use crate::run::Run;
use crate::stats::{count, short};

/// One run of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// Between two heartbeats.
    pub interval_ms: f64,
    /// Silence after which a node counts as dead.
    pub tolerance_ms: f64,
    /// How many nodes.
    pub nodes: u8,
    /// 1 for the first.
    pub run: u32,
    /// The values that every scenario has.
    #[serde(flatten)]
    pub witness: Option<Witness>,
    /// The values of this scenario alone.
    pub details: Details,
    /// The reason why the run failed.
    pub failure: Option<String>,
    /// The reason why it could not be made here.
    pub skipped: Option<String>,
    /// Scenario, timing and number of the run, for the progress line.
    #[serde(skip)]
    pub title: String,
}

impl Outcome {
    /// The outcome of a run that has not ended yet.
    pub fn new(scenario: &'static str, run: &Run) -> Self {
        let Run { timing, nodes, number, of, .. } = *run;
        Self {
            scenario,
            interval_ms: timing.interval.as_secs_f64() * 1e3,
            tolerance_ms: timing.tolerance.as_secs_f64() * 1e3,
            nodes,
            run: number,
            witness: None,
            details: Details::new(),
            failure: None,
            skipped: None,
            title: format!("{scenario:<15} {:<14} run {number}/{of}", timing.to_string()),
        }
    }

    /// Whether it was made, and came to its end.
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.skipped.is_none()
    }

    /// A value by its name in JSON.
    pub fn value(&self, name: &str) -> Option<f64> {
        let witness = self.witness.as_ref()?;
        match name {
            "blackout_ms" => Some(witness.blackout_ms),
            "gap_ms" => Some(witness.gap_ms),
            "two_owners_ms" => Some(witness.two_owners_ms),
            "moves" => Some(count(witness.moves)),
            _ => self.details.get(name).copied(),
        }
    }
}

/// One line while the lab runs; a failure with the last lines of all logs.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if let Some(failure) = &self.failure {
            return write!(f, "  FAILED: {}", failure.trim_end());
        }
        if let Some(reason) = &self.skipped {
            return write!(f, "  SKIPPED: {}", reason.trim_end());
        }
        let Some(witness) = &self.witness else { return Ok(()) };
        let Witness { blackout_ms, gap_ms, two_owners_ms, moves, stall_ms } = witness;
        write!(f, "  blackout {blackout_ms:.1}, gap {gap_ms:.1}, two owners {two_owners_ms:.1} ms, moves {moves}")?;
        for (name, value) in &self.details {
            write!(f, ", {} {}", name.trim_end_matches("_ms").replace('_', " "), short(*value))?;
        }
        if *stall_ms > NOTABLE_STALL_MS {
            write!(f, " (probe stalled {stall_ms:.1} ms)")?;
        }
        Ok(())
    }
}

/// Ten times the pause between two echoes.
const NOTABLE_STALL_MS: f64 = 5.0;
