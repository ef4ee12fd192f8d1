//! The stories that the lab plays, each from "node 1 has the address" to what became of it.

mod lan;
mod marks;
mod stories;
mod trust;

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::node::Part;
use crate::outcome::Outcome;
use crate::stage::Stage;
use crate::timing::Timing;
use marks::Marks;

/// What happens to the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// The ACTIVE loses power: its port goes down and all its processes die.
    Power,
    /// The ACTIVE is stopped in good order.
    Stop,
    /// A more worthy node starts.
    Join,
    /// The ACTIVE's worker dies; its keeper lives.
    KillWorker,
    /// The ACTIVE's worker ends at once, as by a panic: here at an illegal instruction.
    Panic,
    /// The ACTIVE's worker hangs; its keeper lives.
    StallWorker,
    /// The ACTIVE's keeper dies; its kernel lives.
    KillKeeper,
    /// The ACTIVE's processes all die at once; its kernel lives.
    KillAll,
    /// The ACTIVE's processes are all frozen for a while; its kernel lives.
    FreezeAll,
    /// The ACTIVE is cut off from the other nodes but not from the client; healed, it hears the others first.
    PartitionHears,
    /// The same, but the others hear it first.
    PartitionHeard,
    /// All nodes start at once.
    Cold,
    /// Nothing happens.
    Rest,
    /// The ACTIVE is stopped in good order and started again, many times: how soon is the LAN told?
    Restarts,
    /// One node has the machine to itself: how much memory does it take?
    Alone,
    /// Somebody sends everything that would move the address if it were believed.
    Forge,
    /// Somebody sends 100,000 packets a second, of each kind for a while.
    Flood,
    /// What was said in an earlier life of all nodes is said again at every moment of the next one.
    Replay,
    /// All nodes get a new key while they run.
    Rotate,
    /// A node with another key joins.
    MixedKeyJoins,
    /// A node with another key is there first.
    MixedKeyFirst,
    /// Somebody outside of the group claims the address once.
    StrangerClaim,
    /// The same, five times a second for a while.
    StrangerInsists,
    /// The others do not hear the ACTIVE for 5 s, which hears them.
    FalseTakeOver,
    /// The same, but only its heartbeats are lost.
    FalseTakeOverBeats,
    /// The switch drops multicast for a while; then the owner loses power.
    DeafMulticast,
    /// The ACTIVE loses power; 50 clients and the gateway never speak first and drop gratuitous ARP.
    SilentClients,
    /// The ACTIVE is stopped while the client's entry has just been confirmed.
    ReachableEntry,
    /// Somebody deletes the address of the ACTIVE.
    AddressRemoved,
    /// The ACTIVE gets another MAC.
    NewMac,
    /// The ACTIVE comes to another port of another switch, and no link goes down.
    NewPort,
    /// The ACTIVE's processes all die at once and are started again.
    CrashRestart,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::Power,
        Self::Stop,
        Self::Join,
        Self::KillWorker,
        Self::Panic,
        Self::StallWorker,
        Self::KillKeeper,
        Self::KillAll,
        Self::FreezeAll,
        Self::PartitionHears,
        Self::PartitionHeard,
        Self::Cold,
        Self::Rest,
        Self::Restarts,
        Self::Alone,
        Self::Forge,
        Self::Flood,
        Self::Replay,
        Self::Rotate,
        Self::MixedKeyJoins,
        Self::MixedKeyFirst,
        Self::StrangerClaim,
        Self::StrangerInsists,
        Self::FalseTakeOver,
        Self::FalseTakeOverBeats,
        Self::DeafMulticast,
        Self::SilentClients,
        Self::ReachableEntry,
        Self::AddressRemoved,
        Self::NewMac,
        Self::NewPort,
        Self::CrashRestart,
    ];

    /// Its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Stop => "stop",
            Self::Join => "join",
            Self::KillWorker => "kill-worker",
            Self::Panic => "panic",
            Self::StallWorker => "stall-worker",
            Self::KillKeeper => "kill-keeper",
            Self::KillAll => "kill-all",
            Self::FreezeAll => "freeze-all",
            Self::PartitionHears => "partition-hears",
            Self::PartitionHeard => "partition-heard",
            Self::Cold => "cold",
            Self::Rest => "rest",
            Self::Restarts => "restarts",
            Self::Alone => "alone",
            Self::Forge => "forge",
            Self::Flood => "flood",
            Self::Replay => "replay",
            Self::Rotate => "rotate",
            Self::MixedKeyJoins => "mixed-key-joins",
            Self::MixedKeyFirst => "mixed-key-first",
            Self::StrangerClaim => "stranger-claim",
            Self::StrangerInsists => "stranger-insists",
            Self::FalseTakeOver => "false-take-over",
            Self::FalseTakeOverBeats => "false-take-over-heartbeats",
            Self::DeafMulticast => "deaf-multicast",
            Self::SilentClients => "silent-clients",
            Self::ReachableEntry => "reachable-entry",
            Self::AddressRemoved => "address-removed",
            Self::NewMac => "new-mac",
            Self::NewPort => "new-port",
            Self::CrashRestart => "crash-restart",
        }
    }

    fn play(self, stage: &mut Stage<'_>) -> io::Result<Marks> {
        match self {
            Self::Power => stories::power(stage),
            Self::Stop => stories::stop(stage),
            Self::Join => stories::join(stage),
            Self::KillWorker => stories::strike_worker(stage, libc::SIGKILL),
            Self::Panic => stories::strike_worker(stage, libc::SIGILL),
            Self::StallWorker => stories::strike_worker(stage, libc::SIGSTOP),
            Self::KillKeeper => stories::kill(stage, Some(Part::Keeper)),
            Self::KillAll => stories::kill(stage, None),
            Self::FreezeAll => stories::freeze(stage),
            Self::PartitionHears => stories::partition(stage, ["hears", "heard"]),
            Self::PartitionHeard => stories::partition(stage, ["heard", "hears"]),
            Self::Cold => stories::cold(stage),
            Self::Rest => stories::rest(stage),
            Self::Restarts => stories::restarts(stage),
            Self::Alone => stories::alone(stage),
            Self::Forge => trust::forge(stage),
            Self::Flood => trust::flood(stage),
            Self::Replay => trust::replay(stage),
            Self::Rotate => trust::rotate(stage),
            Self::MixedKeyJoins => trust::mixed_key(stage, false),
            Self::MixedKeyFirst => trust::mixed_key(stage, true),
            Self::StrangerClaim => lan::stranger_claims(stage),
            Self::StrangerInsists => lan::stranger_insists(stage),
            Self::FalseTakeOver => lan::false_take_over(stage, "mute"),
            Self::FalseTakeOverBeats => lan::false_take_over(stage, "speechless"),
            Self::DeafMulticast => lan::deaf_multicast(stage),
            Self::SilentClients => lan::silent_clients(stage),
            Self::ReachableEntry => lan::reachable_entry(stage),
            Self::AddressRemoved => lan::removed(stage),
            Self::NewMac => lan::new_mac(stage),
            Self::NewPort => lan::new_port(stage),
            Self::CrashRestart => lan::restarted(stage),
        }
    }
}

