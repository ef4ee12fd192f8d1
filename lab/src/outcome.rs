//! What one run gave, in milliseconds, as it is printed and kept.

use std::fmt;

use serde::Serialize;

use crate::analysis::Witness;
use crate::marks::Details;
use crate::run::Run;
use crate::stats::count;

/// One run of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Which.
    pub scenario: &'static str,
    /// Between two heartbeats.
    pub interval_ms: f64,
    /// Silence after which a node counts as dead.
    pub tolerance_ms: f64,
    /// How many nodes.
    pub nodes: u8,
    /// 1 for the first.
    pub run: u32,
    /// What every scenario measures.
    #[serde(flatten)]
    pub witness: Option<Witness>,
    /// What this scenario measures besides.
    pub details: Details,
    /// Why it did not come to its end.
    pub failure: Option<String>,
    /// Which of `runs` it is, and the timing as people write it.
    #[serde(skip)]
    pub title: String,
}

impl Outcome {
    /// An outcome that is not known yet.
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
            title: format!("{scenario:<15} {:<14} run {number}/{of}", timing.to_string()),
        }
    }

    /// One of its values, by the name that it has in JSON.
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

/// One line while the lab runs; a failure with what the nodes said last.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if let Some(failure) = &self.failure {
            return write!(f, "  FAILED: {}", failure.trim_end());
        }
        let Some(witness) = &self.witness else { return Ok(()) };
        let Witness { blackout_ms, gap_ms, two_owners_ms, moves, stall_ms } = witness;
        write!(f, "  blackout {blackout_ms:.1}, gap {gap_ms:.1}, two owners {two_owners_ms:.1} ms, moves {moves}")?;
        for (name, value) in &self.details {
            write!(f, ", {} {value:.1}", name.trim_end_matches("_ms").replace('_', " "))?;
        }
        if *stall_ms > NOTABLE_STALL_MS {
            write!(f, " (probe stalled {stall_ms:.1} ms)")?;
        }
        Ok(())
    }
}

/// Ten times the pause between two echoes.
const NOTABLE_STALL_MS: f64 = 5.0;
