//! Many runs at once, on all cores.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::draw;
use crate::play::play;
use crate::rng::mixed;
use crate::trace::{Line, Mark, Trace};
use crate::world::Outcome;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// The seed that the seeds come from.
    pub seed: u64,
    /// Number of runs.
    pub clusters: u64,
    /// How long each is, in virtual minutes.
    pub minutes: u64,
    /// No new run after this.
    pub limit: Option<Duration>,
    /// No new run after this many failures.
    pub failures: usize,
    /// Sum the stories up in a number.
    pub has_digest: bool,
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs.
    pub clusters: u64,
    /// Virtual time of all, in microseconds.
    pub simulated: u64,
    /// Real time.
    pub took: Duration,
    /// How often the address moved.
    pub moves: u64,
    /// Packets sent.
    pub packets: u64,
    /// Most packets that one node sent in an interval.
    pub most_packets: u64,
    /// A number that is the same for the same stories: which node did what when, but not in which words.
    pub digest: u64,
    /// Seeds whose run broke a rule, with the run and after how long.
    pub failures: Vec<(u64, Outcome, Duration)>,
}

impl Batch {
    /// The seed of the run with this number.
    pub fn seed_of(&self, number: u64) -> u64 {
        mixed(mixed(self.seed).wrapping_add(number)) >> 24
    }

    /// Runs them.
    pub fn run(&self) -> Report {
        let report = Mutex::new(Report::default());
        let next = AtomicU64::new(0);
        let is_over = AtomicBool::new(false);
        let start = Instant::now();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| self.work(start, &next, &is_over, &report));
            }
        });
        let mut report = report.into_inner().unwrap_or_default();
        report.took = start.elapsed();
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        report
    }

    fn work(&self, start: Instant, next: &AtomicU64, is_over: &AtomicBool, report: &Mutex<Report>) {
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_late = self.limit.is_some_and(|limit| start.elapsed() >= limit);
            if number >= self.clusters || is_late {
                return;
            }
            let seed = self.seed_of(number);
            let trace = if self.has_digest { Trace::on() } else { Trace::default() };
            let (outcome, lines) = play(&draw::plan(seed, self.minutes), trace);
            let digest = digest(seed, &lines);
            let Ok(mut report) = report.lock() else { return };
            report.enter(seed, outcome, start.elapsed());
            // The order in which runs end makes no difference.
            report.digest = report.digest.wrapping_add(digest);
            if report.failures.len() >= self.failures {
                is_over.store(true, Ordering::Relaxed);
            }
            if report.clusters % PROGRESS == 0 && std::io::stderr().is_terminal() {
                report.took = start.elapsed();
                let _ =
                    write!(std::io::stderr(), "\r\x1b[K{} of {} clusters, {report}", report.clusters, self.clusters);
            }
        }
    }
}

impl Report {
    fn enter(&mut self, seed: u64, outcome: Outcome, after: Duration) {
        self.clusters += 1;
        self.simulated += outcome.lasted;
        self.moves += outcome.moves;
        self.packets += outcome.packets;
        self.most_packets = self.most_packets.max(outcome.most_packets);
        if outcome.violation.is_some() {
            self.failures.push((seed, outcome, after));
        }
    }
}

/// `130 clusters/s, 1.25 years simulated, 0 failures`.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.clusters * 1_000 / millis;
        let hundredths = self.simulated / (YEAR / 100);
        let (years, rest) = (hundredths / 100, hundredths % 100);
        write!(f, "{rate} clusters/s, {years}.{rest:02} years simulated, {} failures", self.failures.len())
    }
}

/// FNV-1a over what happened in the run with this seed.
fn digest(seed: u64, lines: &[Line]) -> u64 {
    let mut sum = FNV_OFFSET;
    let mut enter = |bytes: &[u8]| {
        for &byte in bytes {
            sum = (sum ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    };
    enter(&seed.to_le_bytes());
    for line in lines {
        enter(&line.at.to_le_bytes());
        enter(format!("{:?} {:?}", line.node, line.mark).as_bytes());
        // Reasons and notes are for people, and may be put into better words.
        if !matches!(line.mark, Mark::State(_) | Mark::Note | Mark::Broken | Mark::Fault) {
            enter(line.text.as_bytes());
        }
    }
    sum
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

const YEAR: u64 = 31_557_600 * 1_000_000;

/// Runs between two signs of life.
const PROGRESS: u64 = 50;
