//! A LAN of nodes on one virtual clock: packets arrive at once, shells answer at once, the kernel's lease ends late.

use std::boxed::Box;
use std::collections::VecDeque;

use super::*;

/// Which packets get lost: from, to, content.
pub(super) type Loss = Box<dyn FnMut(usize, usize, &Heartbeat) -> bool>;

pub(super) struct Lan {
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    pub(super) loss: Loss,
    /// Who had the address from which millisecond on.
    pub(super) history: Vec<(u64, Vec<usize>)>,
    pub(super) has_had_two_owners: bool,
    wire: VecDeque<(usize, [u8; LEN])>,
    worthinesses: Vec<u16>,
}

pub(super) struct Host {
    pub(super) node: Node,
    condition: Condition,
    /// The kernel has the address until then.
    leased_until: Option<Instant>,
    /// What its socket holds while it is frozen.
    backlog: Vec<[u8; LEN]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Off,
    Running,
    Frozen,
}

impl Lan {
    /// Hosts that are off; host n is 192.0.2.(10+n).
    pub(super) fn new(worthinesses: &[u16]) -> Self {
        let mut lan = Self {
            now: at(0),
            hosts: Vec::new(),
            loss: Box::new(|_, _, _| false),
            history: Vec::new(),
            has_had_two_owners: false,
            wire: VecDeque::new(),
            worthinesses: worthinesses.to_vec(),
        };
        for host in 0..worthinesses.len() {
            let node = lan.boot(host);
            lan.hosts.push(Host { node, condition: Condition::Off, leased_until: None, backlog: Vec::new() });
        }
        lan
    }

    /// All started at once, and 10 s later.
    pub(super) fn settled(worthinesses: &[u16]) -> Self {
        let mut lan = Self::new(worthinesses);
        for host in 0..worthinesses.len() {
            lan.start(host);
        }
        lan.run_until(10_000);
        lan
    }

    fn boot(&self, host: usize) -> Node {
        let config = config(|params| params.worthiness = self.worthinesses[host]);
        let seed = self.now.as_micros() + u64::try_from(host).unwrap() + 1;
        Node::new(config, Seal::public(HERE), seed, self.now)
    }

    pub(super) fn start(&mut self, host: usize) {
        self.hosts[host].node = self.boot(host);
        self.hosts[host].condition = Condition::Running;
        let node = id(10 + u8::try_from(host).unwrap());
        self.give(host, Input::Link(Link::Up { node, prefix: 24, mac: MAC, already: true }));
        self.deliver();
    }

    pub(super) fn stop(&mut self, host: usize) {
        self.give(host, Input::Shutdown);
        self.deliver();
    }

    /// The daemon dies; the address stays until its lease ends.
    pub(super) fn kill(&mut self, host: usize) {
        self.hosts[host].condition = Condition::Off;
        self.hosts[host].backlog.clear();
    }

    /// The machine dies, and its address with it.
    pub(super) fn cut_power(&mut self, host: usize) {
        self.kill(host);
        self.hosts[host].leased_until = None;
        self.watch();
    }

    pub(super) fn freeze(&mut self, host: usize) {
        self.hosts[host].condition = Condition::Frozen;
    }

    /// Its socket kept the last packets, or, if the whole machine stood still, none.
    pub(super) fn thaw(&mut self, host: usize, keeps_backlog: bool) {
        self.hosts[host].condition = Condition::Running;
        let backlog = std::mem::take(&mut self.hosts[host].backlog);
        for packet in backlog.into_iter().filter(|_| keeps_backlog) {
            self.hear(host, &packet);
        }
        self.give(host, Input::Tick);
        self.deliver();
    }

    /// Nothing gets through between `host` and the others.
    pub(super) fn isolate(&mut self, host: usize) {
        self.loss = Box::new(move |from, to, _| from == host || to == host);
    }

    pub(super) fn heal(&mut self) {
        self.loss = Box::new(|_, _, _| false);
    }

    pub(super) fn run_until(&mut self, millis: u64) {
        let mut calls_at_once = 0;
        while let Some(next) = self.next().filter(|&next| next <= at(millis)) {
            calls_at_once = if next > self.now { 0 } else { calls_at_once + 1 };
            assert!(calls_at_once < 100, "it spins at {next:?}");
            self.now = self.now.max(next);
            self.watch();
            for host in 0..self.hosts.len() {
                if self.is_due(host) {
                    self.give(host, Input::Tick);
                    self.deliver();
                }
            }
        }
        self.now = self.now.max(at(millis));
        self.watch();
    }

