//! One node has the machine to itself, because pages that several daemons share would count for each in part only.

use std::io;
use std::time::Duration;

use crate::marks::Marks;
use crate::node::Part;
use crate::promise::Bound::Strict;
use crate::promise::{BRISK, Promise};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[Promise::new(BRISK, "memory_kb", "memory of keeper and worker, KB", Strict(400.0))],
    runs: Runs::One,
    ..Scenario::new("alone", "one node has the machine to itself: how much memory does it take?", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.start(1)?;
    let owner = stage.wait_until_served_by(1)?;
    let start = sys::now();
    stage.sleep(Duration::from_secs(2));
    let [keeper, worker] = [stage.pss_kb(1, Part::Keeper)?, stage.pss_kb(1, Part::Worker)?];
    let mut marks = Marks::new(start, Some(owner));
    marks.measured = vec![("keeper_kb", keeper), ("worker_kb", worker), ("memory_kb", keeper + worker)];
    Ok(marks)
}
