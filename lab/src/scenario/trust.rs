//! Stories in which somebody on the LAN wants the address to move, and in which nodes do not believe each other.

use std::io;
use std::time::Duration;

use crate::analysis::Span;
use crate::attacker::{Attacker, Dose};
use crate::forgery::{self, Forger};
use crate::frames::Mac;
use crate::key::LabKey;
use crate::node::Part;
use crate::outcome::millis;
use crate::scenario::marks::Marks;
use crate::stage::Stage;
use crate::sys;

/// Everything that would move the address if it were believed.
pub fn forge(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.node_1_has_it()?;
    let forger = forger(stage, &attacker)?;
    let struck = sys::now();
    let limit = stage.plan().attack;
    let sent = attacker.attack(forger.everything(), Dose { rate_per_s: STEADY, limit })?.wait()?;
    stage.sleep(stage.plan().timing.tolerance);
    let mut marks = Marks::new(struck, Some(old));
    marks.measured = vec![
        ("packets", f64::from(sent.frames)),
        ("per_s", sent.rate_per_s()),
        ("believed", f64::from(stage.believed_lies()?)),
    ];
    Ok(marks)
}

/// Of four kinds as much as a card of 100 Mbit/s can bring: to the owner's card, then as much as goes to all.
pub fn flood(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.node_1_has_it()?;
    let pulse = stage.pulse(1)?;
    let mut measured = Vec::new();
    let struck = sys::now();
    let (mut pause, mut least) = (0, f64::INFINITY);
    let dose = Dose { rate_per_s: FLOOD, limit: stage.plan().attack / 8 };
    for kind in [&GARBAGE, &FORGED, &REPLAYED, &QUESTIONS] {
        let frames = (kind.frames)(&forger(stage, &attacker)?);
        let before = [stage.processor_time(1, Part::Worker)?, stage.processor_time(1, Part::Keeper)?];
        let came = stage.datagrams(1)?;
        let sent = attacker.attack(forgery::aimed(&frames, old), dose)?.wait()?;
        let after = [stage.processor_time(1, Part::Worker)?, stage.processor_time(1, Part::Keeper)?];
        let share = |part: usize| (after[part] - before[part]).as_secs_f64() / sent.span.as_secs_f64() * 100.0;
        measured.extend([(kind.worker_share, share(0)), (kind.keeper_share, share(1))]);
        let lost = stage.datagrams(1)?.lost - came.lost;
        measured.push((kind.lost, f64::from(lost) / f64::from(sent.frames.max(1)) * 100.0));
        measured.push((kind.rate, sent.rate_per_s()));
        least = least.min(sent.rate_per_s());
        // Each node has a machine of its own in life; here they share one, which cannot bring so much to all of them.
        let to_all = attacker.attack(frames, dose)?.wait()?;
        measured.push((kind.rate_to_all, to_all.rate_per_s()));
        stage.linger(Duration::from_millis(300));
        // Fewer than two heartbeats: it was silent all the time.
        let silence = || u64::try_from((sent.span + to_all.span).as_nanos()).unwrap_or(u64::MAX);
        let longest = pulse.longest_pause()?.unwrap_or_else(silence);
        measured.push((kind.late, late(stage, longest)));
        pause = pause.max(longest);
    }
    let mut marks = Marks::new(struck, Some(old));
    measured.push(("late_ms", late(stage, pause)));
    measured.push(("least_per_s", least));
    measured.push(("believed", f64::from(stage.believed_lies()?)));
    marks.measured = measured;
    Ok(marks)
}

/// What was said in an earlier life of all nodes is said again at every moment of the next one.
pub fn replay(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let recording = a_whole_life(stage, &attacker)?;
    let frames = forgery::replayed(&recording);
    let ages = 20 * stage.plan().timing.tolerance + Duration::from_secs(20);
    let attack = attacker.attack(frames, Dose { rate_per_s: REPLAY, limit: ages })?;
    stage.sleep(Duration::from_millis(200)); // nobody is there to hear it

    let begun = sys::now();
    for number in 1..=stage.plan().nodes {
        stage.start(number)?;
    }
    stage.wait_until_served_by(1)?;
    let up = sys::now();
    let quiet = 2 * stage.plan().timing.tolerance + stage.plan().timing.interval;
    stage.sleep(quiet);
    let mut spans = vec![Span::new(up, sys::now())];

    stage.signal(1, libc::SIGTERM);
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

    let struck = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(Mac::of(1))?;
    stage.sleep(quiet);
    let sent = attack.stop()?;
    let mut marks = Marks::new(struck, Some(Mac::of(1)));
    marks.quiet = Some(spans);
    marks.life = Some((begun, MOVES_OF_A_LIFE));
    marks.measured = vec![("recorded", count(recording.len())), ("packets", f64::from(sent.frames))];
    Ok(marks)
}

/// A new key everywhere, while all goes on: as the second in all files, then as the first, then as the only one.
pub fn rotate(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    for keys in [&[OURS, NEXT][..], &[NEXT, OURS], &[NEXT]] {
        for number in 1..=stage.plan().nodes {
            stage.write_keys(number, keys)?;
            stage.reread_keys(number)?;
            stage.sleep(stage.plan().timing.interval.mul_f64(1.3)); // whoever does it by hand is not everywhere at once
        }
        wait_until_all_sign_with(stage, &attacker, keys[0])?;
    }
    // The old key is known to somebody by now: that is why it was replaced.
    let forger = forger(stage, &attacker)?;
    let dose = Dose { rate_per_s: STEADY, limit: stage.plan().timing.tolerance };
    let sent = attacker.attack(forger.signed(OURS), dose)?.wait()?;
    // A slip of the pen costs nothing but a line in the log.
    stage.spoil_keys(2)?;
    stage.reread_keys(2)?;
    stage.sleep(stage.plan().timing.tolerance + stage.plan().timing.interval);
    wait_until_all_sign_with(stage, &attacker, NEXT)?;
    let mut marks = Marks::new(struck, Some(old));
    marks.measured = vec![("packets", f64::from(sent.frames)), ("believed", f64::from(stage.believed_lies()?))];
    Ok(marks)
}

