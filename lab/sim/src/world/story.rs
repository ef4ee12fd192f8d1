//! A world whose faults begin and end when a story says so, instead of a plan.

use std::fmt;

use ha::wire::Heartbeat;

use super::World;
use crate::checkers::Violation;
use crate::fault::{Fault, What};
use crate::machine::Process;
use crate::time::{FOREVER, Us};
use crate::trace::Line;

/// Packets that get lost.
pub struct Loss(Box<Takes>);

/// True for the sender, the receiver and the content of a packet that gets lost.
type Takes = dyn FnMut(usize, usize, &Heartbeat) -> bool;

impl Loss {
    /// Loses packets for which `takes` is true.
    pub fn of(takes: impl FnMut(usize, usize, &Heartbeat) -> bool + 'static) -> Self {
        Self(Box::new(takes))
    }

    pub(super) fn takes(&mut self, from: usize, to: usize, said: &Heartbeat) -> bool {
        (self.0)(from, to, said)
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loss")
    }
}

impl World {
    /// Plays on until `now`, what happens at that moment included.
    pub fn run_until(&mut self, now: Us) {
        self.play_until(now);
        self.now = self.now.max(now);
    }

    /// Starts the daemon of a node for the first time.
    pub fn start_now(&mut self, node: usize) {
        self.back(node);
    }

    /// Begins a fault; returns the number by which it can be ended.
    pub fn begin_now(&mut self, what: What) -> usize {
        self.faults.push(Fault { at: self.now, lasts: FOREVER, what });
        let index = self.faults.len() - 1;
        self.begin(index);
        index
    }

    /// Ends a fault.
    pub fn end_now(&mut self, index: usize) {
        self.finish(index);
    }

    /// Loses these packets from now on, or none.
    pub fn lose(&mut self, loss: Option<Loss>) {
        self.loss = loss;
    }

    /// What a node has received and not read gets lost.
    pub fn lose_unread(&mut self, node: usize) {
        let unread = self.machines[node].process.as_deref_mut().map(Process::take_unread);
        for datagram in unread.into_iter().flatten() {
            if !datagram.is_copy {
                self.missed(datagram.packet, node);
            }
            self.packets.drop(datagram.packet);
        }
    }

    /// The time.
    pub fn now(&self) -> Us {
        self.now
    }

    /// What happened so far.
    pub fn lines(&self) -> &[Line] {
        self.trace.so_far()
    }

    /// The first rule that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.checks.violation.as_ref()
    }
}
