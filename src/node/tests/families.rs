//! What differs with the family of an address, and what does not.

use super::*;
use crate::config::OnConflict;
use crate::neighbours::Coverage;
use crate::wire::nd;

const MAC_OF_OTHER: Mac = [2, 0, 0, 0, 0, 66];

/// An address of IPv6, and nothing else.
fn six(params: &mut Params) {
    params.addresses.clear();
    params.addresses.push(Cidr::new(host_6(100), 64)).unwrap();
}

/// An address of each family, that of IPv4 first.
fn both(params: &mut Params) {
    params.addresses.push(Cidr::new(host_6(100), 64)).unwrap();
}

/// An NA to all with which another host says that it has the address: unasked, or in reply to a probe.
fn advertised() -> Resolution {
    Resolution {
        link: 0,
        is_reply: true,
        mac: Some(MAC_OF_OTHER),
        from: host_6(100),
        to: nd::ALL_NODES.into(),
        is_to_all: true,
    }
}

/// A STANDBY whose ACTIVE was heard for the last time at 5 s.
fn deserted(change: impl FnOnce(&mut Params)) -> Bench {
    // A peer with the same addresses, so that nothing else is worth a note.
    Bench::following(&mut Voice::less(), |params| {
        params.preempt_delay = Some(Duration::from_secs(100));
        six(params);
        change(params);
    })
}

#[test]
fn a_conflict_by_nd_is_contradicted_as_one_by_arp() {
    let asks = Resolution { is_reply: false, to: host_6(7), ..advertised() };
    for (label, said) in [("NA", advertised()), ("NS from the address", asks)] {
        let mut bench = Bench::active(six);
        bench.run_until(60_000);
        let mut announced = 0;
        for tenth in 0..200 {
            announced += bench.run_until(60_000 + tenth * 100).concat().matches("announce").count();
            let text = bench.give(Input::Resolution(said));
            announced += text.matches("announce").count();
            assert!(tenth > 0 || text.starts_with("note:conflict announce0"), "{label}: {text}");
        }
        assert!((10..=15).contains(&announced), "{label}: ten and their repeats: {announced}");
        assert_eq!(bench.node.counters().conflicts, 200, "{label}");
        assert_eq!(bench.node.last_conflict().unwrap().0, MAC_OF_OTHER, "{label}");
    }
}

#[test]
fn what_moves_no_cache_and_a_probe_are_no_conflict() {
    let probe =
        Resolution { is_reply: false, mac: None, from: Ipv6Addr::UNSPECIFIED.into(), to: host_6(100), ..advertised() };
    let proxied = Resolution { mac: None, ..advertised() };
    let own = Resolution { mac: Some(MAC), ..advertised() };
    for (label, said) in [("DAD", probe), ("NA without O", proxied), ("our own", own)] {
        let mut bench = Bench::active(six);
        bench.run_until(60_000);
        assert_eq!(bench.give(Input::Resolution(said)), "", "{label}");
        assert_eq!((bench.node.counters().conflicts, bench.node.last_conflict()), (0, None), "{label}");
    }
}

#[test]
fn neighbours_are_asked_from_the_addresses_of_their_family_and_confirm_without_a_hardware_address() {
    let mut bench = Bench::up(both);
    bench.run_until(1_000);
    let router: IpAddr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into();
    bench.give(Input::Neighbour { link: 0, address: host(1), is_gateway: true });
    bench.give(Input::Neighbour { link: 0, address: router, is_gateway: true });
    let user =
        Resolution { link: 0, is_reply: false, mac: Some([2; 6]), from: host_6(5), to: host_6(100), is_to_all: true };
    bench.give(Input::Resolution(user));
    let diary = bench.run_until(4_500).join(" ");
    assert!(diary.contains("take | say:active announce0 announce1 ask0:1 "), "{diary}");
    let mut asked: Vec<_> = diary.split(' ').filter(|word| word.starts_with("ask")).collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, ["ask0:1", "ask1:2001:db8::5", "ask1:fe80::1"]);
    // The reply to an NS by unicast has no TLLA.
    for (from, to) in [(router, host_6(100)), (host_6(5), host_6(100)), (host(1), ADDRESS)] {
        bench.give(Input::Resolution(Resolution { link: 0, is_reply: true, mac: None, from, to, is_to_all: false }));
    }
    bench.after(1);
    assert_eq!((bench.node.counters().asked, bench.node.counters().confirmed), (3, 3));
}

#[test]
fn members_are_asked_from_addresses_of_their_family_alone() {
    for (change, is_asked) in [(six as fn(&mut Params), false), (both, true)] {
        let mut bench = Bench::up(change);
        bench.run_until(3_000);
        bench.hear(&Voice::less().says(State::Standby));
        let diary = bench.run_until(5_000).concat();
        assert_eq!(diary.contains("ask0:30"), is_asked, "{diary}");
        assert!(!diary.contains("ask1"), "{diary}");
    }
}

