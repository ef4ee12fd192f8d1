//! Whatever comes in, in whatever order, at whatever time.

use std::collections::VecDeque;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::budget::Budget;
use crate::wire::nd;

/// What the world does to a node.
#[derive(Debug, Clone)]
enum Deed {
    /// Time passes; a tick, early or late.
    Tick {
        after_us: u64,
    },
    /// The shell sleeps until the deadline and ticks.
    TickWhenDue,
    /// A call with an earlier time.
    TickInThePast {
        by_us: u64,
    },
    /// A genuine packet.
    Heard {
        voice: usize,
        said: Said,
    },
    /// Anything else.
    Garbage {
        bytes: Vec<u8>,
        ttl: u8,
    },
    /// The shell answers the oldest question.
    Answer {
        is_good: bool,
    },
    LinkUp {
        already: bool,
    },
    LinkDown,
    Lost,
    MacChanged,
    Resolution(Resolution),
    Neighbour {
        last: u8,
        is_gateway: bool,
    },
    Shutdown,
}

#[derive(Debug, Clone)]
struct Said {
    is_claim: bool,
    state: State,
    flags: u8,
    following: u8,
    restarts: bool,
    hold_ms: u64,
    addresses: u32,
}

fn said() -> impl Strategy<Value = Said> {
    let state = prop_oneof![
        4 => Just(State::Standby),
        4 => Just(State::Active),
        1 => Just(State::Unfit),
        1 => Just(State::Shutdown),
    ];
    let hold_ms = prop_oneof![Just(3_500), 2..100_000_u64];
    let addresses = prop_oneof![4 => Just(0), 1 => any::<u32>()];
    (any::<bool>(), state, any::<u8>(), 0..5_u8, prop::bool::weighted(0.05), hold_ms, addresses).prop_map(
        |(is_claim, state, flags, following, restarts, hold_ms, addresses)| Said {
            is_claim,
            state,
            flags,
            following,
            restarts,
            hold_ms,
            addresses,
        },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => prop_oneof![Just(0), 0..10_000_u64, 0..2_000_000_u64, 0..20_000_000_u64]
            .prop_map(|after_us| Deed::Tick { after_us }),
        20 => Just(Deed::TickWhenDue),
        1 => (0..100_000_000_u64).prop_map(|by_us| Deed::TickInThePast { by_us }),
        12 => (0..4_usize, said()).prop_map(|(voice, said)| Deed::Heard { voice, said }),
        1 => (prop::collection::vec(any::<u8>(), 0..120), any::<u8>())
            .prop_map(|(bytes, ttl)| Deed::Garbage { bytes, ttl }),
        12 => prop::bool::weighted(0.95).prop_map(|is_good| Deed::Answer { is_good }),
        2 => any::<bool>().prop_map(|already| Deed::LinkUp { already }),
        1 => Just(Deed::LinkDown),
        1 => Just(Deed::Lost),
        1 => Just(Deed::MacChanged),
        6 => resolution().prop_map(Deed::Resolution),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(last, is_gateway)| Deed::Neighbour { last, is_gateway }),
        1 => prop::bool::weighted(0.1).prop_map(|is_so| if is_so { Deed::Shutdown } else { Deed::MacChanged }),
    ]
}

/// Mostly of a few hosts and the first of the shared addresses, in either family.
fn resolution() -> impl Strategy<Value = Resolution> {
    let last = || prop_oneof![4 => Just(100), 4 => 1..8_u8, 1 => any::<u8>()];
    let address = |is_v4: bool, last: u8| if is_v4 { host(last) } else { host_6(last) };
    let to_all = |is_v4: bool| if is_v4 { Ipv4Addr::UNSPECIFIED.into() } else { nd::ALL_NODES.into() };
    let mac = prop_oneof![8 => (1..20_u8).prop_map(|mac| Some([2, 0, 0, 0, 0, mac])), 1 => Just(None)];
    (any::<(bool, bool, bool)>(), 0..2_u8, mac, last(), prop::option::of(last())).prop_map(
        move |((is_v4, is_reply, is_to_all), link, mac, from, to)| Resolution {
            link,
            is_reply,
            mac,
            from: address(is_v4, from),
            to: to.map_or(to_all(is_v4), |to| address(is_v4, to)),
            is_to_all,
        },
    )
}

