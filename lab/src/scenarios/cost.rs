//! A group at rest: how much processor time does it take, and how often does it sleep? Beside keepalived, and with many
//! nodes.
//!
//! A machine that shares its processors is half as fast again in one minute as in the next. So the groups that are
//! compared take turns, and a ratio is that of a turn and of the one after it; of several the median is shown.

use std::io;

use crate::marks::Marks;
use crate::node::Program;
use crate::promise::Bound::Strict;
use crate::promise::{BRISK, FAST, FEW_SLEEPS, Promise, SLOW};
use crate::run::Extent;
use crate::scenario::{Runs, Scenario};
use crate::stage::{Costs, Stage};
use crate::stats::middle_of;
use crate::sys;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        promises: &[
            Promise::new(SLOW, "active_ratio", ACTIVE_RATIO, Strict(2.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "standby_ratio", STANDBY_RATIO, Strict(3.5)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "active_sleeps", ACTIVE_SLEEPS, Strict(2.2)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "standby_sleeps", STANDBY_SLEEPS, Strict(2.2)).once(FEW_SLEEPS).not_in_short(),
            Promise::shown(SLOW, "active_ms_per_s", "CPU of the ACTIVE, ms a second").not_in_short(),
            Promise::shown(SLOW, "peer_active_ms_per_s", "CPU of keepalived's master, ms a second").not_in_short(),
            Promise::shown(SLOW, "standby_ms_per_s", "CPU of a STANDBY, ms a second").not_in_short(),
            Promise::shown(SLOW, "peer_standby_ms_per_s", "CPU of keepalived's backup, ms a second").not_in_short(),
            Promise::new(BRISK, "active_ratio", ACTIVE_RATIO, Strict(1.3)).once(FEW_SLEEPS),
            Promise::new(BRISK, "standby_ratio", STANDBY_RATIO, Strict(1.7)).once(FEW_SLEEPS),
            Promise::new(BRISK, "active_sleeps", ACTIVE_SLEEPS, Strict(1.5)).once(FEW_SLEEPS),
            Promise::new(BRISK, "standby_sleeps", STANDBY_SLEEPS, Strict(1.5)).once(FEW_SLEEPS),
            Promise::shown(BRISK, "active_ms_per_s", "CPU of the ACTIVE, ms a second").not_in_short(),
            Promise::shown(BRISK, "peer_active_ms_per_s", "CPU of keepalived's master, ms a second").not_in_short(),
            Promise::shown(BRISK, "standby_ms_per_s", "CPU of a STANDBY, ms a second").not_in_short(),
            Promise::shown(BRISK, "peer_standby_ms_per_s", "CPU of keepalived's backup, ms a second").not_in_short(),
            Promise::new(FAST, "active_ratio", ACTIVE_RATIO, Strict(1.2)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(FAST, "standby_ratio", STANDBY_RATIO, Strict(1.7)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(FAST, "active_sleeps", ACTIVE_SLEEPS, Strict(1.5)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(FAST, "standby_sleeps", STANDBY_SLEEPS, Strict(1.5)).once(FEW_SLEEPS).not_in_short(),
            Promise::shown(FAST, "active_ms_per_s", "CPU of the ACTIVE, ms a second").not_in_short(),
            Promise::shown(FAST, "peer_active_ms_per_s", "CPU of keepalived's master, ms a second").not_in_short(),
            Promise::shown(FAST, "standby_ms_per_s", "CPU of a STANDBY, ms a second").not_in_short(),
            Promise::shown(FAST, "peer_standby_ms_per_s", "CPU of keepalived's backup, ms a second").not_in_short(),
        ],
        runs: Runs::One,
        is_delicate: true,
        ..Scenario::new("cost", "a group at rest and one of keepalived take turns: what does each cost?", beside)
    },
    Scenario {
        promises: &[
            Promise::new(SLOW, "active_sleeps", ACTIVE_SLEEPS, Strict(3.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "standby_sleeps", STANDBY_SLEEPS, Strict(3.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "active_growth", ACTIVE_GROWTH, Strict(2.5)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(SLOW, "standby_growth", STANDBY_GROWTH, Strict(2.5)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(BRISK, "active_sleeps", ACTIVE_SLEEPS, Strict(2.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(BRISK, "standby_sleeps", STANDBY_SLEEPS, Strict(2.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(BRISK, "active_growth", ACTIVE_GROWTH, Strict(4.0)).once(FEW_SLEEPS).not_in_short(),
            Promise::new(BRISK, "standby_growth", STANDBY_GROWTH, Strict(4.0)).once(FEW_SLEEPS).not_in_short(),
        ],
        runs: Runs::One,
        nodes: Some(MANY),
        is_delicate: true,
        ..Scenario::new("cost-50", "50 nodes at rest and three of them take turns: what does one cost?", many)
    },
];

fn beside(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let (start, nodes) = (sys::now(), stage.run().nodes);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..stage.run().extent.turns {
        for (program, costs) in [(Program::Ha, &mut ours), (Program::Keepalived, &mut theirs)] {
            stage.set_program(program);
            costs.push(turn(stage, nodes)?);
        }
    }
    let (mut active, mut standby) = (ratios(&ours, &theirs, active_ms), ratios(&ours, &theirs, standby_ms));
    let names = ["peer_active_ms_per_s", "peer_standby_ms_per_s", "peer_active_sleeps", "peer_standby_sleeps"];
    let measured = [middles(OWN, &ours), middles(names, &theirs)];
    let compared = [
        ("active_ratio", middle_of(&mut active)),
        ("active_ratio_least", active.first().copied()),
        ("active_ratio_most", active.last().copied()),
        ("standby_ratio", middle_of(&mut standby)),
        ("standby_ratio_least", standby.first().copied()),
        ("standby_ratio_most", standby.last().copied()),
    ];
    Ok(marks(start, measured, compared))
}

fn many(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let start = sys::now();
    let (mut crowd, mut few) = (Vec::new(), Vec::new());
    for _ in 0..stage.run().extent.turns {
        for (nodes, costs) in [(MANY, &mut crowd), (FEW, &mut few)] {
            stage.plug_first(nodes)?;
            costs.push(turn(stage, nodes)?);
        }
    }
    let names = ["few_active_ms_per_s", "few_standby_ms_per_s", "few_active_sleeps", "few_standby_sleeps"];
    let measured = [middles(OWN, &crowd), middles(names, &few)];
    let compared = [
        ("active_growth", middle_of(&mut ratios(&crowd, &few, active_ms))),
        ("standby_growth", middle_of(&mut ratios(&crowd, &few, standby_ms))),
    ];
    Ok(marks(start, measured, compared))
}

/// A group starts, comes to rest, is measured, and stops.
fn turn(stage: &mut Stage<'_>, nodes: u8) -> io::Result<Costs> {
    let (Extent { turn, settle, .. }, interval) = (stage.run().extent, stage.run().timing.interval);
    stage.start_first(nodes)?;
    stage.sleep(settle);
    let costs = stage.costs_at_rest(turn.max(LEAST_INTERVALS * interval))?;
    stage.stop_all()?;
    Ok(costs)
}

/// A value, if there was one, and its name.
type Value = (&'static str, Option<f64>);

/// The values of both, then how they compare, and nothing from the recording: the probe was silent.
fn marks<const N: usize>(start: sys::Nanos, measured: [[Value; 4]; 2], compared: [Value; N]) -> Marks {
    let mut marks = Marks::new(start, None);
    marks.quiet = Some(Vec::new());
    let values = measured.into_iter().flatten().chain(compared);
    marks.measured = values.filter_map(|(name, value)| Some((name, value?))).collect();
    marks
}

/// What they cost in the middle of their turns, by these names, in the order of [`OWN`].
fn middles(names: [&'static str; 4], turns: &[Costs]) -> [Value; 4] {
    let of: [fn(&Costs) -> f64; 4] = [active_ms, standby_ms, active_sleeps, standby_sleeps];
    let middle = |of: fn(&Costs) -> f64| middle_of(&mut turns.iter().map(of).collect::<Vec<_>>());
    std::array::from_fn(|place| (names[place], middle(of[place])))
}

/// Each turn of the ones beside the turn of the others that followed it.
fn ratios(ones: &[Costs], others: &[Costs], of: fn(&Costs) -> f64) -> Vec<f64> {
    ones.iter().zip(others).map(|(one, other)| of(one) / of(other)).collect()
}

fn active_ms(costs: &Costs) -> f64 {
    costs.active.ms_per_s
}

fn standby_ms(costs: &Costs) -> f64 {
    costs.standby.ms_per_s
}

fn active_sleeps(costs: &Costs) -> f64 {
    costs.active.sleeps
}

fn standby_sleeps(costs: &Costs) -> f64 {
    costs.standby.sleeps
}

const OWN: [&str; 4] = ["active_ms_per_s", "standby_ms_per_s", "active_sleeps", "standby_sleeps"];
const MANY: u8 = 50;
const FEW: u8 = 3;
const LEAST_INTERVALS: u32 = 10;
const ACTIVE_RATIO: &str = "CPU of the ACTIVE, times keepalived's";
const STANDBY_RATIO: &str = "CPU of a STANDBY, times keepalived's, which does not speak";
const ACTIVE_SLEEPS: &str = "sleeps of the ACTIVE in an interval";
const STANDBY_SLEEPS: &str = "sleeps of a STANDBY in an interval";
const ACTIVE_GROWTH: &str = "CPU of the ACTIVE of 50, times that of one of three";
const STANDBY_GROWTH: &str = "CPU of a STANDBY of 50, times that of one of three";
