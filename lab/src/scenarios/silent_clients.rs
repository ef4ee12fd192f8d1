//! The ACTIVE loses power, among clients that never speak first and drop gratuitous ARP. The gateway is one of them.

use std::io;
use std::time::Duration;

use crate::frames::Mac;
use crate::marks::{Marks, take_over};
use crate::promise::Bound::{AtMost, Strict};
use crate::promise::{BRISK, Promise};
use crate::scenario::Scenario;
use crate::stage::{BETWEEN_ROUNDS, Stage};
use crate::stats::count;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    readings: &[take_over],
    promises: &[
        Promise::new(BRISK, "left_behind", "of 51 that never speak first, not told", Strict(0.0)).not_in_short(),
        Promise::new(BRISK, "last_moved_ms", "the last of them is told, ms", AtMost(10_000.0)).not_in_short(),
        Promise::new(BRISK, "first_moved_ms", "the gateway is told, ms", AtMost(5.0)).not_in_short(),
    ],
    is_delicate: true,
    ..Scenario::new(
        "silent-clients",
        "the ACTIVE loses power; 50 clients and the gateway never speak first and drop gratuitous ARP",
        play,
    )
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.add_silent_clients(CLIENTS)?;
    let old = stage.start_all()?;
    let clients = stage.let_clients_speak(CLIENTS)?;
    stage.sleep(BETWEEN_ROUNDS);
    let start = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.sleep(Duration::from_secs(11));
    let moves = clients.stop()?;
    let mut marks = Marks::new(start, Some(old));
    let new = Mac::of(2);
    let left_behind = stage.entries(CLIENTS)?.iter().filter(|&&entry| entry != Some(new)).count();
    marks.measured.push(("left_behind", count(left_behind)));
    marks.moved = moves.into_iter().filter(|moved| moved.mac == new && moved.at >= start).collect();
    Ok(marks)
}

/// The gateway comes on top of them.
const CLIENTS: u8 = 50;
