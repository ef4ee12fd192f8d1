//! Which process gets which signal, when, and for how long: the seed draws all of it before anything runs.

use std::time::Duration;

use ha_sim::rng::Rng;

use crate::node::Part;
use crate::sys::Signal;

/// One fault, and what the lab does after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// How long the nodes run undisturbed before it.
    pub after: Duration,
    /// The node. If its process is missing at that moment, another process gets the signal.
    pub node: u8,
    /// The process.
    pub part: Part,
    /// The signal.
    pub fault: Fault,
    /// If the daemon ends: how long the lab waits until it starts it again.
    pub restart: Duration,
}

/// A signal that a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, then SIGCONT after that time.
    Stop(Duration),
    /// SIGABRT.
    Abort,
    /// SIGSEGV.
    Segv,
    /// SIGTERM.
    Term,
}

impl Fault {
    /// The name of the signal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop(_) => "STOP",
            Self::Abort => "ABRT",
            Self::Segv => "SEGV",
            Self::Term => "TERM",
        }
    }

    /// The signal itself.
    pub const fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::SIGKILL,
            Self::Stop(_) => Signal::SIGSTOP,
            Self::Abort => Signal::SIGABRT,
            Self::Segv => Signal::SIGSEGV,
            Self::Term => Signal::SIGTERM,
        }
    }
}

/// Draws that number of rounds; the same seed draws the same.
pub fn draw(seed: u64, rounds: u32, nodes: u8) -> Vec<Round> {
    let mut rng = Rng::new(seed, STREAM);
    (0..rounds).map(|_| Round::draw(&mut rng, nodes)).collect()
}

impl Round {
    fn draw(rng: &mut Rng, nodes: u8) -> Self {
        let after = millis(rng, 1_600);
        let node = u8::try_from(rng.between(1, u64::from(nodes))).expect("at most the number of nodes");
        let part = rng.pick(&[Part::Keeper, Part::Worker]);
        let pause = millis(rng, 5_000);
        let fault = rng.pick(&[Fault::Kill, Fault::Stop(pause), Fault::Abort, Fault::Segv, Fault::Term]);
        Self { after, node, part, fault, restart: millis(rng, 2_000) }
    }
}

fn millis(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.between(0, most))
}

const STREAM: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        assert_eq!(draw(7, 50, 3), draw(7, 50, 3));
        assert_ne!(draw(7, 50, 3), draw(8, 50, 3));
        assert_eq!(draw(7, 50, 3)[..20], draw(7, 20, 3)[..], "fewer rounds are the first of many");
    }

    #[test]
    fn every_process_of_every_node_gets_every_blow() {
        let rounds = draw(1, 1_000, 3);
        for node in 1..=3 {
            for part in [Part::Keeper, Part::Worker] {
                for name in ["KILL", "STOP", "ABRT", "SEGV", "TERM"] {
                    let is_meant = |round: &&Round| (round.node, round.part, round.fault.name()) == (node, part, name);
                    assert!(rounds.iter().any(|round| is_meant(&round)), "{node} {part:?} {name}");
                }
            }
        }
        assert!(rounds.iter().all(|round| round.after.as_millis() <= 1_600 && round.restart.as_millis() <= 2_000));
    }
}
