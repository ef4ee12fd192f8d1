//! An attacker records one life of all nodes, and sends all of it again at every moment of their next life.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::attacker::{Attacker, Heard, Load};
use crate::forgery;
use crate::frames::Mac;
use crate::key::OURS;
use crate::marks::{Marks, take_over};
use crate::promise::Bound::{AtMost, Between, Strict};
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::stats::count;
use crate::sys::{self, Signal};

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(BRISK, "up_ms", "address up after the start, ms", AtMost(800.0)),
        Promise::new(BRISK, "moves_caused", "moves caused", Strict(0.0)),
        Promise::new(BRISK, "two_owners_ever_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout while nothing is done, ms", AtMost(20.0)),
        Promise::new(BRISK, "take_over_ms", "take-over after a power cut, ms", Between(240.0, 380.0)),
        Promise::new(SLOW, "up_ms", "address up after the start, ms", AtMost(7_200.0)).not_in_short(),
        Promise::new(SLOW, "moves_caused", "moves caused", Strict(0.0)).not_in_short(),
        Promise::new(SLOW, "two_owners_ever_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        Promise::new(SLOW, "blackout_ms", "blackout while nothing is done, ms", AtMost(20.0)).not_in_short(),
        Promise::new(SLOW, "take_over_ms", "take-over after a power cut, ms", Between(2_400.0, 3_600.0)).not_in_short(),
    ],
    ..Scenario::new(
        "replay",
        "an attacker sends what all nodes said in an earlier life, at every moment of the next",
        play,
    )
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let recording = record_a_whole_life(stage, &attacker)?;
    let frames = forgery::replayed(&recording);
    let ages = 20 * stage.run().timing.tolerance + Duration::from_secs(20);
    let attack = attacker.attack(frames, Load { rate_per_s: REPLAY, limit: ages })?;
    stage.sleep(Duration::from_millis(200)); // no node hears it yet

    let begun = sys::now();
    for number in 1..=stage.run().nodes {
        stage.start(number)?;
    }
    stage.wait_until_served_by(1)?;
    let up = sys::now();
    let quiet = 2 * stage.run().timing.tolerance + stage.run().timing.interval;
    stage.sleep(quiet);
    let mut spans = vec![Span::new(up, sys::now())];

    stage.signal(1, Signal::SIGTERM);
    stage.wait_until_served_by(2)?;
    stage.wait_for_good_end(1)?;
    let resigned = sys::now();
    stage.sleep(quiet / 2);
    spans.push(Span::new(resigned, sys::now()));
    stage.start(1)?;
    stage.wait_for_hand_over_to(1)?;
    let handed_over = sys::now();
    stage.sleep(quiet);
    spans.push(Span::new(handed_over, sys::now()));

    let start = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(Mac::of(1))?;
    stage.sleep(quiet);
    let sent = attack.stop()?;
    let mut marks = Marks::new(start, Some(Mac::of(1)));
    marks.quiet = Some(spans);
    marks.life = Some((begun, MOVES_OF_A_LIFE));
    marks.measured = vec![("recorded", count(recording.len())), ("packets", f64::from(sent.frames))];
    Ok(marks)
}

/// Cold start, resign, start, claim and hand-over, kill -9, take-over, start over a leftover address, hand-over, and
/// the end of all: every packet of it.
fn record_a_whole_life(stage: &mut Stage<'_>, attacker: &Attacker) -> io::Result<Vec<Heard>> {
    attacker.overheard()?;
    stage.start_all()?;
    stage.signal(1, Signal::SIGTERM);
    stage.wait_until_served_by(2)?;
    stage.wait_for_good_end(1)?;
    stage.start(1)?;
    stage.wait_for_hand_over_to(1)?;
    stage.kill(1, None)?;
    stage.wait_until_served_by(2)?;
    stage.start(1)?;
    stage.wait_for_hand_over_to(1)?;
    stage.linger(Duration::from_millis(300));
    for number in (1..=stage.run().nodes).rev() {
        stage.signal(number, Signal::SIGTERM);
        stage.wait_for_good_end(number)?;
    }
    attacker.overheard()
}

const REPLAY: u64 = 1_000;

/// A stop, a hand-over and a power cut.
const MOVES_OF_A_LIFE: u32 = 3;
