//! A small packet of the host: how much longer does it take to leave through the fence?

use std::io;

use crate::marks::Marks;
use crate::node::{Program, Setup};
use crate::promise::Bound::Median;
use crate::promise::{BRISK, LEAN_FENCE, Promise};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::stats::middle_of;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "through_fence_us", "a packet through the fence, us more than without", Median(0.15))
            .once(LEAN_FENCE)
            .not_in_short(),
        Promise::shown(BRISK, "packet_us", "a packet without a fence, us").not_in_short(),
    ],
    runs: Runs::Many { full: 10, short: 1 },
    is_delicate: true,
    ..Scenario::new("packet", "what a small packet from the address costs, with a fence and without", play)
}];

/// Two nodes that do not hear each other both have the address, one behind a fence, and take turns: within milliseconds, since
/// the machine is another one a second later.
fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let start = sys::now();
    stage.change("split", 1)?;
    for (number, fence) in [(1, &["--fence", "off"]), (2, &["--fence", "required"])] {
        stage.set_up(Setup { options: fence, ..Setup::new(Program::Ha, stage.run().timing) });
        stage.start(number)?;
    }
    stage.watch_past_the_tolerance();
    let turns = stage.packet_us([1, 2])?;
    let middle =
        |of: fn(&[f64; 2]) -> f64| middle_of(&mut turns.iter().map(of).collect::<Vec<_>>()).expect("there are some");
    let mut marks = Marks::new(start, None);
    marks.quiet = Some(Vec::new()); // there are two owners on purpose
    marks.measured = vec![
        ("packet_us", middle(|[without, _]| *without)),
        ("through_fence_us", middle(|[without, with]| with - without)),
    ];
    Ok(marks)
}
