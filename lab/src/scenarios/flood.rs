//! An attacker sends 100,000 packets a second, of four kinds one after the other.
//!
//! That is as much as a card of 100 Mbit/s can bring. Each kind goes to the owner's card first, then as much of it to
//! all.

use std::io;
use std::time::Duration;

use crate::analysis::millis;
use crate::attacker::Load;
use crate::forgery::{self, Forger};
use crate::key::OURS;
use crate::marks::Marks;
use crate::node::Part;
use crate::promise::Bound::{AtLeast, AtMost, Strict};
use crate::promise::{BRISK, Promise, SLOW};
use crate::scenario::{Runs, Scenario};
use crate::stage::Stage;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[Scenario {
    promises: &[
        Promise::new(BRISK, "least_per_s", "packets a second, least of four kinds", AtLeast(95_000.0)).not_in_short(),
        Promise::new(BRISK, "moves", "moves", Strict(0.0)),
        Promise::new(BRISK, "two_owners_ms", "two owners, ms", Strict(0.0)),
        Promise::new(BRISK, "blackout_ms", "blackout, ms", AtMost(20.0)),
        Promise::new(BRISK, "late_ms", "latest heartbeat, ms after its time", AtMost(20.0)),
        Promise::new(SLOW, "least_per_s", "packets a second, least of four kinds", AtLeast(95_000.0)).not_in_short(),
        Promise::new(SLOW, "moves", "moves", Strict(0.0)).not_in_short(),
        Promise::new(SLOW, "two_owners_ms", "two owners, ms", Strict(0.0)).not_in_short(),
        Promise::new(SLOW, "blackout_ms", "blackout, ms", AtMost(20.0)).not_in_short(),
        Promise::new(SLOW, "late_ms", "latest heartbeat, ms after its time", AtMost(20.0)).not_in_short(),
    ],
    runs: Runs::One,
    is_delicate: true,
    ..Scenario::new("flood", "an attacker sends 100,000 packets a second, of each kind for a while", play)
}];

fn play(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.give_keys(&[OURS])?;
    let attacker = stage.attacker()?;
    let old = stage.start_all()?;
    let pulse = stage.pulse(1)?;
    let mut measured = Vec::new();
    let start = sys::now();
    let (mut pause, mut least) = (0, f64::INFINITY);
    let load = Load { rate_per_s: FLOOD, limit: stage.run().extent.attack / 8 };
    for kind in [&GARBAGE, &FORGED, &REPLAYED, &QUESTIONS] {
        let frames = (kind.frames)(&stage.forger(&attacker)?);
        let before = [stage.usage_of(1, Part::Worker)?, stage.usage_of(1, Part::Keeper)?];
        let earlier = stage.datagrams(1)?;
        let sent = attacker.attack(forgery::aimed(&frames, old), load)?.wait()?;
        let after = [stage.usage_of(1, Part::Worker)?, stage.usage_of(1, Part::Keeper)?];
        let share = |part: usize| after[part].since(before[part]).busy.as_secs_f64() / sent.span.as_secs_f64() * 100.0;
        measured.extend([(kind.worker_share, share(0)), (kind.keeper_share, share(1))]);
        let lost = stage.datagrams(1)?.lost - earlier.lost;
        measured.push((kind.lost, f64::from(lost) / f64::from(sent.frames.max(1)) * 100.0));
        measured.push((kind.rate, sent.rate_per_s()));
        least = least.min(sent.rate_per_s());
        // Outside of the lab each node has a machine of its own. Here they share one, which cannot bring as much to
        // all.
        let to_all = attacker.attack(frames, load)?.wait()?;
        measured.push((kind.rate_to_all, to_all.rate_per_s()));
        stage.linger(Duration::from_millis(300));
        // With fewer than two heartbeats the node was silent all the time.
        let silence = || u64::try_from((sent.span + to_all.span).as_nanos()).unwrap_or(u64::MAX);
        let longest = pulse.longest_pause()?.unwrap_or_else(silence);
        measured.push((kind.late, late_ms(stage, longest)));
        pause = pause.max(longest);
    }
    let mut marks = Marks::new(start, Some(old));
    measured.push(("late_ms", late_ms(stage, pause)));
    measured.push(("least_per_s", least));
    measured.push(("believed", f64::from(stage.count_believed()?)));
    marks.measured = measured;
    Ok(marks)
}

fn late_ms(stage: &Stage<'_>, pause: sys::Nanos) -> f64 {
    (millis(pause) - stage.run().timing.interval.as_secs_f64() * 1e3).max(0.0)
}

/// A kind of flood, and the names of its values in results.
struct Kind {
    frames: fn(&Forger) -> Vec<Vec<u8>>,
    rate: &'static str,
    rate_to_all: &'static str,
    worker_share: &'static str,
    keeper_share: &'static str,
    lost: &'static str,
    late: &'static str,
}

/// A packet of another protocol costs a look.
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
/// A right tag costs that and a look at the peers.
const REPLAYED: Kind = Kind {
    frames: Forger::replayed,
    rate: "replayed_per_s",
    rate_to_all: "replayed_to_all_per_s",
    worker_share: "replayed_worker_percent",
    keeper_share: "replayed_keeper_percent",
    lost: "replayed_lost_percent",
    late: "replayed_late_ms",
};
/// The kernel replies to ARP requests.
const QUESTIONS: Kind = Kind {
    frames: |_| vec![forgery::question()],
    rate: "arp_per_s",
    rate_to_all: "arp_to_all_per_s",
    worker_share: "arp_worker_percent",
    keeper_share: "arp_keeper_percent",
    lost: "arp_lost_percent",
    late: "arp_late_ms",
};

const FLOOD: u64 = 100_000;
