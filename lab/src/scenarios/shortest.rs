//! How short may interval and tolerance be on this machine? From the shortest on, each timing has to hold for a while:
//! node 1 starts with the address and keeps it. The first that holds is the answer.
//!
//! A timing that does not hold is given up at its first move; the one that holds takes all of `--rest`. So a run takes
//! a few seconds for each that fails, and 11 minutes for the one that holds with `--rest 600s`.

use std::io;
use std::time::{Duration, Instant};

use crate::hogs::Hogs;
use crate::marks::Marks;
use crate::node::{Program, Setup};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;
use crate::timing::Timing;

pub const SCENARIOS: &[Scenario] = &[
    asked_for("shortest-at-rest", "the shortest timing that holds: the machine has nothing else to do", |stage| {
        play(stage, &[], false)
    }),
    asked_for("shortest-no-realtime", "the shortest timing that holds without real-time priority", |stage| {
        play(stage, &["--no-realtime"], false)
    }),
    asked_for("shortest-beside-hogs", "the shortest timing that holds while every processor computes", |stage| {
        play(stage, &[], true)
    }),
];

const fn asked_for(
    name: &'static str,
    summary: &'static str,
    play: fn(&mut Stage<'_>) -> io::Result<Marks>,
) -> Scenario {
    Scenario { runs: Runs::One, is_on_request: true, is_delicate: true, ..Scenario::new(name, summary, play) }
}

fn play(stage: &mut Stage<'_>, options: &'static [&'static str], beside_hogs: bool) -> io::Result<Marks> {
    let start = sys::now();
    let _hogs = beside_hogs.then(Hogs::start).transpose()?;
    let mut measured = Vec::new();
    for step in STEPS {
        stage.set_up(Setup { options, ..Setup::new(Program::Ha, step.timing) });
        let held = hold(stage)?;
        stage.stop_all()?;
        measured.push((step.held, held.as_secs_f64()));
        if held >= stage.run().extent.rest {
            measured.push(("interval_ms", step.timing.interval.as_secs_f64() * 1e3));
            measured.push(("tolerance_ms", step.timing.tolerance.as_secs_f64() * 1e3));
            break;
        }
    }
    let mut marks = Marks::new(start, None);
    marks.quiet = Some(Vec::new()); // the address moves as often as a timing does not hold
    marks.measured = measured;
    Ok(marks)
}

/// How long node 1 keeps the address, at most for as long as it has to.
fn hold(stage: &mut Stage<'_>) -> io::Result<Duration> {
    let Ok(owner) = stage.start_all() else {
        stage.check_daemons()?; // else it was never alone for a moment
        return Ok(Duration::ZERO);
    };
    let began = Instant::now();
    while began.elapsed() < stage.run().extent.rest {
        stage.sleep(LOOK);
        stage.check_daemons()?;
        // The client may be late to read what its kernel has dated.
        if stage.has_moved_from(owner, began.elapsed().min(LATE)) {
            break;
        }
    }
    Ok(began.elapsed())
}

/// A timing, and the name of how long it held, in seconds.
struct Step {
    timing: Timing,
    held: &'static str,
}

impl Step {
    const fn new(interval: u64, tolerance: u64, held: &'static str) -> Self {
        Self { timing: Timing::from_millis(interval, tolerance), held }
    }
}

const STEPS: [Step; 5] = [
    Step::new(2, 8, "held_2_8_s"),
    Step::new(3, 11, "held_3_11_s"),
    Step::new(5, 18, "held_5_18_s"),
    Step::new(10, 35, "held_10_35_s"),
    Step::new(20, 70, "held_20_70_s"),
];
const LOOK: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(2);
