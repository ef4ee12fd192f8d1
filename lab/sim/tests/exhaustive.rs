//! Every way in which a few packets can be lost or late, and a node can die or restart, in the first seconds of a small group.
//!
//! A run is a tree: at each packet it may arrive, be lost, or come after the next heartbeat; before each wake-up a node may
//! lose power. Faults are few and end at [`HEAL`]; then the group has until [`END`] to come to rest. Clocks do not drift,
//! keepers answer at once. `stateright` walks through the tree; a state is known by what its cores print for debugging.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

use ha::config::MAX_LINKS;
use ha::node::{Input, Link, Node, Output};
use ha::time::Instant;
use ha::wire::{Context, Heartbeat, LEN, NodeId, Seal};
use ha_sim::settings::Settings;
use ha_sim::time::{Time, Us};
use stateright::{Checker, Model, Property};

/// How much may go wrong.
#[derive(Debug, Clone, Copy)]
struct Group {
    nodes: u16,
    /// Packets lost or late.
    packets: u8,
    /// Nodes that lose power.
    deaths: u8,
    /// They are on again at once, and know nothing.
    they_return: bool,
    /// An ACTIVE that is overdue is asked.
    suspicion: bool,
}

#[derive(Debug, Clone)]
struct State {
    now: Us,
    machines: Vec<Machine>,
    /// Under way, in the order of their sending.
    packets: Vec<Packet>,
    /// Sent, and their fate is open; the last is the next.
    open: Vec<Packet>,
    packets_left: u8,
    deaths_left: u8,
    boots: u64,
    /// There are two owners since then.
    doubled_since: Option<Us>,
}

#[derive(Debug, Clone)]
struct Machine {
    node: Option<Node>,
    has_address: bool,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    at: Us,
    from: usize,
    to: usize,
    bytes: [u8; LEN],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Arrives,
    IsLost,
    IsLate,
    /// The earliest of what is due happens.
    Time,
    Dies(usize),
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let machine = || Machine { node: None, has_address: false };
        let machines = (0..self.nodes).map(|_| machine()).collect();
        let (packets_left, deaths_left) = (self.packets, self.deaths);
        let mut state = State {
            now: 0,
            machines,
            packets: Vec::new(),
            open: Vec::new(),
            packets_left,
            deaths_left,
            boots: 0,
            doubled_since: None,
        };
        for n in 0..state.machines.len() {
            state.now = n as Us * APART;
            state.start(n, self);
        }
        // No node ran yet that could have heard these packets.
        state.open.clear();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_early = state.now < HEAL;
        if !state.open.is_empty() {
            actions.push(Action::Arrives);
            if is_early && state.packets_left > 0 {
                actions.extend([Action::IsLost, Action::IsLate]);
            }
            return;
        }
        if state.now >= END {
            return;
        }
        actions.push(Action::Time);
        if is_early && state.deaths_left > 0 {
            actions.extend((0..state.machines.len()).map(Action::Dies));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Arrives => {
                let packet = state.open.pop()?;
                state.packets.push(Packet { at: state.now + FLIGHT, ..packet });
            }
            Action::IsLost => {
                state.open.pop();
                state.packets_left -= 1;
            }
            Action::IsLate => {
                let packet = state.open.pop()?;
                state.packets.push(Packet { at: state.now + LATE, ..packet });
                state.packets_left -= 1;
            }
            Action::Time => state.step(),
            Action::Dies(n) => {
                state.deaths_left -= 1;
                state.machines[n] = Machine { node: None, has_address: false };
                if self.they_return {
                    state.start(n, self);
                }
            }
        }
        let is_double = state.owners().count() > 1;
        state.doubled_since = is_double.then_some(state.doubled_since.unwrap_or(state.now));
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCUSED, |group: &Self, state: &State| {
                state.owners().count() < 2 || state.packets_left < group.packets
            }),
            Property::always(SOON_ONE, |_, state: &State| {
                state.doubled_since.is_none_or(|since| state.now <= since + OVERLAP)
            }),
            Property::always(WELL, |_, state: &State| {
                let best = state.machines.iter().position(|machine| machine.node.is_some());
                state.now < END || state.owners().eq(best)
            }),
            Property::sometimes(TWO, |_, state: &State| state.owners().count() == 2),
        ]
    }
}

const EXCUSED: &str = "two owners without a lost packet";
const SOON_ONE: &str = "two owners for long";
const WELL: &str = "another owner than the most worthy at the end";
const TWO: &str = "two owners";

impl State {
    fn owners(&self) -> impl Iterator<Item = usize> {
        (0..self.machines.len()).filter(|&n| self.machines[n].has_address)
    }

    fn start(&mut self, n: usize, group: &Group) {
        self.boots += 1;
        let worthiness = 200 - u16::try_from(n).expect("a small group");
        let config =
            Settings { worthiness, suspicion: group.suspicion, ..Settings::default() }.config().expect("it works");
        let now = Instant::from_micros(self.now);
        self.machines[n].node = Some(Node::new(config, Seal::public(Context::of_group(1)), self.boots, now));
        self.give(n, Input::Link(Link::Up { node: id(n), prefix: 24, macs: [[2; 6]; MAX_LINKS], already: true }));
        self.give(n, Input::Tick);
    }

