//! A more worthy node starts.

use std::io;
use std::time::Duration;

use crate::analysis::{Recording, Span, millis};
use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Between, Median, Strict};
use crate::promise::{BRISK, FAST, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[hand_over, blackout_before],
    promises: &[
        Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)),
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(SLOW, "hand_over_ms", "newcomer settled before it has it, ms", Between(3_500.0, 6_000.0)),
        Promise::new(SLOW, "blackout_before_ms", "blackout while it settles, ms", AtMost(20.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
        Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
    ],
    runs: Runs::TEN,
    is_delicate: true, // a millisecond counts
    ..Scenario::new("join", "a more worthy node starts", play)
}];

pub fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    for number in 2..=stage.run().nodes {
        stage.start(number)?;
    }
    let old = stage.wait_until_served_by(2)?;
    stage.wait_for_the_point();
    let start = sys::now();
    stage.start(1)?;
    stage.wait_until_served_by(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}

fn hand_over(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    ("hand_over_ms", marks.first_of_another(recording).map(|at| marks.since_start(at)))
}

/// Until two rounds before the newcomer has the address, the old owner must have been there without a break.
fn blackout_before(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    let whole = marks.whole();
    let settled = marks.first_of_another(recording).unwrap_or(whole.until);
    let before = Span::new(whole.from, settled.saturating_sub(TWO_ROUNDS));
    ("blackout_before_ms", Some(millis(recording.blackout(before))))
}

const TWO_ROUNDS: sys::Nanos = 10_000_000;
