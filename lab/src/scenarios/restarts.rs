//! The ACTIVE is stopped in good order and started again, many times: how soon does the successor announce itself?
//!
//! Measured on the wire, from the ACTIVE's resign to its successor's first gratuitous ARP.

use std::io;

use crate::analysis::millis;
use crate::frames::Mac;
use crate::marks::Marks;
use crate::promise::Bound::AtMost;
use crate::promise::{BRISK, Promise};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::stats::{median, percentile_99};
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "hop_median_ms", "resign to gratuitous ARP, median, ms", AtMost(0.5)),
        Promise::new(BRISK, "hop_p99_ms", "resign to gratuitous ARP, 99 %, ms", AtMost(2.0)),
    ],
    runs: Runs::One,
    ..Scenario::new("restarts", "the ACTIVE is stopped in good order and started again, many times", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let tap = stage.tap(2)?;
    let start = sys::now();
    let mut hops = Vec::new();
    for _ in 0..stage.run().extent.restarts {
        tap.forget()?;
        stage.signal(1, Signal::SIGTERM);
        stage.wait_for_other_than(old)?;
        hops.push(millis(tap.hop(old, Mac::of(2))?));
        stage.wait_for_good_end(1)?;
        stage.start(1)?;
        stage.wait_until_served_by(1)?;
    }
    let mut marks = Marks::new(start, None);
    hops.sort_by(f64::total_cmp);
    marks.measured.extend(median(&hops).map(|median| ("hop_median_ms", median)));
    marks.measured.extend(percentile_99(&hops).map(|high| ("hop_p99_ms", high)));
    marks.measured.extend(hops.last().map(|max| ("hop_max_ms", *max)));
    Ok(marks)
}
