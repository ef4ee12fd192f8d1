//! The stories that the lab plays, each from "node 1 has the address" to what became of it.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::analysis::{Recording, Span};
use crate::frames::Mac;
use crate::outcome::{Outcome, Witness, millis};
use crate::stage::Stage;
use crate::sys::{self, Nanos};
use crate::timing::Timing;

/// What happens to the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// The ACTIVE loses power: its port goes down and all its processes die.
    Power,
    /// The ACTIVE is stopped in good order.
    Stop,
    /// A more worthy node starts.
    Join,
    /// The ACTIVE's daemon dies; its kernel lives.
    Kill,
    /// The ACTIVE's daemon is frozen for a while; its kernel lives.
    Freeze,
    /// The ACTIVE is cut off from the other nodes but not from the client; healed, it hears the others first.
    PartitionHears,
    /// The same, but the others hear it first.
    PartitionHeard,
    /// All nodes start at once.
    Cold,
    /// Nothing happens.
    Rest,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Power,
        Self::Stop,
        Self::Join,
        Self::Kill,
        Self::Freeze,
        Self::PartitionHears,
        Self::PartitionHeard,
        Self::Cold,
        Self::Rest,
    ];

    /// Its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Stop => "stop",
            Self::Join => "join",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::PartitionHears => "partition-hears",
            Self::PartitionHeard => "partition-heard",
            Self::Cold => "cold",
            Self::Rest => "rest",
        }
    }

    fn play(self, stage: &mut Stage<'_>) -> io::Result<Marks> {
        match self {
            Self::Power => power(stage),
            Self::Stop => stop(stage),
            Self::Join => join(stage),
            Self::Kill => kill(stage),
            Self::Freeze => freeze(stage),
            Self::PartitionHears => partition(stage, ["hears", "heard"]),
            Self::PartitionHeard => partition(stage, ["heard", "hears"]),
            Self::Cold => cold(stage),
            Self::Rest => rest(stage),
        }
    }
}

/// A list of scenarios, as `--scenario` has it: names with commas, `partition` for both kinds, `all`.
#[derive(Debug, Clone)]
pub struct Scenarios(pub Vec<Scenario>);

impl FromStr for Scenarios {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chosen = Vec::new();
        for name in text.split(',') {
            let before = chosen.len();
            let is_meant = |scenario: &&Scenario| {
                name == "all" || scenario.name() == name || (name == "partition" && scenario.name().starts_with(name))
            };
            chosen.extend(Scenario::ALL.iter().filter(is_meant));
            if chosen.len() == before {
                let names = Scenario::ALL.map(Scenario::name).join(", ");
                return Err(format!("{name}: expected some of {names}, partition, all"));
            }
        }
        Ok(Self(chosen))
    }
}

/// One run to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What happens.
    pub scenario: Scenario,
    /// How fast the nodes are.
    pub timing: Timing,
    /// How many there are.
    pub nodes: u8,
    /// Which run of how many, from 1: each strikes at another point between two heartbeats.
    pub run: u32,
    /// How many.
    pub runs: u32,
    /// How long a freeze or a partition lasts.
    pub pause: Duration,
    /// How long to watch them at rest.
    pub rest: Duration,
}

/// What else a run needs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The daemon.
    pub ha: &'a Path,
    /// Before the names of all namespaces.
    pub prefix: &'a str,
    /// A directory for the logs of the nodes.
    pub logs: &'a Path,
}

impl Plan {
    /// Whether it takes so much longer than others that it should begin early.
    pub fn is_long(&self) -> bool {
        matches!(self.scenario, Scenario::Freeze | Scenario::PartitionHears | Scenario::PartitionHeard | Scenario::Rest)
    }

    /// Makes the run.
    pub fn play(&self, place: Place<'_>) -> Outcome {
        let mut outcome = Outcome::new(self);
        let mut stage = match Stage::open(self, place) {
            Ok(stage) => stage,
            Err(error) => {
                outcome.failure = Some(error.to_string());
                return outcome;
            }
        };
        let played = self.scenario.play(&mut stage).and_then(|marks| stage.all_well().map(|()| marks));
        let logs = stage.log_tails();
        match played.and_then(|marks| stage.close().map(|recording| (marks, recording))) {
            Ok((marks, recording)) => marks.measure(self, &recording, &mut outcome),
            Err(error) => outcome.failure = Some(format!("{error}\n{logs}")),
        }
        outcome
    }
}

/// The moments of a run that matter.
#[derive(Debug)]
struct Marks {
    /// The four values are measured from here.
    struck: Nanos,
    /// To here.
    ended: Nanos,
    /// Thawed, or healed: when it began, and when it was complete.
    mended: Option<Span>,
    /// Whose address it was.
    old: Option<Mac>,
}

impl Marks {
    fn new(struck: Nanos, old: Option<Mac>) -> Self {
        Self { struck, ended: sys::now(), mended: None, old }
    }

