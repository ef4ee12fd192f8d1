//! The ACTIVE's keeper dies, or all its processes; its kernel lives, and so does the address until something ends it.
//!
//! keepalived, whose address nothing ends, is killed in the same way.

use std::io;
use std::time::Duration;

use crate::marks::{Marks, lease_end, take_over};
use crate::node::{Part, Program};
use crate::promise::Bound::{AtMost, Between, Median, Strict};
use crate::promise::{BRISK, FAST, FENCE, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        readings: &[take_over, lease_end],
        promises: &[
            Promise::new(SLOW, "take_over_ms", "take-over, ms", AtMost(3_600.0)),
            Promise::new(SLOW, "blackout_ms", "client dark, ms", AtMost(1_600.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(SLOW, "blackout_ms", "client dark, ms", Median(5.0)).once(FENCE).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "client dark, ms", Median(5.0)).once(FENCE).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "blackout_ms", "client dark, ms", Median(5.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
        ],
        runs: Runs::TEN,
        ..Scenario::new("kill-keeper", "the ACTIVE's keeper dies; its kernel lives", keeper)
    },
    Scenario {
        readings: &[take_over, lease_end],
        promises: &[
            Promise::new(SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
            Promise::new(SLOW, "blackout_ms", "client dark, ms", Median(3_550.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(SLOW, "frames_after_take_over", FRAMES, Strict(0.0)),
            Promise::shown(BRISK, "take_over_ms", "take-over, ms").not_in_short(),
            Promise::new(BRISK, "blackout_ms", "client dark, ms", Median(370.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(BRISK, "frames_after_take_over", FRAMES, Strict(0.0)).once(FENCE).not_in_short(),
            Promise::shown(FAST, "take_over_ms", "take-over, ms").not_in_short(),
            Promise::new(FAST, "blackout_ms", "client dark, ms", Median(60.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "frames_after_take_over", FRAMES, Strict(0.0)).once(FENCE).not_in_short(),
        ],
        runs: Runs::TEN,
        ..Scenario::new("kill-all", "the ACTIVE's processes all die at once; its kernel lives", |stage| {
            all(stage, Program::Ha)
        })
    },
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::shown(SLOW, "take_over_ms", "take-over, ms").not_in_short(),
            Promise::shown(SLOW, "blackout_ms", "client dark, ms").not_in_short(),
            Promise::shown(SLOW, "two_owners_ms", TWO_OWNERS).not_in_short(),
            Promise::shown(SLOW, "frames_after_take_over", FRAMES).not_in_short(),
            Promise::shown(BRISK, "take_over_ms", "take-over, ms"),
            Promise::shown(BRISK, "blackout_ms", "client dark, ms"),
            Promise::shown(BRISK, "two_owners_ms", TWO_OWNERS),
            Promise::shown(BRISK, "frames_after_take_over", FRAMES),
            Promise::shown(FAST, "take_over_ms", "take-over, ms").not_in_short(),
            Promise::shown(FAST, "blackout_ms", "client dark, ms").not_in_short(),
            Promise::shown(FAST, "two_owners_ms", TWO_OWNERS).not_in_short(),
            Promise::shown(FAST, "frames_after_take_over", FRAMES).not_in_short(),
        ],
        ..Scenario::new("kill-all-keepalived", "all processes of keepalived's master die at once", |stage| {
            all(stage, Program::Keepalived)
        })
    },
];

fn keeper(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    stage.pid(1, Part::Worker)?; // a daemon of one process would die as a whole
    let start = sys::now();
    stage.kill(1, Some(Part::Keeper))?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}

/// Each program is watched for as long, whether it ever lets go or not.
fn all(stage: &mut Stage<'_>, program: Program) -> io::Result<Marks> {
    stage.set_program(program);
    let old = stage.start_all()?;
    let cable = stage.from_address(1)?;
    let start = sys::now();
    stage.kill(1, None)?;
    stage.watch_past_the_tolerance();
    let mut marks = Marks::new(start, Some(old));
    marks.from_old = Some(cable.times()?);
    Ok(marks)
}

const FRAMES: &str = "frames of the dead one after the take-over";
const TWO_OWNERS: &str = "two owners, ms, from the death to 2 s after the tolerance";
