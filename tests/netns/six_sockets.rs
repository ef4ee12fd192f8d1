//! Heartbeats over IPv6, and what is heard of neighbour discovery.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::Duration;

use ha::config::Cidr;
use ha::wire::Resolution;
use rustix::io::Errno;
use rustix::net::{SendFlags, sendto};

use crate::fence::{Raw, heartbeat};
use crate::lan::Namespace;
use crate::lines::{PATIENCE, eventually};
use crate::linux::datagram::Datagram;
use crate::linux::icmp6::Listener;
use crate::linux::name::Name;
use crate::linux::netlink::Requests;
use crate::linux::udp::{GroupSocket, Words};
use crate::six::{added, lan, on, reaches, requests};

tests![
    a_heartbeat_over_ipv6_comes_from_the_nodes_own_address_whatever_others_it_has,
    a_heartbeat_over_ipv6_that_was_sent_by_another_program_shows_its_hop_limit,
    a_node_whose_own_address_of_ipv6_is_tentative_cannot_send_yet,
    the_sockets_of_a_group_of_ipv6_send_nothing_over_ipv4,
    who_speaks_for_or_of_a_shared_address_is_heard,
    what_is_of_no_shared_address_or_came_through_a_router_is_not_heard,
    the_socket_that_hears_neighbour_discovery_sends_nothing_to_an_address_as_short_as_one_of_ipv4,
    an_advertisement_by_a_packet_socket_moves_a_neighbours_entry,
];

const GROUP: &str = "[ff12::6861]:5555";
const OWN_A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
const OWN_B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x12);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x12);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0x0c];

fn eth0() -> Name {
    Name::new(b"eth0").unwrap()
}

/// The socket of a node of this group, whose own address is `own`.
fn open(host: &Namespace, own: Ipv6Addr, number: u8) -> Result<GroupSocket, Errno> {
    let (_, index) = requests(host);
    host.inside(|| GroupSocket::open(eth0(), index, own.into(), GROUP.parse().unwrap(), number, Words::Urgent))
}

fn hear(socket: &GroupSocket) -> Option<Datagram> {
    socket.receive().ok()
}

fn a_heartbeat_over_ipv6_comes_from_the_nodes_own_address_whatever_others_it_has() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    lan.a.ip("address add fe80::11/64 dev eth0 nodad");
    lan.b.ip("address add fe80::12/64 dev eth0 nodad");
    let [a, other, b] = [(&lan.a, OWN_A, 1), (&lan.a, OWN_A, 2), (&lan.b, OWN_B, 1)]
        .map(|(host, own, number)| open(host, own, number).unwrap());
    // A newer address would be preferred.
    lan.a.ip("address add fe80::99/64 dev eth0 nodad");
    requests.add(&on(index, &[added("fe80::100/64")]), 60).unwrap();
    let comes = |packet: [u8; 96]| {
        a.send(&packet).unwrap();
        let mut heard = None;
        eventually("it is heard", PATIENCE, || {
            heard = hear(&b);
            heard.is_some()
        });
        let datagram = heard.unwrap();
        assert_eq!((datagram.from, datagram.ttl), (IpAddr::V6(OWN_A), 255));
        assert_eq!(datagram.bytes(), packet);
    };
    comes(heartbeat(1));
    comes(heartbeat(0));
    requests.remove(&on(index, &[added("fe80::11/64")]), &mut |_| ()).unwrap();
    comes(heartbeat(3));
    let mut of_another_group = heartbeat(1);
    of_another_group[4] = 2;
    other.send(&of_another_group).unwrap();
    a.send(&[7; 96]).unwrap();
    b.send(&heartbeat(1)).unwrap();
    eventually("it is heard", PATIENCE, || hear(&a).is_some());
    assert_eq!((hear(&b), hear(&a), hear(&other)), (None, None, None), "neither by itself nor as a packet of others");
}

