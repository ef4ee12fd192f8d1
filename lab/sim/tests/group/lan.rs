//! A LAN for stories: packets arrive at once, keepers answer at once, clocks do not drift; nodes start, fail and return when
//! the story says so.

use std::collections::BTreeMap;

use ha_sim::fault::What;
use ha_sim::plan::{Net, NodePlan, Plan};
use ha_sim::time::FOREVER;
use ha_sim::trace::{Mark, Trace};
use ha_sim::world::{Loss, World};

pub struct Lan {
    world: World,
    /// The nodes that have the address, from which millisecond on.
    pub history: Vec<(u64, Vec<usize>)>,
    pub has_had_two_owners: bool,
    hosts: Vec<Host>,
    cuts: Vec<usize>,
    lines_read: usize,
}

#[derive(Default)]
struct Host {
    has_started: bool,
    is_owner: bool,
    /// Numbers of the faults because of which it does not run.
    downs: Vec<usize>,
    freeze: Option<usize>,
}

impl Lan {
    /// Nodes that are off.
    pub fn new(worthinesses: &[u16]) -> Self {
        Self::with(worthinesses, |_| {})
    }

    /// The same, otherwise than by default.
    pub fn with(worthinesses: &[u16], change: impl Fn(&mut NodePlan)) -> Self {
        let mut plan = Plan::plain(u16::try_from(worthinesses.len()).unwrap(), 0);
        for (node, &worthiness) in plan.nodes.iter_mut().zip(worthinesses) {
            node.settings.worthiness = worthiness;
            node.starts_at = FOREVER;
            change(node);
        }
        plan.net = Net { delay: 0, ..plan.net };
        (plan.end, plan.heal_at) = (FOREVER, FOREVER);
        Self {
            world: World::new(&plan, Trace::on()),
            history: vec![(0, Vec::new())],
            has_had_two_owners: false,
            hosts: worthinesses.iter().map(|_| Host::default()).collect(),
            cuts: Vec::new(),
            lines_read: 0,
        }
    }

    /// All started at once, and 10 s later.
    pub fn settled(worthinesses: &[u16]) -> Self {
        let mut lan = Self::new(worthinesses);
        lan.settle();
        lan
    }

    /// All of them, behind a fence, with this interval and tolerance in milliseconds, and 10 s later.
    pub fn fenced(worthinesses: &[u16], [interval_ms, tolerance_ms]: [u64; 2]) -> Self {
        let mut lan = Self::with(worthinesses, |node| {
            node.fence = Some(1_000);
            node.settings.interval = interval_ms * 1_000;
            node.settings.tolerance = tolerance_ms * 1_000;
            node.settings.preempt_delay = node.settings.tolerance;
        });
        lan.settle();
        lan
    }

    /// Starts all of them, and lets 10 s pass.
    pub fn settle(&mut self) {
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        self.run_until(10_000);
    }

    pub fn start(&mut self, host: usize) {
        if !std::mem::replace(&mut self.hosts[host].has_started, true) {
            self.world.start_now(host);
        }
        for fault in std::mem::take(&mut self.hosts[host].downs) {
            self.world.end_now(fault);
        }
        self.run(0);
    }

    pub fn stop(&mut self, host: usize) {
        self.down(host, What::Stop(host, None));
    }

    /// The daemon dies; the address stays until its lease ends.
    pub fn kill(&mut self, host: usize) {
        self.down(host, What::Kill(host));
    }

    /// The keeper dies, and the worker with it.
    pub fn kill_keeper(&mut self, host: usize) {
        self.down(host, What::Orphan(host));
    }

    /// The machine dies, and its address with it.
    pub fn cut_power(&mut self, host: usize) {
        self.down(host, What::Power(host));
    }

    fn down(&mut self, host: usize, what: What) {
        self.hosts[host].downs.push(self.world.begin_now(what));
        if let Some(freeze) = self.hosts[host].freeze.take() {
            self.world.end_now(freeze);
        }
        self.run(0);
    }

