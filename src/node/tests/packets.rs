//! What is dropped, and what is worth a word.

use core::net::SocketAddr;

use super::*;
use crate::wire::Key;
use crate::wire::heartbeat::{OLD_LEN, OLD_VERSION};

/// Each cause, and a datagram that is dropped for it.
fn offences() -> Vec<(&'static str, Drop, NodeId, u8, Vec<u8>)> {
    let mut voice = Voice::more();
    let from = voice.0.node;
    let good = voice.says(State::Active);
    let signed = |change: fn(&mut Heartbeat)| Voice::more().says_with(change).to_vec();
    let elsewhere = Context { multicast: SocketAddr::new(HERE.multicast.ip(), 5556), ..HERE };
    let damaged = |offset: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[offset] = value;
        bytes
    };
    Vec::from([
        ("through a router", Drop::Misrouted, from, 254, good.to_vec()),
        ("empty", Drop::Foreign, from, 255, Vec::new()),
        ("a byte too short", Drop::Foreign, from, 255, good[1..].to_vec()),
        ("a byte too long", Drop::Foreign, from, 255, [&good[..], &[0]].concat()),
        ("another magic", Drop::Foreign, from, 255, damaged(0, b'x')),
        ("another version", Drop::OtherVersion, from, 255, damaged(2, 9)),
        ("version 1", Drop::OldVersion, from, 255, version_1(1)),
        ("version 1 of another group", Drop::OtherGroup, from, 255, version_1(2)),
        ("a state without meaning", Drop::Malformed, from, 255, damaged(5, 9)),
        ("another group", Drop::OtherGroup, from, 255, signed(|said| said.group = 2)),
        ("a wrong tag", Drop::Forged, from, 255, damaged(LEN - 1, good[LEN - 1] ^ 1)),
        ("another worthiness than signed", Drop::Forged, from, 255, damaged(10, 0xff)),
        (
            "another key",
            Drop::Forged,
            from,
            255,
            Seal::keyed(&[Key::from_bytes([7; 32])], HERE).sign(&voice.0).to_vec(),
        ),
        ("of a group at another port", Drop::Forged, from, 255, Seal::public(elsewhere).sign(&voice.0).to_vec()),
        ("another source", Drop::Misattributed, id(99), 255, good.to_vec()),
        ("another subnet", Drop::OffLink, id_elsewhere(), 255, signed(|said| said.node = id_elsewhere())),
        ("our address, our boot", Drop::Looped, ME, 255, signed(|said| (said.node, said.boot) = (ME, 1))),
        ("our address, another boot", Drop::Namesake, ME, 255, signed(|said| said.node = ME)),
    ])
}

/// As long as those are, and as they begin.
fn version_1(group: u8) -> Vec<u8> {
    let mut bytes = Vec::from([0; OLD_LEN]);
    bytes[..5].copy_from_slice(&[b'h', b'a', OLD_VERSION, 0, group]);
    bytes
}

const fn id_elsewhere() -> NodeId {
    NodeId::from_v4(Ipv4Addr::new(198, 51, 100, 10))
}

#[test]
fn each_offence_is_counted_by_its_cause_and_changes_nothing() {
    for (label, cause, from, ttl, bytes) in offences() {
        let mut bench = Bench::active(|_| {});
        for count in 1..=3 {
            let outputs = bench.give(Input::Heard { at: bench.now, from, ttl, bytes: &bytes });
            let is_noted = count == 1 && cause != Drop::OtherGroup;
            assert_eq!(outputs, if is_noted { "note:dropped" } else { "" }, "{label}");
            assert_eq!(bench.node.counters().dropped(cause), count, "{label}");
        }
        assert_eq!(bench.node.peers().iter().count(), 0, "{label}");
        assert_eq!(bench.node.state(), State::Active, "{label}");
    }
}

#[test]
fn a_drop_is_noted_once_a_minute_with_its_source() {
    let mut bench = Bench::active(|_| {});
    let start = bench.now.as_micros() / 1_000;
    let mut noted = Vec::new();
    for second in 0..=120 {
        bench.run_until(start + second * 1_000);
        let outputs =
            bench.node.handle(bench.now, Input::Heard { at: bench.now, from: id(66), ttl: 255, bytes: b"hello" });
        if outputs.contains(&Output::Note(Note::Dropped { from: id(66), cause: Drop::Foreign })) {
            noted.push(second);
        }
    }
    assert_eq!(noted, [0, 60, 120]);
}

#[test]
fn with_a_key_only_its_holders_are_heard() {
    let seal = || Seal::keyed(&[Key::from_bytes([7; 32])], HERE);
    let mut bench = Bench::new(|_| {});
    bench.node = Node::new(config(|_| {}), seal(), 1, at(0));
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
    bench.run_until(0);
    assert!(bench.last_sent().flags.has(Flags::SEALED));
    let mut voice = Voice::more();
    assert_eq!(bench.hear(&voice.says(State::Active)), "note:dropped");
    voice.0.seq += 1;
    assert_eq!(bench.hear(&seal().sign(&voice.0)), "challenge");
}

#[test]
fn other_times_are_noted_once_by_name() {
    let mut voice = Voice::less();
    voice.0.following = Some(ME);
    voice.0.hold = Duration::from_secs(5);
    let mut bench = Bench::active(|_| {});
    assert_eq!(bench.hear(&voice.says(State::Standby)), "note:met note:timing");
    assert_eq!(bench.hear(&voice.says(State::Standby)), "");
}

#[test]
fn other_shared_addresses_are_noted_once_by_name_and_again_when_they_change() {
    let mut voice = Voice::less();
    voice.0.following = Some(ME);
    let mut bench = Bench::active(|_| {});
    let own = voice.0.addresses;
    for (label, addresses, expected) in [
        ("first time", 7, "note:met note:addresses"),
        ("still", 7, ""),
        ("others", 8, "note:addresses"),
        ("ours", own, ""),
        ("still ours", own, ""),
        ("wrong again", 7, "note:addresses"),
    ] {
        voice.0.addresses = addresses;
        assert_eq!(bench.hear(&voice.says(State::Standby)), expected, "{label}");
    }
}

#[test]
fn other_shared_addresses_do_not_keep_a_node_out_of_the_election() {
    let mut active = Voice::more();
    active.0.addresses = 7;
    let mut bench = Bench::following(&mut active, |_| {});
    assert!(!bench.run_until(8_499).concat().contains("take"));
}

#[test]
fn a_peer_is_met_once_and_back_after_it_was_dead() {
    let mut voice = Voice::less();
    voice.0.following = Some(ME);
    let mut bench = Bench::active(|_| {});
    assert_eq!(bench.hear(&voice.says(State::Standby)), "note:met");
    bench.after(60_000);
    assert_eq!(bench.hear(&voice.says(State::Standby)), "note:back announce0");
}
