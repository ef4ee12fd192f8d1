//! A node with addresses on two links, such as a router: heartbeats are on the first one alone.

use super::*;

const WAN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
const MAC_ON_WAN: Mac = [2, 0, 0, 0, 1, 11];
const OTHER_ON_WAN: Mac = [2, 0, 0, 0, 1, 66];

/// The second address on the second link.
fn router(params: &mut Params) {
    params.addresses.push(Cidr::new(WAN, 29)).unwrap();
    params.links[1] = 1;
}

/// With another hardware address on each link.
fn up(change: impl FnOnce(&mut Params)) -> Bench {
    let mut bench = Bench::new(|params| {
        router(params);
        change(params);
    });
    let mut macs = [MAC; MAX_LINKS];
    macs[1] = MAC_ON_WAN;
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs, already: true }));
    bench
}

/// That is asked whether it has the address of the second link, and says so.
fn answer_on_wan() -> Resolution {
    Resolution { link: 1, mac: Some(OTHER_ON_WAN), from: WAN, ..answer() }
}

#[test]
fn before_it_takes_the_addresses_a_node_asks_on_each_link() {
    let mut bench = up(|_| ());
    let diary = bench.run_until(3_600).join(" ");
    assert!(diary.contains("probe0 probe:203.0.113.5/1"), "{diary}");
    assert!(diary.contains("take | say:active announce0 announce1"), "{diary}");
}

#[test]
fn a_host_that_answers_on_any_link_has_the_addresses_and_is_asked_there_again() {
    let mut bench = up(|_| ());
    let mut diary = bench.run_until(3_100);
    diary.push(bench.give(Input::Resolution(answer_on_wan())));
    diary.extend(bench.run_until(3_200));
    let text = diary.join(" ");
    assert!(!text.contains("take"), "{text}");
    // Longer than a frozen owner answers.
    for second in 4..9 {
        bench.give(Input::Resolution(answer_on_wan()));
        diary = bench.run_until(second * 1_000);
    }
    let text = diary.join(" ");
    assert!(text.contains("probe:203.0.113.5/1") && !text.contains("probe0") && !text.contains("take"), "{text}");
    let diary = bench.run_until(20_000).join(" ");
    assert!(diary.contains("take"), "nobody answers any more: {diary}");
}

#[test]
fn what_is_said_of_an_address_on_another_link_is_no_conflict() {
    let mut bench = up(|_| ());
    bench.run_until(60_000);
    let elsewhere = Resolution { link: 0, mac: Some(OTHER_ON_WAN), from: WAN, ..claim() };
    let own = Resolution { link: 1, mac: Some(MAC_ON_WAN), from: WAN, to: host(1), ..claim() };
    for said in [elsewhere, own] {
        assert_eq!(bench.give(Input::Resolution(said)), "", "{said:?}");
        assert_eq!(bench.node.counters().conflicts, 0);
    }
    for (link, from, mac) in [(1, WAN, OTHER_ON_WAN), (1, WAN, MAC), (0, ADDRESS, MAC_ON_WAN)] {
        let said = Resolution { link, mac: Some(mac), from, to: host(1), ..claim() };
        let text = bench.give(Input::Resolution(said));
        assert!(text.contains("note:conflict"), "{link} {mac:?}: {text}");
    }
}

#[test]
fn neighbours_are_asked_from_the_addresses_of_their_link() {
    let mut bench = up(|params| {
        for (link, address) in [(0, "2001:db8::100"), (1, "2001:db8:1::100")] {
            params.links[params.addresses.len()] = link;
            params.addresses.push(Cidr::new(address.parse().unwrap(), 64)).unwrap();
        }
    });
    let router: IpAddr = "fe80::1".parse().unwrap();
    for (link, address) in [(0, host(1)), (1, "203.0.113.1".parse().unwrap()), (0, router), (1, router)] {
        bench.give(Input::Neighbour { link, address, is_gateway: true });
    }
    let diary = bench.run_until(5_500).join(" ");
    let mut asked: Vec<_> = diary.split(' ').filter(|word| word.starts_with("ask")).collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, ["ask0:1", "ask1:1", "ask2:fe80::1", "ask3:fe80::1"], "{diary}");
}

#[test]
fn members_are_asked_on_the_link_of_the_heartbeats() {
    let mut bench = up(|params| params.worthiness = 200);
    bench.run_until(3_000);
    bench.hear(&Voice::less().says(State::Standby));
    let diary = bench.run_until(5_000).concat();
    assert!(diary.contains("ask0:30") && !diary.contains("ask1"), "{diary}");
}
