//! The ACTIVE's processes all die at once and are started again at once, over the address that they left behind.

use std::io;
use std::time::Duration;

use crate::marks::Marks;
use crate::promise::Bound::Strict;
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        Promise::new(BRISK, "wrong_entries", "the client sends elsewhere", Strict(0.0)).not_in_short(),
    ],
    ..Scenario::new("crash-restart", "the ACTIVE's processes all die at once and are started again", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let owner = stage.start_all()?;
    let start = sys::now();
    stage.kill(1, None)?;
    stage.start(1)?;
    stage.sleep(stage.run().timing.tolerance + stage.run().timing.interval);
    stage.wait_for_hand_over_to(1)?;
    stage.linger(Duration::from_millis(500));
    let mut marks = Marks::new(start, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}
