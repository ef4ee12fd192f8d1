//! The least worthy node has another key than the others. A node that starts later finds the address in use by a node
//! that it does not believe.

use std::io;

use crate::key::{NEXT, OURS};
use crate::marks::Marks;
use crate::promise::Bound::Strict;
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        promises: PROMISES,
        ..Scenario::new("mixed-key-joins", "a node with another key joins", |stage| play(stage, false))
    },
    Scenario {
        promises: PROMISES,
        ..Scenario::new("mixed-key-first", "a node with another key is there first", |stage| play(stage, true))
    },
];

const PROMISES: &[Promise] = &[
    Promise::new(BRISK, "moves", "moves", Strict(0.0)),
    Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
];

fn play(stage: &mut Stage<'_>, stranger_is_first: bool) -> io::Result<Marks> {
    let stranger = stage.run().nodes;
    stage.give_keys(&[OURS])?;
    stage.write_keys(stranger, &[NEXT])?;
    let others: Vec<_> = (1..stranger).collect();
    let (first, late) = if stranger_is_first { (vec![stranger], others) } else { (others, vec![stranger]) };
    for &number in &first {
        stage.start(number)?;
    }
    let old = stage.wait_until_served_by(first[0])?;
    stage.wait_for_the_point();
    let start = sys::now();
    for &number in &late {
        stage.start(number)?;
    }
    stage.sleep(5 * stage.run().timing.tolerance);
    Ok(Marks::new(start, Some(old)))
}
