//! Progress lines, tables, and the record of a run of the lab.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde::Serialize;

use crate::figures::{Figure, Verdict};
use crate::outcome::Outcome;
use crate::stats::{median, short};

/// The record of a run of the lab.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    /// When it began, UTC.
    pub date: String,
    /// The commit, `+` if the tree was changed since.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// The machine.
    pub machine: Machine,
    /// Size of the daemon.
    pub ha_bytes: u64,
    /// Version of keepalived, if it is installed.
    pub keepalived: Option<String>,
    /// How long it took.
    pub took_s: u64,
    /// The promises and their results; empty for runs by hand.
    pub figures: &'a [Figure],
    /// Every run.
    pub runs: &'a [Outcome],
}

/// The machine, on which the figures depend.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Its processor.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// Its memory.
    pub memory_mb: u64,
    /// Name, release and version of the kernel.
    pub kernel: String,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kb: u64 = memory.split(' ').next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: memory_kb / 1_024,
            kernel: format!("Linux {} {}", read("/proc/sys/kernel/osrelease").trim(), std::env::consts::ARCH),
        }
    }
}

impl Record<'_> {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Prints a line for a run that has ended.
pub fn progress(number: usize, of: usize, outcome: &Outcome) {
    say(&format!("[{number:>3}/{of}] {outcome}"));
}

/// Prints a line on standard output. A closed pipe is no reason to stop measuring.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// The table of promises.
pub fn figures_table(figures: &[Figure]) -> String {
    let header = ["scenario", "interval/tolerance", "measured", "runs", "min", "median", "max", "stall", "must", ""];
    let rows = figures.iter().map(|figure| {
        let verdict = match figure.verdict {
            Verdict::Kept => "ok",
            Verdict::Shown => "",
            Verdict::Skipped => "SKIPPED",
            Verdict::Missed => "FAIL",
        };
        [
            figure.scenario.to_owned(),
            figure.timing.clone(),
            figure.what.to_owned(),
            figure.runs.to_string(),
            number(figure.min),
            number(figure.median),
            number(figure.max),
            number(figure.stall_ms),
            figure.must.clone(),
            verdict.to_owned(),
        ]
    });
    table(&[header.map(str::to_owned)].into_iter().chain(rows).collect::<Vec<_>>())
}

/// The table of promises for docs/measurements.md.
pub fn figures_markdown(figures: &[Figure]) -> String {
    let mut text = "| scenario | interval / tolerance | measured | runs | min | median | max | must |\n".to_owned();
    text += "|---|---|---|---|---|---|---|---|\n";
    for figure in figures {
        let Figure { scenario, timing, what, runs, must, .. } = figure;
        let [min, median, max] = [figure.min, figure.median, figure.max].map(number);
        let verdict = match figure.verdict {
            Verdict::Kept | Verdict::Shown => "",
            Verdict::Skipped => " skipped",
            Verdict::Missed => " **missed**",
        };
        let must = must.replace("<=", "≤");
        text += &format!("| {scenario} | {timing} | {what} | {runs} | {min} | {median} | {max} | {must}{verdict} |\n");
    }
    text
}

/// Median and maximum of everything that was measured, by scenario, for runs by hand.
pub fn outcomes_table(outcomes: &[Outcome]) -> String {
    let mut rows = vec![["scenario", "value", "runs", "min", "median", "max"].map(str::to_owned)];
    let mut scenarios: Vec<_> = outcomes.iter().map(|outcome| outcome.scenario).collect();
    scenarios.dedup();
    for scenario in scenarios {
        let runs: Vec<_> = outcomes.iter().filter(|run| run.scenario == scenario && run.is_complete()).collect();
        let Some(first) = runs.first() else { continue };
        let names =
            ["blackout_ms", "gap_ms", "two_owners_ms", "moves"].into_iter().chain(first.details.keys().copied());
        for name in names {
            let mut values: Vec<_> = runs.iter().filter_map(|run| run.value(name)).collect();
            values.sort_by(f64::total_cmp);
            let cells = [values.first().copied(), median(&values), values.last().copied()].map(number);
            let [min, median, max] = cells;
            rows.push([scenario.to_owned(), name.replace('_', " "), values.len().to_string(), min, median, max]);
        }
    }
    table(&rows)
}

/// The commit of the directory that we are in.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(["-c", "safe.directory=*"]).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    if is_changed { commit + "+" } else { commit }
}

/// Now, as RFC 3339 has it.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// A value, if there is one.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), short)
}

/// Columns as wide as their widest cell; numbers stand to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    let widths: Vec<_> = (0..N).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| {
            let is_number = cell == "-" || cell.parse::<f64>().is_ok();
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["what", "max"], ["blackout", "3"], ["moves", "12.5"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "what      max\nblackout     3\nmoves     12.5\n");
    }
}
