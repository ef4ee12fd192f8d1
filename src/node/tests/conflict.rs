//! Conflicts by ARP: with a host that shouts, with an owner, with a router that answers for all.

use super::*;
use crate::config::OnConflict;

/// Shouts each 50 ms until `until`; what came out.
fn shouted_at(bench: &mut Bench, until: u64, mac: Mac) -> Vec<String> {
    let mut diary = Vec::new();
    while bench.now < at(until) {
        diary.extend(bench.after(50));
        diary.push(bench.give(Input::Resolution(Resolution { mac: Some(mac), ..claim() })));
    }
    diary
}

/// A router that answers each probe, whatever address it asks for, this number of milliseconds later; what came out until `until`.
fn beside_a_router(bench: &mut Bench, until: u64, after: u64) -> Vec<String> {
    let mut diary = Vec::new();
    let mut asked: Vec<(Instant, IpAddr)> = Vec::new();
    while bench.now < at(until) {
        diary.extend(bench.after(1));
        let due = |&(at, _): &(Instant, IpAddr)| at <= bench.now;
        let (answers, rest) = asked.into_iter().partition::<Vec<_>, _>(due);
        asked = rest;
        for (_, from) in answers {
            diary.push(bench.give(Input::Resolution(Resolution { from, ..answer() })));
        }
        let probed = core::mem::take(&mut bench.probed);
        asked.extend(probed.into_iter().map(|address| (bench.now + Duration::from_millis(after), address)));
    }
    diary
}

fn count(diary: &[String], text: &str) -> usize {
    diary.iter().map(|line| line.matches(text).count()).sum()
}

/// A STANDBY whose ACTIVE was heard for the last time at 5 s.
fn deserted() -> Bench {
    Bench::following(&mut Voice::less(), |params| params.preempt_delay = Some(Duration::from_secs(100)))
}

#[test]
fn a_host_that_shouts_delays_a_take_over_by_three_questions_once() {
    for mac in [[2; 6], [2, 0, 0, 0, 0, 1]] {
        let mut bench = Bench::up(|_| {});
        let diary = shouted_at(&mut bench, 120_000, mac);
        assert_eq!((count(&diary, "standby>active"), count(&diary, "active>")), (1, 0), "{diary:?}");
        let taken_at = bench.active_since();
        assert!(taken_at <= at(3_800), "{taken_at:?}");
    }
}

#[test]
fn a_host_that_claims_unasked_and_answers_then_keeps_the_address() {
    let mut bench = deserted();
    bench.run_until(8_450);
    assert_eq!(bench.give(Input::Resolution(claim())), "");
    assert_eq!(bench.after(0), ["8450 probe0"]);
    bench.after(1);
    bench.give(Input::Resolution(answer()));
    assert!(!bench.run_until(11_000).concat().contains("take"));
}

#[test]
fn a_host_that_claims_unasked_just_before_the_end_is_waited_for() {
    let mut bench = deserted();
    bench.run_until(8_499);
    bench.give(Input::Resolution(claim()));
    let diary = bench.run_until(8_900);
    assert_eq!((count(&diary, "probe0"), count(&diary, "8799 take")), (3, 1), "{diary:?}");
}

#[test]
fn with_on_conflict_take_a_node_waits_for_no_host_that_shouts() {
    let mut bench = Bench::up(|params| params.on_conflict = OnConflict::Take);
    shouted_at(&mut bench, 4_000, [2; 6]);
    assert_eq!(bench.active_since(), at(3_500));
}

#[test]
fn a_reply_that_no_probe_asked_for_is_a_shout() {
    let mut bench = deserted();
    bench.run_until(8_100);
    bench.give(Input::Resolution(Resolution { to: ME.address(), ..answer() }));
    let diary = bench.run_until(8_500).concat();
    assert!(diary.contains("take"), "{diary}");
}

