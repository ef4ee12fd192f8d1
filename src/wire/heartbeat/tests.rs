use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::wire::seal::{Context, Key, Seal};

mod version_1;
mod version_2;

use version_2::GOLDEN;

fn golden() -> Heartbeat {
    Heartbeat {
        kind: Kind::Claim,
        group: 7,
        state: State::Standby,
        flags: Flags::SETTLED.with(Flags::READY, true),
        release: Release(0x0102),
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
    assert_eq!(Seal::public(Context::of_group(7)).sign(&golden()), GOLDEN);
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
    let wrong: Vec<usize> =
        (0..=LEN + 1).filter(|&len| len != LEN && Heartbeat::parse(&long[..len]) != Err(Defect::Size)).collect();
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
        ("version", 2, 1, Defect::Version(1)),
        ("version", 2, 3, Defect::Version(3)),
        ("kind", 3, 5, Defect::Malformed),
        ("group", 4, 0, Defect::Malformed),
        ("state", 5, 4, Defect::Malformed),
    ] {
        assert_eq!(with(offset, value), Err(defect), "{label}");
    }
    let mut bytes = GOLDEN;
    bytes[60..68].copy_from_slice(&[0x40, 0x42, 0x0f, 0, 0x40, 0x42, 0x0f, 0]);
    assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Malformed), "hold equals interval");
    bytes = GOLDEN;
    bytes[12..28].fill(0);
    assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Malformed), "nobody's packet");
}

#[test]
fn a_node_may_have_an_address_of_either_family() {
    let mut bytes = GOLDEN;
    let [node, following] = ["fe80::1234:5678", "2001:db8::9"].map(|text| text.parse::<Ipv6Addr>().unwrap());
    bytes[12..28].copy_from_slice(&node.octets());
    bytes[28..44].copy_from_slice(&following.octets());
    let said = Heartbeat::parse(&bytes).unwrap();
    assert_eq!((said.node, said.following), (NodeId::new(node.into()), Some(NodeId::new(following.into()))));
    let mut again = [0xa5; SEALED_LEN];
    said.emit(&mut again);
    assert_eq!(again, bytes[..SEALED_LEN]);
}

#[test]
fn nodes_are_ordered_by_their_addresses_as_numbers_and_ipv4_is_lower() {
    let nodes = ["9.0.0.1", "10.0.0.1", "192.0.2.10", "192.0.2.100", "2001:db8::1", "fe80::1", "fe80::1:0"]
        .map(|text| NodeId::new(text.parse().unwrap()));
    assert!(nodes.is_sorted());
}

#[test]
fn a_neighbour_has_the_same_prefix_unless_the_network_has_no_more_than_two_addresses() {
    for (one, other, prefix, expected) in [
        ("192.0.2.10", "192.0.2.200", 24, true),
        ("192.0.2.10", "192.0.3.10", 24, false),
        ("192.0.2.10", "203.0.113.1", 0, true),
        ("192.0.2.10", "203.0.113.1", 30, false),
        ("192.0.2.10", "203.0.113.1", 31, true),
        ("192.0.2.10", "2001:db8::1", 24, false),
        ("fe80::1", "fe80::ffff:0:0:1", 64, true),
        ("fe80::1", "fe80:0:0:1::1", 64, false),
        ("2001:db8::1", "2001:db8::2", 127, true),
        ("2001:db8::1", "2001:db9::1", 126, false),
        ("2001:db8::1", "fe80::1", 0, true),
    ] {
        let [one, other] = [one, other].map(|text| NodeId::new(text.parse().unwrap()));
        assert_eq!(one.is_on_link(other, prefix), expected, "{one} {other} {prefix}");
    }
}

#[test]
fn one_changed_bit_anywhere_breaks_the_tag() {
    let seal = Seal::keyed(&[Key::from_bytes([7; 32])], Context::of_group(7));
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
    assert!(!Seal::public(Context::of_group(7)).is_genuine(&genuine));
}

#[test]
fn a_packet_of_version_1_is_named_and_nothing_else_of_that_size() {
    assert_eq!(version_1::GOLDEN.len(), OLD_LEN);
    assert_eq!(version_1::GOLDEN[GROUP_AT], GOLDEN[GROUP_AT], "the group is where it was");
    assert_eq!(Heartbeat::parse(&version_1::GOLDEN), Err(Defect::Version(1)));
    for at in 0..3 {
        let mut bytes = version_1::GOLDEN;
        bytes[at] ^= 2;
        assert_eq!(Heartbeat::parse(&bytes), Err(Defect::Size), "byte {at}");
    }
}