    /// The earliest packet arrives, or the earliest deadline has come.
    fn step(&mut self) {
        let packet = self.packets.iter().enumerate().min_by_key(|(_, packet)| packet.at);
        let packet = packet.map(|(index, packet)| (packet.at, index));
        let deadline = |n: usize| Some((self.machines[n].node.as_ref()?.deadline()?.as_micros(), n));
        let wake = (0..self.machines.len()).filter_map(deadline).min();
        match (packet, wake) {
            (Some((at, index)), _) if wake.is_none_or(|wake| at <= wake.0) => {
                let Packet { from, to, bytes, .. } = self.packets.remove(index);
                self.now = at;
                self.give(to, Input::Heard { at: Instant::from_micros(at), from: id(from), ttl: 255, bytes: &bytes });
                self.give(to, Input::Tick);
            }
            (_, Some((at, n))) => {
                self.now = self.now.max(at);
                self.give(n, Input::Tick);
            }
            (_, None) => self.now = END,
        }
    }

    fn give(&mut self, n: usize, input: Input<'_>) {
        let now = Instant::from_micros(self.now);
        let Some(node) = &mut self.machines[n].node else { return };
        let outputs = node.handle(now, input);
        let mut answers = Vec::new();
        for output in &outputs {
            match output {
                Output::Send(bytes) => {
                    let to = (0..self.machines.len()).rev().filter(|&to| to != n);
                    let at = self.now;
                    self.open.splice(0..0, to.map(|to| Packet { at, from: n, to, bytes: *bytes }));
                }
                Output::Take => {
                    self.machines[n].has_address = true;
                    answers.push(Input::Taken);
                }
                Output::Release => {
                    self.machines[n].has_address = false;
                    answers.push(Input::Released);
                }
                Output::AssertAbsent => self.machines[n].has_address = false,
                Output::Refresh
                | Output::Announce(_)
                | Output::Ask(_)
                | Output::Probe { .. }
                | Output::Changed { .. }
                | Output::PutBack
                | Output::Note(_) => {}
            }
        }
        for answer in answers {
            self.give(n, answer);
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// By what it prints: the core offers nothing else, and needs nothing else.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        struct Into<'a, H>(&'a mut H);
        impl<H: Hasher> fmt::Write for Into<'_, H> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        write!(Into(hasher), "{self:?}").expect("a hasher takes everything");
    }
}

fn id(n: usize) -> NodeId {
    NodeId::from_v4(Ipv4Addr::from(0x0a00_0001 + u32::try_from(n).expect("a small group")))
}

/// Walks through everything; what was found, with the way there.
fn explore(group: Group) -> Vec<&'static str> {
    let start = std::time::Instant::now();
    let checker = group.checker().threads(2).spawn_dfs().join();
    println!("{group:?}: {} states in {:.1?}", checker.unique_state_count(), start.elapsed());
    let mut found: Vec<_> = checker.discoveries().into_iter().collect();
    found.sort_by_key(|(name, _)| *name);
    for (name, path) in &found {
        println!("{name}:");
        for (state, action) in path.clone().into_vec() {
            tell(&state, action);
        }
    }
    found.into_iter().map(|(name, _)| name).collect()
}

fn tell(state: &State, action: Option<Action>) {
    let at = Time(state.now);
    match (state.open.last(), action) {
        (Some(Packet { from, to, bytes, .. }), Some(action)) => {
            let said = Heartbeat::parse(bytes).expect("the core sends sense");
            let Heartbeat { kind, seq, state, flags, .. } = said;
            println!("{at}  {from} -> {to}  {kind} {seq}, {state}, flags {flags}: {action:?}");
        }
        (None, Some(Action::Time)) | (_, None) => {}
        (None, Some(action)) => println!("{at}  {action:?}, owners {:?}", state.owners().collect::<Vec<_>>()),
    }
}

/// As the daemon is by default.
fn group(nodes: u16, packets: u8, deaths: u8) -> Group {
    Group { nodes, packets, deaths, they_return: false, suspicion: true }
}

#[test]
fn a_node_that_dies_and_returns_makes_no_second_owner_as_long_as_no_packet_is_lost() {
    for nodes in [2, 3] {
        for they_return in [false, true] {
            assert!(explore(Group { they_return, ..group(nodes, 0, 1) }).is_empty());
        }
    }
    assert!(explore(Group { they_return: true, ..group(2, 0, 2) }).is_empty());
}

#[test]
fn few_lost_or_late_packets_make_no_second_owner() {
    assert!(explore(group(2, 3, 0)).is_empty());
    assert!(explore(group(3, 2, 0)).is_empty());
}

#[test]
fn without_suspicion_three_lost_heartbeats_make_two_owners_but_not_for_long() {
    assert_eq!(explore(Group { suspicion: false, ..group(2, 3, 0) }), [TWO]);
}

#[test]
fn a_lost_packet_and_a_death_make_no_second_owner() {
    assert!(explore(group(2, 2, 1)).is_empty());
    assert!(explore(group(3, 1, 1)).is_empty());
}

/// *Ready* is said in one packet: if that is lost, two that get ready within its flight both take the address.
#[test]
fn a_lost_packet_and_a_restart_can_make_two_owners_but_not_for_long() {
    assert_eq!(explore(Group { they_return: true, ..group(2, 1, 1) }), [TWO]);
}

/// No faults after this.
const HEAL: Us = 8_000_000;

/// Then everything must be well: a tolerance, as much again to settle, and four intervals.
const END: Us = HEAL + 2 * 3_500_000 + 4_000_000;

/// Between the starts of two nodes.
const APART: Us = 300_000;

/// Two owners are one again after the next heartbeat and an interval for the answer.
const OVERLAP: Us = 2_100_000;

const FLIGHT: Us = 200;

/// Overtaken by the next heartbeat.
const LATE: Us = 1_100_000;
