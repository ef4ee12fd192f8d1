//! How a plan is drawn: what is likely, what is rare.

use ha::config::OnConflict;

use crate::bounds::{self, Bounds};
use crate::fault::{Fault, What};
use crate::plan::{Net, NodePlan, Plan, Regime};
use crate::rng::Rng;
use crate::settings::{Families, Settings};
use crate::time::{FOREVER, Us};

/// The plan of this seed.
pub fn plan(seed: u64, minutes: u64) -> Plan {
    let mut rng = Rng::new(seed, PLAN);
    let regime = rng.pick(&REGIMES);
    let mut base = base_settings(&mut rng);
    // Without a lease the address of a dead daemon is in use for ever.
    let takes = !base.lease || Rng::new(seed, CONFLICT).chance(400_000);
    base.on_conflict = if takes { OnConflict::Take } else { OnConflict::Hold };
    base.families = Rng::new(seed, FAMILIES).pick(&DRAWN_FAMILIES);
    if base.config().is_err() {
        // The lease of an address of IPv6 is longer.
        base.tolerance = base.interval * 7 / 2;
    }
    let is_parted = regime == Regime::Parted;
    let is_mixed = !matches!(regime, Regime::Calm | Regime::Parted) && rng.chance(200_000);
    let count = match rng.below(100) {
        0..70 => rng.between(2, 4),
        70..95 => rng.between(5, 9),
        _ => rng.between(10, 32),
    };
    if is_parted {
        base = Settings { quorum: u8::try_from(count / 2 + 1).expect("few nodes"), lease: true, ..base };
        base.tolerance = base.tolerance.max(base.interval * 7 / 2);
    }
    let spread = rng.pick(&[0, 1_000, base.interval, base.tolerance, 3 * base.tolerance, 60_000_000]);
    let keeper = if rng.chance(600_000) { 0 } else { rng.below(20_000.min(base.interval / 20)) };
    let wake = if rng.chance(700_000) { 0 } else { rng.below(1_000.min(base.interval / 100)) };
    let worths = rng.pick(&[1, 2, 5, 200]);
    let sticky_ppm = rng.pick(&[0, 0, 0, 300_000, 1_000_000]);
    let nodes = (0..count)
        .map(|_| {
            let mut settings = base;
            settings.worthiness = worthiness(&mut rng, worths);
            settings.sticky = rng.chance(sticky_ppm);
            NodePlan {
                is_present: true,
                settings,
                starts_at: rng.between(0, spread),
                ppm: i64::try_from(rng.between(0, 1_000)).expect("a thousand") - 500,
                keeper: if keeper == 0 { 0 } else { rng.between(1, keeper) },
                wake: rng.between(0, wake),
                fence: None,
            }
        })
        .collect();
    let keyed = Rng::new(seed, KEY).chance(400_000);
    let is_inspected = Rng::new(seed, INSPECTION).chance(300_000);
    let has_router = Rng::new(seed, ROUTER).chance(200_000);
    let mut plan = Plan {
        seed,
        regime,
        keyed,
        is_inspected,
        has_router,
        nodes,
        net: QUIET,
        faults: Vec::new(),
        heal_at: 0,
        end: minutes * 60_000_000,
    };
    fences(&mut Rng::new(seed, FENCE), &mut plan.nodes);
    let longest = bounds::longest_delay(&base);
    let room = if is_mixed { longest / 8 } else { longest * 3 / 4 }.saturating_sub(wake);
    plan.net = net(&mut rng, regime, room);
    let settle = Bounds::of(&plan).settle * if is_mixed { 2 } else { 1 };
    plan.end = plan.end.max(4 * settle);
    plan.heal_at = plan.end - 2 * settle;
    let mut draw = Draw { rng: &mut rng, plan: &mut plan, base, is_mixed, settle, worths };
    draw.faults();
    if keyed {
        replays(&mut Rng::new(seed, KEY + 1), &mut plan);
    }
    plan.faults.sort_by_key(|fault| fault.at);
    plan
}

struct Draw<'a> {
    rng: &'a mut Rng,
    plan: &'a mut Plan,
    base: Settings,
    is_mixed: bool,
    settle: Us,
    worths: u64,
}

