//! What a scenario is: a name, what happens move by move, what it measures, and what is promised about it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::marks::{Marks, Reading};
use crate::net::SHARED;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::promise::Promise;
use crate::run::{Extent, Run};
use crate::skip;
use crate::stage::Stage;

/// One scenario. Each lives in a file of its own under `scenarios/`, which says everything about it.
pub struct Scenario {
    /// Its name on the command line and in results.
    pub name: &'static str,
    /// What happens, in one line.
    pub summary: &'static str,
    /// Plays it, from "node 1 has the address" to what became of it.
    pub play: fn(&mut Stage<'_>) -> io::Result<Marks>,
    /// What to read from the recording besides the four values of [`crate::analysis`].
    pub readings: &'static [Reading],
    /// What is promised.
    pub promises: &'static [Promise],
    /// How many runs the figures take.
    pub runs: Runs,
    /// How long its parts last for figures to be published.
    pub full: Extent,
    /// How long its parts last in CI.
    pub short: Extent,
    /// The shared address that the client asks for. One of IPv6 is shared beside the one of IPv4.
    pub address: IpAddr,
    /// How many nodes it has, if it is about a number of its own.
    pub nodes: Option<u8>,
    /// It is played only where its name says so: because it takes long, or cannot be played yet.
    pub is_on_request: bool,
    /// It takes much longer than most, and so begins early.
    pub is_long: bool,
    /// Other runs at the same time would feel it, or it would feel them.
    pub is_delicate: bool,
}

/// How many runs the figures of a scenario take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// One, which is long or looks often.
    One,
    /// As many as the command line asks for; one in CI.
    AsAsked,
    /// At least this number, because much depends on the moment.
    Many {
        /// The least number for figures to be published.
        full: u32,
        /// The number in CI.
        short: u32,
    },
}

impl Runs {
    /// So many that half of them say something.
    pub const TEN: Self = Self::Many { full: 10, short: 1 };
}

impl Scenario {
    /// A scenario that measures nothing of its own and promises nothing yet.
    pub const fn new(name: &'static str, summary: &'static str, play: fn(&mut Stage<'_>) -> io::Result<Marks>) -> Self {
        let (readings, promises): (&[Reading], &[Promise]) = (&[], &[]);
        let (runs, full, short) = (Runs::AsAsked, Extent::FULL, Extent::SHORT);
        let (address, nodes) = (IpAddr::V4(SHARED), None);
        let (is_on_request, is_long, is_delicate) = (false, false, false);
        Self {
            name,
            summary,
            play,
            readings,
            promises,
            runs,
            full,
            short,
            address,
            nodes,
            is_on_request,
            is_long,
            is_delicate,
        }
    }
}

/// Two scenarios are the same if they have the same name.
impl PartialEq for Scenario {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What happens.
    pub scenario: &'static Scenario,
    /// Under which conditions.
    pub run: Run,
}

impl Plan {
    /// Whether other runs at the same time would feel it, or it would feel them.
    pub fn is_delicate(&self) -> bool {
        self.run.timing.interval < Duration::from_millis(500) || self.scenario.is_delicate
    }

    /// Makes the run.
    pub fn play(&self, place: Place<'_>) -> Outcome {
        let Self { scenario, run } = self;
        let mut outcome = Outcome::new(scenario.name, run);
        let mut stage = match Stage::open(run, place, scenario.address) {
            Ok(stage) => stage,
            Err(error) => {
                outcome.failure = Some(error.to_string());
                return outcome;
            }
        };
        let played = (scenario.play)(&mut stage).and_then(|marks| stage.check_daemons().map(|()| marks));
        let logs = stage.log_tails();
        match played.and_then(|marks| stage.close().map(|recording| (marks, recording))) {
            Ok((marks, recording)) => {
                outcome.details = marks.details(&recording, scenario.readings);
                outcome.witness = Some(marks.witness(&recording));
                outcome.failure = recording.check_witness().err().map(|error| error.to_string());
            }
            Err(error) => match skip::reason(&error) {
                Some(reason) => outcome.skipped = Some(reason.to_owned()),
                None => outcome.failure = Some(format!("{error}\n{logs}")),
            },
        }
        outcome
    }
}