fn a_heartbeat_over_ipv6_that_was_sent_by_another_program_shows_its_hop_limit() {
    let lan = lan();
    let (_, index) = requests(&lan.a);
    lan.b.ip("address add fe80::12/64 dev eth0 nodad");
    let b = open(&lan.b, OWN_B, 1).unwrap();
    let socket = lan.a.inside(|| UdpSocket::bind("[2001:db8::11]:0").unwrap());
    socket.send_to(&heartbeat(1), format!("[ff12::6861%{index}]:5555")).unwrap();
    let mut heard = None;
    eventually("it is heard", PATIENCE, || {
        heard = hear(&b);
        heard.is_some()
    });
    let datagram = heard.unwrap();
    assert_eq!((datagram.from, datagram.ttl), ("2001:db8::11".parse().unwrap(), 1), "as far as a LAN goes");
}

fn a_node_whose_own_address_of_ipv6_is_tentative_cannot_send_yet() {
    let lan = lan();
    lan.a.ip("address add fe80::11/64 dev eth0");
    assert_eq!(open(&lan.a, OWN_A, 1).map(drop), Err(Errno::ADDRNOTAVAIL));
    eventually("nobody else has it", PATIENCE, || open(&lan.a, OWN_A, 1).is_ok());
}

/// A confined worker may give an address as long as one of IPv4.
fn the_sockets_of_a_group_of_ipv6_send_nothing_over_ipv4() {
    let lan = lan();
    lan.a.ip("address add fe80::11/64 dev eth0 nodad");
    let socket = open(&lan.a, OWN_A, 1).unwrap();
    for to in ["10.0.0.12:5555", "239.2.3.4:5555", "127.0.0.1:5555"] {
        let to: std::net::SocketAddrV4 = to.parse().unwrap();
        for by in [socket.sender(), socket.as_fd()] {
            assert_eq!(sendto(by, &heartbeat(1), SendFlags::empty(), &to), Err(Errno::NETUNREACH), "{to}");
        }
    }
}

/// A message of neighbour discovery in a frame by A, with a right checksum.
fn nd(kind: u8, from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, hop_limit: u8) -> Vec<u8> {
    let option = [&[if kind == 135 { 1 } else { 2 }, 1][..], &MAC_A].concat();
    let option = if from.is_unspecified() { &[] } else { &option[..] };
    let mut body = [&[kind, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), option].concat();
    let len = u8::try_from(body.len()).unwrap();
    let pseudo = [&from.octets()[..], &to.octets(), &[0, 0, 0, len, 0, 0, 0, 58], &body].concat();
    let mut sum: u32 = pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    body[2..4].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    let [.., c, d, e, f] = to.octets();
    let mac = if to.is_multicast() { [0x33, 0x33, c, d, e, f] } else { MAC_B };
    let head = [0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 58, hop_limit];
    [&mac[..], &MAC_A, &head, &from.octets(), &to.octets(), &body].concat()
}

/// Hears in B what A says of two shared addresses.
struct Watch {
    a: Raw,
    b: Listener,
}

const SHARED: [Ipv6Addr; 3] = [VIP, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x200), VIP_TWIN];
/// Its solicited-node group is that of the first one.
const VIP_TWIN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x100);

impl Watch {
    fn new(lan: &crate::lan::Lan) -> Self {
        let (_, index) = requests(&lan.b);
        let shared = SHARED.map(|address| Cidr::new(address.into(), 64));
        let b = lan.b.inside(|| Listener::from(Listener::open(eth0(), index, &shared).unwrap()));
        Self { a: Raw::on(&lan.a, "eth0"), b }
    }

    fn heard(&self) -> Option<Resolution> {
        self.b.next()
    }
}

