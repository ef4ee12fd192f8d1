//! Two routers with a LAN and a WAN, and a client on each side. What counts is the client that is served last, and that
//! one side is never here and the other side there for longer than an interval.

use std::io;
use std::time::Duration;

use crate::analysis::{Recording, millis};
use crate::marks::{Marks, take_over};
use crate::promise::Bound::{AtMost, Median, Strict};
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::{DARK, Stage, TAKEN};
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        readings: &[take_over, last_dark, apart],
        promises: &[
            Promise::new(SLOW, "last_blackout_ms", LAST, Median(3.0)).not_in_short(),
            Promise::new(SLOW, "apart_ms", APART, AtMost(1_000.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "wan_two_owners_ms", WAN, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "last_blackout_ms", LAST, Median(3.0)),
            Promise::new(BRISK, "apart_ms", APART, AtMost(100.0)),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(BRISK, "wan_two_owners_ms", WAN, Strict(0.0)),
        ],
        is_delicate: true, // a millisecond counts
        ..Scenario::new("router-stop", "a router with a LAN and a WAN is stopped in good order", |stage| {
            play(stage, |stage| {
                stage.signal(1, Signal::SIGTERM);
                Ok(())
            })
        })
    },
    Scenario {
        readings: &[take_over, last_dark, apart],
        promises: &[
            Promise::new(SLOW, "last_blackout_ms", LAST, AtMost(3_600.0)).not_in_short(),
            Promise::new(SLOW, "apart_ms", APART, AtMost(1_000.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "wan_two_owners_ms", WAN, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "last_blackout_ms", LAST, AtMost(365.0)).not_in_short(),
            Promise::new(BRISK, "apart_ms", APART, AtMost(100.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "wan_two_owners_ms", WAN, Strict(0.0)).not_in_short(),
        ],
        ..Scenario::new("router-power", "a router with a LAN and a WAN loses power", |stage| {
            play(stage, |stage| {
                stage.cut_wan()?;
                stage.cut_power()
            })
        })
    },
    Scenario {
        readings: &[take_over, last_dark, apart],
        promises: &[
            Promise::new(SLOW, "last_blackout_ms", LAST, Median(20.0)).not_in_short(),
            Promise::new(SLOW, "apart_ms", APART, AtMost(1_000.0)).not_in_short(),
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(SLOW, "wan_two_owners_ms", WAN, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "last_blackout_ms", LAST, Median(20.0)).not_in_short(),
            Promise::new(BRISK, "apart_ms", APART, AtMost(100.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "wan_two_owners_ms", WAN, Strict(0.0)).not_in_short(),
        ],
        is_delicate: true,
        ..Scenario::new("router-cable", "of a router with a LAN and a WAN the cable of the WAN is pulled", |stage| {
            play(stage, |stage| stage.cut_wan())
        })
    },
];

fn play(stage: &mut Stage<'_>, fail: fn(&mut Stage<'_>) -> io::Result<()>) -> io::Result<Marks> {
    stage.add_wan()?;
    let old = stage.start_all()?;
    stage.wait_for_wan(old)?;
    let start = sys::now();
    fail(stage)?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    let mut marks = Marks::new(start, Some(old));
    marks.measured = stage.close_wan(start, old)?;
    Ok(marks)
}

/// Of the client that was dark for longer.
fn last_dark(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    let lan = millis(recording.blackout(marks.whole()));
    ("last_blackout_ms", marks.measured_as(DARK).map(|wan| wan.max(lan)))
}

/// From the moment at which one side has moved to that at which the other one has, too.
fn apart(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    let lan = marks.first_of_another(recording).map(|at| marks.since_start(at));
    ("apart_ms", lan.zip(marks.measured_as(TAKEN)).map(|(lan, wan)| (lan - wan).abs()))
}

const LAST: &str = "blackout of the last client, ms";
const APART: &str = "one side here, the other there, ms";
const WAN: &str = "two owners on the WAN, ms";
