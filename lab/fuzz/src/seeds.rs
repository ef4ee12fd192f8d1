//! What fuzzers begin with: packets and stories that get somewhere. `cargo run -p ha-fuzz --example seeds` writes them anew.

use std::net::{Ipv4Addr, Ipv6Addr};

use ha::time::Duration;
use ha::wire::heartbeat::{OLD_LEN, OLD_VERSION};
use ha::wire::{Context, Flags, Heartbeat, Key, Kind, NodeId, Seal, State, arp, nd};

use crate::script::{HALF_A_SECOND, STEP_LEN, Step, Verb, says};

/// One file of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The function that it is for.
    pub target: &'static str,
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The corpus.
pub fn seeds() -> Vec<Seed> {
    let stories = stories().into_iter().map(|(name, circumstances, steps)| Seed {
        target: "node",
        name: name.to_owned(),
        bytes: std::iter::once(circumstances).chain(steps.into_iter().map(Step::emit)).flatten().collect(),
    });
    packets().into_iter().chain(stories).collect()
}

fn packets() -> Vec<Seed> {
    let seed = |name: String, bytes: &[u8]| Seed { target: "packet", name, bytes: bytes.to_vec() };
    let node = NodeId::from_v4(Ipv4Addr::new(192, 0, 2, 10));
    let plain = Heartbeat { boot: 0x5eed, addresses: 0xdead_beef, ..Heartbeat::plain(node) };
    let flags = [Flags::SETTLED, Flags::STICKY, Flags::SEALED, Flags::READY, Flags::RELEASED];
    let full = Heartbeat {
        group: 255,
        flags: flags.into_iter().fold(Flags::default(), |all, flag| all.with(flag, true)),
        worthiness: u16::MAX,
        following: Some(node),
        boot: u64::MAX,
        seq: u64::MAX,
        interval: Duration::from_micros(u64::from(u32::MAX) - 1),
        hold: Duration::from_micros(u32::MAX.into()),
        nonce: u64::MAX,
        ..plain
    };
    let (public, keyed) =
        (Seal::public(Context::of_group(1)), Seal::keyed(&[Key::from_bytes([7; Key::LEN])], Context::of_group(1)));
    let mut seeds = Vec::new();
    for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response] {
        for state in [State::Standby, State::Active, State::Unfit, State::Shutdown] {
            seeds.push(seed(format!("{kind}-{state}"), &public.sign(&Heartbeat { kind, state, ..plain })));
        }
    }
    seeds.push(seed("full".to_owned(), &keyed.sign(&full)));
    let signed = public.sign(&plain);
    seeds.push(seed("nothing".to_owned(), &[]));
    seeds.push(seed("short".to_owned(), &signed[..signed.len() - 1]));
    seeds.push(seed("long".to_owned(), &[&signed[..], &[0]].concat()));
    for (name, at, byte) in [("magic", 0, 0), ("version", 2, 3), ("kind", 3, 5), ("group", 4, 0), ("state", 5, 4)] {
        let mut packet = signed;
        packet[at] = byte;
        seeds.push(seed(format!("wrong-{name}"), &packet));
    }
    let mut unknown = signed;
    unknown[6..8].fill(0xff);
    let mut old = [0; OLD_LEN];
    old[..5].copy_from_slice(&[b'h', b'a', OLD_VERSION, 0, plain.group]);
    seeds.push(seed("version-1".to_owned(), &old));
    seeds.push(seed("unknown-flags".to_owned(), &unknown));
    seeds.push(seed("arp".to_owned(), &arp::gratuitous_request([2, 0, 0, 0, 0, 9], Ipv4Addr::new(192, 0, 2, 1))));
    let (mac, address) = ([2, 0, 0, 0, 0, 9], Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    for (name, frame) in [
        ("advertisement", nd::advertisement(mac, address, true)),
        ("solicitation", nd::solicitation(mac, address, address, None)),
    ] {
        // Behind the headers of Ethernet and IPv6, as a raw socket gives it.
        seeds.push(seed(name.to_owned(), &frame[54..]));
    }
    seeds
}

