//! What happens in each scenario, move by move.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::figures::{median, percentile_99};
use crate::frames::Mac;
use crate::node::Part;
use crate::outcome::millis;
use crate::scenario::marks::Marks;
use crate::stage::Stage;
use crate::sys;

pub fn power(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

pub fn stop(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.signal(1, libc::SIGTERM);
    stage.wait_for_other_than(old)?;
    stage.wait_for_good_end(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

pub fn join(stage: &mut Stage<'_>) -> io::Result<Marks> {
    for number in 2..=stage.plan().nodes {
        stage.start(number)?;
    }
    let old = stage.wait_until_served_by(2)?;
    stage.wait_for_the_point();
    let struck = sys::now();
    stage.start(1)?;
    stage.wait_until_served_by(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

/// The worker alone. Nobody but its keeper can see that, and start another.
pub fn strike_worker(stage: &mut Stage<'_>, signal: i32) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let victim = stage.pid(1, Part::Worker)?;
    let struck = sys::now();
    sys::signal(victim, signal);
    stage.wait_for_other_than(old)?;
    stage.wait_for_another_worker(1, victim)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

/// One process, or all of the node.
pub fn kill(stage: &mut Stage<'_>, part: Option<Part>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    if part.is_some() {
        stage.pid(1, Part::Worker)?; // a daemon of one process would die as a whole
    }
    let struck = sys::now();
    stage.kill(1, part)?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

pub fn freeze(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.signal(1, libc::SIGSTOP);
    stage.sleep(stage.plan().pause);
    let thawed = sys::now();
    stage.signal(1, libc::SIGCONT);
    stage.watch_the_mended();
    let mut marks = Marks::new(struck, Some(old));
    marks.mended = Some(Span::new(thawed, thawed));
    Ok(marks)
}

/// Healed one direction at a time, because no real LAN heals all at once.
pub fn partition(stage: &mut Stage<'_>, halves: [&str; 2]) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.tell("split", 1)?;
    stage.sleep(stage.plan().pause + stage.other_point(Duration::from_secs(1)));
    // Both sides announce, and the client sends to whoever did last: in every other run to the one that will let go.
    if stage.plan().run.is_multiple_of(2) {
        stage.set_entry(Mac::of(2), "reachable")?;
    }
    let sends_to_loser = stage.wrong_entries(old)?;
    let healing = sys::now();
    stage.tell(halves[0], 1)?;
    stage.sleep(Duration::from_millis(50) + stage.point(Duration::from_millis(250)));
    stage.tell(halves[1], 1)?;
    let healed = sys::now();
    stage.watch_the_mended();
    let mut marks = Marks::new(struck, Some(old));
    marks.measured = vec![("sent_to_loser", sends_to_loser), ("wrong_entries", stage.wrong_entries(old)?)];
    marks.mended = Some(Span::new(healing, healed));
    Ok(marks)
}

pub fn cold(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.sleep(Duration::from_millis(50));
    let struck = sys::now();
    for number in 1..=stage.plan().nodes {
        stage.start(number)?;
    }
    stage.wait_until_served()?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, None))
}

pub fn rest(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.sleep(stage.plan().rest);
    Ok(Marks::new(struck, Some(old)))
}

/// Times on the wire, from the ACTIVE's resign to its successor's first gratuitous ARP.
pub fn restarts(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let tap = stage.tap(2)?;
    let struck = sys::now();
    let mut hops = Vec::new();
    for _ in 0..stage.plan().restarts {
        tap.forget()?;
        stage.signal(1, libc::SIGTERM);
        stage.wait_for_other_than(old)?;
        hops.push(millis(tap.hop(old, Mac::of(2))?));
        stage.wait_for_good_end(1)?;
        stage.start(1)?;
        stage.wait_until_served_by(1)?;
    }
    let mut marks = Marks::new(struck, None);
    hops.sort_by(f64::total_cmp);
    marks.measured.extend(median(&hops).map(|median| ("hop_median_ms", median)));
    marks.measured.extend(percentile_99(&hops).map(|high| ("hop_p99_ms", high)));
    marks.measured.extend(hops.last().map(|max| ("hop_max_ms", *max)));
    Ok(marks)
}

/// Alone, because pages that several daemons share would count for each in part only.
pub fn alone(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.start(1)?;
    let owner = stage.wait_until_served_by(1)?;
    let struck = sys::now();
    stage.sleep(Duration::from_secs(2));
    let [keeper, worker] = [stage.pss_kb(1, Part::Keeper)?, stage.pss_kb(1, Part::Worker)?];
    let mut marks = Marks::new(struck, Some(owner));
    marks.measured = vec![("keeper_kb", keeper), ("worker_kb", worker), ("memory_kb", keeper + worker)];
    Ok(marks)
}
