//! Nothing happens.

use std::io;

use crate::marks::Marks;
use crate::promise::Bound::Strict;
use crate::promise::{BRISK, FAST, Promise};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    // Machines on which CI runs are held up for as long as the fastest timing tolerates: there the next one has to do.
    promises: &[Promise::new(FAST, "moves", "moves at rest", Strict(0.0)).in_short_at(BRISK)],
    runs: Runs::One,
    is_long: true,
    ..Scenario::new("rest", "nothing happens", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.sleep(stage.run().extent.rest);
    Ok(Marks::new(start, Some(old)))
}
