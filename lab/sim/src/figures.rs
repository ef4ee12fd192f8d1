//! What the simulator measures: how rare false moves are, how long a take-over takes, and what large groups cost.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cost;
use crate::fault::What;
use crate::plan::Plan;
use crate::play::play;
use crate::plot::{Curve, Plot};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::svg;
use crate::time::{FOREVER, Span, Us};
use crate::trace::{Mark, Trace};

/// Everything measured, as text for a person, and the pictures.
#[derive(Debug)]
pub struct Figures {
    /// Markdown.
    pub text: String,
    /// Name and content.
    pub pictures: [(&'static str, String); 4],
}

/// Measures everything; takes some minutes.
pub fn measure() -> Figures {
    let mut text = String::new();
    progress("false moves");
    let loss = loss(&mut text);
    progress("take-overs");
    let deaths = deaths(&mut text);
    progress("large groups");
    let sizes = sizes(&mut text);
    progress("speed");
    speed(&mut text);
    let pictures =
        [("loss.svg", loss), ("take-over.svg", deaths), ("large-groups.svg", sizes), ("timeline.svg", timeline())];
    Figures { text, pictures }
}

fn progress(what: &str) {
    let _ = writeln!(std::io::stderr(), "measuring {what}");
}

/// A story to look at: the owner is cut off from everybody, comes back, loses power, and comes back again.
fn timeline() -> String {
    let plan = Plan { end: 60 * SECOND, ..group(3, Settings::default(), 1) }
        .with(12 * SECOND, 12 * SECOND, What::Split(0b0001))
        .with(36 * SECOND, 10 * SECOND, What::Power(0));
    let (outcome, lines) = play(&plan, Trace::on());
    assert!(outcome.violation.is_none(), "{plan}{:?}", outcome.violation);
    svg::draw(&plan, &lines, outcome.lasted)
}

/// The timings of a group that are compared under loss.
fn variants() -> Vec<(&'static str, Settings)> {
    let suspicion = Settings { suspicion: true, ..Settings::unasking() };
    vec![
        ("by silence alone", Settings::unasking()),
        ("with suspicion", suspicion),
        ("with suspicion and ARP", Settings::default()),
    ]
}

/// Moves without any fault but lost packets.
fn loss(text: &mut String) -> String {
    let losses: Vec<u32> = vec![0, 10, 20, 30, 40];
    let variants = variants();
    let _ = writeln!(
        text,
        "### False moves\n\nThree nodes, 1 s / 3.5 s, no fault but lost packets, {LOSS_DAYS} simulated days for each figure: moves per day.\n"
    );
    let _ = writeln!(text, "| lost packets | {} |", join(variants.iter().map(|(name, _)| (*name).to_owned())));
    let _ = writeln!(text, "|---|{}", "---|".repeat(variants.len()));
    let tasks: Vec<(u32, Settings, u64)> = losses
        .iter()
        .flat_map(|&percent| variants.iter().map(move |(_, settings)| (percent, *settings)))
        .flat_map(|(percent, settings)| (0..LOSS_DAYS).map(move |day| (percent, settings, day)))
        .collect();
    let moves = on_all_cores(&tasks, |&(percent, settings, day)| {
        let mut plan = group(3, settings, day);
        plan.net.loss_ppm = percent * 10_000;
        (plan.heal_at, plan.end) = (DAY, DAY);
        // The first take-over is none of those.
        played(&plan).moves.saturating_sub(1)
    });
    let days = usize::try_from(LOSS_DAYS).expect("few days");
    let mean = |index: usize| moves[index * days..][..days].iter().sum::<u64>() as f64 / LOSS_DAYS as f64;
    for (row, percent) in losses.iter().enumerate() {
        let cells = (0..variants.len()).map(|column| rounded(mean(row * variants.len() + column)));
        let _ = writeln!(text, "| {percent} % | {} |", join(cells));
    }
    text.push('\n');
    let curve = |(column, (name, _)): (usize, &(&'static str, Settings))| Curve {
        name,
        points: losses
            .iter()
            .enumerate()
            .map(|(row, &percent)| (f64::from(percent), mean(row * variants.len() + column)))
            .collect(),
    };
    let curves = variants.iter().enumerate().map(curve).collect();
    Plot { title: "moves per day without a fault", across: "lost packets, %", is_log: true, curves }.draw()
}

/// From the death of the owner to the moment when another node has the address.
fn deaths(text: &mut String) -> String {
    let times = take_over_times(3, DEATHS);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let _ = writeln!(
        text,
        "### Take-over after a silent death\n\nThree nodes, 1 s / 3.5 s, the owner loses power at any time, {DEATHS} times.\n\n\
         | p0 | p50 | p99 | p100 |\n|---|---|---|---|\n| {} | {} | {} | {} |\n",
        millis(at(0)),
        millis(at(50)),
        millis(at(99)),
        millis(at(100))
    );
    let points = (0..=100).map(|percent| (at(percent) as f64 / 1e6, percent as f64)).collect();
    let curves = vec![Curve { name: "3 nodes, 1 s / 3.5 s", points }];
    Plot { title: "% of take-overs done", across: "seconds after the owner lost power", is_log: false, curves }.draw()
}

/// What a group costs as it grows.
fn sizes(text: &mut String) -> String {
    let (mut packets_per_s, mut core_us) = (Vec::new(), Vec::new());
    let _ = writeln!(
        text,
        "### Large groups\n\n1 s / 3.5 s, at rest. A packet is 96 bytes, 138 with its headers on Ethernet. The core's time was measured on this machine: \
         all heartbeats of a second handed in, and its own one sent; system calls come on top.\n\n\
         | nodes | packets/s on the LAN | kbit/s | core's time per node, us/s | of one CPU | take-over p50 | worst |\n\
         |---|---|---|---|---|---|---|"
    );
    for nodes in [2, 3, 5, 10, 20, 50, 100, 255] {
        let rest = group(nodes, Settings::default(), 1);
        let count =
            |seconds: Us| played(&Plan { end: seconds * SECOND, heal_at: seconds * SECOND, ..rest.clone() }).packets;
        let packets = (count(20) - count(10)) as f64 / 10.0;
        let cost = cost::micros_per_second(nodes);
        packets_per_s.push((f64::from(nodes), packets));
        core_us.push((f64::from(nodes), cost));
        let times = take_over_times(nodes, (2_000 / u64::from(nodes)).clamp(8, 400));
        let _ = writeln!(
            text,
            "| {nodes} | {packets:.0} | {:.0} | {cost:.1} | {:.4} % | {} | {} |",
            packets * 135.0 * 8.0 / 1_000.0,
            cost / 10_000.0,
            millis(times[times.len() / 2]),
            millis(times[times.len() - 1])
        );
    }
    text.push('\n');
    let curves = vec![
        Curve { name: "packets a second on the LAN", points: packets_per_s },
        Curve { name: "core's time of each node, us a second", points: core_us },
    ];
    Plot { title: "what a group costs at 1 s / 3.5 s", across: "nodes", is_log: true, curves }.draw()
}

/// How much virtual time fits into a core's time; other programs on the machine do not count.
fn speed(text: &mut String) {
    let days: Vec<u64> = (0..16).collect();
    let before = cpu_seconds();
    on_all_cores(&days, |&day| {
        let mut plan = group(3, Settings::default(), day);
        (plan.heal_at, plan.end) = (DAY, DAY);
        played(&plan);
    });
    let spent = cpu_seconds() - before;
    let years = days.len() as f64 / 365.25;
    let _ = writeln!(
        text,
        "### Speed\n\nThree nodes at 1 s, all checkers on: {:.2} simulated years per minute of a core.",
        years / spent * 60.0
    );
}

/// What this process has used so far: utime in proc(5), in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let ticks = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(11)?.parse::<f64>().ok());
    ticks.expect("a number") / 100.0
}

/// Sorted; every run with other phases between the nodes' beats.
fn take_over_times(nodes: u16, runs: u64) -> Vec<Us> {
    let seeds: Vec<u64> = (0..runs).collect();
    let mut times = on_all_cores(&seeds, |&seed| {
        let mut rng = Rng::new(seed, DEATH);
        let dies_at = 10 * SECOND + rng.below(SECOND);
        let plan = Plan { end: dies_at + 5 * SECOND, ..group(nodes, Settings::default(), seed) };
        let plan = plan.with(dies_at, FOREVER, What::Power(0));
        let (_, lines) = play(&plan, Trace::on());
        let taken = lines.iter().find(|line| line.at > dies_at && line.mark == Mark::Owner(true));
        taken.expect("somebody takes over within five seconds").at - dies_at
    });
    times.sort_unstable();
    times
}

/// Nodes that start within a second, the first the most worthy.
fn group(nodes: u16, settings: Settings, seed: u64) -> Plan {
    let mut plan = Plan { seed, ..Plan::plain(nodes, 1) };
    let mut rng = Rng::new(seed, PHASES);
    for node in &mut plan.nodes {
        node.settings = Settings { worthiness: node.settings.worthiness, ..settings };
        node.starts_at = rng.below(SECOND);
    }
    plan
}

fn played(plan: &Plan) -> crate::world::Outcome {
    let (outcome, _) = play(plan, Trace::default());
    assert!(outcome.violation.is_none(), "{plan}{:?}", outcome.violation);
    outcome
}

/// The results in the order of the tasks.
fn on_all_cores<T: Sync, R: Send>(tasks: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((index, task)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, tasks.get(i)?)))
                {
                    let result = work(task);
                    results.lock().expect("nobody panics with it").push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("nobody panics with it");
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" | ")
}

fn millis(span: Us) -> String {
    Span(span / 1_000 * 1_000).to_string()
}

fn rounded(number: f64) -> String {
    if number < 10.0 { format!("{number:.2}") } else { format!("{number:.0}") }
}

/// Simulated for each figure under loss.
const LOSS_DAYS: u64 = 2;

/// Owners that die.
const DEATHS: u64 = 2_000;

/// The name of the dice for the phases of the nodes.
const PHASES: u64 = 3;

/// The name of the dice for the moment of a death.
const DEATH: u64 = 4;

const SECOND: Us = 1_000_000;
const DAY: Us = 86_400 * SECOND;
