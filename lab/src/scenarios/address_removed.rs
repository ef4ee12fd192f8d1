//! A person, or a script of the system, deletes the address of the ACTIVE.

use std::io;
use std::time::Duration;

use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{LONG, Stage};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
        Promise::new(BRISK, "wrong_entries", "the client sends elsewhere", Strict(0.0)),
    ],
    ..Scenario::new("address-removed", "a person deletes the address of the ACTIVE", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let owner = stage.start_all()?;
    let start = sys::now();
    stage.delete_address(1)?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(start, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}