fn who_speaks_for_or_of_a_shared_address_is_heard() {
    let lan = lan();
    let watch = Watch::new(&lan);
    let solicited: Ipv6Addr = "ff02::1:ff00:100".parse().unwrap();
    for (what, kind, from, to, target) in [
        ("somebody has it", 136, VIP, ALL_NODES, VIP),
        ("a proxy has it", 136, OWN_A, ALL_NODES, SHARED[1]),
        ("it asks for somebody", 135, VIP, PEER, PEER),
        ("it replies", 136, VIP, PEER, VIP),
        ("somebody is about to take it", 135, Ipv6Addr::UNSPECIFIED, solicited, VIP),
        ("somebody looks for it", 135, OWN_A, solicited, VIP_TWIN),
        ("the last four bytes are enough", 136, OWN_A, ALL_NODES, "2001:db8:7::100".parse().unwrap()),
    ] {
        let frame = nd(kind, from, to, target, 255);
        assert!(watch.a.passes(&frame));
        let mut heard = None;
        eventually(what, PATIENCE, || {
            heard = watch.heard();
            heard.is_some()
        });
        assert_eq!(heard, ha::wire::nd::parse(from, to, 255, &frame[54..]), "{what}");
    }
}

fn what_is_of_no_shared_address_or_came_through_a_router_is_not_heard() {
    let lan = lan();
    let watch = Watch::new(&lan);
    let other = "2001:db8::101".parse().unwrap();
    let mut wrong = nd(136, VIP, ALL_NODES, VIP, 255);
    wrong[60] ^= 1;
    let frames = [
        nd(136, other, ALL_NODES, other, 255),
        nd(135, other, PEER, PEER, 255),
        nd(136, VIP, ALL_NODES, VIP, 64),
        nd(136, VIP, ALL_NODES, VIP, 254),
        nd(134, VIP, ALL_NODES, VIP, 255),
        nd(128, VIP, PEER, VIP, 255),
        wrong,
    ];
    assert!(frames.iter().all(|frame| watch.a.passes(frame)));
    sleep(Duration::from_millis(100));
    assert_eq!(watch.heard(), None);
    // By another interface.
    lan.b.ip("link add x0 type veth peer name x1");
    lan.b.ip("link set x0 up");
    lan.b.ip("link set x1 up");
    let x1 = Raw::on(&lan.b, "x1");
    assert!(x1.passes(&nd(136, VIP, ALL_NODES, VIP, 255)));
    sleep(Duration::from_millis(100));
    assert_eq!(watch.heard(), None);
    assert!(watch.a.passes(&nd(136, VIP, ALL_NODES, VIP, 255)));
    eventually("it hears", PATIENCE, || watch.heard().is_some());
}

/// A confined worker may give no longer one.
fn the_socket_that_hears_neighbour_discovery_sends_nothing_to_an_address_as_short_as_one_of_ipv4() {
    let lan = lan();
    let watch = Watch::new(&lan);
    let to = std::net::SocketAddrV4::new([10, 0, 0, 11].into(), 0);
    let frame = nd(136, VIP, PEER, VIP, 255);
    assert_eq!(sendto(watch.b.as_fd(), &frame[54..], SendFlags::empty(), &to), Err(Errno::INVAL));
}

fn an_advertisement_by_a_packet_socket_moves_a_neighbours_entry() {
    let lan = lan();
    // B has an entry that leads nowhere.
    lan.b.ip("neighbour replace 2001:db8::100 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    let (mut requests, index): (Requests, u32) = requests(&lan.a);
    requests.add(&on(index, &[added("2001:db8::100/64")]), 60).unwrap();
    let socket = lan.a.inside(|| crate::linux::packet::open(index, 0).unwrap());
    assert!(!reaches(&lan, VIP));
    lan.b.ip("neighbour replace 2001:db8::100 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    crate::linux::packet::send_frame(socket.as_fd(), &nd(136, VIP, ALL_NODES, VIP, 255)).unwrap();
    eventually("it is moved", PATIENCE, || {
        lan.b.ip("neighbour show 2001:db8::100 dev eth0").contains("02:00:00:00:00:0b")
    });
    assert!(reaches(&lan, VIP));
}
