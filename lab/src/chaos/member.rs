//! A node that gets signals, and that the lab sets right again as an init system would.

use std::io;
use std::time::{Duration, Instant};

use super::plan::{Fault, Round};
use crate::net::Lab;
use crate::node::{Node, Part, Program, Setup};
use crate::place::Place;
use crate::sys::{self, Signal};
use crate::timing::Timing;

/// One node.
#[derive(Debug)]
pub struct Member {
    node: Node,
    number: u8,
    worthiness: u16,
    setup: Setup,
    worker: Option<i32>,
    changed: Instant,
    stopped: Vec<(i32, Instant)>,
    /// The keeper got a signal that ends it: how long after its end the lab starts it again.
    restart: Option<Duration>,
    ended: Option<Instant>,
}

impl Member {
    /// Starts its daemon.
    pub fn start(place: Place<'_>, lab: &Lab, number: u8, nodes: u8, timing: Timing) -> io::Result<Self> {
        let worthiness = 100 + u16::from(nodes) - u16::from(number);
        let setup = Setup::new(Program::Ha, timing);
        let node = Node::start(place, lab, number, worthiness, setup)?;
        let changed = Instant::now();
        let (worker, stopped, restart, ended) = (None, Vec::new(), None, None);
        Ok(Self { node, number, worthiness, setup, worker, changed, stopped, restart, ended })
    }

    /// 1 for the most worthy.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Since when both processes have run undisturbed.
    pub fn left_alone_since(&self) -> Option<Instant> {
        let is_well = self.worker.is_some() && self.stopped.is_empty() && self.restart.is_none();
        is_well.then_some(self.changed)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.node.log_tail()
    }

    /// Sends the signal to the part that the round names, or else to the other one. Returns which part got it.
    pub fn inject(&mut self, round: &Round) -> Option<Part> {
        let other = if round.part == Part::Keeper { Part::Worker } else { Part::Keeper };
        let (part, pid) = [round.part, other].into_iter().find_map(|part| Some((part, self.node.pid(part).ok()?)))?;
        sys::signal(pid, round.fault.signal());
        self.changed = Instant::now();
        match round.fault {
            Fault::Stop(span) => self.stopped.push((pid, Instant::now() + span)),
            Fault::Kill | Fault::Abort | Fault::Segv | Fault::Term => {
                if part == Part::Keeper {
                    self.restart = Some(round.restart);
                }
            }
        }
        Some(part)
    }

    /// Continues a process that has been stopped for long enough, starts a daemon that has ended, looks for a new
    /// worker.
    pub fn tend(&mut self, place: Place<'_>, lab: &Lab) -> io::Result<()> {
        let now = Instant::now();
        if !self.node.is_running() {
            let Some(wait) = self.restart else {
                return Err(io::Error::other(format!("the daemon of node {} has ended by itself", self.number)));
            };
            self.stopped.clear();
            self.worker = None;
            if now >= *self.ended.get_or_insert(now) + wait {
                self.node = Node::start(place, lab, self.number, self.worthiness, self.setup)?;
                (self.changed, self.restart, self.ended) = (Instant::now(), None, None);
            }
            return Ok(());
        }
        let worker = self.node.pid(Part::Worker).ok();
        if worker != self.worker {
            (self.worker, self.changed) = (worker, now);
        }
        let alive = [self.node.pid(Part::Keeper).ok(), worker];
        let due = |pid: &i32, until: &Instant| !alive.contains(&Some(*pid)) || now >= *until;
        for (pid, _) in self.stopped.extract_if(.., |(pid, until)| due(pid, until)) {
            if alive.contains(&Some(pid)) {
                sys::signal(pid, Signal::SIGCONT);
            }
            self.changed = now;
        }
        Ok(())
    }
}
