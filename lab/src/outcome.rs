//! What one run gave, in milliseconds, as it is printed and kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::analysis::{Recording, Span};
use crate::scenario::Plan;
use crate::sys::Nanos;

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
    pub details: BTreeMap<&'static str, f64>,
    /// Why it did not come to its end.
    pub failure: Option<String>,
    /// Which of `runs` it is, and the timing as people write it.
    #[serde(skip)]
    pub title: String,
}

/// The values of [`Recording`] for one span of time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Witness {
    /// The longest that the client got no answer.
    pub blackout_ms: f64,
    /// The longest that there was no sign on the wire of anybody who has the address.
    pub gap_ms: f64,
    /// How long two stations had it.
    pub two_owners_ms: f64,
    /// How often another station took it.
    pub moves: usize,
    /// The longest that the probe itself was held up.
    pub stall_ms: f64,
}

impl Witness {
    /// What the recording says about all of `spans` together.
    pub fn of(recording: &Recording, spans: &[Span]) -> Self {
        let longest =
            |of: fn(&Recording, Span) -> Nanos| spans.iter().map(|span| of(recording, *span)).max().unwrap_or(0);
        let overlaps = spans.iter().flat_map(|span| recording.two_owners(*span));
        Self {
            blackout_ms: millis(longest(Recording::blackout)),
            gap_ms: millis(longest(Recording::gap)),
            two_owners_ms: millis(overlaps.map(Span::length).sum()),
            moves: spans.iter().map(|span| recording.moves(*span)).sum(),
            stall_ms: millis(longest(Recording::stall)),
        }
    }
}

impl Outcome {
    /// An outcome that is not known yet.
    pub fn new(plan: &Plan) -> Self {
        let Plan { scenario, timing, run, runs, nodes, .. } = *plan;
        Self {
            scenario: scenario.name(),
            interval_ms: timing.interval.as_secs_f64() * 1e3,
            tolerance_ms: timing.tolerance.as_secs_f64() * 1e3,
            nodes,
            run,
            witness: None,
            details: BTreeMap::new(),
            failure: None,
            title: format!("{:<15} {:<14} run {run}/{runs}", scenario.name(), timing.to_string()),
        }
    }

    /// One of its values, by the name that it has in JSON.
    pub fn value(&self, name: &str) -> Option<f64> {
        let witness = self.witness.as_ref()?;
        match name {
            "blackout_ms" => Some(witness.blackout_ms),
            "gap_ms" => Some(witness.gap_ms),
            "two_owners_ms" => Some(witness.two_owners_ms),
            "moves" => u32::try_from(witness.moves).ok().map(f64::from),
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

/// For people; half a microsecond does not matter to them.
pub fn millis(nanos: Nanos) -> f64 {
    let micros = u32::try_from((nanos + 500) / 1_000).unwrap_or(u32::MAX); // 71 minutes: longer than any run
    f64::from(micros) / 1e3
}

/// Ten times the pause between two echoes.
const NOTABLE_STALL_MS: f64 = 5.0;
