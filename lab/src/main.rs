//! Options to runs to exit codes: 0 if all promises were kept, 1 if not, 2 for wrong options, 77 if all others were kept
//! but some runs could not be made here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;

use ha_lab::chaos::Chaos;
use ha_lab::figures::{self, Depth};
use ha_lab::report::{self, Machine, Record};
use ha_lab::run::{self, Extent};
use ha_lab::runner::Runner;
use ha_lab::scenario::{Plan, Scenario};
use ha_lab::scenarios::{self, Chosen};
use ha_lab::timing::{Time, Timing};
use ha_lab::{cleanup, keepalived, sys, watch};

/// Starts real ha daemons in network namespaces, lets real faults happen, and measures what a client feels.
/// HA_LAB=NAME (halab) comes before the names of all namespaces.
#[derive(Debug, FromArgs)]
struct Options {
    #[argh(subcommand)]
    command: Command,
}

#[derive(Debug, FromArgs)]
#[argh(subcommand)]
enum Command {
    Run(Run),
    List(List),
    Figures(Figures),
    Chaos(ChaosOptions),
    Picture(Picture),
    Watch(Watch),
}

/// Plays scenarios with any number of nodes and any timing.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "run")]
struct Run {
    /// how many nodes, 2 to 80 (3)
    #[argh(option, default = "3")]
    nodes: u8,
    /// how many runs of each scenario (3)
    #[argh(option, default = "3")]
    runs: u32,
    /// time between two heartbeats (1s)
    #[argh(option, default = "Time(Duration::from_secs(1))")]
    interval: Time,
    /// silence after which a node counts as dead (3.5s)
    #[argh(option, default = "Time(Duration::from_millis(3_500))")]
    tolerance: Time,
    /// names with commas; `ha-lab list` shows them all, and the first words of several names stand for these (all but
    /// those that last long)
    #[argh(option, default = "Chosen::default()")]
    scenario: Chosen,
    /// how long a freeze or a partition lasts (10s)
    #[argh(option, default = "Time(Duration::from_secs(10))")]
    pause: Time,
    /// how long to watch at rest, and how long a timing has to hold to be the shortest (60s)
    #[argh(option, default = "Time(Duration::from_secs(60))")]
    rest: Time,
    /// how many restarts (100)
    #[argh(option, default = "100")]
    restarts: u32,
    /// how long an attack lasts (20s)
    #[argh(option, default = "Time(Duration::from_secs(20))")]
    attack: Time,
    /// how often daemons take turns when they are compared (5)
    #[argh(option, default = "5")]
    turns: u32,
    /// how long each is measured in its turn, at least ten intervals (5s)
    #[argh(option, default = "Time(Duration::from_secs(5))")]
    turn: Time,
    /// how long it is left alone before that (8s)
    #[argh(option, default = "Time(Duration::from_secs(8))")]
    settle: Time,
    /// the daemon (target/x86_64-unknown-linux-musl/release/ha)
    #[argh(option)]
    ha: Option<PathBuf>,
    /// options for every daemon besides those that the lab gives, such as '--announce-interval 10s' (none)
    #[argh(option)]
    with: Vec<String>,
    /// file for the results (none)
    #[argh(option)]
    json: Option<PathBuf>,
    /// keep the logs of all nodes
    #[argh(switch)]
    keep_logs: bool,
    /// all the promised figures in two minutes: few runs each, 20 ms allowed for a busy machine; as `figures --short`
    #[argh(switch)]
    short: bool,
}

/// Lists the scenarios.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "list")]
struct List {}

/// Measures all promises of ha, with three nodes, and shows which are kept.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "figures")]
struct Figures {
    /// how many runs of each (5)
    #[argh(option, default = "5")]
    runs: u32,
    /// the daemon (target/x86_64-unknown-linux-musl/release/ha)
    #[argh(option)]
    ha: Option<PathBuf>,
    /// file for the results (lab/results/figures.json)
    #[argh(option)]
    json: Option<PathBuf>,
    /// few runs each, 20 ms allowed for a busy machine (lab/results/short.json)
    #[argh(switch)]
    short: bool,
}

/// Sends random signals to random processes of three nodes (500 ms / 2 s), and demands that there are never two owners
/// and soon one again.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "chaos")]
struct ChaosOptions {
    /// how many signals (200)
    #[argh(option, default = "200")]
    rounds: u32,
    /// draws them (the time of day)
    #[argh(option, default = "sys::now()")]
    seed: u64,
    /// no new round begins after this number of seconds (no limit)
    #[argh(option)]
    seconds: Option<u64>,
    /// the daemon (target/x86_64-unknown-linux-musl/release/ha)
    #[argh(option)]
    ha: Option<PathBuf>,
}