/// Same secret, same bytes: what is carried from one group to another, or from one site to another, proves nothing.
#[test]
fn a_tag_holds_for_one_group_at_one_multicast_address_and_port() {
    let seals = |context| [Seal::public(context), Seal::keyed(&[Key::from_bytes([7; 32])], context)];
    let there = |address, port| core::net::SocketAddrV4::new(address, port).into();
    let here = Context::of_group(7);
    let elsewhere = [
        ("group", Context::of_group(8)),
        ("address", Context { multicast: there(Ipv4Addr::new(239, 2, 3, 5), 5555), ..here }),
        ("port", Context { multicast: there(Ipv4Addr::new(239, 2, 3, 4), 5556), ..here }),
    ];
    for (label, context) in elsewhere {
        for (near, far) in seals(here).into_iter().zip(seals(context)) {
            let packet = near.sign(&golden());
            assert!(near.is_genuine(&packet) && !far.is_genuine(&packet), "{label}");
        }
    }
    let [_, _, (_, context)] = elsewhere;
    assert_eq!(Seal::public(context).sign(&golden())[SEALED_LEN..], version_2::TAG_ELSEWHERE);
}

#[test]
fn a_release_is_two_numbers_and_this_one_is_the_packages() {
    assert_eq!(std::format!("{}", Release(0x0102)), "1.2");
    let own = std::format!("{}.", Release::OWN);
    assert!(env!("CARGO_PKG_VERSION").starts_with(&own), "{own}");
}

/// Where tests begin is where a node begins.
#[test]
fn a_plain_heartbeat_has_the_defaults_of_a_node() {
    let mut params = crate::config::Params::default();
    params.addresses.push(crate::config::Cidr::new(Ipv4Addr::new(192, 168, 1, 100).into(), 24)).unwrap();
    let config = crate::config::Config::new(params).unwrap();
    let Heartbeat { group, worthiness, interval, hold, .. } = Heartbeat::plain(golden().node);
    assert_eq!((group, worthiness), (config.group(), config.worthiness()));
    assert_eq!((interval, hold), (config.interval(), config.tolerance()));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..=LEN + 8)) {
        let _ = Heartbeat::parse(&bytes);
    }

    #[test]
    fn fields_that_make_sense_are_written_as_they_were_read_and_all_others_are_refused(
        body in proptest::collection::vec(any::<u8>(), LEN - HEAD.len()),
        node in prop_oneof![Just([0; 16]), any::<[u8; 16]>()],
        following in prop_oneof![Just([0; 16]), any::<[u8; 16]>()],
    ) {
        let mut bytes = [0; LEN];
        bytes[..HEAD.len()].copy_from_slice(&HEAD);
        bytes[HEAD.len()..].copy_from_slice(&body);
        (bytes[3], bytes[5]) = (bytes[3] % 6, bytes[5] % 5);
        bytes[12..28].copy_from_slice(&node);
        bytes[28..44].copy_from_slice(&following);
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (interval, hold) = (number(60), number(64));
        let is_timely = 0 < interval && interval < hold;
        let makes_sense = bytes[3] < 5 && bytes[4] > 0 && bytes[5] < 4 && node != NO_NODE && is_timely;

        let parsed = Heartbeat::parse(&bytes);
        prop_assert_eq!(parsed.err(), (!makes_sense).then_some(Defect::Malformed));
        if let Ok(heartbeat) = parsed {
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
    let seal = Seal::keyed(
        &[Key::from_bytes(core::array::from_fn(|index| u8::try_from(index).unwrap()))],
        Context::of_group(1),
    );
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
    for (said, seal) in [(golden(), Seal::public(Context::of_group(7))), (challenge, seal.clone()), (response, seal)] {
        let digits: std::string::String = seal.sign(&said).iter().map(|byte| std::format!("{byte:02x}")).collect();
        let printed =
            document.split("\n\n").any(|block| block.split_whitespace().collect::<std::string::String>() == digits);
        assert!(printed, "{}: {digits}", said.kind);
    }
}
