//! The ACTIVE gets another MAC: another card in the same place, as after a fail-over of a bond.

use std::io;
use std::time::Duration;

use crate::frames::Mac;
use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{BETWEEN_ROUNDS, LONG, Stage};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
        Promise::new(BRISK, "wrong_entries", "the client sends to the old MAC", Strict(0.0)),
    ],
    ..Scenario::new("new-mac", "the ACTIVE gets another MAC", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    stage.sleep(BETWEEN_ROUNDS);
    let new = Mac::of(NEW_STATION);
    let start = sys::now();
    stage.set_mac(1, new)?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(new, LONG)?;
    let mut marks = Marks::new(start, Some(old));
    marks.measured.push(("wrong_entries", stage.wrong_entries(new)?));
    Ok(marks)
}

/// No node has this one.
const NEW_STATION: u8 = 99;
