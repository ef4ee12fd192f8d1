//! The ACTIVE comes to another port of another switch, and no link goes down: as after a virtual machine's move, of
//! which the switch in the middle does not know.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::marks::Marks;
use crate::promise::Bound::AtMost;
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{LONG, Stage};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "blackout_ms", "blackout until the next heartbeat, ms", AtMost(120.0)).not_in_short()
    ],
    ..Scenario::new("new-port", "the ACTIVE comes to another port of another switch, and no link goes down", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.change("outer", 1)?;
    let owner = stage.start_all()?;
    // The node's replies to the probe would show all switches where it is.
    stage.change("shield", 1)?;
    let start = sys::now();
    stage.change("move", 1)?;
    stage.linger(Duration::from_millis(1_500));
    let moved = sys::now();
    stage.change("expose", 1)?;
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(start, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    marks.quiet = Some(vec![Span::new(start, moved)]);
    Ok(marks)
}
