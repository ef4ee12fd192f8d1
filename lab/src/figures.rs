//! The figures that `ha` promises, and the runs that show whether it keeps them.

mod promises;

use std::time::Duration;

use serde::Serialize;

use crate::outcome::Outcome;
use crate::scenario::{Plan, Scenario};
use crate::timing::Timing;
use Scenario::*;
use promises::{BRISK, Bound, PROMISES, Promise, SLOW};

/// What became of a promise.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Of which scenario.
    pub scenario: &'static str,
    /// Interval and tolerance.
    pub timing: String,
    /// What was measured.
    pub what: &'static str,
    /// In how many runs.
    pub runs: usize,
    /// The least, the middle and the greatest of the values; absent if no run came to its end.
    pub min: Option<f64>,
    /// See `min`.
    pub median: Option<f64>,
    /// See `min`.
    pub max: Option<f64>,
    /// The longest that the probe itself was held up in these runs: a hint whose fault a missed figure is.
    pub stall_ms: Option<f64>,
    /// What it must be.
    pub must: String,
    /// Whether it is, in every run that was planned.
    pub ok: bool,
}

/// How thorough to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// For figures to be published: so many runs of each.
    Full(u32),
    /// For CI: few runs of each, repeated if missed while the machine itself stood still, and 20 ms on top of what is a matter of machine and luck, because a virtual machine that
    /// shares its processors is held up for that long now and then. Two owners, moves and order are never a matter of luck.
    Short,
}

impl Depth {
    fn runs(self, scenario: Scenario) -> u32 {
        match (self, scenario) {
            (_, Rest | Restarts | Alone | Forge | Flood) => 1,
            (Self::Full(runs), KillWorker | Panic | PartitionHears | PartitionHeard) => runs.max(20),
            (Self::Full(runs), _) => runs,
            (Self::Short, KillWorker | Panic) => 3,
            (Self::Short, _) => 1,
        }
    }

    fn restarts(self) -> u32 {
        match self {
            Self::Full(_) => 100,
            Self::Short => 10,
        }
    }

    fn rest(self) -> Duration {
        match self {
            Self::Full(_) => Duration::from_secs(60),
            Self::Short => Duration::from_secs(10),
        }
    }

    /// A million forged packets, and all kinds of a flood for a minute.
    fn attack(self, scenario: Scenario) -> Duration {
        match (self, scenario) {
            (Self::Full(_), Forge) => Duration::from_secs(102),
            (Self::Full(_), _) => Duration::from_secs(60),
            (Self::Short, Forge) => Duration::from_secs(3),
            (Self::Short, _) => Duration::from_secs(6),
        }
    }

    /// What takes much longer than CI has time for is left to the full run.
    fn keeps(self, promise: &Promise) -> bool {
        let (scenario, is_slow) = (promise.scenario, promise.timing == SLOW);
        let is_trust = matches!(scenario, Forge | Flood | Replay | Rotate | MixedKeyJoins | MixedKeyFirst);
        let is_healed = matches!(scenario, PartitionHears | PartitionHeard | FreezeAll);
        let is_lan = matches!(scenario, StrangerInsists | FalseTakeOver | FalseTakeOverBeats | SilentClients);
        let is_physics = matches!(scenario, NewPort | CrashRestart);
        let is_long = is_trust && is_slow || is_healed && !is_slow || is_lan || is_physics;
        let is_long = is_long || matches!(promise.bound, Bound::AtLeast(_));
        self != Self::Short || !is_long
    }

    /// Machines on which CI runs are held up for as long as the fastest timing tolerates; at rest the next one has to do.
    fn timing(self, promise: &Promise) -> Timing {
        match self {
            Self::Short if promise.scenario == Rest => BRISK,
            Self::Short | Self::Full(_) => promise.timing,
        }
    }

    /// How often a run is repeated that missed its bound while the machine itself stood still.
    pub fn repeats(self) -> u32 {
        match self {
            Self::Full(_) => 0,
            Self::Short => 2,
        }
    }

    fn allowance(self) -> f64 {
        match self {
            Self::Full(_) => 0.0,
            Self::Short => 20.0,
        }
    }
}