/// A list of scenarios, as `--scenario` has it: names with commas, `kill`, `partition`, `mixed-key`, `stranger` or
/// `false-take-over` for all kinds of them, `all`.
#[derive(Debug, Clone)]
pub struct Scenarios(pub Vec<Scenario>);

impl FromStr for Scenarios {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chosen = Vec::new();
        for name in text.split(',') {
            let before = chosen.len();
            let is_meant = |scenario: &&Scenario| {
                let is_kind = scenario.name().strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
                name == "all" || scenario.name() == name || is_kind
            };
            chosen.extend(Scenario::ALL.iter().filter(is_meant));
            if chosen.len() == before {
                let names = Scenario::ALL.map(Scenario::name).join(", ");
                return Err(format!("{name}: expected some of {names}, kill, partition, mixed-key, stranger, all"));
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
    /// How many restarts.
    pub restarts: u32,
    /// How long an attack lasts.
    pub attack: Duration,
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
    /// More options for every daemon.
    pub options: &'a [String],
}

impl Plan {
    /// Whether it takes so much longer than others that it should begin early.
    pub fn is_long(&self) -> bool {
        matches!(
            self.scenario,
            Scenario::FreezeAll
                | Scenario::PartitionHears
                | Scenario::PartitionHeard
                | Scenario::Rest
                | Scenario::FalseTakeOver
                | Scenario::FalseTakeOverBeats
                | Scenario::DeafMulticast
                | Scenario::StrangerInsists
        )
    }

    /// Whether other runs at the same time would be felt, or would feel it.
    pub fn is_delicate(&self) -> bool {
        let is_fast = self.timing.interval < Duration::from_millis(500);
        is_fast || matches!(self.scenario, Scenario::Forge | Scenario::Flood | Scenario::SilentClients)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name() {
        let chosen = |text: &str| text.parse::<Scenarios>().map(|list| list.0);
        assert_eq!(chosen("power,cold"), Ok(vec![Scenario::Power, Scenario::Cold]));
        assert_eq!(chosen("partition"), Ok(vec![Scenario::PartitionHears, Scenario::PartitionHeard]));
        assert_eq!(chosen("kill"), Ok(vec![Scenario::KillWorker, Scenario::KillKeeper, Scenario::KillAll]));
        assert_eq!(chosen("mixed-key"), Ok(vec![Scenario::MixedKeyJoins, Scenario::MixedKeyFirst]));
        assert_eq!(chosen("all").map(|list| list.len()), Ok(Scenario::ALL.len()));
        assert!(chosen("power,nap").is_err_and(|error| error.starts_with("nap: expected")));
    }
}
