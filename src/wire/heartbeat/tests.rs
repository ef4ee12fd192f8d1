use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::wire::seal::{Key, Seal};

/// Version 1, written by hand; not to be edited. Signed with the public constant.
#[rustfmt::skip]
const GOLDEN: [u8; LEN] = [
    b'h', b'a',                                                         // magic
    1,                                                                  // version
    1,                                                                  // kind: claim
    7,                                                                  // group
    0,                                                                  // state: standby
    0b0000_1001,                                                        // flags: settled, ready
    0x2c, 0x01,                                                         // worthiness 300
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 20,          // node
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 10,          // following
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,                     // boot
    0x2a, 0, 0, 0, 0, 0, 0, 0,                                          // seq 42
    0x40, 0x42, 0x0f, 0x00,                                             // interval 1 s
    0xe0, 0x67, 0x35, 0x00,                                             // hold 3.5 s
    0x78, 0x56, 0x34, 0x12,                                             // addresses
    0x0d, 0x0c, 0x0b, 0x0a, 0, 0, 0, 0,                                 // nonce
    // tag, as Python's hmac module computes it
    0xb7, 0x8b, 0x4e, 0x37, 0xff, 0x93, 0xf5, 0xa6, 0xfe, 0x61, 0x74, 0x2b, 0x62, 0x80, 0x15, 0x24,
];

fn golden() -> Heartbeat {
    Heartbeat {
        kind: Kind::Claim,
        group: 7,
        state: State::Standby,
        flags: Flags::SETTLED.with(Flags::READY, true),
        worthiness: 300,
        node: NodeId::from_v4(Ipv4Addr::new(192, 168, 1, 20)),
        following: Some(NodeId::from_v4(Ipv4Addr::new(192, 168, 1, 10))),
        boot: 0x0123_4567_89ab_cdef,
        seq: 42,
        interval: Duration::from_secs(1),
        hold: Duration::from_millis(3_500),
        addresses: 0x1234_5678,
        nonce: 0x0a0b_0c0d,
    }
}

#[test]
fn golden_bytes_are_read_and_written() {
    assert_eq!(Heartbeat::parse(&GOLDEN), Ok(golden()));
    let mut bytes = [0xa5; SEALED_LEN];
    golden().emit(&mut bytes);
    assert_eq!(bytes[..], GOLDEN[..SEALED_LEN]);
    assert_eq!(Seal::public().sign(&golden()), GOLDEN);
}

#[test]
fn a_query_differs_in_its_kind_only() {
    let mut bytes = GOLDEN;
    bytes[3] = 2;
    assert_eq!(Heartbeat::parse(&bytes), Ok(Heartbeat { kind: Kind::Query, ..golden() }));
}

#[test]
fn every_other_length_is_refused() {
    let long: Vec<u8> = GOLDEN.iter().copied().chain([0]).collect();
    let wrong: Vec<usize> = (0..=LEN + 1)
        .filter(|&len| len != LEN && Heartbeat::parse(&long[..len.min(long.len())]) != Err(Defect::Size))
        .filter(|&len| len != LEN)
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn nonsense_is_named() {
    let with = |offset: usize, value: u8| {
        let mut bytes = GOLDEN;
        bytes[offset] = value;
        Heartbeat::parse(&bytes)
    };
    for (label, offset, value, defect) in [
        ("magic", 0, b'x', Defect::Foreign),
        ("version", 2, 2, Defect::Version),
        ("kind", 3, 5, Defect::Malformed),
        ("group", 4, 0, Defect::Malformed),
        ("state", 5, 4, Defect::Malformed),
    ] {
        assert_eq!(with(offset, value), Err(defect), "{label}");
    }
    let mut bytes = GOLDEN;
    bytes[57..65].copy_from_slice(&[0x40, 0x42, 0x0f, 0, 0x40, 0x42, 0x0f, 0]);
    assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Malformed), "hold equals interval");
    bytes = GOLDEN;
    bytes[9..25].fill(0);
    assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Malformed), "nobody's packet");
}

#[test]
fn a_node_that_is_no_ipv4_address_is_nonsense() {
    for (label, offset) in [("node", 9), ("following", 25)] {
        for changed in 0..12 {
            let mut bytes = GOLDEN;
            bytes[offset + changed] ^= 1;
            assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Malformed), "{label}, byte {changed}");
        }
    }
}

#[test]
fn one_changed_bit_anywhere_breaks_the_tag() {
    let seal = Seal::keyed(&[Key::from_bytes([7; 32])]);
    let genuine = seal.sign(&golden());
    assert!(seal.is_genuine(&genuine));
    let missed: Vec<usize> = (0..LEN * 8)
        .filter(|bit| {
            let mut bytes = genuine;
            bytes[bit / 8] ^= 1 << (bit % 8);
            seal.is_genuine(&bytes)
        })
        .collect();
    assert_eq!(missed, []);
    assert!(!Seal::public().is_genuine(&genuine));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_parses_is_written_alike(bytes in proptest::collection::vec(any::<u8>(), 0..=LEN + 8)) {
        let _ = Heartbeat::parse(&bytes);
    }

    #[test]
    fn any_body_behind_the_right_head_is_refused_or_survives_the_way_back(body in proptest::collection::vec(any::<u8>(), LEN - 3)) {
        let mut bytes = [0u8; LEN];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[3..].copy_from_slice(&body);
        bytes[3] %= 4;
        bytes[5] %= 5;
        if let Ok(heartbeat) = Heartbeat::parse(&bytes) {
            let mut again = [0xa5; SEALED_LEN];
            heartbeat.emit(&mut again);
            prop_assert_eq!(&again[..], &bytes[..SEALED_LEN]);
        }
    }
}

/// The vectors of docs/protocol.md, as Python's hmac and hashlib modules compute them: they are read there, and written here.
#[test]
fn the_documents_vectors_are_what_is_sent() {
    let document = include_str!("../../../docs/protocol.md");
    let seal = Seal::keyed(&[Key::from_bytes(core::array::from_fn(|index| u8::try_from(index).unwrap()))]);
    let node = |last| NodeId::from_v4(Ipv4Addr::new(192, 168, 1, last));
    let challenge = Heartbeat {
        kind: Kind::Challenge,
        group: 1,
        state: State::Standby,
        flags: Flags::SEALED.with(Flags::READY, true),
        worthiness: 100,
        node: node(10),
        following: Some(node(20)),
        boot: 0x1111_1111_1111_1111,
        seq: 7,
        addresses: 0x6106_9afa,
        nonce: 0x0123_4567_89ab_cdef,
        ..golden()
    };
    let response = Heartbeat {
        kind: Kind::Response,
        state: State::Active,
        flags: challenge.flags.with(Flags::SETTLED, true),
        worthiness: 200,
        node: node(20),
        boot: 0x2222_2222_2222_2222,
        seq: 42,
        ..challenge
    };
    for (said, seal) in [(golden(), Seal::public()), (challenge, seal.clone()), (response, seal)] {
        let digits: std::string::String = seal.sign(&said).iter().map(|byte| std::format!("{byte:02x}")).collect();
        let printed =
            document.split("\n\n").any(|block| block.split_whitespace().collect::<std::string::String>() == digits);
        assert!(printed, "{}: {digits}", said.kind);
    }
}
