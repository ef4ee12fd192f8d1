//! The ACTIVE's keeper dies, or all its processes: the kernel removes the address when the lease ends.

use std::io;
use std::time::Duration;

use crate::marks::{Marks, lease_end, take_over};
use crate::node::Part;
use crate::promise::Bound::{AtMost, Between, Strict};
use crate::promise::{Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        readings: &[take_over, lease_end],
        promises: &[
            Promise::new(SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
            Promise::new(SLOW, "blackout_ms", "blackout, from the lease's end on, ms", AtMost(1_600.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        ],
        ..Scenario::new("kill-keeper", "the ACTIVE's keeper dies; its kernel lives", |stage| {
            play(stage, Some(Part::Keeper))
        })
    },
    Scenario {
        readings: &[take_over, lease_end],
        promises: &[
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
        ],
        ..Scenario::new("kill-all", "the ACTIVE's processes all die at once; its kernel lives", |stage| {
            play(stage, None)
        })
    },
];

/// Kills one process, or all of the node.
fn play(stage: &mut Stage<'_>, part: Option<Part>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    if part.is_some() {
        stage.pid(1, Part::Worker)?; // a daemon of one process would die as a whole
    }
    let start = sys::now();
    stage.kill(1, part)?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}
