//! Rule 8: ACTIVE among enough living nodes only.

use super::*;

/// One that says STANDBY each second, until `end`; what came out.
fn with_company(bench: &mut Bench, peer: &mut Voice, end: u64) -> String {
    let mut diary = String::new();
    for second in bench.now.as_micros().div_ceil(1_000_000)..=end / 1_000 {
        diary += &bench.run_until(second * 1_000).concat();
        diary += &bench.hear(&peer.says(State::Standby));
    }
    diary + &bench.run_until(end).concat()
}

fn peer() -> Voice {
    let mut peer = Voice::less();
    peer.0.following = Some(ME);
    peer
}

fn two(params: &mut Params) {
    params.quorum = 2;
}

#[test]
fn without_a_quorum_a_lone_node_does_not_take_the_address() {
    let mut bench = Bench::up(two);
    assert!(!bench.run_until(60_000).concat().contains("take"));
    assert!(!bench.last_sent().flags.has(Flags::READY), "nobody need wait for it");
}

#[test]
fn a_quorum_has_to_last_for_the_tolerance() {
    let (mut bench, mut peer) = (Bench::up(two), peer());
    bench.run_until(10_000);
    assert!(!with_company(&mut bench, &mut peer, 12_949).contains("take"));
    with_company(&mut bench, &mut peer, 15_000);
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn an_active_lets_go_before_nodes_that_do_not_hear_it_take_over() {
    let mut bench = Bench::up(two);
    with_company(&mut bench, &mut peer(), 10_000);
    assert_eq!(bench.node.state(), State::Active);
    // Tolerance 3.5 s, less an interval and a twentieth.
    assert!(!bench.run_until(12_449).concat().contains("release"));
    let diary = bench.run_until(12_450);
    assert_eq!(diary.last().unwrap(), "12450 release | say:standby active>standby");
}

#[test]
fn a_node_that_lost_its_quorum_listens_anew_when_it_is_back() {
    let (mut bench, mut peer) = (Bench::up(two), peer());
    with_company(&mut bench, &mut peer, 10_000);
    bench.run_until(20_000);
    assert!(!with_company(&mut bench, &mut peer, 22_449).contains("take"), "the other side has its time to let go");
    with_company(&mut bench, &mut peer, 25_000);
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn a_node_that_leaves_does_not_count_and_an_unfit_one_does() {
    for (said, expected) in [(State::Shutdown, State::Standby), (State::Unfit, State::Active)] {
        let (mut bench, mut peer) = (Bench::up(two), peer());
        with_company(&mut bench, &mut peer, 10_000);
        bench.hear(&peer.says(said));
        bench.give(Input::Tick);
        assert_eq!(bench.node.state(), expected, "{said}");
    }
}

#[test]
fn with_a_quorum_a_silent_successor_is_waited_for_as_for_a_silent_active() {
    let (mut bench, mut more) = (Bench::up(two), Voice::more());
    let mut peer = peer();
    with_company(&mut bench, &mut peer, 10_000);
    bench.hear(&more.claims());
    assert_eq!(bench.node.state(), State::Standby);
    assert!(!with_company(&mut bench, &mut peer, 14_499).contains("take"), "it may have the address");
    with_company(&mut bench, &mut peer, 16_000);
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn without_a_quorum_no_node_claims() {
    let mut bench = Bench::up(|params| (params.quorum, params.preempt_delay) = (3, Some(Duration::ZERO)));
    let mut active = Voice::less();
    for second in 0..10 {
        let diary = bench.run_until(second * 1_000);
        assert!(!diary.concat().contains("claim"), "{diary:?}");
        bench.hear(&active.says(State::Active));
    }
}

#[test]
fn no_node_takes_a_vacant_address_while_another_may_have_taken_it_unheard() {
    let (mut active, mut peer) = (Voice::more(), peer());
    let mut bench = Bench::following(&mut active, two);
    bench.hear(&Voice::new(40, 50).says(State::Standby));
    bench.run_until(5_800);
    bench.hear(&peer.says(State::Standby));
    // 192.0.2.40 was due at 6 s; whatever it has taken it has lost when it counts as dead, at 8.5 s.
    bench.run_until(6_100);
    bench.hear(&active.resigns());
    let mut diary = bench.run_until(6_700);
    for second in 7..=8 {
        bench.hear(&peer.says(State::Standby));
        diary.extend(bench.run_until(second * 1_000));
    }
    bench.hear(&peer.says(State::Standby));
    diary.extend(bench.run_until(8_499));
    assert!(!diary.concat().contains("take"), "{diary:?}");
    assert!(bench.run_until(8_500).concat().contains("take"));
}
