//! The ACTIVE is cut off from the other nodes, but not from the client.
//!
//! The LAN heals one direction at a time, because no real LAN heals all at once.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::frames::Mac;
use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        promises: PROMISES,
        runs: OFTEN,
        is_long: true,
        ..Scenario::new(
            "partition-hears",
            "the ACTIVE is cut off from the nodes but not from the client; healed, it hears the others first",
            |stage| play(stage, ["hears", "heard"]),
        )
    },
    Scenario {
        promises: PROMISES,
        runs: OFTEN,
        is_long: true,
        ..Scenario::new("partition-heard", "the same, but the others hear it first", |stage| {
            play(stage, ["heard", "hears"])
        })
    },
];

const PROMISES: &[Promise] = &[
    Promise::new(SLOW, "one_owner_after_ms", "one owner after healing, ms", AtMost(1_100.0)),
    Promise::new(SLOW, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)),
    Promise::new(BRISK, "blackout_after_ms", "blackout after healing, ms", AtMost(20.0)).not_in_short(),
    Promise::new(BRISK, "wrong_entries", "the client sends to a loser", Strict(0.0)).not_in_short(),
];

const OFTEN: Runs = Runs::Many { full: 10, short: 1 };

pub fn play(stage: &mut Stage<'_>, halves: [&str; 2]) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.change("split", 1)?;
    stage.sleep(stage.run().extent.pause + stage.other_point(Duration::from_secs(1)));
    // Both sides announce, and the client sends to the one that announced last. In every other run that is the node
    // which will remove the address.
    if stage.run().number.is_multiple_of(2) {
        stage.set_entry(Mac::of(2), "reachable")?;
    }
    let sends_to_loser = stage.wrong_entries(old)?;
    let healing = sys::now();
    stage.change(halves[0], 1)?;
    stage.sleep(Duration::from_millis(50) + stage.point(Duration::from_millis(250)));
    stage.change(halves[1], 1)?;
    let healed = sys::now();
    stage.watch_after_the_fault();
    let mut marks = Marks::new(start, Some(old)).healed(Span::new(healing, healed));
    marks.measured = vec![("sent_to_loser", sends_to_loser), ("wrong_entries", stage.wrong_entries(old)?)];
    Ok(marks)
}