    pub fn freeze(&mut self, host: usize) {
        self.hosts[host].freeze = Some(self.world.begin_now(What::Freeze(host)));
    }

    /// Its socket kept the last packets, or, if the whole machine stood still, none.
    pub fn thaw(&mut self, host: usize, keeps_backlog: bool) {
        if !keeps_backlog {
            self.world.lose_unread(host);
        }
        if let Some(freeze) = self.hosts[host].freeze.take() {
            self.world.end_now(freeze);
        }
        self.run(0);
    }

    /// Nothing gets through between `host` and the others.
    pub fn isolate(&mut self, host: usize) {
        self.cut(What::Deaf(host));
        self.cut(What::Dumb(host));
    }

    pub fn cut(&mut self, what: What) {
        self.cuts.push(self.world.begin_now(what));
    }

    pub fn lose(&mut self, loss: Loss) {
        self.world.lose(Some(loss));
    }

    pub fn heal(&mut self) {
        for cut in std::mem::take(&mut self.cuts) {
            self.world.end_now(cut);
        }
        self.world.lose(None);
    }

    pub fn run_until(&mut self, millis: u64) {
        self.world.run_until(millis * 1_000);
        self.read_lines();
        assert_eq!(self.world.violation(), None);
    }

    pub fn run(&mut self, millis: u64) {
        self.run_until(self.now() + millis);
    }

    /// The time in milliseconds.
    pub fn now(&self) -> u64 {
        self.world.now() / 1_000
    }

    pub fn owners(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&host| self.hosts[host].is_owner).collect()
    }

    pub fn is_running(&self, host: usize) -> bool {
        !self.is_off(host) && !self.is_frozen(host)
    }

    pub fn is_frozen(&self, host: usize) -> bool {
        self.hosts[host].freeze.is_some()
    }

    /// Not started, dead, or told to stop.
    pub fn is_off(&self, host: usize) -> bool {
        !self.hosts[host].has_started || !self.hosts[host].downs.is_empty()
    }

    /// Where the client believes each address to be, in the order of their texts.
    pub fn entries(&self) -> Vec<(String, String)> {
        let mut entries = BTreeMap::new();
        for line in self.world.lines().iter().filter(|line| line.mark == Mark::Client) {
            let (mac, address) = line.text.strip_prefix("client learns ").unwrap().split_once(" for ").unwrap();
            entries.insert(address.to_owned(), mac.to_owned());
        }
        entries.into_iter().collect()
    }

    /// True if a node has noted something that begins with `text`.
    pub fn has_noted(&self, text: &str) -> bool {
        self.world
            .lines()
            .iter()
            .any(|line| line.text.strip_prefix("note: ").is_some_and(|note| note.starts_with(text)))
    }

    /// Ownership from now on.
    pub fn forget_history(&mut self) {
        self.history = vec![(self.now(), self.owners())];
        self.has_had_two_owners = false;
    }

    /// Milliseconds without an owner, in the history.
    pub fn blackout(&self) -> u64 {
        let ends = self.history.iter().skip(1).map(|(since, _)| *since).chain([self.now()]);
        let spans = self.history.iter().zip(ends);
        spans.filter(|((_, owners), _)| owners.is_empty()).map(|((since, _), end)| end - since).sum()
    }

    /// A moment without length does not count as a gap, but as two owners it would.
    fn read_lines(&mut self) {
        let lines = self.world.lines()[self.lines_read..].to_vec();
        self.lines_read += lines.len();
        for line in lines {
            let (Some(host), Mark::Owner(is_owner)) = (line.node, line.mark) else { continue };
            self.hosts[host].is_owner = is_owner;
            let (at, owners) = (line.at / 1_000, self.owners());
            self.has_had_two_owners |= owners.len() > 1;
            if self.history.len() > 1 && self.history.last().is_some_and(|(since, _)| *since == at) {
                self.history.pop();
            }
            if self.history.last().is_none_or(|(_, last)| *last != owners) {
                self.history.push((at, owners));
            }
        }
    }
}
