//! The daemon with shared addresses of IPv6, beside one of IPv4 and alone.

use std::net::Ipv6Addr;
use std::time::Instant;

use ha::wire::nd;
use rustix::process::Signal;

use crate::card::Card;
use crate::daemon::{Daemon, FAST};
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::six::{lan, reaches};

tests![
    addresses_of_both_families_come_together_and_go_together,
    a_neighbour_that_knew_another_host_is_told_of_an_address_of_ipv6,
    a_stranger_that_claims_an_address_of_ipv6_is_named_and_contradicted,
    an_address_of_ipv6_that_another_host_has_is_left_alone,
    an_address_of_ipv6_ends_with_its_lease,
    a_router_says_that_it_is_one,
];

const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const VIP_CIDR: &str = "2001:db8::100/64";
const MAC_A: &str = "02:00:00:00:00:0b";
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

/// One of both families on `eth0`.
fn dual(host: &Namespace) -> Daemon {
    Daemon::fast(host, &["--address", VIP_CIDR])
}

fn alone(host: &Namespace, more: &[&str]) -> Daemon {
    Daemon::start(host, &[FAST, &["--address", VIP_CIDR], more].concat())
}

fn has_vip(host: &Namespace) -> bool {
    host.ip("-6 address show dev eth0").contains(VIP_CIDR)
}

fn entry(lan: &Lan) -> String {
    lan.b.ip("neighbour show 2001:db8::100 dev eth0")
}

fn addresses_of_both_families_come_together_and_go_together() {
    let lan = lan();
    let first = dual(&lan.a);
    first.says("active: ");
    assert!(lan.a.has(SHARED_CIDR) && has_vip(&lan.a) && reaches(&lan, VIP));
    let shown = lan.a.ip("-6 address show dev eth0");
    let vip = shown.split(VIP_CIDR).nth(1).unwrap().split("inet6").next().unwrap();
    assert!(vip.contains("deprecated") && vip.contains("nodad"), "{shown}");
    let second = dual(&lan.b);
    second.says("standby: ");
    assert!(!lan.b.has(SHARED_CIDR) && !has_vip(&lan.b));
    first.signal(Signal::TERM);
    second.says("active: ");
    assert!(lan.b.has(SHARED_CIDR) && has_vip(&lan.b));
    eventually("the first one has none", PATIENCE, || !lan.a.has(SHARED_CIDR) && !has_vip(&lan.a));
    assert!(lan.a.ip("-6 address show dev eth0").contains("2001:db8::11/64"), "its own stays");
}

fn a_neighbour_that_knew_another_host_is_told_of_an_address_of_ipv6() {
    let lan = lan();
    lan.b.ip("neighbour replace 2001:db8::100 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    let began = Instant::now();
    let daemon = alone(&lan.a, &[]);
    daemon.says("active: ");
    eventually("it is told", PATIENCE, || entry(&lan).contains(MAC_A));
    assert!(began.elapsed() < PATIENCE);
    assert!(reaches(&lan, VIP));
}

fn a_stranger_that_claims_an_address_of_ipv6_is_named_and_contradicted() {
    let lan = lan();
    let daemon = alone(&lan.a, &[]);
    daemon.says("active: ");
    assert!(reaches(&lan, VIP));
    let card = Card::of(&lan.b);
    card.send(&nd::advertisement(STRANGER, VIP, false));
    daemon.says("warning: conflict: 02:00:00:00:00:66 (no node that is known) says that it has 2001:db8::100");
    assert!(reaches(&lan, VIP));
}

fn an_address_of_ipv6_that_another_host_has_is_left_alone() {
    let lan = lan();
    lan.b.ip(&format!("address add {VIP_CIDR} dev eth0 nodad"));
    let daemon = alone(&lan.a, &[]);
    daemon.says("2001:db8::100 is in use by ");
    assert!(!has_vip(&lan.a));
    lan.b.ip(&format!("address delete {VIP_CIDR} dev eth0"));
    daemon.says("active: ");
    assert!(has_vip(&lan.a));
}

fn an_address_of_ipv6_ends_with_its_lease() {
    let lan = lan();
    let daemon = alone(&lan.a, &["--fence", "off"]);
    daemon.says("active: ");
    daemon.signal_both(Signal::STOP);
    eventually("its lease has ended", PATIENCE, || !has_vip(&lan.a));
    daemon.signal_both(Signal::CONT);
}

fn a_router_says_that_it_is_one() {
    let lan = lan();
    lan.a.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/forwarding", "1").unwrap());
    lan.b.ip("neighbour replace 2001:db8::100 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    let daemon = alone(&lan.a, &[]);
    daemon.says("active: ");
    eventually("it is told", PATIENCE, || entry(&lan).contains(MAC_A));
    assert!(entry(&lan).contains("router"), "{}", entry(&lan));
}