fn some_config() -> impl Strategy<Value = Config> {
    let times = prop_oneof![Just((1_000, 3_500)), Just((10, 35)), Just((100, 350)), Just((1_000, 10_000))];
    let worthiness = prop_oneof![1 => Just(0), 6 => Just(100)];
    // A bit for each address that is one of IPv6.
    let families = prop_oneof![3 => Just(0), 1 => Just(u16::MAX), 2 => any::<u16>()];
    // And one for each that is on the second link.
    let links = prop_oneof![3 => Just(0), 1 => any::<u16>()];
    (times, worthiness, any::<bool>(), prop::bool::weighted(0.8), 1..=16_u8, families, links).prop_map(
        |((interval_ms, tolerance_ms), worthiness, sticky, lease, addresses, families, links)| {
            config(|params| {
                params.interval = Duration::from_millis(interval_ms);
                params.tolerance = Duration::from_millis(tolerance_ms);
                (params.worthiness, params.sticky, params.lease) = (worthiness, sticky, lease);
                params.addresses.clear();
                for index in 0..addresses {
                    let is_v6 = families & 1 << index != 0;
                    let address = if is_v6 { host_6(100 + index) } else { host(100 + index) };
                    params.links[usize::from(index)] = u8::from(links & 1 << index != 0);
                    params.addresses.push(Cidr::new(address, if is_v6 { 64 } else { 24 })).unwrap();
                }
            })
        },
    )
}

/// A node, and what is known about it from outside.
struct Watched {
    node: Node,
    now: Instant,
    voices: Vec<Voice>,
    /// Questions that the shell has not answered yet.
    questions: VecDeque<Output>,
    /// From Take to Release.
    may_have_it: bool,
    /// From Taken to Release.
    has_it: bool,
    seq: u64,
    /// A second account of ARP frames.
    frames: Budget,
}

impl Watched {
    fn new(config: Config) -> Self {
        let voices = [(20, 200), (30, 50), (9, 100), (40, 0)].map(|(last, worth)| Voice::new(last, worth)).into();
        let node = Node::new(config, Seal::public(HERE), 1, at(1_000));
        let questions = VecDeque::new();
        Self {
            node,
            now: at(1_000),
            voices,
            questions,
            may_have_it: false,
            has_it: false,
            seq: 0,
            frames: Budget::new(8, 10, at(1_000)),
        }
    }