/// The runs that it takes.
pub fn plans(depth: Depth, nodes: u8, pause: Duration) -> Vec<Plan> {
    let mut pairs: Vec<(Scenario, Timing)> = Vec::new();
    for promise in PROMISES.iter().filter(|promise| depth.keeps(promise)) {
        let pair = (promise.scenario, depth.timing(promise));
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    let mut plans = Vec::new();
    for (scenario, timing) in pairs {
        let runs = depth.runs(scenario);
        let (rest, restarts, attack) = (depth.rest(), depth.restarts(), depth.attack(scenario));
        let plan = |run| Plan { scenario, timing, nodes, run, runs, pause, rest, restarts, attack };
        plans.extend((1..=runs).map(plan));
    }
    plans
}

/// What the runs say about each promise.
pub fn judge(depth: Depth, outcomes: &[Outcome]) -> Vec<Figure> {
    PROMISES.iter().filter(|promise| depth.keeps(promise)).map(|promise| promise.judge(depth, outcomes)).collect()
}

/// The plans behind missed figures in whose runs the probe itself was held up: they say nothing about the daemon.
pub fn spoilt(figures: &[Figure], plans: &[Plan]) -> Vec<usize> {
    let is_spoilt = |plan: &Plan| {
        figures.iter().any(|figure| {
            !figure.ok
                && figure.stall_ms.is_some_and(|stall| stall > LONG_STALL_MS)
                && figure.scenario == plan.scenario.name()
                && figure.timing == plan.timing.to_string()
        })
    };
    plans.iter().enumerate().filter(|(_, plan)| is_spoilt(plan)).map(|(index, _)| index).collect()
}

impl Promise {
    fn judge(&self, depth: Depth, outcomes: &[Outcome]) -> Figure {
        let timing = depth.timing(self);
        let is_ours = |outcome: &&Outcome| {
            outcome.scenario == self.scenario.name()
                && outcome.interval_ms == timing.interval.as_secs_f64() * 1e3
                && outcome.tolerance_ms == timing.tolerance.as_secs_f64() * 1e3
        };
        let ours: Vec<_> = outcomes.iter().filter(is_ours).collect();
        let mut values: Vec<_> =
            ours.iter().filter(|run| run.failure.is_none()).filter_map(|run| run.value(self.value)).collect();
        values.sort_by(f64::total_cmp);
        let stalls = ours.iter().filter_map(|run| run.witness.map(|witness| witness.stall_ms));
        let ok = !ours.is_empty() && values.len() == ours.len() && self.bound.holds(&values, depth.allowance());
        Figure {
            scenario: self.scenario.name(),
            timing: timing.to_string(),
            what: self.words,
            runs: values.len(),
            min: values.first().copied(),
            median: median(&values),
            max: values.last().copied(),
            stall_ms: stalls.max_by(f64::total_cmp),
            must: self.bound.in_words(depth.allowance()),
            ok,
        }
    }
}

impl Bound {
    fn holds(self, sorted: &[f64], allowance: f64) -> bool {
        let (Some(&min), Some(&max), Some(median)) = (sorted.first(), sorted.last(), median(sorted)) else {
            return false;
        };
        match self {
            Self::Between(low, high) => low <= min && max <= high,
            Self::Strict(limit) => max <= limit,
            Self::AtLeast(limit) => min >= limit,
            Self::AtMost(limit) => max <= limit + allowance,
            Self::Median(limit) => median <= limit + allowance,
        }
    }

    fn in_words(self, allowance: f64) -> String {
        match self {
            Self::Between(low, high) => format!("{low} to {high}"),
            Self::Strict(limit) => format!("<= {limit}"),
            Self::AtLeast(limit) => format!(">= {limit}"),
            Self::AtMost(limit) => format!("<= {}", limit + allowance),
            Self::Median(limit) => format!("median <= {}", limit + allowance),
        }
    }
}

/// The middle one; of two, the greater, so that nothing is averaged away.
pub fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// What 99 of 100 do not exceed; of fewer than 100, the greatest.
pub fn percentile_99(sorted: &[f64]) -> Option<f64> {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// A tenth of this is usual on a machine of its own.
const LONG_STALL_MS: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Witness;

    fn outcomes(scenario: Scenario, timing: Timing, blackouts: &[f64]) -> Vec<Outcome> {
        let (pause, rest) = (Duration::ZERO, Duration::ZERO);
        let plan = Plan { scenario, timing, nodes: 3, run: 1, runs: 1, pause, rest, restarts: 1, attack: rest };
        let run = |&blackout_ms: &f64| {
            let mut outcome = Outcome::new(&plan);
            outcome.witness = Some(Witness { blackout_ms, gap_ms: 0.0, two_owners_ms: 0.0, moves: 1, stall_ms: 0.5 });
            outcome
        };
        blackouts.iter().map(run).collect()
    }

    fn figure(depth: Depth, outcomes: &[Outcome], scenario: Scenario) -> Figure {
        let found = judge(depth, outcomes)
            .into_iter()
            .find(|f| f.scenario == scenario.name() && f.what.starts_with("blackout"));
        found.unwrap()
    }

    #[test]
    fn a_median_forgives_a_bad_run_and_a_limit_does_not() {
        let stop = figure(Depth::Full(5), &outcomes(Stop, SLOW, &[1.0, 90.0, 2.0, 1.5, 2.0]), Stop);
        assert_eq!((stop.runs, stop.median, stop.max, stop.ok), (5, Some(2.0), Some(90.0), true));
        assert!(!figure(Depth::Full(3), &outcomes(Stop, SLOW, &[1.0, 4.0, 5.0]), Stop).ok);
        assert!(figure(Depth::Full(2), &outcomes(Power, BRISK, &[350.0, 359.0]), Power).ok);
        assert!(!figure(Depth::Full(2), &outcomes(Power, BRISK, &[350.0, 361.0]), Power).ok);
        assert!(figure(Depth::Short, &outcomes(Power, BRISK, &[361.0]), Power).ok);
    }

    #[test]
    fn only_a_miss_on_a_machine_that_stood_still_is_played_again() {
        let plans = plans(Depth::Short, 3, Duration::from_secs(1));
        let mut runs = outcomes(Power, BRISK, &[900.0]);
        let spoilt_by = |runs: &[Outcome]| {
            let figures: Vec<_> = judge(Depth::Short, runs).into_iter().filter(|figure| figure.runs > 0).collect();
            spoilt(&figures, &plans)
        };
        assert!(spoilt_by(&runs).is_empty());
        runs[0].witness.as_mut().unwrap().stall_ms = 11.0;
        let again: Vec<_> = spoilt_by(&runs).iter().map(|&index| plans[index].timing).collect();
        assert_eq!(again, [BRISK]);
        assert_eq!(plans[spoilt_by(&runs)[0]].scenario, Power);
    }

    #[test]
    fn a_run_that_failed_or_never_was_is_a_promise_not_kept() {
        let mut runs = outcomes(Stop, SLOW, &[1.0, 1.0, 1.0]);
        runs[2].failure = Some("nobody took over".into());
        assert!(!figure(Depth::Full(3), &runs, Stop).ok);
        assert!(judge(Depth::Full(5), &[]).iter().all(|figure| !figure.ok && figure.max.is_none()));
    }

    #[test]
    fn of_100_values_one_may_be_anything() {
        let mut values: Vec<_> = (1..=100).map(f64::from).collect();
        values[99] = 1e6;
        assert_eq!(percentile_99(&values), Some(99.0));
        assert_eq!(percentile_99(&values[90..]), Some(1e6));
        assert_eq!(percentile_99(&[]), None);
    }

    #[test]
    fn every_promise_has_its_runs() {
        let plans = plans(Depth::Full(5), 3, Duration::from_secs(10));
        for promise in PROMISES {
            let runs = plans.iter().filter(|p| p.scenario == promise.scenario && p.timing == promise.timing).count();
            let wanted = match promise.scenario {
                Rest | Restarts | Alone | Forge | Flood => 1,
                KillWorker | Panic | PartitionHears | PartitionHeard => 20,
                _ => 5,
            };
            assert_eq!(runs, wanted, "{promise:?}");
        }
    }
}
