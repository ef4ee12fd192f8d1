//! The rules of a fence for IPv6, loaded without a daemon.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ha::config::Cidr;

use crate::fence::form::nft;
use crate::fence::{Raw, SLACK_S, TIMEOUT_S, heartbeat};
use crate::lan::{Lan, Namespace};
use crate::linux::name::Name;
use crate::linux::netfilter::{Ruleset, Tables};
use crate::six::{added, cidr, lan, on, reaches, requests};

tests![
    what_speaks_for_an_address_of_ipv6_leaves_only_behind_a_heartbeat_over_ipv6,
    an_owner_that_sends_no_heartbeat_over_ipv6_is_silent_in_time,
    the_kernels_own_replies_for_an_address_of_ipv6_pass_a_fence_like_any_others,
    heartbeats_over_one_family_open_the_addresses_of_both,
    a_fence_for_ipv6_alone_is_what_nft_lists,
];

/// Two addresses of IPv6 and one of IPv4.
const SHARED: [&str; 3] = ["2001:db8::100/64", "fe80::100/64", "10.0.0.100/24"];

const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const VIP_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x12);
const GROUP: &str = "[ff12::6861]:5555";

/// How long a heartbeat keeps it open, in milliseconds, where that does not matter.
const LONG: u64 = 10_000;

/// Loads a fence in `host`; it stays for as long as its socket.
fn load(host: &Namespace, shared: &[&str], multicast: &str, timeout_ms: u64) -> Tables {
    host.inside(|| {
        let shared: Vec<Cidr> = shared.iter().map(|text| cidr(text)).collect();
        let mut tables = Tables::open().unwrap();
        let ruleset = Ruleset {
            table: "ha-1-eth0",
            links: &[Name::new(b"eth0").unwrap()],
            shared: &shared,
            multicast: multicast.parse().unwrap(),
            group: 1,
            uid: None,
            timeout: ha::time::Duration::from_millis(timeout_ms),
        };
        let trial = Ruleset { table: "ha-trial", links: &[Name::new(b"lo").unwrap()], ..ruleset };
        tables.try_out(&trial).unwrap();
        tables.load(&ruleset).unwrap();
        tables
    })
}

/// Says in `host` that a node of group 1 is in this state.
struct Speaker(UdpSocket);

impl Speaker {
    fn new(host: &Namespace) -> Self {
        Self(host.inside(|| UdpSocket::bind("[::]:0").unwrap()))
    }

    fn says(&self, packet: [u8; 96], scope: u32) {
        let group = SocketAddrV6::new("ff12::6861".parse().unwrap(), 5555, 0, scope);
        self.0.send_to(&packet, group).unwrap();
    }
}

/// A frame by A to B.
fn frame(next: u8, from: Ipv6Addr, to: Ipv6Addr, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let head = [2, 0, 0, 0, 0, 0x0c, 2, 0, 0, 0, 0, 0x0b, 0x86, 0xdd, 0x60, 0, 0, 0, len[0], len[1], next, 255];
    [&head[..], &from.octets(), &to.octets(), body].concat()
}

fn udp(from: Ipv6Addr) -> Vec<u8> {
    frame(17, from, PEER, &[0x1b, 0x58, 0, 9, 0, 12, 0, 0, b'f', b'r', b'o', b'm'])
}

/// A solicitation (135) or an advertisement (136) for `target`.
fn nd(kind: u8, from: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let body = [&[kind, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), &[2, 1, 2, 0, 0, 0, 0, 0x0b]].concat();
    frame(58, from, PEER, &body)
}

/// Every way to speak for a shared address, and others.
fn frames() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut closed = Vec::new();
    for vip in [VIP, VIP_LINK_LOCAL] {
        closed.extend([udp(vip), nd(136, vip, vip), nd(136, OWN, vip), nd(136, Ipv6Addr::UNSPECIFIED, vip)]);
        closed.push(nd(135, vip, PEER));
    }
    let open = vec![
        udp(OWN),
        nd(136, OWN, OWN),
        nd(135, OWN, PEER),
        // Who has it? A probe, and what the kernel asks when a program here talks to it.
        nd(135, Ipv6Addr::UNSPECIFIED, VIP),
        nd(135, OWN, VIP),
        // No advertisement: an echo with the same bytes.
        nd(129, OWN, VIP),
        frame(17, OWN, VIP, &[0; 12]),
    ];
    (closed, open)
}

fn what_speaks_for_an_address_of_ipv6_leaves_only_behind_a_heartbeat_over_ipv6() {
    let lan = lan();
    let (_, scope) = requests(&lan.a);
    let raw = Raw::on(&lan.a, "eth0");
    let (closed, open) = frames();
    assert!(closed.iter().chain(&open).all(|frame| raw.passes(frame)), "there is no fence yet");
    let _tables = load(&lan.a, &SHARED, GROUP, LONG);
    let speaker = Speaker::new(&lan.a);
    let is_open = |frame: &Vec<u8>| raw.passes(frame);
    let mut foreign = heartbeat(1);
    foreign[4] = 2;
    for _ in 0..3 {
        assert!(!closed.iter().any(is_open) && open.iter().all(is_open));
        speaker.says(foreign, scope);
        assert!(!closed.iter().any(is_open), "of another group");
        speaker.says(heartbeat(1), scope);
        assert!(closed.iter().all(is_open) && open.iter().all(is_open));
        foreign[5] = 0;
        speaker.says(foreign, scope);
        assert!(closed.iter().all(is_open), "of another group");
        speaker.says(heartbeat(3), scope);
    }
}

