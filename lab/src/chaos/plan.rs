//! What is struck, when, how, and for how long: all of it drawn from the seed before anything runs.

use std::time::Duration;

use ha_sim::rng::Rng;

use crate::node::Part;
use crate::sys::Signal;

/// One blow, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// How long the nodes were left alone before.
    pub after: Duration,
    /// Whose process. If it is not there at that moment, another one is struck.
    pub node: u8,
    /// Which process.
    pub part: Part,
    /// By what.
    pub blow: Blow,
    /// If the daemon ends of it: until somebody starts it again.
    pub restart: Duration,
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after that time.
    Stop(Duration),
    /// SIGABRT.
    Abort,
    /// SIGSEGV.
    Segv,
    /// SIGTERM.
    Term,
}

impl Blow {
    /// As people name the signal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop(_) => "STOP",
            Self::Abort => "ABRT",
            Self::Segv => "SEGV",
            Self::Term => "TERM",
        }
    }

    /// As the kernel numbers it.
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

/// So many rounds for so many nodes; the same seed draws the same.
pub fn draw(seed: u64, rounds: u32, nodes: u8) -> Vec<Round> {
    let mut rng = Rng::new(seed, DICE);
    (0..rounds).map(|_| Round::draw(&mut rng, nodes)).collect()
}

impl Round {
    fn draw(rng: &mut Rng, nodes: u8) -> Self {
        let after = millis(rng, 1_600);
        let node = u8::try_from(rng.between(1, u64::from(nodes))).expect("at most the number of nodes");
        let part = rng.pick(&[Part::Keeper, Part::Worker]);
        let pause = millis(rng, 5_000);
        let blow = rng.pick(&[Blow::Kill, Blow::Stop(pause), Blow::Abort, Blow::Segv, Blow::Term]);
        Self { after, node, part, blow, restart: millis(rng, 2_000) }
    }
}

fn millis(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.between(0, most))
}

const DICE: u64 = 1;

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
                    let is_meant = |round: &&Round| (round.node, round.part, round.blow.name()) == (node, part, name);
                    assert!(rounds.iter().any(|round| is_meant(&round)), "{node} {part:?} {name}");
                }
            }
        }
        assert!(rounds.iter().all(|round| round.after.as_millis() <= 1_600 && round.restart.as_millis() <= 2_000));
    }
}
