//! The ACTIVE's processes are frozen for a while, and thaw when another node has the address.

use std::io;

use crate::marks::{Marks, take_over};
use crate::promise::Bound::{AtMost, Between, Strict};
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
        Promise::new(SLOW, "one_owner_after_ms", "one owner after the thaw, ms", AtMost(1_100.0)),
        Promise::new(SLOW, "blackout_after_ms", "blackout after the thaw, ms", AtMost(20.0)),
        Promise::new(BRISK, "blackout_after_ms", "blackout after the thaw, ms", AtMost(20.0)).not_in_short(),
    ],
    is_long: true,
    ..Scenario::new("freeze-all", "the ACTIVE's processes are all frozen for a while; its kernel lives", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.signal(1, Signal::SIGSTOP);
    stage.sleep(stage.run().extent.pause);
    let thawed = sys::now();
    stage.signal(1, Signal::SIGCONT);
    stage.watch_after_the_fault();
    Ok(Marks::new(start, Some(old)).thawed(thawed))
}