#[test]
fn a_member_is_named_by_any_of_its_addresses_that_is_one_of_a_peer() {
    let mut bench = Bench::up(both);
    bench.run_until(3_000);
    bench.hear(&Voice::less().says(State::Standby));
    for (from, to) in [(host_6(30), host_6(100)), (host(30), ADDRESS)] {
        let said = Resolution { link: 0, is_reply: false, mac: Some(MAC_OF_OTHER), from, to, is_to_all: true };
        bench.give(Input::Resolution(said));
    }
    bench.run_until(3_600);
    let outputs = bench.node.handle(bench.now, Input::Resolution(advertised()));
    let text = outputs.iter().find_map(|output| match output {
        Output::Note(note @ Note::Conflict { .. }) => Some(note.to_string()),
        _ => None,
    });
    let expected = "conflict: 02:00:00:00:00:42 (192.0.2.30) says that it has 2001:db8::64: announced again";
    assert_eq!(text.as_deref(), Some(expected));
}

#[test]
fn an_owner_that_is_not_heard_is_left_alone_while_it_advertises_in_reply_to_probes() {
    let mut bench = deserted(|_| {});
    let mut asked = 0;
    let mut took = None;
    while took.is_none() && bench.now < at(30_000) {
        let text = bench.after(1).concat();
        took = text.contains("take").then_some(bench.now);
        if text.contains("probe:2001:db8::64") {
            asked += 1;
            if bench.now < at(20_000) {
                bench.give(Input::Resolution(advertised()));
            }
        }
        assert!(!text.contains("decoy"), "{text}");
    }
    assert!(took.is_some_and(|took| (at(23_000)..=at(24_100)).contains(&took)), "{took:?}");
    assert!((18..=21).contains(&asked), "each second, and more often while a frozen owner would reply: {asked}");
    assert_eq!(
        (bench.node.counters().in_use, bench.probed.iter().filter(|probed| **probed != host_6(100)).count()),
        (1, 0)
    );
}

#[test]
fn an_advertisement_that_comes_long_after_a_probe_delays_a_take_over_by_three_probes_once() {
    let mut bench = deserted(|_| {});
    bench.run_until(8_164);
    assert_eq!(bench.probed.len(), 1, "101 ms ago");
    let mut diary = String::new();
    while bench.now < at(60_000) {
        bench.give(Input::Resolution(advertised()));
        diary += &bench.after(1_000).concat();
    }
    assert_eq!((diary.matches("take").count(), diary.matches("note:in-use").count()), (1, 0), "{diary}");
    assert!(bench.active_since() <= at(8_500), "{:?}", bench.active_since());
}

#[test]
fn a_host_that_advertises_unasked_and_replies_then_keeps_the_address() {
    let mut bench = deserted(|_| {});
    bench.run_until(8_450);
    bench.give(Input::Resolution(advertised()));
    assert_eq!(bench.after(0), ["8450 probe:2001:db8::64"]);
    bench.after(99);
    bench.give(Input::Resolution(advertised()));
    assert!(!bench.run_until(11_000).concat().contains("take"));
}

#[test]
fn a_conflict_about_either_address_holds_them_all() {
    let mut bench = deserted(|params| {
        params.addresses.push(Cidr::new(ADDRESS, 24)).unwrap();
        params.on_conflict = OnConflict::Hold;
        params.lease = false; // with one it might be that of a frozen owner
    });
    bench.run_until(8_070);
    assert_eq!(bench.probed, [host_6(100)], "the first of them");
    bench.give(Input::Resolution(answer()));
    assert!(!bench.run_until(9_000).concat().contains("take"));
    assert!(bench.run_until(9_500).concat().contains("probe0"), "then that for which a host has answered");
}

#[test]
fn an_advertisement_of_another_address_than_was_asked_for_is_no_reply() {
    let mut bench = Bench::following(&mut Voice::less(), |params| {
        params.preempt_delay = Some(Duration::from_secs(100));
        both(params);
    });
    bench.run_until(8_063);
    assert_eq!(bench.probed, [ADDRESS]);
    bench.give(Input::Resolution(advertised()));
    let diary = bench.run_until(8_500).join(" ");
    assert!(diary.matches("probe0").count() >= 3 && !diary.contains("note:in-use"), "{diary}");
    assert!(diary.contains("8500 note:alone take") || diary.contains("8500 take"), "{diary}");
}

#[test]
fn the_count_of_a_round_has_hosts_of_both_families() {
    let mut bench = Bench::up(both);
    for from in [host(5), host_6(5)] {
        let to = if from.is_ipv4() { ADDRESS } else { host_6(100) };
        bench.give(Input::Resolution(Resolution { link: 0, is_reply: false, mac: None, from, to, is_to_all: true }));
    }
    bench.run_until(3_500);
    bench.after(3);
    let confirmed = |from, to| Resolution { link: 0, is_reply: true, mac: None, from, to, is_to_all: false };
    bench.give(Input::Resolution(confirmed(host(5), ADDRESS)));
    bench.run_until(3_503);
    let mut coverage = None;
    while coverage.is_none() && bench.now < at(15_000) {
        bench.now = bench.node.deadline().unwrap();
        coverage = bench.node.handle(bench.now, Input::Tick).iter().find_map(|output| match output {
            Output::Note(Note::Covered(coverage)) => Some(*coverage),
            _ => None,
        });
    }
    assert_eq!(coverage, Some(Coverage { confirmed: 1, asked: 2, after: Duration::from_millis(3) }));
}
