//! A machine outside of the group says five times a second that the address is its own: the owner must neither be
//! silent nor answer with a storm.

use std::io;
use std::time::Duration;

use crate::analysis::millis;
use crate::attacker::Load;
use crate::marks::Marks;
use crate::promise::Bound::{AtLeast, Between};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{LONG, Stage};
use crate::stats::count;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "announcements", "announcements against 75 claims, repeats included", Between(1.0, 13.0))
            .not_in_short(),
        Promise::new(BRISK, "closest_ms", "between two of them, ms", AtLeast(990.0)).not_in_short(),
    ],
    is_long: true,
    ..Scenario::new(
        "stranger-insists",
        "a machine outside of the group says five times a second that it has the address",
        play,
    )
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let stranger = stage.attacker()?;
    let owner = stage.start_all()?;
    stage.sleep(ALL_ROUNDS);
    let announcements = stage.announcements(1)?;
    let start = sys::now();
    let sent = stranger.attack(vec![stranger.conflict_frame()], Load { rate_per_s: 5, limit: INSISTENCE })?.wait()?;
    let insisted = sys::now();
    stage.watch_until_served_by(owner, LONG)?;
    let times = announcements.times()?;
    let announced = times.iter().filter(|&&at| at <= insisted).count();
    let mut marks = Marks::new(start, Some(owner));
    marks.measured = vec![
        ("claims", f64::from(sent.frames)),
        ("announcements", count(announced)),
        ("wrong_entries", stage.wrong_entries(owner)?),
    ];
    let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    marks.measured.extend(closest.map(|closest| ("closest_ms", millis(closest))));
    Ok(marks)
}

/// After the last round of announcements but for the steady ones.
const ALL_ROUNDS: Duration = Duration::from_millis(7_500);

const INSISTENCE: Duration = Duration::from_secs(15);
