//! A LAN full of cores in virtual time: the queue of events, and how each is carried out.
//!
//! The machines keep the contract of the daemon's loop: on each wake-up everything received is handed in first, then a
//! tick, then what else is new; the outputs are carried out in their order and answered; then it sleeps until the deadline.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::IpAddr;

use ha::wire::Resolution;
use ha::wire::routine::is_routine;

use crate::bounds::Bounds;
use crate::checkers::rest::Trouble;
use crate::checkers::{Checks, Status, Violation};
use crate::fault::Fault;
use crate::lan::{Damage, Fate, Lan, Packet, Packets};
use crate::machine::{Datagram, KnownLink, Machine, Order, SOCKET_ROOM};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::time::{FOREVER, Us};
use crate::trace::{Line, Mark, Trace};

mod arp;
mod daemon;
mod story;
mod trouble;

use arp::{News, Question};
pub use story::Loss;

/// One run.
#[derive(Debug)]
pub struct World {
    now: Us,
    seed: u64,
    end: Us,
    faults: Vec<Fault>,
    queue: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    machines: Vec<Machine>,
    lan: Lan,
    packets: Packets,
    checks: Checks,
    trace: Trace,
    luck: Rng,
    /// The nodes share a secret key.
    keyed: bool,
    /// The switches drop probes.
    is_inspected: bool,
    /// A router answers for every IPv4 address.
    has_router: bool,
    /// What an attacker without the key has recorded: in the end, packets of all times.
    recorded: Vec<Packet>,
    /// Packets that get lost because a story says so.
    loss: Option<Loss>,
}

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// Virtual time until the end or the violation.
    pub lasted: Us,
    /// How often the address moved.
    pub moves: u64,
    /// Packets sent.
    pub packets: u64,
    /// Most packets that one node sent in an interval.
    pub most_packets: u64,
    /// Longest that the address still moved after the last trouble.
    pub longest_unrest: Us,
}

/// The earliest is first; of those at the same time the first that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Us,
    order: u64,
    event: Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The daemon starts for the first time.
    Start(usize),
    /// The process may have something to do.
    Wake {
        node: usize,
        boot: u64,
    },
    /// A packet arrives.
    Arrive {
        node: usize,
        packet: u32,
        damage: Damage,
        is_copy: bool,
    },
    /// The keeper has done something.
    Kept {
        node: usize,
        boot: u64,
    },
    /// A lease may have run out.
    Expire(usize),
    /// A fence may have closed.
    Shut(usize),
    /// The client hears that an address is at this hardware address.
    Learn {
        address: IpAddr,
        mac: u64,
        news: News,
    },
    /// ARP or ND that names an address comes to a machine.
    Arp {
        node: usize,
        said: Resolution,
    },
    /// A machine, or the client, is asked by ARP or ND.
    Asked {
        target: usize,
        asker: usize,
        what: Question,
    },
    /// A node that was refused the address then has tried again since.
    Retried {
        node: usize,
        refused_at: Us,
    },
    /// The machine finds out about its carrier.
    LinkNews(usize),
    /// A port is not deaf any more.
    Undeaf(usize),
    /// A recorded packet is played back, as long as this fault lasts.
    Replay {
        every: Us,
        until: Us,
    },
    /// A fault begins, or ends.
    Begin(usize),
    End(usize),
}

