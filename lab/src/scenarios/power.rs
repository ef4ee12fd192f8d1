//! The ACTIVE loses power.

use std::io;
use std::time::Duration;

use crate::marks::{Marks, take_over};
use crate::promise::Bound::{AtMost, Between, Strict};
use crate::promise::{BRISK, FAST, Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(SLOW, "take_over_ms", "take-over after the cut, ms", Between(2_400.0, 3_600.0)),
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(360.0)),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(FAST, "blackout_ms", "blackout, ms", AtMost(45.0)),
        Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)),
    ],
    ..Scenario::new("power", "the ACTIVE loses power: its port goes down and all its processes die", play)
}];

pub fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}