/// Captures one take-over and draws its frames, as docs/announcing.svg shows them.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "picture")]
struct Picture {
    /// the daemon (target/x86_64-unknown-linux-musl/release/ha)
    #[argh(option)]
    ha: Option<PathBuf>,
    /// file for the picture (docs/announcing.svg)
    #[argh(option, default = "PathBuf::from(\"docs/announcing.svg\")")]
    svg: PathBuf,
}

/// Asks for the address from eth0 of this network namespace, while a script starts and stops machines: see
/// lab/appliance/mixed.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "watch")]
struct Watch {
    /// name of a machine, once for each in the order of their numbers
    #[argh(option)]
    name: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let options = match Options::from_args(&["ha-lab"], &arguments) {
        Ok(options) => options,
        Err(early) => {
            report::say(early.output.trim_end());
            return if early.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match carry_out(options.command) {
        Ok(end) => end.code(),
        Err(error) => {
            eprintln!("ha-lab: {error}");
            ExitCode::from(if error.kind() == io::ErrorKind::InvalidInput { 2 } else { 1 })
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Missed,
    Skipped,
}

impl End {
    fn of(is_missed: bool, is_skipped: bool) -> Self {
        match (is_missed, is_skipped) {
            (true, _) => Self::Missed,
            (false, true) => Self::Skipped,
            (false, false) => Self::Good,
        }
    }

    /// 77 is what automake and meson take for "skipped": neither passed nor failed.
    fn code(self) -> ExitCode {
        match self {
            Self::Good => ExitCode::SUCCESS,
            Self::Missed => ExitCode::FAILURE,
            Self::Skipped => ExitCode::from(77),
        }
    }
}

fn carry_out(command: Command) -> io::Result<End> {
    match command {
        Command::Run(run) => {
            let with = run.with.iter().flat_map(|options| options.split_whitespace()).map(str::to_owned).collect();
            let keep_logs = run.keep_logs;
            if run.short {
                measure(Work { keep_logs, ..Work::short(run.ha, run.json) })
            } else {
                let plans = plans(&run)?;
                measure(Work { plans, depth: None, ha: run.ha, json: run.json, with, keep_logs })
            }
        }
        Command::Figures(figures) if figures.short => measure(Work::short(figures.ha, figures.json)),
        Command::Figures(figures) => {
            let depth = Depth::Full(at_least_one("runs", figures.runs)?);
            measure(Work::figures(depth, figures.ha, figures.json, "lab/results/figures.json"))
        }
        Command::List(List {}) => list(),
        Command::Chaos(options) => chaos(options),
        Command::Picture(options) => picture(options),
        Command::Watch(options) => {
            let is_good = watch::watch(io::BufReader::new(io::stdin()), &options.name)?;
            Ok(End::of(!is_good, false))
        }
    }
}

fn list() -> io::Result<End> {
    for scenario in scenarios::all() {
        report::say(&format!("{:<26} {}", scenario.name, scenario.summary));
    }
    Ok(End::Good)
}

fn chaos(options: ChaosOptions) -> io::Result<End> {
    let limit = options.seconds.map(Duration::from_secs);
    let chaos = Chaos { nodes: NODES, rounds: at_least_one("rounds", options.rounds)?, seed: options.seed, limit };
    let runner = runner(&options.ha.unwrap_or_else(built), Vec::new())?;
    let mut verdict = runner.chaos(&chaos)?;
    report::say(&verdict.to_string());
    if verdict.is_spoilt() {
        report::say("again, because the machine itself stood still");
        verdict = runner.chaos(&chaos)?;
        report::say(&verdict.to_string());
    }
    if verdict.failure.is_some() {
        report::say(&format!("logs of all nodes: {}", runner.logs().display()));
        return Ok(End::Missed);
    }
    runner.forget_logs();
    Ok(End::Good)
}

fn picture(options: Picture) -> io::Result<End> {
    let runner = runner(&options.ha.unwrap_or_else(built), Vec::new())?;
    let written = std::fs::write(&options.svg, runner.picture()?);
    written.map_err(|error| io::Error::other(format!("{}: {error}", options.svg.display())))?;
    runner.forget_logs();
    Ok(End::Good)
}

fn runner(ha: &Path, with: Vec<String>) -> io::Result<Runner> {
    let prefix = std::env::var("HA_LAB").unwrap_or_else(|_| "halab".into());
    sys::may_unshare().map_err(|error| {
        io::Error::other(format!("no permission to create network namespaces ({error}): run as root"))
    })?;
    cleanup::arm()?;
    Runner::new(ha, &prefix, with)
}

/// The runs to make, and where the results go.
struct Work {
    plans: Vec<Plan>,
    /// How thorough the figures are; none for runs by hand, which have no figures.
    depth: Option<Depth>,
    ha: Option<PathBuf>,
    json: Option<PathBuf>,
    /// Options for every daemon.
    with: Vec<String>,
    keep_logs: bool,
}

impl Work {
    fn figures(depth: Depth, ha: Option<PathBuf>, json: Option<PathBuf>, default_json: &str) -> Self {
        let plans = figures::plans(depth, NODES);
        let json = Some(json.unwrap_or_else(|| default_json.into()));
        Self { plans, depth: Some(depth), ha, json, with: Vec::new(), keep_logs: false }
    }

    fn short(ha: Option<PathBuf>, json: Option<PathBuf>) -> Self {
        Self::figures(Depth::Short, ha, json, "lab/results/short.json")
    }
}

fn measure(work: Work) -> io::Result<End> {
    let Work { plans, depth, ha, json, with, keep_logs } = work;
    let ha = ha.unwrap_or_else(built);
    let runner = runner(&ha, with)?;

    let (date, start) = (report::date(), Instant::now());
    let mut outcomes = runner.run(&plans);
    let judge = |outcomes: &[_]| depth.map(|depth| figures::judge(depth, outcomes)).unwrap_or_default();
    let mut figures = judge(&outcomes);
    for _ in 0..depth.map_or(0, |_| figures::REPEATS) {
        let spoilt = figures::spoilt(&figures, &plans);
        let again: Vec<_> = spoilt.iter().map(|&index| plans[index]).collect();
        if again.is_empty() {
            break;
        }
        report::say(&format!("again, because the machine itself stood still: {} runs", again.len()));
        for (&index, outcome) in spoilt.iter().zip(runner.run(&again)) {
            outcomes[index] = outcome;
        }
        figures = judge(&outcomes);
    }
    report::say("");
    report::say(&if depth.is_some() { report::figures_table(&figures) } else { report::outcomes_table(&outcomes) });

    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let missed = figures.iter().filter(|figure| figure.is_missed()).count();
    let skipped = outcomes.iter().filter(|outcome| outcome.skipped.is_some()).count();
    if let Some(path) = &json {
        let record = Record {
            date,
            commit: report::commit(),
            command: command_line(),
            machine: Machine::this(),
            ha_bytes: std::fs::metadata(&ha)?.len(),
            keepalived: keepalived::version(),
            took_s: start.elapsed().as_secs(),
            figures: &figures,
            runs: &outcomes,
        };
        let unwritten = |error| io::Error::other(format!("{}: {error}", path.display()));
        record.write(path).map_err(unwritten)?;
        let table = path.with_extension("md");
        std::fs::write(&table, report::figures_markdown(&figures)).map_err(unwritten)?;
        report::say(&format!("results: {}, as a table: {}", path.display(), table.display()));
    }
    let end = End::of(failed > 0 || missed > 0, skipped > 0);
    if skipped > 0 {
        report::say(&format!("{skipped} runs skipped, see above"));
    }
    if end != End::Missed && !keep_logs {
        runner.forget_logs();
    } else {
        report::say(&format!(
            "{failed} runs failed, {missed} figures missed; logs of all nodes: {}",
            runner.logs().display()
        ));
    }
    Ok(end)
}

fn plans(options: &Run) -> io::Result<Vec<Plan>> {
    let timing = Timing { interval: options.interval.0, tolerance: options.tolerance.0 };
    if !(2..=80).contains(&options.nodes) {
        return Err(refusal(format!("--nodes {}: expected 2 to 80", options.nodes)));
    }
    if timing.tolerance <= timing.interval {
        return Err(refusal(format!("--tolerance {}: expected more than the interval", options.tolerance)));
    }
    let (nodes, of) = (options.nodes, at_least_one("runs", options.runs)?);
    let (pause, rest, restarts, attack) = (options.pause.0, options.rest.0, options.restarts, options.attack.0);
    let (turns, turn, settle) = (at_least_one("turns", options.turns)?, options.turn.0, options.settle.0);
    let extent = Extent { pause, rest, restarts, attack, turns, turn, settle };
    let plan = |scenario: &'static Scenario, number| {
        let nodes = scenario.nodes.unwrap_or(nodes);
        Plan { scenario, run: run::Run { timing, nodes, number, of, extent } }
    };
    Ok(options.scenario.0.iter().flat_map(|&scenario| (1..=of).map(move |number| plan(scenario, number))).collect())
}

fn at_least_one(option: &str, number: u32) -> io::Result<u32> {
    if number == 0 { Err(refusal(format!("--{option} 0: expected at least 1"))) } else { Ok(number) }
}

fn refusal(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Where `make` puts the daemon.
fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    target.join("x86_64-unknown-linux-musl/release/ha")
}

/// The command line, without the folder of this program.
fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("ha-lab".into()).chain(arguments).collect::<Vec<_>>().join(" ")
}

const NODES: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_has_not_passed_and_what_was_missed_has_failed() {
        assert_eq!(End::of(false, false), End::Good);
        assert_eq!(End::of(false, true), End::Skipped);
        assert_eq!(End::of(true, true), End::Missed);
        assert_eq!(End::of(true, false), End::Missed);
        assert_eq!(End::Skipped.code(), ExitCode::from(77));
    }
}