impl Entry {
    /// One number, since two that are compared one after the other cost a branch that nobody can predict.
    fn key(&self) -> u128 {
        u128::from(self.at) << 64 | u128::from(self.order)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl World {
    /// The beginning of this plan.
    pub fn new(plan: &Plan, trace: Trace) -> Self {
        let machines: Vec<Machine> =
            plan.nodes.iter().enumerate().map(|(n, node)| Machine::new(n, node, plan.seed)).collect();
        let mut world = Self {
            now: 0,
            seed: plan.seed,
            end: plan.end,
            faults: plan.faults.clone(),
            queue: BinaryHeap::new(),
            entries: 0,
            lan: Lan::new(plan.net, plan.seed, machines.len()),
            packets: Packets::default(),
            checks: Checks::new(Bounds::of(plan), machines.iter().map(status).collect(), plan.keyed),
            trace,
            luck: Rng::new(plan.seed, LUCK),
            keyed: plan.keyed,
            is_inspected: plan.is_inspected,
            has_router: plan.has_router,
            recorded: Vec::new(),
            loss: None,
            machines,
        };
        for (node, planned) in plan.nodes.iter().enumerate().filter(|(_, node)| node.is_present) {
            world.at(planned.starts_at, Event::Start(node));
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            world.at(fault.at, Event::Begin(index));
            if fault.lasts < FOREVER {
                world.at(fault.at + fault.lasts, Event::End(index));
            }
        }
        world.checks.trouble(0, Trouble::Other);
        world
    }

    /// Runs to the end, or to the first violation.
    pub fn run(mut self) -> (Outcome, Vec<Line>) {
        self.play_until(self.end);
        if let Some(violation) = &self.checks.violation {
            self.trace.line(violation.at, None, Mark::Broken, || format!("BROKEN {}", violation.text));
        }
        let outcome = Outcome {
            lasted: self.checks.violation.as_ref().map_or(self.end, |_| self.now),
            violation: self.checks.violation,
            moves: self.checks.rest.moves,
            packets: self.checks.duties.sent,
            most_packets: self.checks.duties.most,
            longest_unrest: self.checks.rest.longest_unrest,
        };
        (outcome, self.trace.lines())
    }

    /// Plays what happens until `end`, or until the first violation.
    fn play_until(&mut self, end: Us) {
        while let Some(Reverse(Entry { at, event, .. })) = self.queue.peek().copied().filter(|entry| entry.0.at <= end)
        {
            self.look_until(at);
            if self.checks.violation.is_some() {
                return;
            }
            self.queue.pop();
            self.now = at;
            self.happen(event);
        }
        self.look_until(end);
    }

    /// Everything that falls due before `at`.
    fn look_until(&mut self, at: Us) {
        while self.checks.due() < at {
            let due = self.checks.due() + 1;
            self.checks.look(due);
        }
    }

    fn at(&mut self, at: Us, event: Event) {
        self.entries += 1;
        self.queue.push(Reverse(Entry { at, order: self.entries, event }));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(node) => {
                self.machines[node].downs -= 1;
                self.start(node);
            }
            Event::Wake { node, boot } => {
                let process = self.machines[node].process.as_deref_mut();
                let Some(process) = process.filter(|process| process.boot == boot) else { return };
                process.entered_at.take_if(|at| *at == self.now);
                if process.wakes_at <= self.now {
                    self.wake(node);
                }
            }
            Event::Arrive { node, packet, damage, is_copy } => {
                let at = self.machines[node].local(self.now);
                self.arrive(node, Datagram { packet, damage, is_copy, arrived_at: self.now, at });
            }
            Event::Kept { node, boot } => {
                if self.machines[node].process.as_deref().is_some_and(|process| process.boot == boot) {
                    self.keep_next(node);
                }
            }
            Event::Expire(node) => self.expire(node),
            Event::Shut(node) => self.shut(node),
            Event::Learn { address, mac, news } => self.client_hears(address, mac, news),
            Event::Arp { node, said } => self.arp_arrives(node, said),
            Event::Asked { target, asker, what } => self.answer(target, asker, what),
            Event::Retried { node, refused_at } => {
                let machine = &mut self.machines[node];
                if machine.refused_at == Some(refused_at) {
                    machine.refused_at = None;
                    self.trouble(Trouble::Other);
                    self.report(node);
                }
            }
            Event::LinkNews(node) => self.wake_soon(node),
            Event::Undeaf(node) => {
                self.trouble(Trouble::Other);
                self.isolate(node, true, true, false);
            }
            Event::Replay { every, until } => self.replay(every, until),
            Event::Begin(index) => self.begin(index),
            Event::End(index) => self.finish(index),
        }
    }

    /// A packet comes to a machine.
    fn arrive(&mut self, node: usize, datagram: Datagram) {
        let machine = &mut self.machines[node];
        let is_plugged = machine.unplugs == 0 && machine.pauses == 0;
        let listener = machine.process.as_deref_mut().filter(|process| process.link == KnownLink::Up);
        let believes_in_link = listener.is_some();
        let Some(process) = listener.filter(|_| is_plugged) else {
            if believes_in_link && !datagram.is_copy {
                // The carrier went while the packet was under way, and may be back before anybody looks.
                self.missed(datagram.packet, node);
            }
            self.packets.drop(datagram.packet);
            return;
        };
        let is_routine = datagram.damage == Damage::None && is_routine(&self.packets.get(datagram.packet).bytes);
        let socket = if is_routine { &mut process.routine } else { &mut process.urgent };
        if socket.len() >= SOCKET_ROOM {
            self.missed(datagram.packet, node);
            self.packets.drop(datagram.packet);
            return;
        }
        socket.push_back(datagram);
        if machine.freezes == 0 && process.is_called(datagram.at) {
            if machine.plan.wake == 0 { self.wake(node) } else { self.wake_soon(node) }
        }
    }

    /// This packet will not be handed in in time.
    fn missed(&mut self, packet: u32, to: usize) {
        let from = self.packets.get(packet).from;
        self.missed_between(from, to);
    }

    fn missed_between(&mut self, from: usize, to: usize) {
        self.checks.owners.missed(self.now, from, to);
        if self.machines[from].can_talk() && self.machines[to].can_talk() {
            self.trouble(Trouble::Other);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.checks.trouble(self.now, trouble);
    }

    /// Tells the checkers what is true of this node now.
    fn report(&mut self, node: usize) {
        let status = status(&self.machines[node]);
        let before = self.checks.all[node];
        if before.is_owner != status.is_owner {
            let text = if status.is_owner { "has the address" } else { "does not have the address any more" };
            self.trace.line(self.now, Some(node), Mark::Owner(status.is_owner), || text.to_owned());
        }
        self.checks.update(self.now, node, status);
    }

    fn wake_soon(&mut self, node: usize) {
        self.wake_at(node, self.now + self.machines[node].plan.wake);
    }

    fn wake_at(&mut self, node: usize, at: Us) {
        let Some(process) = self.machines[node].process.as_deref_mut() else { return };
        if at >= process.wakes_at {
            return;
        }
        process.wakes_at = at;
        // What was heard seldom changes the deadline: mostly the entry of the turn before is still there.
        if process.entered_at != Some(at) {
            process.entered_at = Some(at);
            let boot = process.boot;
            self.at(at, Event::Wake { node, boot });
        }
    }
}

fn status(machine: &Machine) -> Status {
    let is_dead = !machine.is_running || !machine.is_scheduled();
    Status {
        is_owner: machine.is_owner(),
        is_fit: machine.is_fit(),
        is_doubtful: machine.is_doubtful(),
        is_stray: is_dead && machine.kernel.is_exposed() && machine.kernel.gone.at == FOREVER,
        can_talk: machine.can_talk(),
        is_fenced: machine.kernel.fence.is_some(),
        is_sticky: machine.settings.sticky,
        rank: (machine.settings.worthiness, Reverse(machine.id)),
        mac: machine.mac,
    }
}

/// Orders that change nothing for a keeper that has nothing else to do.
fn is_light(order: Order) -> bool {
    matches!(order, Order::Refresh | Order::AssertAbsent)
}

/// The name of the dice for what belongs to no node, link or kernel.
const LUCK: u64 = 2;
