//! The ACTIVE's processes are frozen for a while, and thaw when another node has the address. So with keepalived.

use std::io;

use crate::marks::{Marks, take_over};
use crate::node::Program;
use crate::promise::Bound::{AtMost, Between, Median, Strict};
use crate::promise::{BRISK, FAST, FENCE, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)),
            Promise::new(SLOW, "take_over_ms", "take-over, ms", Between(2_400.0, 3_600.0)),
            Promise::new(SLOW, "blackout_ms", "client dark, ms", Median(3_550.0)),
            Promise::new(SLOW, "frames_after_take_over", FRAMES, Strict(0.0)),
            Promise::new(SLOW, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)),
            Promise::new(SLOW, "one_owner_after_ms", "one owner after the thaw, ms", AtMost(1_100.0)),
            Promise::new(SLOW, "blackout_after_ms", "client dark after the thaw, ms", AtMost(20.0)),
            Promise::new(SLOW, "blackout_after_ms", "client dark after the thaw, ms", Median(GRAIN_MS)).not_in_short(),
            Promise::new(BRISK, "blackout_ms", "client dark, ms", Median(370.0)).not_in_short(),
            Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(BRISK, "frames_after_take_over", FRAMES, Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(BRISK, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "client dark after the thaw, ms", AtMost(20.0)).not_in_short(),
            Promise::new(BRISK, "blackout_after_ms", "client dark after the thaw, ms", Median(GRAIN_MS)).not_in_short(),
            Promise::new(FAST, "blackout_ms", "client dark, ms", Median(60.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "two_owners_ms", "two owners, ms", Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "frames_after_take_over", FRAMES, Strict(0.0)).once(FENCE).not_in_short(),
            Promise::new(FAST, "frames_after_thaw", THAWED_FRAMES, Strict(0.0)).not_in_short(),
            Promise::new(FAST, "blackout_after_ms", "client dark after the thaw, ms", Median(GRAIN_MS)).not_in_short(),
        ],
        runs: Runs::TEN,
        is_long: true,
        ..Scenario::new("freeze-all", "the ACTIVE's processes are all frozen for a while; its kernel lives", |stage| {
            play(stage, Program::Ha)
        })
    },
    Scenario {
        readings: &[take_over],
        promises: &[
            Promise::shown(SLOW, "blackout_ms", "client dark, ms").not_in_short(),
            Promise::shown(SLOW, "two_owners_ms", TWO_OWNERS).not_in_short(),
            Promise::shown(SLOW, "frames_after_take_over", FRAMES).not_in_short(),
            Promise::shown(SLOW, "frames_after_thaw", THAWED_FRAMES).not_in_short(),
            Promise::shown(SLOW, "blackout_after_ms", "client dark after the thaw, ms").not_in_short(),
            Promise::shown(BRISK, "blackout_ms", "client dark, ms").not_in_short(),
            Promise::shown(BRISK, "two_owners_ms", TWO_OWNERS).not_in_short(),
            Promise::shown(BRISK, "frames_after_take_over", FRAMES).not_in_short(),
            Promise::shown(BRISK, "frames_after_thaw", THAWED_FRAMES).not_in_short(),
            Promise::shown(BRISK, "blackout_after_ms", "client dark after the thaw, ms").not_in_short(),
            Promise::shown(FAST, "blackout_ms", "client dark, ms").not_in_short(),
            Promise::shown(FAST, "two_owners_ms", TWO_OWNERS).not_in_short(),
            Promise::shown(FAST, "frames_after_take_over", FRAMES).not_in_short(),
            Promise::shown(FAST, "frames_after_thaw", THAWED_FRAMES).not_in_short(),
            Promise::shown(FAST, "blackout_after_ms", "client dark after the thaw, ms").not_in_short(),
        ],
        is_long: true,
        ..Scenario::new(
            "freeze-all-keepalived",
            "all processes of keepalived's master are frozen for a while",
            |stage| play(stage, Program::Keepalived),
        )
    },
];

pub fn play(stage: &mut Stage<'_>, program: Program) -> io::Result<Marks> {
    stage.set_program(program);
    let old = stage.start_all()?;
    let cable = stage.from_address(1)?;
    let start = sys::now();
    stage.signal(1, Signal::SIGSTOP);
    stage.sleep(stage.run().extent.pause);
    let thawed = sys::now();
    stage.signal(1, Signal::SIGCONT);
    stage.watch_after_the_fault();
    let mut marks = Marks::new(start, Some(old)).thawed(thawed);
    marks.from_old = Some(cable.times()?);
    Ok(marks)
}

/// The client asks each half millisecond: nothing shorter than that and a reply can be told from nothing.
const GRAIN_MS: f64 = 1.0;
pub const FRAMES: &str = "frames of the frozen one after the take-over";
pub const THAWED_FRAMES: &str = "frames of the thawed one while another has the address";
const TWO_OWNERS: &str = "two owners in 10 s and after, ms";