type Story = (&'static str, [u8; STEP_LEN], Vec<Step>);

/// Circumstances of zeros: the original's times, one address, worthiness 100, and everybody answers at once.
fn stories() -> Vec<Story> {
    let alone = repeat(40, &[step(Verb::Due, 0, 0, 0)]);
    let attacks: Vec<Step> = (0..64)
        .flat_map(|round: u8| {
            let (member, kind, state) = (round % 4, round % 5, round / 4 % 4);
            let forged = says(member, kind, state, round % 32, round % 5, round << 1);
            [
                Step { verb: Verb::Forges, ..forged },
                step(Verb::Damages, round, round.wrapping_mul(37), round % 3),
                step(Verb::Misroutes, round, round, 0),
                step(Verb::Misattributes, round, round, 0),
                step(Verb::Echoes, round, 0, 0),
                step(Verb::Garbage, round.wrapping_mul(3), round, round),
            ]
        })
        .collect();
    let active = says(0, HEARTBEAT, ACTIVE, READY | SETTLED, SENDER, 0);
    let standby = says(1, HEARTBEAT, STANDBY, READY | SETTLED, SENDER, 0);
    let owner = repeat(10, &[active, HALF_A_SECOND, standby, HALF_A_SECOND]);
    let recordings = repeat(
        6,
        &[
            step(Verb::Restarts, 0, 0, 0),
            active,
            says(0, CLAIM, STANDBY, SETTLED, NODE, 0),
            says(0, QUERY, STANDBY, READY, NODE, 0),
            says(0, HEARTBEAT, SHUTDOWN, RELEASED, NOBODY, 0),
            HALF_A_SECOND,
        ],
    );
    let playback: Vec<Step> = (0..64).flat_map(|record| [step(Verb::Plays, record, 0, 0), HALF_A_SECOND]).collect();
    let claim = says(0, CLAIM, STANDBY, READY | SETTLED, NODE, 0);
    let meeting = repeat(8, &[says(0, HEARTBEAT, STANDBY, 0, NOBODY, 0), HALF_A_SECOND]);
    let sleep = step(Verb::Tick, 3, 20, 0);
    let neighbours: Vec<Step> = (1..40).map(|last| step(Verb::Neighbour, last, u8::from(last == 1), 0)).collect();

    vec![
        ("alone", NORMAL, [&alone[..], &[step(Verb::Shutdown, 0, 0, 0)], &alone].concat()),
        ("owner-dies", NORMAL, [&owner[..], &alone].concat()),
        ("owner-leaves", NORMAL, [&owner[..], &[says(0, HEARTBEAT, SHUTDOWN, RELEASED, NOBODY, 0)], &alone].concat()),
        ("handed-over", NORMAL, [&meeting[..], &alone, &meeting, &repeat(4, &[claim, HALF_A_SECOND]), &owner].concat()),
        ("two-owners", NORMAL, [&alone[..], &owner, &alone].concat()),
        ("quorum", [0, 2 << 4, 0, 0], [&owner[..], &alone, &owner].concat()),
        ("many-addresses", [1, 15, 0, 0], [&alone[..], &[step(Verb::MacChanged, 0, 0, 0)], &alone].concat()),
        ("sticky-without-lease", [2 | 3 << 4, 0, 0, 1], [&alone[..], &owner].concat()),
        ("never-hosts", [2 << 2, 0, 0, 0], [&owner[..], &alone].concat()),
        ("attacked-cold-start", NORMAL, woven(&attacks, HALF_A_SECOND)),
        ("attacked-standby", NORMAL, [&owner[..], &woven(&attacks, active), &alone].concat()),
        ("attacked-active", NORMAL, [&alone[..], &meeting, &attacks, &alone, &attacks].concat()),
        ("attacked-hand-over", NORMAL, [&meeting[..], &woven(&attacks, claim), &alone].concat()),
        ("recorded", NORMAL, [&recordings[..], &playback].concat()),
        ("recorded-and-active", [0, 0, 2, 0], [&recordings[..], &alone, &playback].concat()),
        ("late-answers", [0, 0, 2, 0], late_answers()),
        (
            "challenged",
            NORMAL,
            repeat(90, &[says(2, CHALLENGE, STANDBY, 0, NODE, 2), says(2, RESPONSE, ACTIVE, 0, NODE, 0)]),
        ),
        ("refused", [0, 0, 1, 0], repeat(12, &[sleep, step(Verb::Due, 0, 0, 0), step(Verb::Shell, 0, 0, 0)])),
        (
            "slow-shell",
            [0, 0, 1, 0],
            [&alone[..], &[step(Verb::Shell, 1, 0, 0)], &owner, &[step(Verb::Shell, 1, 0, 0)], &alone].concat(),
        ),
        (
            "sleeps",
            NORMAL,
            [&alone[..], &[sleep], &alone, &[step(Verb::Past, 200, 0, 0)], &owner, &[sleep], &alone].concat(),
        ),
        (
            "link-flaps",
            [0, 0, 4, 0],
            repeat(
                6,
                &[step(Verb::LinkUp, 0, 0, 0), active, sleep, step(Verb::Lost, 0, 0, 0), step(Verb::LinkDown, 0, 0, 0)],
            ),
        ),
        ("moves", NORMAL, [&alone[..], &[step(Verb::LinkUp, 1, 1, 4)], &owner, &alone].concat()),
        ("rotates", NORMAL, [&owner[..], &[step(Verb::Rotates, 0, 0, 0)], &owner, &alone].concat()),
        ("another-key", NORMAL, another_key()),
        ("neighbours", NORMAL, [&neighbours[..], &alone, &neighbours, &alone].concat()),
    ]
}

/// The answer to each question is recorded, and played back when its sender has started anew.
fn late_answers() -> Vec<Step> {
    let greeting = says(0, HEARTBEAT, ACTIVE, READY, SENDER, 0);
    repeat(
        10,
        &[
            greeting,
            step(Verb::Answers, 0, 1, 0),
            step(Verb::Restarts, 0, 0, 0),
            HALF_A_SECOND,
            step(Verb::Plays, 0, 0, 0),
            HALF_A_SECOND,
            greeting,
            step(Verb::Answers, 0, 0, 0),
            step(Verb::Plays, 2, 0, 0),
        ],
    )
}

/// A wrong tag and an answered probe.
fn another_key() -> Vec<Step> {
    let forged = Step { verb: Verb::Forges, ..says(0, HEARTBEAT, ACTIVE, READY, SENDER, 1 << 5) };
    let answered = step(Verb::Arp, 0, 0, 1);
    [&[answered][..], &repeat(30, &[forged, HALF_A_SECOND, answered, step(Verb::Due, 0, 0, 0)])].concat()
}

const fn step(verb: Verb, a: u8, b: u8, c: u8) -> Step {
    Step { verb, a, b, c }
}

fn repeat(times: usize, steps: &[Step]) -> Vec<Step> {
    steps.repeat(times)
}

/// `steps` with another one after every eighth.
fn woven(steps: &[Step], other: Step) -> Vec<Step> {
    steps.chunks(8).flat_map(|chunk| chunk.iter().copied().chain([other])).collect()
}

const NORMAL: [u8; STEP_LEN] = [0; STEP_LEN];

const HEARTBEAT: u8 = Kind::Heartbeat as u8;
const CLAIM: u8 = Kind::Claim as u8;
const QUERY: u8 = Kind::Query as u8;
const CHALLENGE: u8 = Kind::Challenge as u8;
const RESPONSE: u8 = Kind::Response as u8;

const STANDBY: u8 = State::Standby as u8;
const ACTIVE: u8 = State::Active as u8;
const SHUTDOWN: u8 = State::Shutdown as u8;

const SETTLED: u8 = 1;
const READY: u8 = 1 << 3;
const RELEASED: u8 = 1 << 4;

const NOBODY: u8 = 0;
const NODE: u8 = 1;
const SENDER: u8 = 2;
