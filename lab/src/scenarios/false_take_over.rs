//! The other nodes do not hear the ACTIVE for 5 s, but it hears them.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::marks::Marks;
use crate::promise::Bound::AtMost;
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        promises: &[
            Promise::new(SLOW, "blackout_after_ms", "blackout after a one-way cut, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "blackout after a one-way cut, ms", AtMost(20.0)).not_in_short(),
        ],
        is_long: true,
        ..Scenario::new("false-take-over", "the others do not hear the ACTIVE for 5 s, but it hears them", |stage| {
            play(stage, "mute")
        })
    },
    Scenario {
        promises: &[
            Promise::new(SLOW, "blackout_after_ms", "blackout after heartbeats were lost, ms", AtMost(20.0))
                .not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "blackout after heartbeats were lost, ms", AtMost(20.0))
                .not_in_short(),
        ],
        is_long: true,
        ..Scenario::new("false-take-over-heartbeats", "the same, but only its heartbeats are lost", |stage| {
            play(stage, "speechless")
        })
    },
];

/// `cut` is what `lab/net` does to the ACTIVE.
fn play(stage: &mut Stage<'_>, cut: &str) -> io::Result<Marks> {
    let old = stage.start_all()?;
    let start = sys::now();
    stage.change(cut, 1)?;
    stage.sleep(ONE_WAY);
    let healing = sys::now();
    stage.change("heard", 1)?;
    let healed = sys::now();
    stage.watch_after_the_fault();
    Ok(Marks::new(start, Some(old)).healed(Span::new(healing, healed)))
}

const ONE_WAY: Duration = Duration::from_secs(5);
