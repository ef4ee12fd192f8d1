//! Random signals to random processes, again and again, while one rule is watched: never two owners, and soon one.
//!
//! Each fault waits until one node serves the client again. Its consequences (a daemon to start, a process to continue)
//! may fall into later rounds. An owner is due within tolerance + 1 s of the last fault, or of the moment since when at
//! least one node has run undisturbed, whichever is later.

mod member;
mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::{Recording, Span, millis};
use crate::frames::Mac;
use crate::net::{Lab, SHARED};
use crate::place::Place;
use crate::probe::Probe;
use crate::report;
use crate::sys::{self, Nanos};
use crate::timing::Timing;
use member::Member;
pub use plan::{Fault, Round, draw};

/// How much chaos.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    /// How many nodes.
    pub nodes: u8,
    /// How many signals.
    pub rounds: u32,
    /// Draws them.
    pub seed: u64,
    /// No new round begins after that time.
    pub limit: Option<Duration>,
}

/// The result.
#[derive(Debug)]
pub struct Verdict {
    seed: u64,
    rounds: usize,
    faults: BTreeMap<&'static str, u32>,
    took: Duration,
    blackout_ms: f64,
    two_owners_ms: f64,
    stall_ms: f64,
    /// The broken rule, the rounds before it, and the last lines of all logs.
    pub failure: Option<String>,
}

impl Verdict {
    /// Whether it failed while the machine itself stood still for too long to prove anything about the daemon.
    pub fn is_spoilt(&self) -> bool {
        self.failure.is_some() && self.stall_ms > LONG_STALL_MS
    }
}

impl Chaos {
    /// Builds a LAN and sends the signals.
    ///
    /// # Errors
    /// When the LAN cannot be built, or the recording proves nothing.
    pub fn play(&self, place: Place<'_>) -> io::Result<Verdict> {
        let lab = Lab::up(place.prefix, self.nodes)?;
        let probe = Probe::start(&lab.namespace("client"), SHARED.into())?;
        let members = (1..=self.nodes).map(|number| Member::start(place, &lab, number, self.nodes, TIMING));
        let members = members.collect::<io::Result<Vec<_>>>()?;
        let mut field =
            Field { place, lab: &lab, probe: &probe, members, checked: sys::now(), last_fault: Instant::now() };
        let start = Instant::now();
        let (from, mut history) = (sys::now(), Vec::new());
        let played = field.play(self, &mut history);
        let (until, logs) = (sys::now(), field.log_tails());
        drop(field);
        let recording = probe.stop()?;
        recording.check_witness()?;

        let whole = Span::new(history.first().map_or(from, |fault: &Played| fault.at), until);
        let two_owners = recording.two_owners(whole);
        let seen = two_owners.first().map(|span| {
            let last = history.iter().rfind(|fault| fault.at <= span.from);
            let fault =
                last.map_or_else(String::new, |fault| format!(", {} ms after {fault}", millis(span.from - fault.at)));
            io::Error::other(format!("two owners for {} ms{fault}", millis(span.length())))
        });
        let failure = played.err().or(seen).map(|error| format!("{error}\n{logs}"));
        let mut faults = BTreeMap::new();
        for fault in &history {
            *faults.entry(fault.round.fault.name()).or_default() += 1;
        }
        Ok(Verdict {
            seed: self.seed,
            rounds: history.len(),
            faults,
            took: start.elapsed(),
            blackout_ms: millis(recording.blackout(whole)),
            two_owners_ms: millis(two_owners.iter().map(|span| span.length()).sum()),
            stall_ms: millis(recording.stall(whole)),
            failure,
        })
    }
}

/// A round that was played, with the process that got the signal.
#[derive(Debug)]
struct Played {
    number: usize,
    round: Round,
    at: Nanos,
}

/// The nodes and their witness.
struct Field<'a> {
    place: Place<'a>,
    lab: &'a Lab,
    probe: &'a Probe,
    members: Vec<Member>,
    checked: Nanos,
    last_fault: Instant,
}

