//! The ACTIVE's worker dies, panics or hangs. Only its keeper can see that and start another.

use std::io;
use std::time::Duration;

use crate::marks::{Marks, take_over};
use crate::node::Part;
use crate::promise::Bound::{AtMost, Median, Strict};
use crate::promise::{BRISK, FAST, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(1.0)),
            Promise::new(SLOW, "blackout_ms", "blackout of any, ms", AtMost(20.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(BRISK, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_ms", "blackout, ms", Median(1.0)).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        ],
        runs: OFTEN,
        ..Scenario::new("kill-worker", "the ACTIVE's worker dies; its keeper lives", |stage| {
            play(stage, Signal::SIGKILL)
        })
    },
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "blackout_ms", "blackout, ms", Median(5.0)),
            Promise::new(SLOW, "blackout_ms", "blackout of any, ms", AtMost(20.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        ],
        runs: OFTEN,
        ..Scenario::new("panic", "the ACTIVE's worker ends at an illegal instruction, as by a panic", |stage| {
            play(stage, Signal::SIGILL)
        })
    },
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "take_over_ms", "take-over, ms", AtMost(2_600.0)),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        ],
        ..Scenario::new("stall-worker", "the ACTIVE's worker hangs; its keeper lives", |stage| {
            play(stage, Signal::SIGSTOP)
        })
    },
];

const OFTEN: Runs = Runs::Many { full: 10, short: 3 };

pub fn play(stage: &mut Stage<'_>, signal: Signal) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let victim = stage.pid(1, Part::Worker)?;
    let start = sys::now();
    sys::signal(victim, signal);
    stage.wait_for_a_move_from(old)?;
    stage.wait_for_another_worker(1, victim)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(start, Some(old)))
}
