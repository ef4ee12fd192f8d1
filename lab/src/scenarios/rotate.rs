//! All nodes get a new key while they run: as the second in all key files, then as the first, then as the only one.

use std::io;

use crate::attacker::{Load, STEADY};
use crate::key::{NEXT, OURS};
use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "moves", "moves", Strict(0.0)),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
        Promise::new(BRISK, "believed", "packets with the old key believed", Strict(0.0)),
    ],
    ..Scenario::new("rotate", "all nodes get a new key while they run", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.start_all()?;
    let start = sys::now();
    for keys in [&[OURS, NEXT][..], &[NEXT, OURS], &[NEXT]] {
        for number in 1..=stage.run().nodes {
            stage.write_keys(number, keys)?;
            stage.reread_keys(number)?;
            stage.sleep(stage.run().timing.interval.mul_f64(1.3)); // a person does not reach all nodes at once
        }
        stage.wait_until_all_sign_with(&attacker, keys[0])?;
    }
    // The old key is no secret any more: that is why it was replaced.
    let forger = stage.forger(&attacker)?;
    let load = Load { rate_per_s: STEADY, limit: stage.run().timing.tolerance };
    let sent = attacker.attack(forger.signed(OURS), load)?.wait()?;
    // A typing error in the key file costs nothing but a line in the log.
    stage.spoil_keys(2)?;
    stage.reread_keys(2)?;
    stage.sleep(stage.run().timing.tolerance + stage.run().timing.interval);
    stage.wait_until_all_sign_with(&attacker, NEXT)?;
    let mut marks = Marks::new(start, Some(old));
    marks.measured = vec![("packets", f64::from(sent.frames)), ("believed", f64::from(stage.count_believed()?))];
    Ok(marks)
}