impl Field<'_> {
    fn play(&mut self, chaos: &Chaos, history: &mut Vec<Played>) -> io::Result<()> {
        let started = Instant::now();
        self.wait_for_an_owner().map_err(|error| io::Error::other(format!("before the first round: {error}")))?;
        for (index, round) in draw(chaos.seed, chaos.rounds, chaos.nodes).into_iter().enumerate() {
            if chaos.limit.is_some_and(|limit| started.elapsed() > limit) {
                break;
            }
            let play = |field: &mut Self, history: &mut Vec<Played>| {
                field.pass(round.after)?;
                let round = field.inject(round)?;
                history.push(Played { number: index + 1, round, at: sys::now() });
                field.wait_for_an_owner()
            };
            play(self, history).map_err(|error| with_history(history, &error))?;
            if (index + 1) % 25 == 0 {
                report::say(&format!("chaos: {} rounds, {} s", index + 1, started.elapsed().as_secs()));
            }
        }
        // The consequences of the last faults.
        self.pass(LINGER).and_then(|()| self.wait_for_an_owner()).map_err(|error| with_history(history, &error))
    }

    /// Lets time pass, and tends the nodes meanwhile.
    fn pass(&mut self, span: Duration) -> io::Result<()> {
        let until = Instant::now() + span;
        loop {
            self.tend()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(GRAIN));
        }
    }

    fn tend(&mut self) -> io::Result<()> {
        let (place, lab) = (self.place, self.lab);
        self.members.iter_mut().try_for_each(|member| member.tend(place, lab))
    }

    /// Sends the signal to the process that the round names, or else to the next one that runs. Returns which.
    fn inject(&mut self, round: Round) -> io::Result<Round> {
        for _ in 0..=TRIES {
            for offset in 0..self.members.len() {
                let index = (usize::from(round.node) - 1 + offset) % self.members.len();
                let member = &mut self.members[index];
                if let Some(part) = member.inject(&round) {
                    self.last_fault = Instant::now();
                    return Ok(Round { node: member.number(), part, ..round });
                }
            }
            self.pass(GRAIN)?;
        }
        Err(io::Error::other("no process left for a signal for 15 s"))
    }

    /// Waits until one node alone serves the client. Refuses two owners, and an owner that comes too late.
    fn wait_for_an_owner(&mut self) -> io::Result<()> {
        loop {
            self.pass(GRAIN)?;
            self.look_for_two_owners()?;
            let is_served = self.members.iter().any(|member| self.probe.is_served_by(Mac::of(member.number())));
            // Replies to questions from before the fault prove nothing.
            if is_served && self.last_fault.elapsed() > Duration::from_millis(60) {
                return Ok(());
            }
            let left_alone = self.members.iter().filter_map(Member::left_alone_since).min();
            if let Some(due) = left_alone.map(|since| since.max(self.last_fault) + DUE)
                && Instant::now() > due
            {
                return Err(io::Error::other(format!("no owner {} s after anything happened", DUE.as_secs_f64())));
            }
        }
    }

    fn look_for_two_owners(&mut self) -> io::Result<()> {
        let now = sys::now();
        let span = Span::new(self.checked.saturating_sub(OVERLAP), now);
        let mut sightings = self.probe.sightings_of_last(Duration::from_nanos(span.length()));
        sightings.sort_by_key(|sighting| sighting.at);
        self.checked = now;
        match (Recording { sightings, ..Recording::default() }).two_owners(span).first() {
            Some(span) => Err(io::Error::other(format!("two owners for {} ms", millis(span.length())))),
            None => Ok(()),
        }
    }

    fn log_tails(&self) -> String {
        self.members.iter().map(Member::log_tail).collect()
    }
}

/// Adds the last rounds to an error.
fn with_history(history: &[Played], error: &io::Error) -> io::Error {
    let last = &history[history.len().saturating_sub(8)..];
    let now = sys::now();
    let lines =
        last.iter().map(|fault| format!("\n    {} s before: {fault}", millis(now.saturating_sub(fault.at)) / 1e3));
    io::Error::other(format!("{error}{}", lines.collect::<String>()))
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, round: Round { node, part, fault, .. }, .. } = self;
        write!(f, "round {number}: {} to the {} of node {node}", fault.name(), part.name())?;
        if let Fault::Stop(span) = fault { write!(f, " for {} s", span.as_secs_f64()) } else { Ok(()) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(
            f,
            "chaos: seed {}, {} rounds in {:.0} s ({}), longest blackout {:.1} ms, two owners {:.1} ms, stall {:.1} ms",
            self.seed,
            self.rounds,
            self.took.as_secs_f64(),
            faults.join(", "),
            self.blackout_ms,
            self.two_owners_ms,
            self.stall_ms,
        )?;
        if let Some(failure) = &self.failure { write!(f, "\nFAILED: {}", failure.trim_end()) } else { Ok(()) }
    }
}

/// The quickest in whole half seconds whose lease ends in time: 1 s of lease and 1 s of the kernel's lateness.
const TIMING: Timing = Timing::from_millis(500, 2_000);
/// The part of the second beyond the tolerance that a good run does not need.
const LONG_STALL_MS: f64 = 500.0;
const DUE: Duration = Duration::from_millis(3_000);
const LINGER: Duration = Duration::from_millis(2_500);
const GRAIN: Duration = Duration::from_millis(5);
const TRIES: u32 = 3_000;
/// So that a pair of sightings is not cut apart: see `MOMENT` in `analysis`.
const OVERLAP: Nanos = 50_000_000;
