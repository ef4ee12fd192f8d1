//! The figures that `ha` promises, and the runs that show whether it keeps them.

use serde::Serialize;

use crate::outcome::Outcome;
use crate::promise::{Bound, Promise};
use crate::run::{Extent, Run};
use crate::scenario::{Plan, Runs, Scenario};
use crate::scenarios;
use crate::stats::median;
use crate::timing::Timing;

/// The result for one promise.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The scenario.
    pub scenario: &'static str,
    /// Interval and tolerance.
    pub timing: String,
    /// The value in words.
    pub what: &'static str,
    /// How many runs measured it.
    pub runs: usize,
    /// The least, the middle and the greatest of the values; absent if no run came to its end.
    pub min: Option<f64>,
    /// See `min`.
    pub median: Option<f64>,
    /// See `min`.
    pub max: Option<f64>,
    /// The longest pause of the probe itself in these runs: a hint whether the machine is to blame for a missed figure.
    pub stall_ms: Option<f64>,
    /// The bound in words.
    pub must: String,
    /// Whether the runs have kept the bound.
    pub verdict: Verdict,
}

/// What the runs say about a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every planned run has kept the bound.
    Kept,
    /// It does not bind: the runs have measured it.
    Shown,
    /// No run could be made here, and each says why.
    Skipped,
    /// Some run has not kept it, or has not measured it.
    Missed,
}

impl Figure {
    /// Whether the promise was not kept.
    pub fn is_missed(&self) -> bool {
        self.verdict == Verdict::Missed
    }
}

/// How thorough to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// For figures to be published: the number of runs of each.
    Full(u32),
    /// For CI: few runs of each. Where machine and luck matter 20 ms are allowed on top, because a virtual machine that shares its
    /// processors is held up for that long now and then. Two owners, moves and order are never a matter of luck.
    Short,
}

impl Depth {
    fn runs(self, scenario: &Scenario) -> u32 {
        match (self, scenario.runs) {
            (_, Runs::One) | (Self::Short, Runs::AsAsked) => 1,
            (Self::Full(asked), Runs::AsAsked) => asked,
            (Self::Full(asked), Runs::Many { full, .. }) => asked.max(full),
            (Self::Short, Runs::Many { short, .. }) => short,
        }
    }

    fn extent(self, scenario: &Scenario) -> Extent {
        match self {
            Self::Full(_) => scenario.full,
            Self::Short => scenario.short,
        }
    }

    /// The timing with which a promise is measured, if it is.
    fn timing(self, promise: &Promise) -> Option<Timing> {
        match self {
            Self::Full(_) => Some(promise.timing),
            Self::Short => promise.timing_in_short(),
        }
    }

    fn allowance(self) -> f64 {
        match self {
            Self::Full(_) => 0.0,
            Self::Short => 20.0,
        }
    }
}

/// The runs that the promises take.
pub fn plans(depth: Depth, nodes: u8) -> Vec<Plan> {
    let mut plans = Vec::new();
    for scenario in scenarios::all() {
        let mut timings = Vec::new();
        for timing in scenario.promises.iter().filter_map(|promise| depth.timing(promise)) {
            if !timings.contains(&timing) {
                timings.push(timing);
            }
        }
        let (of, extent) = (depth.runs(scenario), depth.extent(scenario));
        let nodes = scenario.nodes.unwrap_or(nodes);
        for timing in timings {
            plans.extend((1..=of).map(|number| Plan { scenario, run: Run { timing, nodes, number, of, extent } }));
        }
    }
    plans
}

/// Compares the runs with each promise.
pub fn judge(depth: Depth, outcomes: &[Outcome]) -> Vec<Figure> {
    let promises =
        scenarios::all().flat_map(|scenario| scenario.promises.iter().map(move |promise| (scenario, promise)));
    let measured = promises.filter_map(|(scenario, promise)| Some((scenario, promise, depth.timing(promise)?)));
    measured.map(|(scenario, promise, timing)| figure(scenario, promise, timing, depth.allowance(), outcomes)).collect()
}

