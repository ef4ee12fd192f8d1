use ha::wire::heartbeat::{OLD_LEN, OLD_VERSION};

use super::super::{MOST_SENT, NEWTABLE, OWNED};
use super::*;
use crate::linux::netlink::message::Messages;

/// The bytes of a page like golden.txt: hexadecimal digits, with words behind `//`.
fn bytes(page: &str) -> Vec<u8> {
    let digits: String = page.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Builds messages that nobody sends.
fn tables() -> Tables {
    let socket = rustix::net::socket(rustix::net::AddressFamily::NETLINK, rustix::net::SocketType::RAW, None).unwrap();
    Tables { requests: crate::linux::netlink::Requests::by(socket, MOST_SENT, 0).unwrap(), flags: OWNED }
}

fn built(ruleset: &Ruleset<'_>) -> Vec<u8> {
    let mut tables = tables();
    tables.begin_batch();
    tables.delete_if_there(ruleset.table, 0);
    ruleset.write(&mut tables);
    let start = tables.requests.header(17, 0);
    tables.requests.put(&[0, 0, 0, 10]);
    tables.requests.end(start);
    tables.requests.built().to_vec()
}

fn cidr(address: impl Into<IpAddr>) -> Cidr {
    Cidr::new(address.into(), 24)
}

#[test]
fn golden_bytes_of_a_fence_on_two_interfaces() {
    let links = [b"eth0", b"eth1"].map(|name| Name::new(name).unwrap());
    let ruleset = Ruleset {
        table: "ha-7-eth0",
        links: &links,
        shared: &[cidr([192, 0, 2, 1]), cidr([192, 0, 2, 2])],
        multicast: "239.2.3.4:5555".parse().unwrap(),
        group: 7,
        uid: Some(0x0102_0304),
        timeout: Duration::from_millis(244),
    };
    let (found, expected) = (built(&ruleset), bytes(include_str!("golden.txt")));
    for (number, (found, expected)) in Messages(&found).zip(Messages(&expected)).enumerate() {
        assert_eq!((found.kind, found.flags, found.seq), (expected.kind, expected.flags, expected.seq), "{number}");
        assert_eq!(found.body, expected.body, "message {number}, of kind {}", found.kind);
    }
    assert_eq!(found, expected);
}

/// A set costs more than a comparison.
#[test]
fn one_address_of_a_family_has_no_set() {
    let names = |name: &[u8], text: &[u8]| text.windows(name.len()).any(|part| part == name);
    let links = [Name::new(b"eth0").unwrap()];
    for (shared, has_set, has_set6) in [
        (&[cidr([192, 0, 2, 1])][..], false, false),
        (&[cidr([192, 0, 2, 1]), cidr([0xfd, 0, 0, 0, 0, 0, 0, 1])], false, false),
        (&[cidr([192, 0, 2, 1]), cidr([0xfd, 0, 0, 0, 0, 0, 0, 1]), cidr([192, 0, 2, 2])], true, false),
        (&[cidr([0xfd, 0, 0, 0, 0, 0, 0, 1]), cidr([0xfd, 0, 0, 0, 0, 0, 0, 2])], false, true),
    ] {
        let ruleset = Ruleset {
            table: "ha-7-eth0",
            links: &links,
            shared,
            multicast: "239.2.3.4:5555".parse().unwrap(),
            group: 7,
            uid: None,
            timeout: Duration::from_millis(244),
        };
        let built = built(&ruleset);
        assert_eq!((names(b"shared\0", &built), names(b"shared6\0", &built)), (has_set, has_set6), "{shared:?}");
    }
}

#[test]
fn the_longest_configuration_fits() {
    let name = "x".repeat(127);
    let links = [[b'y'; 15], [b'z'; 15]].map(|name| Name::new(&name).unwrap());
    let two = [cidr([192, 0, 2, 1]), cidr([192, 0, 2, 2])];
    let shared: Vec<_> = (2..16).map(|host| cidr([0xfd, 0, 0, 0, 0, 0, 0, host])).chain(two).collect();
    let ruleset = Ruleset {
        table: &format!("ha-255-{name}"),
        links: &links,
        shared: &shared,
        multicast: "[ff12::6861]:5555".parse().unwrap(),
        group: 255,
        uid: Some(u32::MAX),
        timeout: Duration::from_secs(3_600),
    };
    let len = built(&ruleset).len();
    assert!(len > MOST_SENT - 512, "{len} bytes, room for {MOST_SENT}: more than is needed");
}

/// Where the rules look in a packet: the rest is the core's own.
#[test]
fn a_packet_is_as_long_as_the_rules_want_it_and_an_older_one_is_not() {
    assert_eq!(usize::from(UDP_LEN), 8 + LEN);
    assert!(OLD_VERSION != fence::EVERY[2] && OLD_LEN != LEN, "those of older nodes are others");
}

#[test]
fn a_table_is_ours_by_its_comment_only() {
    let mut tables = tables();
    tables.requests.clear();
    let start = tables.begin(NEWTABLE, 0);
    tables.comment(TABLE_USERDATA, OURS);
    tables.requests.end(start);
    let ours = &tables.requests.built()[24..];
    let ours = &ours[..usize::from(ours[1]) + 2];
    assert!(is_ours(ours));
    assert!(!is_ours(&ours[..ours.len() - 1]) && !is_ours(&ours[..2]) && !is_ours(&[]));
    assert!(!is_ours(b"\0\x05mine\0") && !is_ours(&[&ours[..ours.len() - 1], b"!\0"].concat()));
}
