//! A machine outside of the group says once, by ARP, that the address is its own.

use std::io;
use std::time::Duration;

use crate::marks::Marks;
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{BETWEEN_ROUNDS, LONG, Stage};
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "blackout_ms", "a stranger has the client, ms", AtMost(20.0)),
        Promise::new(BRISK, "wrong_entries", "the client sends to the stranger", Strict(0.0)),
    ],
    ..Scenario::new("stranger-claim", "a machine outside of the group says once that it has the address", play)
}];

pub fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let stranger = stage.attacker()?;
    let owner = stage.start_all()?;
    stage.sleep(BETWEEN_ROUNDS);
    let start = sys::now();
    stranger.contest()?;
    stage.linger(Duration::from_millis(500));
    stage.watch_until_served_by(owner, LONG)?;
    let mut marks = Marks::new(start, Some(owner));
    marks.measured.push(("wrong_entries", stage.wrong_entries(owner)?));
    Ok(marks)
}
