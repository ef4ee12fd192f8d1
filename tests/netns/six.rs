//! IPv6 as the kernel has it: the program's own requests, sockets and rules, one by one, without a daemon.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ha::config::Cidr;
use rustix::io::Errno;

use crate::lan::{Lan, Namespace};
use crate::lines::{PATIENCE, eventually};
use crate::linux::name::Name;
use crate::linux::netlink::{Added, Address, Event, Events, Family, Requests};

tests![
    an_address_is_there_at_once_and_is_no_source_and_ends_with_its_lease,
    an_address_that_another_one_covers_brings_no_route,
    addresses_of_both_families_go_in_one_call_whatever_their_prefixes,
    one_that_is_refused_is_named,
    a_change_is_reported_with_its_address_and_a_tentative_address_is_known,
    the_gateway_and_the_neighbours_of_ipv6_are_found,
];

/// Two hosts with IPv6 and without its noise.
pub fn lan() -> Lan {
    let lan = Lan::new();
    for (host, own) in [(&lan.a, OWN), (&lan.b, "2001:db8::12/64")] {
        permit(host);
        host.ip(&format!("address add {own} dev eth0 nodad"));
    }
    lan
}

/// Lets `eth0` of this host have addresses of IPv6, without its noise.
pub fn permit(host: &Namespace) {
    host.inside(|| {
        for (name, value) in [("accept_ra", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")] {
            fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{name}"), value).unwrap();
        }
    });
}

const OWN: &str = "2001:db8::11/64";

pub fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr::new(address.parse().unwrap(), prefix.parse().unwrap())
}

pub fn added(text: &str) -> Added {
    Added { cidr: cidr(text), index: 0, label: Name::new(b"eth0:1").unwrap(), is_covered: false }
}

/// The same on this interface.
pub fn on(index: u32, all: &[Added]) -> Vec<Added> {
    all.iter().map(|&added| Added { index, ..added }).collect()
}

/// Asks the kernel in `host`, where `eth0` has this number.
pub fn requests(host: &Namespace) -> (Requests, u32) {
    host.inside(|| {
        let mut requests = Requests::open().unwrap();
        let interface = requests.interface("eth0").unwrap().unwrap();
        (requests, interface.index)
    })
}

fn addresses(requests: &mut Requests, index: u32) -> Vec<Address> {
    let mut found = Vec::new();
    requests.addresses(index, &mut |address| found.push(address)).unwrap();
    found
}

fn has(requests: &mut Requests, index: u32, text: &str) -> bool {
    addresses(requests, index).iter().any(|there| there.cidr == cidr(text))
}

/// Whether a datagram from `b` to `address` reaches `a` within the time that it takes to look for it once.
pub fn reaches(lan: &Lan, address: Ipv6Addr) -> bool {
    let heard = lan.a.inside(|| UdpSocket::bind("[::]:0").unwrap());
    heard.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let port = heard.local_addr().unwrap().port();
    let (_, scope) = requests(&lan.b);
    lan.b.inside(|| {
        UdpSocket::bind("[::]:0").unwrap().send_to(b"?", SocketAddrV6::new(address, port, 0, scope)).unwrap()
    });
    heard.recv(&mut [0; 8]).is_ok()
}

fn an_address_is_there_at_once_and_is_no_source_and_ends_with_its_lease() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    for _ in 0..2 {
        requests.add(&on(index, &[added("2001:db8::100/64"), added("fe80::100/64")]), 1).unwrap();
    }
    let since = Instant::now();
    for address in ["2001:db8::100", "fe80::100"] {
        let shown = lan.a.ip(&format!("-o -6 address show dev eth0 to {address}"));
        for part in ["nodad", "deprecated", "valid_lft 1sec", "preferred_lft 0sec"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("tentative"), "{shown}");
        assert!(reaches(&lan, address.parse().unwrap()), "{address}");
    }
    assert!(lan.a.ip("route get 2001:db8::12").contains("src 2001:db8::11 "), "it is no source");
    let all = addresses(&mut requests, index);
    assert!(all.iter().any(|there| there.cidr.to_string() == "10.0.0.11/24" && there.valid_s == u32::MAX), "{all:?}");
    requests.add(&on(index, &[added("2001:db8::100/64"), added("fe80::100/64")]), 1).unwrap();
    let renewed = Instant::now();
    for text in ["2001:db8::100/64", "fe80::100/64"] {
        eventually("it is gone", PATIENCE, || !has(&mut requests, index, text));
        // Up to a second and a half late, and 20 ms early (Linux 6.18, veth, HZ=250); one of IPv4 at most a second late.
        let ended = renewed.elapsed();
        assert!(
            ended > Duration::from_millis(970) && ended < Duration::from_millis(2_550),
            "{text} ended after {ended:?}"
        );
    }
    assert!(since.elapsed() > Duration::from_secs(1));
    assert!(has(&mut requests, index, OWN));
}

fn an_address_that_another_one_covers_brings_no_route() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    let routes = |lan: &Lan| lan.a.ip("-6 route show dev eth0");
    let add = |requests: &mut Requests, text: &str, is_covered| {
        requests.add(&on(index, &[Added { is_covered, ..added(text) }]), 2).unwrap();
    };
    let before = routes(&lan);
    add(&mut requests, "2001:db8::100/64", true);
    assert_eq!(routes(&lan), before, "the route of the other one");
    add(&mut requests, "2001:db8:7::1/64", true);
    assert_eq!(routes(&lan), before);
    // The one that covered it has gone.
    add(&mut requests, "2001:db8:7::1/64", false);
    assert!(routes(&lan).contains("2001:db8:7::/64"));
}

