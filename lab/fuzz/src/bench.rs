//! The node, its shadow, its shell, the other members, and the attacker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use ha::config::{Cidr, Config, MAX_LINKS, Params};
use ha::counters::Drop;
use ha::node::{Input, Link, Node, Note, Output, Outputs, Unfit};
use ha::time::{Duration, Instant};
use ha::wire::Resolution;
use ha::wire::arp::Mac;
use ha::wire::heartbeat::SEALED_LEN;
use ha::wire::{Context, Flags, Heartbeat, Key, Kind, LEN, NodeId, Seal, State};

use crate::reached::Reached;
use crate::script::{Step, Verb};

pub struct Bench {
    node: Node,
    /// What the node would be without the attacker.
    shadow: Node,
    now: Instant,
    seals: Seals,
    members: [Member; 4],
    /// The packets of the members, heard by the node or not, without the oldest.
    records: VecDeque<(NodeId, [u8; LEN])>,
    manners: Manners,
    /// Questions that the shell has not answered yet.
    questions: VecDeque<Output>,
    /// Members that were asked and have not answered yet.
    asked: VecDeque<usize>,
    /// The last nonce to each, until it is answered.
    open: BTreeMap<NodeId, u64>,
    nonces: BTreeSet<u64>,
    /// Of the challenge that is being heard.
    asks: Option<u64>,
    /// From Take to Release.
    may_have_it: bool,
    /// From Taken to Release.
    has_it: bool,
    me: NodeId,
    last_said: Option<[u8; LEN]>,
    seq: u64,
    reached: Reached,
}

/// Which side answers by itself.
struct Manners {
    shell: bool,
    members: bool,
}

struct Seals {
    /// The members'.
    genuine: Seal,
    /// The node's after a rotation: it signs with another key, and takes both.
    rotated: Seal,
    others: [Seal; 2],
}

struct Member {
    word: Heartbeat,
}