impl Draw<'_> {
    fn faults(&mut self) {
        let regime = self.plan.regime;
        if regime == Regime::Calm {
            return;
        }
        let pace = match regime {
            Regime::Wild => self.rng.pick(&[1_000_000, 5_000_000, 20_000_000]),
            Regime::Calm | Regime::Planned | Regime::Clean | Regime::Parted => {
                self.rng.pick(&[self.settle / 4, self.settle, 2 * self.settle])
            }
        };
        let mut at = self.rng.between(0, pace);
        while at < self.plan.heal_at {
            let what = match regime {
                Regime::Calm | Regime::Planned => self.planned(),
                Regime::Clean => self.clean(),
                Regime::Parted => self.parted(),
                Regime::Wild => self.wild(),
            };
            let lasts = self.duration(&what).min(FOREVER);
            let may_stay_away = matches!(what, What::Kill(_) | What::Orphan(_) | What::Power(_) | What::Stop(_, _))
                && regime != Regime::Parted;
            let lasts = if may_stay_away && self.rng.chance(50_000) {
                FOREVER
            } else {
                lasts.min(self.plan.heal_at.saturating_sub(at))
            };
            self.plan.faults.push(Fault { at, lasts, what });
            at += self.rng.between(0, 2 * pace);
        }
    }

    fn node(&mut self) -> usize {
        self.rng.index(self.plan.nodes.len())
    }

    fn planned(&mut self) -> What {
        let n = self.node();
        let is_other = self.rng.chance(500_000);
        let settings = is_other.then(|| self.other_settings(n));
        What::Stop(n, settings)
    }

    fn other_settings(&mut self, n: usize) -> Settings {
        let mut settings = self.plan.nodes[n].settings;
        settings.worthiness = worthiness(self.rng, self.worths);
        if self.is_mixed {
            let (times, parts) = self.rng.pick(&[(1, 1), (1, 2), (1, 4), (2, 1)]);
            settings.interval = self.base.interval * times / parts;
            settings.tolerance = self.base.tolerance * times / parts;
            settings.preempt_delay = settings.tolerance;
        }
        if settings.config().is_ok() { settings } else { self.base }
    }

    fn clean(&mut self) -> What {
        let n = self.node();
        match self.rng.below(12) {
            0 => self.planned(),
            1 => What::Kill(n),
            2 => What::Orphan(n),
            3 | 4 => What::Power(n),
            5 | 6 => What::Freeze(n),
            7 => What::Pause { n, clock_runs: self.rng.chance(700_000) },
            8 | 9 => What::Carrier { n, deaf: self.deafness() },
            10 => self.rng.pick(&[What::Steal(n), What::NewMac(n), What::Claim]),
            _ => What::Refuse(n),
        }
    }

    fn parted(&mut self) -> What {
        if self.rng.chance(600_000) {
            return What::Split(self.rng.below(1 << (self.plan.nodes.len() + 1)));
        }
        self.clean()
    }

    fn wild(&mut self) -> What {
        let n = self.node();
        let from = self.node();
        match self.rng.below(16) {
            0..6 => self.clean(),
            6 => What::Jump { n, by: self.jump() },
            7 => What::Deaf(n),
            8 => What::Dumb(n),
            9 | 10 if from != n => What::Cut { from, to: n },
            11 => What::Noise(self.rng.pick(&[50_000, 200_000, 400_000, 900_000])),
            12 => What::Slow(self.rng.log_between(self.base.interval / 16, self.base.tolerance)),
            13 | 14 => What::Split(self.rng.below(1 << (self.plan.nodes.len() + 1))),
            _ => self.planned(),
        }
    }

    /// Mostly forward, as after a suspend; a clock that runs backwards does so by little.
    fn jump(&mut self) -> i64 {
        let forward = i64::try_from(self.rng.log_between(1_000, 20_000_000)).expect("seconds");
        if self.rng.chance(300_000) { -(forward % 100_000) } else { forward }
    }

    fn deafness(&mut self) -> Us {
        if self.rng.chance(500_000) { 0 } else { self.rng.between(0, self.base.link_delay) }
    }

    fn duration(&mut self, what: &What) -> Us {
        if what.is_momentary() {
            return 0;
        }
        let tolerance = self.base.tolerance;
        match self.rng.below(4) {
            0 => self.rng.log_between(1_000, tolerance),
            1 => self.rng.between(tolerance / 2, 2 * tolerance),
            2 => self.rng.between(tolerance, self.settle),
            _ => self.rng.between(self.settle, 2 * self.settle),
        }
    }
}