#[test]
fn a_router_that_answers_for_all_delays_no_take_over() {
    for (after, latest) in [(1, 8_500), (30, 8_500), (200, 9_070), (800, 12_070)] {
        let mut bench = deserted();
        let diary = beside_a_router(&mut bench, 60_000, after);
        assert_eq!(count(&diary, "note:proxy"), 1, "{after}: {diary:?}");
        assert!(bench.active_since() <= at(latest), "{after}: {:?}", bench.active_since());
        assert_eq!(count(&diary, "note:conflict"), 0, "{after}: {diary:?}");
    }
}

#[test]
fn the_owner_beside_a_router_is_heard_although_the_router_answers_later() {
    let mut bench = deserted();
    bench.run_until(8_062);
    while bench.now < at(30_000) {
        bench.after(1);
        for from in core::mem::take(&mut bench.probed) {
            if from == ADDRESS {
                bench.give(Input::Resolution(Resolution { mac: Some([4; 6]), ..answer() }));
            }
            bench.give(Input::Resolution(Resolution { from, ..answer() }));
        }
    }
    assert_eq!(bench.node.state(), State::Standby);
    assert_eq!(bench.node.last_conflict().unwrap().0, [4; 6]);
}

#[test]
fn a_router_that_replies_to_each_announcement_and_to_no_probe_is_named_once_and_not_contradicted() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(20_000);
    let mut diary = Vec::new();
    bench.give(Input::MacChanged([MAC; MAX_LINKS]));
    while bench.now < at(600_000) {
        let lines = bench.after(100);
        let is_announced = lines.concat().contains("announce0");
        diary.extend(lines);
        if is_announced || bench.now == at(20_100) {
            diary.push(bench.give(Input::Resolution(Resolution { to: ADDRESS, ..answer() })));
        }
    }
    assert_eq!((count(&diary, "note:proxy"), count(&diary, "note:conflict")), (1, 0), "{diary:?}");
    // Nobody else was ever heard, so it announces each tolerance, and not more often.
    assert!(count(&diary, "announce0") <= 2 + 580 * 2 / 7, "{}", count(&diary, "announce0"));
    assert!(count(&diary, "probe0") <= 3 + 10, "once a minute: {}", count(&diary, "probe0"));
}

#[test]
fn a_second_owner_that_replies_to_this_node_alone_is_named_and_contradicted() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(20_000);
    let mut diary = Vec::new();
    for _ in 0..100 {
        diary.push(bench.give(Input::Resolution(Resolution { to: ADDRESS, ..answer() })));
        if core::mem::take(&mut bench.probed).contains(&ADDRESS) {
            diary.push(bench.give(Input::Resolution(answer())));
        }
        diary.extend(bench.after(100));
    }
    assert_eq!((count(&diary, "note:proxy"), count(&diary, "note:conflict")), (0, 1), "{diary:?}");
}

#[test]
fn decoys_are_of_the_same_network_and_drawn_at_random() {
    let shared = Ipv4Addr::new(192, 0, 2, 101);
    for (prefix, is_drawn) in [(8, true), (24, true), (29, true), (30, false), (32, false)] {
        let mut bench = Bench::new(|params| {
            params.addresses.clear();
            params.addresses.push(Cidr::new(shared.into(), prefix)).unwrap();
        });
        bench.give(Input::Link(Link::Up { node: ME, prefix, macs: [MAC; MAX_LINKS], already: true }));
        let drawn: Vec<_> = (0..100).map(|_| bench.node.station.draw_decoy(shared.into())).collect();
        assert!(drawn.iter().all(|drawn| drawn.is_some() == is_drawn), "{prefix}: {drawn:?}");
        let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        for address in drawn.into_iter().flatten() {
            let IpAddr::V4(address) = address else { panic!("{address}") };
            let host = address.to_bits() & mask;
            assert_eq!(address.to_bits() | mask, shared.to_bits() | mask, "{prefix}");
            assert!(
                host != 0 && host != mask && address != shared && NodeId::from_v4(address) != ME,
                "{prefix}: {address}"
            );
        }
    }
}