/// The plans of missed figures whose probe itself stood still: they prove nothing about the daemon.
pub fn spoilt(figures: &[Figure], plans: &[Plan]) -> Vec<usize> {
    let is_spoilt = |plan: &Plan| {
        figures.iter().any(|figure| {
            figure.is_missed()
                && figure.stall_ms.is_some_and(|stall| stall > LONG_STALL_MS)
                && figure.scenario == plan.scenario.name
                && figure.timing == plan.run.timing.to_string()
        })
    };
    plans.iter().enumerate().filter(|(_, plan)| is_spoilt(plan)).map(|(index, _)| index).collect()
}

fn figure(scenario: &Scenario, promise: &Promise, timing: Timing, allowance: f64, outcomes: &[Outcome]) -> Figure {
    let is_ours = |outcome: &&Outcome| {
        outcome.scenario == scenario.name
            && outcome.interval_ms == timing.interval.as_secs_f64() * 1e3
            && outcome.tolerance_ms == timing.tolerance.as_secs_f64() * 1e3
    };
    let ours: Vec<_> = outcomes.iter().filter(is_ours).collect();
    let complete = ours.iter().filter(|run| run.is_complete());
    let mut values: Vec<_> = complete.filter_map(|run| run.value(promise.value)).collect();
    values.sort_by(f64::total_cmp);
    let stalls = ours.iter().filter_map(|run| run.witness.map(|witness| witness.stall_ms));
    let is_measured = !ours.is_empty() && values.len() == ours.len();
    let verdict = if !ours.is_empty() && ours.iter().all(|run| run.skipped.is_some()) {
        Verdict::Skipped
    } else if !is_measured {
        Verdict::Missed
    } else if !promise.is_binding || matches!(promise.bound, Bound::Any) {
        Verdict::Shown
    } else if promise.bound.holds(&values, allowance) {
        Verdict::Kept
    } else {
        Verdict::Missed
    };
    let must = promise.bound.in_words(allowance);
    Figure {
        scenario: scenario.name,
        timing: timing.to_string(),
        what: promise.words,
        runs: values.len(),
        min: values.first().copied(),
        median: median(&values),
        max: values.last().copied(),
        stall_ms: stalls.max_by(f64::total_cmp),
        must: if promise.is_binding { must } else { format!("wanted: {must}") },
        verdict,
    }
}

/// How often runs are repeated that missed their bound while the machine itself stood still.
pub const REPEATS: u32 = 2;