    fn perform(&mut self, deed: &Deed) {
        match *deed {
            Deed::Tick { after_us } => {
                self.now = self.now + Duration::from_micros(after_us);
                self.give(Input::Tick);
            }
            Deed::TickWhenDue => self.tick_when_due(),
            Deed::TickInThePast { by_us } => {
                self.give_at(Instant::from_micros(self.now.as_micros().saturating_sub(by_us)), Input::Tick);
            }
            Deed::Heard { voice, ref said } => {
                let packet = self.packet(voice, said);
                let from = self.voices[voice].0.node;
                self.give(Input::Heard { at: self.now, from, ttl: 255, bytes: &packet });
            }
            Deed::Garbage { ref bytes, ttl } => self.give(Input::Heard { at: self.now, from: id(66), ttl, bytes }),
            Deed::Answer { is_good } => match self.questions.pop_front() {
                Some(Output::Take) if is_good => {
                    self.has_it = self.may_have_it;
                    self.give(Input::Taken);
                }
                Some(Output::Take | Output::Refresh) if !is_good => self.give(Input::Refused),
                Some(Output::Release) => self.give(Input::Released),
                _ => {}
            },
            Deed::LinkUp { already } => {
                self.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already }))
            }
            Deed::LinkDown => self.give(Input::Link(Link::Down(Unfit::NoCarrier))),
            Deed::Lost => self.give(Input::Lost),
            Deed::MacChanged => self.give(Input::MacChanged([[2, 0, 0, 0, 0, 11]; MAX_LINKS])),
            Deed::Resolution(said) => self.give(Input::Resolution(said)),
            Deed::Neighbour { last, is_gateway } => {
                let address = if last % 4 == 0 { host_6(last) } else { host(last) };
                self.give(Input::Neighbour { link: last % 2, address, is_gateway });
            }
            Deed::Shutdown => self.give(Input::Shutdown),
        }
    }

    fn packet(&mut self, voice: usize, said: &Said) -> [u8; LEN] {
        if said.restarts {
            self.voices[voice].restarts();
        }
        let flags = [Flags::SETTLED, Flags::STICKY, Flags::READY, Flags::RELEASED];
        self.voices[voice].says_with(|heartbeat| {
            heartbeat.kind = if said.is_claim { Kind::Claim } else { Kind::Heartbeat };
            heartbeat.state = said.state;
            heartbeat.flags =
                (0..4).fold(Flags::default(), |all, bit| all.with(flags[bit], said.flags >> bit & 1 == 1));
            heartbeat.following =
                [None, Some(ME), Some(id(20)), Some(id(30)), Some(id(99))][usize::from(said.following)];
            heartbeat.interval = Duration::from_millis(said.hold_ms) / 2;
            heartbeat.hold = Duration::from_millis(said.hold_ms);
            heartbeat.addresses ^= said.addresses;
        })
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

    fn give(&mut self, input: Input<'_>) {
        self.give_at(self.now, input);
    }

    /// Hands it in and looks at everything that comes out; the node takes what lies in the past for now.
    fn give_at(&mut self, at: Instant, input: Input<'_>) {
        let before = self.node.role.clone();
        // A lease that has just begun is as good as one just renewed, for one packet.
        let mut is_new = matches!(input, Input::Taken);
        let outputs = self.node.handle(at, input);
        let text = words(&outputs);
        for (index, output) in outputs.iter().enumerate() {
            match *output {
                Output::Send(packet) => {
                    let said = Heartbeat::parse(&packet).unwrap();
                    assert!(said.seq > self.seq, "the sequence grows: {text}");
                    self.seq = said.seq;
                    assert!(!self.may_have_it || said.state == State::Active, "release before yield: {text}");
                    let is_refreshed = index > 0 && outputs[index - 1] == Output::Refresh;
                    let is_counted = std::mem::take(&mut is_new) || is_refreshed;
                    assert!(!self.has_it || is_counted, "refresh before send: {text}");
                }
                Output::Take => {
                    assert!(!matches!(before, Role::Unfit { .. } | Role::Shutdown), "{before:?} takes: {text}");
                    assert_eq!(self.node.state(), State::Active, "{text}");
                    assert!(self.node.config().worthiness() > 0, "{text}");
                    self.may_have_it = true;
                    self.questions.push_back(*output);
                }
                Output::Release => {
                    (self.may_have_it, self.has_it) = (false, false);
                    // A repetition is answered with the first one.
                    if !self.questions.contains(output) {
                        self.questions.push_back(*output);
                    }
                }
                Output::Refresh => {
                    assert!(self.has_it, "nothing to refresh: {text}");
                    // Only a refusal would be an answer; it may come with the next question.
                    if self.questions.is_empty() {
                        self.questions.push_back(*output);
                    }
                }
                Output::Announce(index) => {
                    assert!(self.has_it, "nothing to announce: {text}");
                    assert!(usize::from(index) < self.node.config().addresses().len());
                    let address = self.node.config().addresses()[usize::from(index)].address;
                    let count = if address.is_ipv4() { 2 } else { 1 };
                    assert!(self.frames.spend(count, self.now), "too many frames: {text}");
                }
                Output::Ask(ask) => {
                    assert!(self.has_it, "nobody to ask: {text}");
                    assert!(usize::from(ask.index) < self.node.config().addresses().len());
                    assert!(self.frames.spend(1, self.now), "too many frames: {text}");
                }
                Output::Probe { .. } => assert!(self.frames.spend(1, self.now), "too many frames: {text}"),
                Output::AssertAbsent => assert!(!self.may_have_it, "it is meant to be there: {text}"),
                Output::Changed { .. } | Output::PutBack | Output::Note(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_deeds_breaks_a_promise(
        config in some_config(),
        deeds in prop::collection::vec(deed(), 1..200),
    ) {
        let mut watched = Watched::new(config);
        watched.perform(&Deed::LinkUp { already: true });
        for deed in &deeds {
            watched.perform(deed);
        }
    }
}