fn an_owner_that_sends_no_heartbeat_over_ipv6_is_silent_in_time() {
    let lan = lan();
    let (mut requests, scope) = requests(&lan.a);
    requests.add(&on(scope, &SHARED.map(added)), 60).unwrap();
    let raw = Raw::on(&lan.a, "eth0");
    let _tables = load(&lan.a, &SHARED, GROUP, 244);
    let speaker = Speaker::new(&lan.a);
    let (closed, open) = frames();
    for _ in 0..5 {
        for _ in 0..5 {
            let said = Instant::now();
            speaker.says(heartbeat(1), scope);
            sleep(Duration::from_millis(100));
            let are_open = closed.iter().all(|frame| raw.passes(frame));
            assert!(are_open || said.elapsed().as_secs_f64() > TIMEOUT_S - 0.02, "one that is lost is forgiven");
        }
        speaker.says(heartbeat(1), scope);
        let last = Instant::now();
        while raw.passes(&closed[0]) {
            sleep(Duration::from_millis(1));
        }
        let end = last.elapsed().as_secs_f64();
        assert!(
            end > TIMEOUT_S - 0.02 - SLACK_S && end <= TIMEOUT_S + SLACK_S,
            "ends {end} s after the last heartbeat"
        );
        assert!(!closed.iter().any(|frame| raw.passes(frame)) && open.iter().all(|frame| raw.passes(frame)));
    }
}

fn the_kernels_own_replies_for_an_address_of_ipv6_pass_a_fence_like_any_others() {
    let lan = lan();
    let (mut requests, scope) = requests(&lan.a);
    requests.add(&on(scope, &SHARED.map(added)), 60).unwrap();
    let _tables = load(&lan.a, &SHARED, GROUP, LONG);
    let speaker = Speaker::new(&lan.a);
    for vip in [VIP, VIP_LINK_LOCAL] {
        assert!(!reaches(&lan, vip), "nobody says where it is");
        assert!(reaches(&lan, OWN));
        // The one that asked asks again once a second.
        lan.b.ip("-6 neigh flush dev eth0");
        speaker.says(heartbeat(1), scope);
        assert!(reaches(&lan, vip));
        speaker.says(heartbeat(3), scope);
    }
}

fn heartbeats_over_one_family_open_the_addresses_of_both() {
    let four = [
        &[2, 0, 0, 0, 0, 0x0c, 2, 0, 0, 0, 0, 0x0b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 0x0b][..],
        &[10, 0, 0, 100, 2, 0, 0, 0, 0, 0x0c, 10, 0, 0, 12],
    ]
    .concat();
    let lan = lan();
    let (_, scope) = requests(&lan.a);
    let raw = Raw::on(&lan.a, "eth0");
    let speaker = Speaker::new(&lan.a);
    let by_four = lan.a.socket("10.0.0.11", 255);
    let both = [four, udp(VIP)];
    for (multicast, opens) in [(GROUP, false), ("239.2.3.4:5555", true)] {
        let mut tables = load(&lan.a, &SHARED, multicast, LONG);
        by_four.send_to(&heartbeat(1), "239.2.3.4:5555").unwrap();
        assert!(both.iter().all(|frame| raw.passes(frame) == opens), "{multicast}");
        by_four.send_to(&heartbeat(0), "239.2.3.4:5555").unwrap();
        speaker.says(heartbeat(1), scope);
        assert!(both.iter().all(|frame| raw.passes(frame) != opens), "{multicast}");
        tables.delete("ha-1-eth0").unwrap();
    }
}

fn a_fence_for_ipv6_alone_is_what_nft_lists() {
    let lan = Lan::new();
    let _tables = load(&lan.a, &SHARED[..2], GROUP, 244);
    let listed = nft(&lan.a, "list ruleset");
    for part in [
        "set shared6 {\n\t\ttype ipv6_addr\n\t\tflags constant\n\t\telements = { 2001:db8::100,\n\t\t\t     fe80::100 }",
        "@nh,192,128 0xff120000000000000000000000006861 udp dport 5555 udp length 104 @th,64,48 0x686102000101 @th,120,8 0x1 update @alive",
        "@nh,192,128 0xff120000000000000000000000006861 udp dport 5555 udp length 104 @th,64,24 0x686102 @th,96,8 0x1 @th,104,8 != 0x1 delete @alive",
        "ip6 saddr @shared6 ip6 saddr & :: != @alive drop comment \"closed for IPv6\"",
        // And then the target, of which not every nft knows the name.
        "icmpv6 type nd-neighbor-advert ",
        " @shared6 @th,64,128 & 0x0 != @alive drop comment \"closed for ND\"",
    ] {
        assert!(listed.contains(part), "{part} in\n{listed}");
    }
    assert!(!listed.contains("set shared {") && !listed.contains("ip saddr"), "{listed}");
}
