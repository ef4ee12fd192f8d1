//! The state machine: its table, its promises by name, and what holds whatever happens. Stories of several nodes are in
//! lab/sim/tests.
//!
//! Here is what they share: a node on a bench with its own clock, and peers that say what the script tells them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::taking::Taking;
use super::*;
use crate::config::{Cidr, MAX_LINKS, Params};
use crate::counters::Drop;
use crate::neighbours::Ask;
use crate::peers::Peer;
use crate::time::Duration;
use crate::wire::{Context, Flags, Heartbeat, LEN, NodeId, Resolution};

mod announcing;
mod conflict;
mod election;
mod evidence;
mod families;
mod fenced;
mod handover;
mod links;
mod missing;
mod packets;
mod probing;
mod promises;
mod properties;
mod quorum;
mod routine;
mod suspicion;
mod table;
mod trust;

/// The node on the bench is 192.0.2.10; its worthiness is 100 unless a test says otherwise.
const ME: NodeId = id(10);

const fn id(last: u8) -> NodeId {
    NodeId::new(host(last))
}

/// A host on the LAN of the node.
const fn host(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// The same by its IPv6 address.
fn host_6(last: u8) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into()
}

const MAC: Mac = [2, 0, 0, 0, 0, 10];

const ADDRESS: IpAddr = host(100);

/// A host with another hardware address answers a probe: it has the shared address.
fn answer() -> Resolution {
    let to = Ipv4Addr::UNSPECIFIED.into();
    Resolution { link: 0, is_reply: true, mac: Some([2; 6]), from: ADDRESS, to, is_to_all: false }
}

/// It says so to all, and nobody has asked.
fn claim() -> Resolution {
    Resolution { is_reply: false, to: ADDRESS, is_to_all: true, ..answer() }
}

const fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// One shared address and the original's times: interval 1 s, tolerance 3.5 s, link delay 10 s.
fn params() -> Params {
    let mut params = Params::default();
    params.addresses.push(Cidr::new(ADDRESS, 24)).unwrap();
    params
}

fn config(change: impl FnOnce(&mut Params)) -> Config {
    let mut params = params();
    change(&mut params);
    Config::new(params).unwrap()
}

/// Where all packets belong.
const HERE: Context = Context::of_group(1);

/// A node, its clock, and a shell that answers at once or not at all.
#[derive(Debug)]
struct Bench {
    node: Node,
    now: Instant,
    /// Answers Take with Taken and Release with Released.
    obliges: bool,
    sent: Vec<Heartbeat>,
    /// What was asked for by probes.
    probed: Vec<IpAddr>,
}

impl Bench {
    /// Without a link.
    fn new(change: impl FnOnce(&mut Params)) -> Self {
        let node = Node::new(config(change), Seal::public(HERE), 1, at(0));
        Self { node, now: at(0), obliges: true, sent: Vec::new(), probed: Vec::new() }
    }

    /// With a link that was up before we looked.
    fn up(change: impl FnOnce(&mut Params)) -> Self {
        let mut bench = Self::new(change);
        bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
        bench
    }

    /// ACTIVE since 3.5 s, because nobody else is there.
    fn active(change: impl FnOnce(&mut Params)) -> Self {
        let mut bench = Self::up(change);
        bench.run_until(3_900);
        assert!(matches!(bench.node.role, Role::Active(_)), "{bench:?}");
        bench
    }

    /// STANDBY for 5 s, following the ACTIVE `voice`.
    fn following(voice: &mut Voice, change: impl FnOnce(&mut Params)) -> Self {
        let mut bench = Self::up(change);
        for second in 0..=5 {
            bench.run_until(second * 1_000);
            bench.hear(&voice.says(State::Active));
        }
        bench
    }

    /// When the node became ACTIVE, which it is.
    fn active_since(&self) -> Instant {
        let Role::Active(active) = &self.node.role else { panic!("{self:?}") };
        active.since
    }

    /// What came out, in words; behind a bar what came out when the shell answered.
    fn give(&mut self, input: Input<'_>) -> String {
        let outputs = self.node.handle(self.now, input);
        let mut text = words(&outputs);
        for output in &outputs {
            if let Output::Send(packet) = output {
                self.sent.push(Heartbeat::parse(packet).unwrap());
            }
            if let Output::Probe { address, .. } = output {
                self.probed.push(*address);
            }
            let answer = match output {
                Output::Take => Input::Taken,
                Output::Release => Input::Released,
                _ => continue,
            };
            if self.obliges {
                text = format!("{text} | {}", self.give(answer));
            }
        }
        text
    }

    fn hear(&mut self, packet: &[u8; LEN]) -> String {
        let from = Heartbeat::parse(packet).unwrap().node;
        self.give(Input::Heard { at: self.now, from, ttl: 255, bytes: packet })
    }

    /// Ticks at every deadline up to `millis`, and then stands there; what came out, by the millisecond.
    fn run_until(&mut self, millis: u64) -> Vec<String> {
        let mut diary = Vec::new();
        let mut repeats = 0;
        while let Some(deadline) = self.node.deadline().filter(|&deadline| deadline <= at(millis)) {
            self.now = self.now.max(deadline);
            let text = self.give(Input::Tick);
            if !text.is_empty() {
                diary.push(format!("{} {text}", self.now.as_micros() / 1_000));
            }
            repeats = if self.node.deadline().is_some_and(|next| next <= self.now) { repeats + 1 } else { 0 };
            assert!(repeats < 3, "it spins at {:?}: {diary:?}", self.now);
        }
        self.now = self.now.max(at(millis));
        diary
    }

