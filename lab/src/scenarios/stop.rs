//! The ACTIVE is stopped in good order.

use std::io;
use std::time::Duration;

use crate::marks::{Marks, take_over};
use crate::promise::Bound::{Median, Strict};
use crate::promise::{BRISK, FAST, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)),
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
        Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
    ],
    runs: Runs::TEN,
    is_delicate: true, // a millisecond counts
    ..Scenario::new("stop", "the ACTIVE is stopped in good order", play)
}];

pub fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.signal(1, Signal::SIGTERM);
    stage.wait_for_other_than(old)?;
    stage.wait_for_good_end(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}
