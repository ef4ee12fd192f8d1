//! Options to runs to exit codes: 0 if every rule held, 1 if not, 2 for wrong options.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use argh::FromArgs;

use ha_sim::batch::{Batch, Report};
use ha_sim::draw;
use ha_sim::figures;
use ha_sim::play::{play, silence_panics};
use ha_sim::shrink::shrink;
use ha_sim::svg;
use ha_sim::trace::{Line, Mark, Trace};

/// Plays LANs full of ha cores in virtual time, does to them what happens in life, and checks that every rule holds.
#[derive(Debug, FromArgs)]
struct Options {
    #[argh(subcommand)]
    command: Command,
}

#[derive(Debug, FromArgs)]
#[argh(subcommand)]
enum Command {
    Run(Run),
    Replay(Replay),
    Figures(Figures),
}

/// Runs many clusters, each with faults of its own; prints the seeds of those that broke a rule.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "run")]
struct Run {
    /// how many clusters (10000)
    #[argh(option, default = "10_000")]
    clusters: u64,
    /// how many simulated minutes each (10)
    #[argh(option, default = "10")]
    minutes: u64,
    /// where the clusters' seeds come from (the time of day)
    #[argh(option)]
    seed: Option<u64>,
    /// start no cluster after this number of seconds (no limit)
    #[argh(option)]
    seconds: Option<u64>,
    /// stop after this number of failures (5)
    #[argh(option, default = "5")]
    failures: usize,
    /// print failures as they are, in one line
    #[argh(switch)]
    brief: bool,
    /// print a number that is the same as long as nothing in the stories changes but words
    #[argh(switch)]
    digest: bool,
}

/// Plays one cluster again and tells what happens.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "replay")]
struct Replay {
    /// the cluster's seed
    #[argh(positional)]
    seed: u64,
    /// how many simulated minutes, as when it failed (10)
    #[argh(option, default = "10")]
    minutes: u64,
    /// leave out everything that the failure does not need
    #[argh(switch)]
    shrink: bool,
    /// every packet, not only those that change something
    #[argh(switch)]
    all: bool,
    /// draw the timeline into this file
    #[argh(option)]
    svg: Option<PathBuf>,
}

/// Measures how rare false moves are, how long take-overs last and what large groups cost.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "figures")]
struct Figures {
    /// put them into simulation.md in this directory, and the pictures beside it
    #[argh(option)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    silence_panics();
    let options: Options = argh::from_env();
    let done = match options.command {
        Command::Run(options) => Ok(run(&options)),
        Command::Replay(options) => replay(&options),
        Command::Figures(options) => measure(&options),
    };
    let (text, is_well) = done.unwrap_or_else(|text| (text, false));
    // A closed pipe is nobody's fault.
    let _ = io::stdout().write_all(text.as_bytes());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(options: &Run) -> (String, bool) {
    let seed = options.seed.unwrap_or_else(time_of_day);
    let batch = Batch {
        seed,
        clusters: options.clusters,
        minutes: options.minutes,
        limit: options.seconds.map(Duration::from_secs),
        failures: options.failures.max(1),
        has_digest: options.digest,
    };
    let _ = writeln!(io::stderr(), "seed {seed}, {} clusters of {} minutes", options.clusters, options.minutes);
    let report = batch.run();
    let mut text = String::new();
    for (seed, outcome, after) in &report.failures {
        let Some(violation) = &outcome.violation else { continue };
        let _ = writeln!(text, "seed {seed}, after {} ms: {violation}", after.as_millis());
    }
    if !options.brief {
        for (seed, _, _) in report.failures.iter().take(MOST_SHRUNK) {
            explain(&mut text, *seed, options.minutes);
        }
    }
    summarize(&mut text, &report);
    if options.digest {
        let _ = writeln!(text, "digest of the stories: {:016x}", report.digest);
    }
    (text, report.failures.is_empty())
}

fn summarize(text: &mut String, report: &Report) {
    let Report { clusters, took, moves, packets, most_packets, .. } = report;
    let _ = writeln!(text, "{clusters} clusters in {:.1} s: {report}", took.as_secs_f64());
    let _ = writeln!(text, "{moves} moves, {packets} packets, at most {most_packets} of a node in an interval");
}

/// The smallest plan that fails like this seed, with the end of its story.
fn explain(text: &mut String, seed: u64, minutes: u64) {
    let plan = shrink(&draw::plan(seed, minutes));
    let (_, lines) = play(&plan, Trace::on());
    let lines: Vec<&Line> = lines.iter().filter(|line| line.mark != Mark::Beat).collect();
    let _ = writeln!(text, "\nshrunk: {plan}");
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        let _ = writeln!(text, "{line}");
    }
    let minutes = if minutes == 10 { String::new() } else { format!(" --minutes {minutes}") };
    let _ = writeln!(text, "again: make sim SEED={seed} ARGS='--shrink{minutes}'\n");
}

fn replay(options: &Replay) -> Result<(String, bool), String> {
    let drawn = draw::plan(options.seed, options.minutes);
    let plan = if options.shrink { shrink(&drawn) } else { drawn };
    let (outcome, lines) = play(&plan, Trace::on());
    let mut text = format!("{plan}");
    for line in lines.iter().filter(|line| options.all || line.mark != Mark::Beat) {
        let _ = writeln!(text, "{line}");
    }
    if let Some(violation) = &outcome.violation {
        let _ = writeln!(text, "{violation}");
    }
    if let Some(path) = &options.svg {
        let picture = svg::draw(&plan, &lines, outcome.lasted);
        write(path, &picture)?;
    }
    Ok((text, outcome.violation.is_none()))
}

fn measure(options: &Figures) -> Result<(String, bool), String> {
    let figures = figures::measure();
    if let Some(dir) = &options.write {
        let page = dir.join("simulation.md");
        let text = std::fs::read_to_string(&page).map_err(|error| format!("read {}: {error}\n", page.display()))?;
        let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) = parts.ok_or_else(|| format!("{}: expected {BEGIN} and {END}\n", page.display()))?;
        write(&page, &format!("{head}{BEGIN}\n\n{}\n{END}{tail}", figures.text))?;
        for (name, picture) in &figures.pictures {
            write(&dir.join(name), picture)?;
        }
    }
    Ok((figures.text, true))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("write {}: {error}\n", path.display()))
}

fn time_of_day() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_secs()
}

/// Around the figures in the docs.
const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Failures that are made small before they are printed.
const MOST_SHRUNK: usize = 3;

/// Lines before the failure.
const LAST_LINES: usize = 60;