    /// Lets `millis` pass without a single call, as if frozen.
    fn sleep(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    fn after(&mut self, millis: u64) -> Vec<String> {
        self.run_until(self.now.as_micros() / 1_000 + millis)
    }

    fn last_sent(&self) -> Heartbeat {
        *self.sent.last().unwrap()
    }
}

/// A peer that says what it is told to say.
#[derive(Debug, Clone)]
struct Voice(Heartbeat);

impl Voice {
    /// Settled and ready, with the times and addresses of the node on the bench.
    fn new(last: u8, worthiness: u16) -> Self {
        let config = config(|_| {});
        Self(Heartbeat {
            flags: Flags::SETTLED.with(Flags::READY, true),
            worthiness,
            boot: u64::from(last) << 8,
            seq: 0,
            addresses: config.addresses_hash(),
            ..Heartbeat::plain(id(last))
        })
    }

    /// More worthy than the node on the bench.
    fn more() -> Self {
        Self::new(20, 200)
    }

    /// Less worthy than the node on the bench.
    fn less() -> Self {
        Self::new(30, 50)
    }

    fn says(&mut self, state: State) -> [u8; LEN] {
        self.says_with(|said| said.state = state)
    }

    fn claims(&mut self) -> [u8; LEN] {
        self.says_with(|said| (said.kind, said.following) = (Kind::Claim, Some(ME)))
    }

    fn asks(&mut self) -> [u8; LEN] {
        self.says_with(|said| (said.kind, said.following) = (Kind::Query, Some(ME)))
    }

    fn yields_to(&mut self, successor: NodeId) -> [u8; LEN] {
        self.says_with(|said| {
            said.following = Some(successor);
            said.flags = said.flags.with(Flags::RELEASED, true);
        })
    }

    fn resigns(&mut self) -> [u8; LEN] {
        self.says_with(|said| {
            said.state = State::Shutdown;
            said.flags = said.flags.with(Flags::RELEASED, true);
        })
    }

    /// A heartbeat of a STANDBY, changed.
    fn says_with(&mut self, change: impl FnOnce(&mut Heartbeat)) -> [u8; LEN] {
        self.0.seq += 1;
        let mut said = self.0;
        change(&mut said);
        Seal::public(HERE).sign(&said)
    }

    /// It crashed and started again.
    fn restarts(&mut self) {
        (self.0.boot, self.0.seq, self.0.flags) = (self.0.boot + 1, 0, Flags::default());
    }
}

/// `refresh say:active announce0 standby>active`
fn words(outputs: &Outputs) -> String {
    outputs.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn word(output: &Output) -> String {
    match output {
        Output::Send(packet) => {
            let said = Heartbeat::parse(packet).unwrap();
            match said.kind {
                Kind::Heartbeat => format!("say:{}", said.state),
                Kind::Claim => "claim".to_string(),
                Kind::Query => "query".to_string(),
                Kind::Challenge => "challenge".to_string(),
                Kind::Response => "respond".to_string(),
            }
        }
        Output::Take => "take".to_string(),
        Output::Refresh => "refresh".to_string(),
        Output::Release => "release".to_string(),
        Output::AssertAbsent => "absent".to_string(),
        Output::Announce(index) => format!("announce{index}"),
        Output::Ask(Ask { index, neighbour: IpAddr::V4(neighbour), .. }) => {
            format!("ask{index}:{}", neighbour.octets()[3])
        }
        Output::Ask(Ask { index, neighbour, .. }) => format!("ask{index}:{neighbour}"),
        Output::Probe { link: 0, address: ADDRESS } => "probe0".to_string(),
        Output::Probe { address: IpAddr::V6(address), .. } => format!("probe:{address}"),
        Output::Probe { link: 0, address: IpAddr::V4(_) } => "decoy".to_string(),
        Output::Probe { link, address } => format!("probe:{address}/{link}"),
        Output::Changed { from, to, .. } => format!("{from}>{to}"),
        Output::PutBack => "put-back".to_string(),
        Output::Note(Note::Met { .. }) => "note:met".to_string(),
        Output::Note(Note::Alone) => "note:alone".to_string(),
        Output::Note(Note::Missing { .. }) => "note:missing".to_string(),
        Output::Note(Note::MoreMissing { others }) => format!("note:missing+{others}"),
        Output::Note(Note::Back { .. }) => "note:back".to_string(),
        Output::Note(Note::Defended { .. }) => "note:defended".to_string(),
        Output::Note(Note::OtherAddresses { .. }) => "note:addresses".to_string(),
        Output::Note(Note::OtherTiming { .. }) => "note:timing".to_string(),
        Output::Note(Note::Repaired) => "note:repaired".to_string(),
        Output::Note(Note::Conflict { .. }) => "note:conflict".to_string(),
        Output::Note(Note::Proxy { .. }) => "note:proxy".to_string(),
        Output::Note(Note::InUse { .. }) => "note:in-use".to_string(),
        Output::Note(Note::Covered(_)) => "note:covered".to_string(),
        Output::Note(Note::Dropped { .. }) => "note:dropped".to_string(),
    }
}