impl Bench {
    pub fn new([times, sizes, manners, seed]: [u8; 4]) -> Self {
        let seals = Seals::new();
        let now = Instant::from_micros(1_000_000);
        let node = Node::new(config(times, sizes), seals.genuine.clone(), 1_000 + u64::from(seed), now);
        let members = [(20, 200), (30, 50), (9, 100), (40, 0)].map(|(last, worth)| Member::new(last, worth, &node));
        let mut bench = Self {
            shadow: node.clone(),
            node,
            now,
            seals,
            members,
            records: VecDeque::new(),
            manners: Manners { shell: manners & 1 == 0, members: manners & 2 == 0 },
            questions: VecDeque::new(),
            asked: VecDeque::new(),
            open: BTreeMap::new(),
            nonces: BTreeSet::new(),
            asks: None,
            may_have_it: false,
            has_it: false,
            me: ME[0],
            last_said: None,
            seq: 0,
            reached: Reached::default(),
        };
        if manners & 4 == 0 {
            bench.give(Input::Link(Link::Up { node: ME[0], prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
        }
        bench
    }

    pub fn perform(&mut self, Step { verb, a, b, c }: Step) {
        self.reached.steps += 1;
        match verb {
            Verb::Due => self.tick_when_due(),
            Verb::Tick => {
                let unit_us = [1, 1_000, 100_000, 2_000_000][usize::from(a % 4)];
                self.now = self.now + Duration::from_micros(unit_us).saturating_mul(b.into());
                self.give(Input::Tick);
            }
            Verb::Past => {
                let now = self.now;
                self.now = Instant::from_micros(now.as_micros().saturating_sub(u64::from(a) * 10_000));
                self.give(Input::Tick);
                self.now = now;
            }
            Verb::Shell => self.answer_question(a % 16 != 0),
            Verb::Says => {
                let member = usize::from(a % 4);
                let said = self.word(a, b, c);
                self.members[member].word.seq = said.seq;
                self.say(&said, c & 1 == 0);
            }
            Verb::Answers => self.prove(usize::from(a % 4), b & 1 == 0),
            Verb::Restarts => self.members[usize::from(a % 4)].restart(),
            Verb::Plays => {
                if let Some((from, packet)) = self.record(a) {
                    self.hear(from, &packet);
                }
            }
            Verb::Forges => self.forge(a, b, c),
            Verb::Damages => {
                if let Some((from, mut packet)) = self.record(a) {
                    let bit = usize::from(u16::from_le_bytes([b, c])) % (8 * LEN);
                    packet[bit / 8] ^= 1 << (bit % 8);
                    assert!(!self.seals.genuine.is_genuine(&packet), "bit {bit} is not covered");
                    self.suffer(from, 255, &packet);
                }
            }
            Verb::Misroutes => {
                if let Some((from, packet)) = self.record(a) {
                    self.suffer(from, b.min(254), &packet);
                }
            }
            Verb::Misattributes => {
                if let Some((from, packet)) = self.record(a) {
                    let source = source(b);
                    if source != from {
                        self.suffer(source, 255, &packet);
                    }
                }
            }
            Verb::Echoes => self.echo(a),
            Verb::Garbage => {
                let bytes: Vec<u8> = (0..a).map(|index| b.wrapping_mul(index | 1) ^ index).collect();
                self.suffer(source(c), 255, &bytes);
            }
            Verb::LinkUp => {
                self.me = ME[usize::from(b % 2)];
                let prefix = [24, 32, 0, 31, 28, 16, 8, 30][usize::from(c % 8)];
                self.give(Input::Link(Link::Up { node: self.me, prefix, macs: [MAC; MAX_LINKS], already: a & 1 == 1 }));
            }
            Verb::LinkDown => self.give(Input::Link(Link::Down(Unfit::NoCarrier))),
            Verb::Lost => self.give(Input::Lost),
            Verb::MacChanged => self.give(Input::MacChanged([MAC; MAX_LINKS])),
            Verb::Arp => {
                let address = |number: u8| IpAddr::from([192, 0, 2, if number < 128 { 100 } else { number }]);
                let (mac, is_reply, is_to_all) = (Some([2, 0, 0, 0, 0, c >> 4]), c & 1 == 1, c & 2 == 2);
                let to = if c & 4 == 4 { Ipv4Addr::UNSPECIFIED.into() } else { address(b) };
                self.give(Input::Resolution(Resolution { link: 0, is_reply, mac, from: address(a), to, is_to_all }));
            }
            Verb::Neighbour => {
                let address = IpAddr::from([192, 0, 2, a]);
                self.give(Input::Neighbour { link: 0, address, is_gateway: b & 1 == 1 });
            }
            Verb::Rotates => {
                for node in [&mut self.node, &mut self.shadow] {
                    node.use_seal(self.seals.rotated.clone());
                }
            }
            Verb::Shutdown if a % 8 == 0 => self.give(Input::Shutdown),
            Verb::Shutdown => {}
        }
        self.mind_manners();
    }

    /// Lets some more time pass: what is hidden in the state shows in what comes of it.
    pub fn finish(mut self) -> Reached {
        self.compare_all();
        for _ in 0..12 {
            self.tick_when_due();
            self.mind_manners();
        }
        self.compare_all();
        self.reached
    }

    fn tick_when_due(&mut self) {
        let Some(deadline) = self.node.deadline() else { return };
        self.now = self.now.max(deadline);
        for _ in 0..3 {
            self.give(Input::Tick);
            if self.node.deadline().is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("it spins at {:?}", self.now);
    }

    fn mind_manners(&mut self) {
        for _ in 0..MOST_ANSWERS {
            if self.manners.shell && !self.questions.is_empty() {
                self.answer_question(true);
            } else if let Some(member) = self.asked.pop_front().filter(|_| self.manners.members) {
                self.prove(member, true);
            } else {
                return;
            }
        }
        panic!("questions without end");
    }

    fn answer_question(&mut self, is_good: bool) {
        match self.questions.pop_front() {
            Some(Output::Take) if is_good => {
                self.has_it = self.may_have_it;
                self.reached.taken += u32::from(self.has_it);
                self.give(Input::Taken);
            }
            Some(Output::Take | Output::Refresh) if !is_good => self.give(Input::Refused),
            Some(Output::Release) => {
                self.reached.released += 1;
                self.give(Input::Released);
            }
            _ => {}
        }
    }

    /// A member answers the last challenge to it.
    fn prove(&mut self, member: usize, arrives: bool) {
        let word = &mut self.members[member].word;
        let Some(&nonce) = self.open.get(&word.node) else { return };
        word.seq += 1;
        let said = Heartbeat { kind: Kind::Response, nonce, ..*word };
        self.say(&said, arrives);
    }

    fn say(&mut self, said: &Heartbeat, arrives: bool) {
        let packet = self.seals.genuine.sign(said);
        if self.records.len() == MOST_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back((said.node, packet));
        if arrives {
            self.hear(said.node, &packet);
        }
    }

    fn record(&self, number: u8) -> Option<(NodeId, [u8; LEN])> {
        // Of the latest first, so that a story that grows means the same.
        let back = usize::from(number) % self.records.len().max(1);
        self.records.iter().rev().nth(back).copied()
    }

    /// What a member says next.
    fn word(&self, a: u8, b: u8, c: u8) -> Heartbeat {
        let word = self.members[usize::from(a % 4)].word;
        let kind = [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response, Kind::Heartbeat];
        let kind = kind[usize::from(a >> 4) % kind.len()];
        let flags = [Flags::SETTLED, Flags::STICKY, Flags::SEALED, Flags::READY, Flags::RELEASED];
        let following =
            [None, Some(self.me), Some(word.node), Some(self.members[0].word.node), Some(id(99)), None, None, None];
        let hold = [3_500, 3_500, 350, 60_000][usize::from(c >> 1 & 3)];
        Heartbeat {
            kind,
            state: State::from_byte(a >> 2 & 3).expect("two bits"),
            flags: (0..5).fold(Flags::default(), |all, bit| all.with(flags[bit], b >> bit & 1 == 1)),
            following: following[usize::from(b >> 5)],
            seq: word.seq + 1,
            interval: Duration::from_millis(hold) / 3,
            hold: Duration::from_millis(hold),
            addresses: word.addresses ^ u32::from(c >> 6),
            nonce: if matches!(kind, Kind::Challenge | Kind::Response) { u64::from(c) << 32 | word.seq } else { 0 },
            ..word
        }
    }

    fn forge(&mut self, a: u8, b: u8, c: u8) {
        let mut said = self.word(a, b, c);
        // An attacker that hears the challenge knows the nonce.
        if let Some(&nonce) = self.open.get(&said.node).filter(|_| said.kind == Kind::Response) {
            said.nonce = nonce;
        }
        let mut packet = self.seals.others[usize::from(c >> 3 & 1)].sign(&said);
        match c >> 4 & 3 {
            0 => packet[SEALED_LEN..].fill(0),
            1 => {
                if let Some((_, genuine)) = self.records.back() {
                    packet[SEALED_LEN..].copy_from_slice(&genuine[SEALED_LEN..]);
                }
            }
            _ => {}
        }
        self.suffer(said.node, 255, &packet);
    }

    fn echo(&mut self, a: u8) {
        let Some(packet) = self.last_said else { return };
        if a & 1 == 0 {
            self.suffer(self.me, 255, &packet);
            return;
        }
        let said = Heartbeat::parse(&packet).expect("it was sent");
        let before = Heartbeat { node: self.me, boot: 1, state: State::Active, ..said };
        self.suffer(self.me, 255, &self.seals.genuine.sign(&before));
    }

    /// Hands in a packet that a member sent, now or long ago.
    fn hear(&mut self, from: NodeId, packet: &[u8; LEN]) {
        let said = Heartbeat::parse(packet).expect("members make sense");
        self.asks = (said.kind == Kind::Challenge && said.following == Some(self.me)).then_some(said.nonce);
        let before = self.node.peers().get(from).copied();
        let nonce = self.open.get(&from).copied();
        self.give(Input::Heard { at: self.now, from, ttl: 255, bytes: packet });
        self.asks = None;

        let after = self.node.peers().get(from).copied();
        let last = |peer: Option<ha::peers::Peer>| peer.map(|peer| (peer.said.boot, peer.said.seq, peer.heard_at));
        if last(before) == last(after) {
            return;
        }
        self.reached.believed += 1;
        let is_known = before.is_some_and(|before| {
            before.is_alive(self.now) && before.said.boot == said.boot && before.said.seq < said.seq
        });
        let is_proven = said.kind == Kind::Response && nonce == Some(said.nonce);
        assert!(is_known || is_proven, "{said:?} is believed after {before:?} and the question {nonce:?}");
        assert!(before.is_none_or(|before| before.said.boot <= said.boot), "an earlier boot is believed: {said:?}");
        if is_proven {
            self.open.remove(&from);
        }
    }

    /// Hands in a packet that no member sent, or that came another way.
    fn suffer(&mut self, from: NodeId, ttl: u8, bytes: &[u8]) {
        let not_counted = |node: &Node| {
            let of_members = [Drop::Duplicate, Drop::Replayed, Drop::Unproven, Drop::Full];
            of_members.map(|cause| node.counters().dropped(cause))
        };
        let sum = |node: &Node| node.counters().drops().map(|(_, count)| count).sum::<u64>();
        let (before, drops) = (not_counted(&self.node), sum(&self.node));
        let heard = |ttl, bytes| Input::Heard { at: self.now, from, ttl, bytes };
        self.give_both(heard(ttl, bytes), heard(255, &[]));
        assert_eq!(not_counted(&self.node), before, "it was taken for a member's: {bytes:?}");
        assert!(sum(&self.node) <= drops + 1, "counted more than once");
        self.reached.refused += 1;
    }

    fn give(&mut self, input: Input<'_>) {
        self.give_both(input, input);
    }

    fn give_both(&mut self, input: Input<'_>, shadows: Input<'_>) {
        let outputs = self.node.handle(self.now, input);
        let expected = self.shadow.handle(self.now, shadows);
        assert!(
            counting(&outputs).eq(counting(&expected)),
            "{input:?}\n leads to {outputs:?}\n instead of {expected:?}"
        );
        let answers = |node: &Node| (node.state(), node.deadline(), node.is_finished());
        assert_eq!(answers(&self.node), answers(&self.shadow), "after {input:?}");
        self.watch(&outputs, matches!(input, Input::Taken));
    }

    /// What both know is the same.
    fn compare_all(&self) {
        assert_eq!(knowledge(&self.node), knowledge(&self.shadow));
        assert_eq!(self.node.resign_packet(), self.shadow.resign_packet());
    }

    /// Promises about everything that comes out. A lease that has just begun is as good as one just renewed, for one packet.
    fn watch(&mut self, outputs: &Outputs, mut is_lease_new: bool) {
        self.reached.most_outputs = self.reached.most_outputs.max(outputs.len());
        for (index, output) in outputs.iter().enumerate() {
            match *output {
                Output::Send(packet) => {
                    self.watch_packet(&packet, outputs);
                    let is_refreshed = index > 0 && outputs[index - 1] == Output::Refresh;
                    let is_counted = std::mem::take(&mut is_lease_new) || is_refreshed;
                    assert!(!self.has_it || is_counted, "refresh before send: {outputs:?}");
                }
                Output::Take => {
                    assert_eq!(self.node.state(), State::Active, "{outputs:?}");
                    assert!(self.node.config().worthiness() > 0, "{outputs:?}");
                    self.may_have_it = true;
                    self.ask(*output);
                }
                Output::Release => {
                    (self.may_have_it, self.has_it) = (false, false);
                    // A repetition is answered with the first one.
                    if !self.questions.contains(output) {
                        self.ask(*output);
                    }
                }
                Output::Refresh => {
                    assert!(self.has_it, "nothing to refresh: {outputs:?}");
                    // Only a refusal would be an answer; it may come with the next question.
                    if self.questions.is_empty() && !self.manners.shell {
                        self.ask(*output);
                    }
                }
                Output::Announce(index) => {
                    assert!(self.has_it, "nothing to announce: {outputs:?}");
                    assert!(usize::from(index) < self.node.config().addresses().len());
                }
                Output::Ask(ask) => {
                    assert!(self.has_it, "nobody to ask: {outputs:?}");
                    assert!(usize::from(ask.index) < self.node.config().addresses().len());
                }
                Output::AssertAbsent => assert!(!self.may_have_it, "it is meant to be there: {outputs:?}"),
                Output::Probe { .. } | Output::Changed { .. } | Output::PutBack | Output::Note(_) => {}
            }
        }
    }

    fn watch_packet(&mut self, packet: &[u8; LEN], outputs: &Outputs) {
        let said = Heartbeat::parse(packet).expect("what is sent makes sense");
        assert!(self.seals.rotated.is_genuine(packet), "what is sent is signed");
        assert_eq!(said.node, self.me);
        assert!(said.seq > self.seq, "the sequence grows: {outputs:?}");
        assert!(!self.may_have_it || said.state == State::Active, "release before yield: {outputs:?}");
        self.seq = said.seq;
        self.last_said = Some(*packet);
        match said.kind {
            Kind::Challenge => {
                let node = said.following.expect("a challenge has an addressee");
                assert!(self.nonces.insert(said.nonce), "nonce {} was used before", said.nonce);
                self.open.insert(node, said.nonce);
                self.asked.extend(self.members.iter().position(|member| member.word.node == node));
                self.reached.asked += 1;
            }
            Kind::Response => assert_eq!(Some(said.nonce), self.asks, "an answer to nothing"),
            Kind::Heartbeat | Kind::Claim | Kind::Query => assert_eq!(said.nonce, 0),
        }
    }

    fn ask(&mut self, question: Output) {
        self.questions.push_back(question);
        assert!(self.questions.len() < 10_000, "the shell is asked without end");
    }
}

impl Seals {
    fn new() -> Self {
        let [genuine, next, stolen] = [1, 2, 3].map(|byte| Key::from_bytes([byte; Key::LEN]));
        Self {
            genuine: Seal::keyed(std::slice::from_ref(&genuine), Context::of_group(1)),
            rotated: Seal::keyed(&[next, genuine], Context::of_group(1)),
            others: [Seal::keyed(&[stolen], Context::of_group(1)), Seal::public(Context::of_group(1))],
        }
    }
}

impl Member {
    fn new(last: u8, worthiness: u16, node: &Node) -> Self {
        Self {
            word: Heartbeat {
                flags: Flags::SEALED,
                worthiness,
                boot: u64::from(last) << 32,
                seq: 0,
                addresses: node.config().addresses_hash(),
                ..Heartbeat::plain(id(last))
            },
        }
    }

    /// Real boots are random; here they grow, so that an earlier one shows.
    fn restart(&mut self) {
        self.word.boot += 1;
        self.word.seq = 0;
    }
}

fn config(times: u8, sizes: u8) -> Config {
    let (interval_ms, tolerance_ms) = [(1_000, 3_500), (10, 35), (100, 350), (1_000, 10_000)][usize::from(times & 3)];
    let mut params = Params {
        interval: Duration::from_millis(interval_ms),
        tolerance: Duration::from_millis(tolerance_ms),
        worthiness: [100, 100, 0, 300][usize::from(times >> 2 & 3)],
        sticky: times >> 4 & 1 == 1,
        lease: times >> 5 & 1 == 0,
        suspicion: times >> 6 & 1 == 0,
        quorum: sizes >> 4 & 3,
        ..Params::default()
    };
    for last in 100..=100 + (sizes & 15) {
        params.addresses.push(Cidr::new(IpAddr::from([192, 0, 2, last]), 24)).expect("at most 16");
    }
    Config::new(params).expect("parameters that work together")
}

/// All fields of a node, those of its parts included, but for [`DROPS`]: a line each, or several.
fn knowledge(node: &Node) -> String {
    let text = format!("{node:#?}");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().peekable();
    let (mut kept, mut left_out) = (String::new(), Vec::new());
    while let Some(line) = lines.next() {
        let name = line.trim_start().split_once(": ").map_or("", |(name, _)| name);
        if DROPS.contains(&name) {
            left_out.push(name);
            // Its value goes on below, further to the right, until a bracket closes it.
            let goes_on = |next: &&str| indent(next) > indent(line);
            let closes = |next: &&str| indent(next) == indent(line) && next.trim_start().starts_with([')', '}', ']']);
            while lines.next_if(|next| goes_on(next) || closes(next)).is_some() {}
        } else {
            kept.extend([line, "\n"]);
        }
    }
    left_out.sort_unstable();
    assert_eq!(left_out, DROPS, "fields that a node has once each: {text}");
    kept
}

/// The fields of a node that show what it dropped: how much, and when the last packet with a wrong tag came.
const DROPS: [&str; 2] = ["counters", "forged_at"];

/// All but words about dropped packets, and the one that may guess at another key.
fn counting(outputs: &Outputs) -> impl Iterator<Item = &Output> {
    outputs.iter().filter(|output| !matches!(output, Output::Note(Note::Dropped { .. } | Note::InUse { .. })))
}

/// A member, the node itself, a stranger, and one of another subnet.
fn source(number: u8) -> NodeId {
    let sources = [20, 30, 9, 40, 10, 66].map(id);
    sources.get(usize::from(number % 8)).copied().unwrap_or(NodeId::from_v4([number; 4].into()))
}

const MAC: Mac = [2, 0, 0, 0, 0, 10];

const fn id(last: u8) -> NodeId {
    NodeId::from_v4(Ipv4Addr::new(192, 0, 2, last))
}

/// The node, and the address that it may change to.
const ME: [NodeId; 2] = [id(10), id(11)];

const MOST_RECORDS: usize = 64;

/// A challenge leads to an answer, and that to no more than another question to the shell.
const MOST_ANSWERS: usize = 32;
