//! All nodes start at once.

use std::io;
use std::time::Duration;

use crate::analysis::Recording;
use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::stats::count;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[up, owners],
    promises: &[
        Promise::new(SLOW, "up_ms", "address up after the start, ms", AtMost(3_700.0)),
        Promise::new(SLOW, "owners", "stations that ever had it", Strict(1.0)),
        Promise::new(SLOW, "moves", "moves", Strict(0.0)),
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
    ],
    ..Scenario::new("cold", "all nodes start at once", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.sleep(Duration::from_millis(50));
    let start = sys::now();
    for number in 1..=stage.run().nodes {
        stage.start(number)?;
    }
    stage.wait_until_served()?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, None))
}

fn up(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    ("up_ms", marks.first_of_another(recording).map(|at| marks.since_start(at)))
}

fn owners(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    ("owners", Some(count(recording.owners(marks.whole()).len())))
}