/// The least worthy node has another key than the others. Whoever comes later finds the address in use by somebody whom it
/// does not believe.
pub fn mixed_key(stage: &mut Stage<'_>, stranger_is_first: bool) -> io::Result<Marks> {
    let stranger = stage.plan().nodes;
    stage.give_keys(&[OURS])?;
    stage.write_keys(stranger, &[NEXT])?;
    let others: Vec<_> = (1..stranger).collect();
    let (first, late) = if stranger_is_first { (vec![stranger], others) } else { (others, vec![stranger]) };
    for &number in &first {
        stage.start(number)?;
    }
    let old = stage.wait_until_served_by(first[0])?;
    stage.wait_for_the_point();
    let struck = sys::now();
    for &number in &late {
        stage.start(number)?;
    }
    stage.sleep(5 * stage.plan().timing.tolerance);
    Ok(Marks::new(struck, Some(old)))
}

/// Cold start, resign, start, claim and hand-over, kill -9, take-over, start over a leftover address, hand-over, and the end
/// of all: every packet of it.
fn a_whole_life(stage: &mut Stage<'_>, attacker: &Attacker) -> io::Result<Vec<crate::attacker::Heard>> {
    attacker.overheard()?;
    stage.node_1_has_it()?;
    stage.signal(1, libc::SIGTERM);
    stage.wait_until_served_by(2)?;
    stage.wait_for_good_end(1)?;
    stage.start(1)?;
    stage.wait_for_hand_over_to(1)?;
    stage.kill(1, None)?;
    stage.wait_until_served_by(2)?;
    stage.start(1)?;
    stage.wait_for_hand_over_to(1)?;
    stage.linger(Duration::from_millis(300));
    for number in (1..=stage.plan().nodes).rev() {
        stage.signal(number, libc::SIGTERM);
        stage.wait_for_good_end(number)?;
    }
    attacker.overheard()
}

fn forger(stage: &Stage<'_>, attacker: &Attacker) -> io::Result<Forger> {
    attacker.overheard()?;
    stage.sleep(3 * stage.plan().timing.interval);
    Forger::new(1, attacker.overheard()?)
}

/// Of each node the next word.
fn wait_until_all_sign_with(stage: &Stage<'_>, attacker: &Attacker, key: LabKey) -> io::Result<()> {
    attacker.overheard()?;
    stage.sleep(2 * stage.plan().timing.interval);
    let heard = attacker.overheard()?;
    for number in 1..=stage.plan().nodes {
        let address = crate::net::address_of(number);
        let last = heard.iter().rfind(|heard| heard.from == address);
        let last = last.ok_or_else(|| io::Error::other(format!("node {number} says nothing")))?;
        if !key.has_signed(&last.bytes) {
            return Err(io::Error::other(format!(
                "node {number} signs with another key than the first one of its file after SIGHUP"
            )));
        }
    }
    Ok(())
}

fn late(stage: &Stage<'_>, pause: sys::Nanos) -> f64 {
    (millis(pause) - stage.plan().timing.interval.as_secs_f64() * 1e3).max(0.0)
}

pub fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// A kind of flood, and what it is called in results.
struct Kind {
    frames: fn(&Forger) -> Vec<Vec<u8>>,
    rate: &'static str,
    rate_to_all: &'static str,
    worker_share: &'static str,
    keeper_share: &'static str,
    lost: &'static str,
    late: &'static str,
}

/// What is no packet of ours costs a look.
const GARBAGE: Kind = Kind {
    frames: Forger::garbage,
    rate: "garbage_per_s",
    rate_to_all: "garbage_to_all_per_s",
    worker_share: "garbage_worker_percent",
    keeper_share: "garbage_keeper_percent",
    lost: "garbage_lost_percent",
    late: "garbage_late_ms",
};
/// A wrong tag costs an HMAC.
const FORGED: Kind = Kind {
    frames: Forger::forged,
    rate: "forged_per_s",
    rate_to_all: "forged_to_all_per_s",
    worker_share: "forged_worker_percent",
    keeper_share: "forged_keeper_percent",
    lost: "forged_lost_percent",
    late: "forged_late_ms",
};
/// A right one costs that and a look at the peers.
const REPLAYED: Kind = Kind {
    frames: Forger::replayed,
    rate: "replayed_per_s",
    rate_to_all: "replayed_to_all_per_s",
    worker_share: "replayed_worker_percent",
    keeper_share: "replayed_keeper_percent",
    lost: "replayed_lost_percent",
    late: "replayed_late_ms",
};
/// The kernel answers these.
const QUESTIONS: Kind = Kind {
    frames: |_| vec![forgery::question()],
    rate: "arp_per_s",
    rate_to_all: "arp_to_all_per_s",
    worker_share: "arp_worker_percent",
    keeper_share: "arp_keeper_percent",
    lost: "arp_lost_percent",
    late: "arp_late_ms",
};

/// The key of the group, and the one that comes after it.
const OURS: LabKey = LabKey(0xa1);
const NEXT: LabKey = LabKey(0xb2);

const STEADY: u64 = 10_000;
const FLOOD: u64 = 100_000;
const REPLAY: u64 = 1_000;

/// A stop, a hand-over and a power cut.
const MOVES_OF_A_LIFE: u32 = 3;
