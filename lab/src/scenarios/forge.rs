//! A machine without the key sends everything that would move the address if it were believed.

use std::io;
use std::time::Duration;

use crate::attacker::{Load, STEADY};
use crate::key::OURS;
use crate::marks::Marks;
use crate::promise::Bound::{AtLeast, AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::run::Extent;
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "packets", "forged and replayed packets", AtLeast(1e6)).not_in_short(),
        Promise::new(BRISK, "believed", "of them believed", Strict(0.0)),
        Promise::new(BRISK, "moves", "moves", Strict(0.0)),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
    ],
    runs: Runs::One,
    full: Extent { attack: Duration::from_secs(102), ..Extent::FULL }, // a million packets
    short: Extent { attack: Duration::from_secs(3), ..Extent::SHORT },
    is_delicate: true,
    ..Scenario::new("forge", "an attacker sends everything that would move the address if it were believed", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.start_all()?;
    let forger = stage.forger(&attacker)?;
    let start = sys::now();
    let limit = stage.run().extent.attack;
    let sent = attacker.attack(forger.everything(), Load { rate_per_s: STEADY, limit })?.wait()?;
    stage.sleep(stage.run().timing.tolerance);
    let mut marks = Marks::new(start, Some(old));
    marks.measured = vec![
        ("packets", f64::from(sent.frames)),
        ("per_s", sent.rate_per_s()),
        ("believed", f64::from(stage.count_believed()?)),
    ];
    Ok(marks)
}