    pub(super) fn run(&mut self, millis: u64) {
        self.run_until(self.now.as_micros() / 1_000 + millis);
    }

    pub(super) fn owners(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&host| self.hosts[host].leased_until.is_some_and(|end| end > self.now)).collect()
    }

    pub(super) fn is_running(&self, host: usize) -> bool {
        self.hosts[host].condition == Condition::Running && self.hosts[host].node.state() != State::Shutdown
    }

    pub(super) fn is_frozen(&self, host: usize) -> bool {
        self.hosts[host].condition == Condition::Frozen
    }

    /// Not started, dead, or told to stop.
    pub(super) fn is_off(&self, host: usize) -> bool {
        !self.is_running(host) && !self.is_frozen(host)
    }

    /// Ownership from now on.
    pub(super) fn forget_history(&mut self) {
        self.history = Vec::from([(self.now.as_micros() / 1_000, self.owners())]);
        self.has_had_two_owners = false;
    }

    /// Milliseconds without an owner, in the history.
    pub(super) fn blackout(&self) -> u64 {
        let ends = self.history.iter().skip(1).map(|(since, _)| *since).chain([self.now.as_micros() / 1_000]);
        let spans = self.history.iter().zip(ends);
        spans.filter(|((_, owners), _)| owners.is_empty()).map(|((since, _), end)| end - since).sum()
    }

    fn is_due(&self, host: usize) -> bool {
        let Host { node, condition, .. } = &self.hosts[host];
        *condition == Condition::Running && node.deadline().is_some_and(|deadline| deadline <= self.now)
    }

    fn next(&self) -> Option<Instant> {
        let running = self.hosts.iter().filter(|host| host.condition == Condition::Running);
        let deadlines = running.filter_map(|host| host.node.deadline());
        let expiries = self.hosts.iter().filter_map(|host| host.leased_until).filter(|&end| end > self.now);
        deadlines.chain(expiries).min()
    }

    /// As the shell does it: everything in order, then the answers.
    fn give(&mut self, host: usize, input: Input<'_>) {
        let outputs = self.hosts[host].node.handle(self.now, input);
        let lease = self.hosts[host].node.config().lease().map(crate::lease::Lease::end).unwrap();
        let mut answers = Vec::new();
        for output in outputs {
            let leased_until = &mut self.hosts[host].leased_until;
            match output {
                Output::Send(packet) => self.send(host, packet),
                Output::Take => {
                    *leased_until = Some(self.now + lease);
                    answers.push(Input::Taken);
                }
                Output::Refresh => {
                    *leased_until = leased_until.filter(|&end| end > self.now).map(|_| self.now + lease);
                }
                Output::Release => {
                    *leased_until = None;
                    answers.push(Input::Released);
                }
                Output::AssertAbsent => *leased_until = None,
                Output::Announce(_) | Output::Ask(_) => {
                    assert!(leased_until.is_some(), "host {host} announces what it has not")
                }
                Output::Probe(_) | Output::Changed { .. } | Output::PutBack | Output::Note(_) => {}
            }
        }
        self.watch();
        for answer in answers {
            self.give(host, answer);
        }
    }

    fn send(&mut self, from: usize, packet: [u8; LEN]) {
        let said = Heartbeat::parse(&packet).unwrap();
        for to in (0..self.hosts.len()).filter(|&to| to != from) {
            if (self.loss)(from, to, &said) {
                continue;
            }
            match self.hosts[to].condition {
                Condition::Off => {}
                Condition::Running => self.wire.push_back((to, packet)),
                Condition::Frozen => self.hosts[to].backlog.push(packet),
            }
        }
    }

    fn deliver(&mut self) {
        let mut deliveries = 0;
        while let Some((to, packet)) = self.wire.pop_front() {
            deliveries += 1;
            assert!(deliveries < 1_000, "a storm at {:?}", self.now);
            self.hear(to, &packet);
            self.give(to, Input::Tick);
        }
    }

    fn hear(&mut self, host: usize, packet: &[u8; LEN]) {
        let from = Heartbeat::parse(packet).unwrap().node;
        self.give(host, Input::Heard { from, ttl: 255, bytes: packet });
    }

    /// A moment without length does not count as a gap, but as two owners it would.
    fn watch(&mut self) {
        let (now, owners) = (self.now.as_micros() / 1_000, self.owners());
        self.has_had_two_owners |= owners.len() > 1;
        if self.history.len() > 1 && self.history.last().is_some_and(|(since, _)| *since == now) {
            self.history.pop();
        }
        if self.history.last().is_none_or(|(_, last)| *last != owners) {
            self.history.push((now, owners));
        }
    }
}