    fn measure(&self, plan: &Plan, recording: &Recording, outcome: &mut Outcome) {
        let whole = Span::new(self.struck, self.ended);
        let details = &mut outcome.details;
        let since_struck = |at: Nanos| millis(at.saturating_sub(self.struck));
        let other = recording.first_claim(whole, |mac| Some(mac) != self.old).map(since_struck);
        match plan.scenario {
            Scenario::Power | Scenario::Stop => details.extend(other.map(|at| ("take_over_ms", at))),
            Scenario::Kill | Scenario::Freeze => {
                details.extend(other.map(|at| ("take_over_ms", at)));
                let end = self.old.and_then(|old| recording.last_claim(whole, old)).map(since_struck);
                details.extend(end.filter(|_| plan.scenario == Scenario::Kill).map(|at| ("lease_end_ms", at)));
            }
            Scenario::Join => {
                details.extend(other.map(|at| ("hand_over_ms", at)));
                // Two rounds before the newcomer has it the old one must have been there without a break.
                let settled = recording.first_claim(whole, |mac| Some(mac) != self.old).unwrap_or(self.ended);
                let before = Span::new(self.struck, settled.saturating_sub(10_000_000));
                details.insert("blackout_before_ms", millis(recording.blackout(before)));
            }
            Scenario::Cold => {
                details.extend(other.map(|at| ("up_ms", at)));
                let owners = u32::try_from(recording.owners(whole).len()).unwrap_or(u32::MAX);
                details.insert("owners", f64::from(owners));
            }
            Scenario::PartitionHears | Scenario::PartitionHeard | Scenario::Rest => {}
        }
        let mut counted = whole;
        if let Some(mended) = self.mended {
            let after = Span::new(mended.from, self.ended);
            let complete = Span::new(mended.until, self.ended);
            let last = recording.two_owners(complete).last().map_or(0, |span| span.until - complete.from);
            details.insert("one_owner_after_ms", millis(last));
            details.insert("blackout_after_ms", millis(recording.blackout(after)));
            if plan.scenario != Scenario::Freeze {
                counted = after; // two owners while the client sees both sides of a cut LAN is physics
                let during = Span::new(self.struck, mended.from);
                details.insert("blackout_before_ms", millis(recording.blackout(during)));
            }
        }
        outcome.witness = Some(Witness::of(recording, counted));
        if recording.lost_frames > 0 {
            outcome.failure = Some(format!("the probe lost {} frames: nothing is known", recording.lost_frames));
        }
        if recording.clock_step > 1_000_000 {
            let step = millis(recording.clock_step);
            outcome.failure = Some(format!("the wall clock was set by {step} ms: nothing is known"));
        }
    }
}

fn power(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

fn stop(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.signal(1, libc::SIGTERM);
    stage.wait_for_other_than(old)?;
    stage.wait_for_good_end(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

fn join(stage: &mut Stage<'_>) -> io::Result<Marks> {
    for number in 2..=stage.plan().nodes {
        stage.start(number)?;
    }
    let old = stage.wait_until_served_by(2)?;
    stage.wait_for_the_point();
    let struck = sys::now();
    stage.start(1)?;
    stage.wait_until_served_by(1)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

fn kill(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.signal(1, libc::SIGKILL);
    stage.wait_for_other_than(old)?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, Some(old)))
}

fn freeze(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.signal(1, libc::SIGSTOP);
    stage.sleep(stage.plan().pause);
    let thawed = sys::now();
    stage.signal(1, libc::SIGCONT);
    stage.watch_the_mended();
    let mut marks = Marks::new(struck, Some(old));
    marks.mended = Some(Span::new(thawed, thawed));
    Ok(marks)
}

/// Healed one direction at a time, because no real LAN heals all at once.
fn partition(stage: &mut Stage<'_>, halves: [&str; 2]) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.tell("split", 1)?;
    stage.sleep(stage.plan().pause);
    let healing = sys::now();
    stage.tell(halves[0], 1)?;
    stage.sleep(Duration::from_millis(50) + stage.point(Duration::from_millis(250)));
    stage.tell(halves[1], 1)?;
    let healed = sys::now();
    stage.watch_the_mended();
    let mut marks = Marks::new(struck, Some(old));
    marks.mended = Some(Span::new(healing, healed));
    Ok(marks)
}

fn cold(stage: &mut Stage<'_>) -> io::Result<Marks> {
    stage.sleep(Duration::from_millis(50));
    let struck = sys::now();
    for number in 1..=stage.plan().nodes {
        stage.start(number)?;
    }
    stage.wait_until_served()?;
    stage.linger(Duration::from_millis(500));
    Ok(Marks::new(struck, None))
}

fn rest(stage: &mut Stage<'_>) -> io::Result<Marks> {
    let old = stage.node_1_has_it()?;
    let struck = sys::now();
    stage.sleep(stage.plan().rest);
    Ok(Marks::new(struck, Some(old)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name() {
        let chosen = |text: &str| text.parse::<Scenarios>().map(|list| list.0);
        assert_eq!(chosen("power,cold"), Ok(vec![Scenario::Power, Scenario::Cold]));
        assert_eq!(chosen("partition"), Ok(vec![Scenario::PartitionHears, Scenario::PartitionHeard]));
        assert_eq!(chosen("all").map(|list| list.len()), Ok(Scenario::ALL.len()));
        assert!(chosen("power,nap").is_err_and(|error| error.starts_with("nap: expected")));
    }
}