fn addresses_of_both_families_go_in_one_call_whatever_their_prefixes() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    let all = ["10.0.0.100/24", "2001:db8::100/64", "10.0.0.101/32", "fe80::100/64"];
    requests.add(&on(index, &all.map(added)), 2).unwrap();
    assert!(all.iter().all(|text| has(&mut requests, index, text)));
    lan.a.ip("address add 10.0.0.100/16 dev eth0");
    let mut removed = |texts: &[&str]| {
        let mut positions = Vec::new();
        let there: Vec<_> = texts.iter().map(|text| added(text)).collect();
        requests.remove(&on(index, &there), &mut |position| positions.push(position)).unwrap();
        positions
    };
    // As somebody may have configured them since.
    let others = ["10.0.0.100/8", "2001:db8::100/128", "10.0.0.101/24", "2001:db8::101/64", "fe80::100/10"];
    assert_eq!(removed(&others), [0, 1, 2, 4]);
    assert_eq!(removed(&others), [0], "one of IPv4 is there once with each prefix");
    assert_eq!(removed(&others), []);
    let cidrs: Vec<_> = addresses(&mut requests, index).iter().map(|there| there.cidr.to_string()).collect();
    assert!(cidrs[..2] == ["10.0.0.11/24", OWN] && cidrs.len() == 3 && cidrs[2].starts_with("fe80::"), "{cidrs:?}");
    for (nowhere, device) in [(index + 100, "elsewhere"), (1, "lo")] {
        lan.a.ip("address replace 2001:db8::100/64 dev eth0 nodad");
        let outcome = requests.remove(&on(nowhere, &[added("2001:db8::100/64")]), &mut |_| panic!("it is not there"));
        assert_eq!(outcome, Ok(()), "{device}");
        assert!(has(&mut requests, index, "2001:db8::100/64"), "{device}");
    }
}

fn one_that_is_refused_is_named() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    for bad in ["2001:db8::101/129", "10.0.0.102/33", "2001:db8::102/140"] {
        let all = ["10.0.0.100/24", bad, "2001:db8::102/64", "2001:db8::103/129"];
        let refused = requests.add(&on(index, &all.map(added)), 2).unwrap_err();
        assert_eq!((refused.position, refused.errno), (Some(1), Errno::INVAL));
        assert!(has(&mut requests, index, "2001:db8::102/64"), "the kernel goes on");
        requests.remove(&on(index, &all.map(added)), &mut |_| ()).unwrap();
        assert!(!has(&mut requests, index, "2001:db8::102/64") && !has(&mut requests, index, "10.0.0.100/24"));
    }
    let refused = requests.add(&on(index + 100, &["10.0.0.100/24", "2001:db8::100/64"].map(added)), 2).unwrap_err();
    assert_eq!((refused.position, refused.errno), (Some(0), Errno::NODEV));
    // The kernel renews one that is there with another prefix, and leaves it that.
    lan.a.ip("address add 2001:db8::101/128 dev eth0 nodad");
    requests.add(&on(index, &[added("2001:db8::101/64")]), 2).unwrap();
    let all = addresses(&mut requests, index);
    assert!(all.iter().any(|there| there.cidr == cidr("2001:db8::101/128") && there.valid_s <= 2), "{all:?}");
}

fn a_change_is_reported_with_its_address_and_a_tentative_address_is_known() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    let events = lan.a.inside(|| Events::open(&requests, true).unwrap());
    let heard = || {
        let mut heard = Vec::new();
        events.drain(&[("eth0", index)], |event| heard.push(event));
        heard
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    lan.a.ip("address add 2001:db8::100/64 dev eth0");
    let find = |requests: &mut Requests| {
        let all = addresses(requests, index);
        all.into_iter().find(|there| there.cidr == cidr("2001:db8::100/64")).unwrap()
    };
    assert!(find(&mut requests).is_tentative);
    assert!(heard().contains(&Event::Added(address("2001:db8::100"))));
    eventually("nobody else has it", PATIENCE, || !find(&mut requests).is_tentative);
    assert!(heard().contains(&Event::Added(address("2001:db8::100"))), "so that one looks at it again");
    lan.b.ip("address add 2001:db8::101/64 dev eth0 nodad");
    lan.a.ip("address add 2001:db8::101/64 dev eth0");
    sleep(Duration::from_millis(1_500));
    let all = addresses(&mut requests, index);
    assert!(all.iter().any(|there| there.cidr == cidr("2001:db8::101/64") && there.is_tentative), "{all:?}");
    requests.remove(&on(index, &[added("2001:db8::100/64")]), &mut |_| ()).unwrap();
    assert!(heard().contains(&Event::Removed(address("2001:db8::100"))));
}

fn the_gateway_and_the_neighbours_of_ipv6_are_found() {
    let lan = lan();
    let (mut requests, index) = requests(&lan.a);
    assert_eq!(requests.gateway(index, Family::V6).unwrap(), None);
    let neighbours = |requests: &mut Requests, family| lan.a.inside(|| requests.neighbours(index, family).unwrap());
    assert!(neighbours(&mut requests, Family::V6).is_empty());
    lan.a.ip("-6 route add default via fe80::1 dev eth0");
    lan.a.ip("neighbour add 2001:db8::7 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    lan.a.ip("neighbour add 2001:db8::8 dev eth0 nud failed");
    lan.a.ip("neighbour add 10.0.0.7 lladdr 02:00:00:00:00:77 dev eth0 nud stale");
    assert_eq!(requests.gateway(index, Family::V6).unwrap(), Some("fe80::1".parse().unwrap()));
    assert_eq!(requests.gateway(index, Family::V4).unwrap(), None);
    for (family, neighbour) in [(Family::V6, "2001:db8::7"), (Family::V4, "10.0.0.7")] {
        assert_eq!(neighbours(&mut requests, family), [neighbour.parse::<IpAddr>().unwrap()]);
    }
}