/// All kernels can make a fence, or none, or some.
fn fences(rng: &mut Rng, nodes: &mut [NodePlan]) {
    let likely_ppm = rng.pick(&[0, 1_000_000, 1_000_000, 500_000]);
    for node in nodes {
        let grain = rng.pick(&[1_000, 4_000, 10_000]);
        node.fence = rng.chance(likely_ppm).then_some(grain);
    }
}

/// An attacker has recorded everything and plays it back: now and then, or all the time.
fn replays(rng: &mut Rng, plan: &mut Plan) {
    let longest = rng.pick(&[0, plan.end / 20, plan.end / 4, plan.end]);
    let mut at = 0;
    while longest > 0 && at < plan.end {
        let lasts = rng.between(1, longest).min(plan.end - at);
        plan.faults.push(Fault { at, lasts, what: What::Replay { every: rng.log_between(10_000, 2_000_000) } });
        at += lasts + rng.between(1, 4 * longest);
    }
}

fn base_settings(rng: &mut Rng) -> Settings {
    let interval = rng.pick(&[SECOND, SECOND, SECOND, SECOND, SECOND, 2 * SECOND, SECOND / 2, SECOND / 4, SECOND / 10]);
    let (times, parts) = rng.pick(&[(7, 2), (7, 2), (7, 2), (3, 1), (5, 2), (5, 1), (3, 2), (2, 1)]);
    let tolerance = interval * times / parts;
    let preempt_delay = rng.pick(&[tolerance, tolerance, tolerance, 0, 3 * tolerance]);
    let link_delay = rng.pick(&[10 * SECOND, 2 * SECOND, 0]);
    let lease = !rng.chance(50_000);
    let suspicion = !rng.chance(100_000);
    let times = Settings { interval, tolerance, preempt_delay, link_delay, ..Settings::default() };
    let drawn = Settings { suspicion, lease, ..times };
    if drawn.config().is_ok() { drawn } else { Settings { tolerance: interval * 7 / 2, ..drawn } }
}

fn worthiness(rng: &mut Rng, worths: u64) -> u16 {
    if rng.chance(30_000) {
        return 0;
    }
    u16::try_from(100 + rng.below(worths)).expect("a few hundred")
}

fn net(rng: &mut Rng, regime: Regime, room: Us) -> Net {
    let delay = rng.pick(&[50, 200, 1_000, 5_000, room / 2]).min(room / 2);
    let jitter = rng.pick(&[0, 20, 500, delay, room / 2]).min(room / 2);
    if regime == Regime::Parted {
        return Net { delay, jitter, ..QUIET };
    }
    if regime != Regime::Wild {
        let twice_ppm = rng.pick(&[0, 0, 10_000, 100_000]);
        return Net { delay, jitter, twice_ppm, ..QUIET };
    }
    Net {
        delay,
        jitter,
        loss_ppm: rng.pick(&[0, 0, 0, 10_000, 100_000, 300_000, 400_000]),
        twice_ppm: rng.pick(&[0, 10_000, 100_000]),
        damage_ppm: rng.pick(&[0, 0, 10_000, 50_000]),
    }
}

const REGIMES: [Regime; 11] = [
    Regime::Calm,
    Regime::Planned,
    Regime::Planned,
    Regime::Clean,
    Regime::Clean,
    Regime::Clean,
    Regime::Clean,
    Regime::Parted,
    Regime::Wild,
    Regime::Wild,
    Regime::Wild,
];

const QUIET: Net = Net { delay: 0, jitter: 0, loss_ppm: 0, twice_ppm: 0, damage_ppm: 0 };

/// The name of the dice.
const PLAN: u64 = 1;

/// The names of the dice for the key, and for an attacker without it.
const KEY: u64 = 10;

/// The name of the dice for what to do about an address in use.
const CONFLICT: u64 = 20;

/// The name of the dice for switches that drop probes.
const INSPECTION: u64 = 21;

/// The name of the dice for kernels that can make a fence.
const FENCE: u64 = 23;

/// The name of the dice for the families of the shared addresses.
const FAMILIES: u64 = 24;

const DRAWN_FAMILIES: [Families; 7] =
    [Families::V4, Families::V4, Families::V4, Families::V6, Families::V6, Families::V4AndV6, Families::V6AndV4];

/// The name of the dice for a router that answers for every address.
const ROUTER: u64 = 22;

const SECOND: Us = 1_000_000;