/// On a machine of its own a tenth of this is usual.
const LONG_STALL_MS: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Witness;
    use crate::promise::{BRISK, SLOW};

    fn outcomes(scenario: &'static str, timing: Timing, blackouts: &[f64]) -> Vec<Outcome> {
        let run = Run { timing, nodes: 3, number: 1, of: 1, extent: Extent::SHORT };
        let outcome = |&blackout_ms: &f64| {
            let mut outcome = Outcome::new(scenario, &run);
            outcome.witness = Some(Witness { blackout_ms, gap_ms: 0.0, two_owners_ms: 0.0, moves: 1, stall_ms: 0.5 });
            outcome
        };
        blackouts.iter().map(outcome).collect()
    }

    fn blackout(depth: Depth, outcomes: &[Outcome]) -> Figure {
        let scenario = outcomes[0].scenario;
        let is_wanted = |figure: &Figure| figure.scenario == scenario && figure.what.starts_with("blackout");
        judge(depth, outcomes).into_iter().find(is_wanted).unwrap()
    }

    #[test]
    fn a_median_forgives_a_bad_run_and_a_limit_does_not() {
        let stop = blackout(Depth::Full(5), &outcomes("stop", SLOW, &[0.5, 90.0, 1.0, 0.7, 1.0]));
        assert_eq!((stop.runs, stop.median, stop.max, stop.is_missed()), (5, Some(1.0), Some(90.0), false));
        assert!(blackout(Depth::Full(3), &outcomes("stop", SLOW, &[1.0, 1.5, 5.0])).is_missed());
        assert!(!blackout(Depth::Full(2), &outcomes("power", BRISK, &[350.0, 359.0])).is_missed());
        assert!(blackout(Depth::Full(2), &outcomes("power", BRISK, &[350.0, 361.0])).is_missed());
        assert!(!blackout(Depth::Short, &outcomes("power", BRISK, &[361.0])).is_missed());
    }

    #[test]
    fn only_a_miss_on_a_machine_that_stood_still_is_played_again() {
        let plans = plans(Depth::Short, 3);
        let mut runs = outcomes("power", BRISK, &[900.0]);
        let spoilt_by = |runs: &[Outcome]| {
            let figures: Vec<_> = judge(Depth::Short, runs).into_iter().filter(|figure| figure.runs > 0).collect();
            spoilt(&figures, &plans)
        };
        assert!(spoilt_by(&runs).is_empty());
        runs[0].witness.as_mut().unwrap().stall_ms = 6.0;
        let again: Vec<_> = spoilt_by(&runs).iter().map(|&index| plans[index].run.timing).collect();
        assert_eq!(again, [BRISK]);
        assert_eq!(plans[spoilt_by(&runs)[0]].scenario.name, "power");
    }

    #[test]
    fn a_run_that_failed_or_never_was_is_a_promise_not_kept() {
        let mut runs = outcomes("stop", SLOW, &[1.0, 1.0, 1.0]);
        runs[2].failure = Some("no node took over".into());
        assert!(blackout(Depth::Full(3), &runs).is_missed());
        assert!(judge(Depth::Full(5), &[]).iter().all(|figure| figure.is_missed() && figure.max.is_none()));
    }

    #[test]
    fn a_skipped_run_is_neither_kept_nor_missed_unless_others_were_made() {
        let mut runs = outcomes("stop", SLOW, &[1.0, 1.0]);
        runs[0].skipped = Some("not here".into());
        assert!(blackout(Depth::Full(2), &runs).is_missed());
        runs[1].skipped = Some("not here".into());
        let figure = blackout(Depth::Full(2), &runs);
        assert_eq!((figure.verdict, figure.runs), (Verdict::Skipped, 0));
    }

    #[test]
    fn what_does_not_bind_is_shown_as_long_as_it_was_measured() {
        const SHOWN: Promise = Promise::shown(SLOW, "blackout_ms", "blackout, ms");
        const WANTED: Promise = Promise::new(SLOW, "blackout_ms", "blackout, ms", Bound::Median(3.0)).once(false);
        const KEPT: Promise = WANTED.once(true);
        let scenario = scenarios::all().find(|scenario| scenario.name == "stop").unwrap();
        let mut runs = outcomes("stop", SLOW, &[90.0]);
        let verdict = |promise, runs: &[Outcome]| {
            let figure = figure(scenario, promise, SLOW, 0.0, runs);
            (figure.verdict, figure.must)
        };
        assert_eq!(verdict(&SHOWN, &runs), (Verdict::Shown, String::new()));
        assert_eq!(verdict(&WANTED, &runs), (Verdict::Shown, "wanted: median <= 3".into()));
        assert_eq!(verdict(&KEPT, &runs), (Verdict::Missed, "median <= 3".into()));
        runs[0].failure = Some("no node took over".into());
        for promise in [&SHOWN, &WANTED] {
            assert_eq!(verdict(promise, &runs).0, Verdict::Missed);
        }
    }

    #[test]
    fn every_promise_has_its_runs() {
        let plans = plans(Depth::Full(5), 3);
        for scenario in scenarios::all() {
            for promise in scenario.promises {
                let is_its = |plan: &&Plan| plan.scenario == scenario && plan.run.timing == promise.timing;
                let wanted = match scenario.runs {
                    Runs::One => 1,
                    Runs::AsAsked => 5,
                    Runs::Many { full, .. } => full.max(5),
                };
                assert_eq!(plans.iter().filter(is_its).count(), usize::try_from(wanted).unwrap(), "{promise:?}");
            }
        }
    }
}
