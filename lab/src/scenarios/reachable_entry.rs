//! The ACTIVE is stopped a moment after the client has confirmed its entry, which protects the entry from some frames.

use std::io;
use std::time::Duration;

use crate::analysis::millis;
use crate::frames::Mac;
use crate::marks::{Marks, take_over};
use crate::neighbours::Move;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(BRISK, "first_moved_ms", "a fresh entry moves after the first frame, ms", AtMost(1.0)),
        Promise::new(BRISK, "wrong_entries", "the client sends to the old owner", Strict(0.0)),
    ],
    ..Scenario::new("reachable-entry", "the ACTIVE is stopped while the client's entry has just been confirmed", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let client = stage.watch_client()?;
    // A change of its state makes it new.
    stage.set_entry(old, "stale")?;
    let confirmed = sys::now();
    stage.set_entry(old, "reachable")?;
    let start = sys::now();
    stage.signal(1, Signal::SIGTERM);
    stage.wait_for_other_than(old)?;
    stage.wait_for_good_end(1)?;
    stage.linger(Duration::from_millis(500));
    let is_ours = |moved: &Move| moved.mac != old && moved.at >= start;
    let moves: Vec<_> = client.stop()?.into_iter().filter(is_ours).collect();
    let mut marks = Marks::new(start, Some(old));
    if let Some(moved) = moves.first() {
        let age = millis(moved.at - confirmed);
        if age >= 1_000.0 {
            return Err(io::Error::other(format!("the entry was {age} ms old: nothing is known about a fresh one")));
        }
        marks.measured.push(("entry_age_ms", age));
    }
    marks.measured.push(("wrong_entries", stage.wrong_entries(Mac::of(2))?));
    marks.moved = moves;
    Ok(marks)
}
