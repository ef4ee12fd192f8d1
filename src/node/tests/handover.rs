//! Rules 4 and 5: hand-over, and two ACTIVEs.

use super::*;

fn claims(diary: &[String]) -> usize {
    diary.iter().filter(|line| line.contains("claim")).count()
}

#[test]
fn a_settled_more_worthy_node_claims_and_takes_when_it_is_named() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(10);
    let claim = *bench.sent.iter().rfind(|said| said.kind == Kind::Claim).unwrap();
    assert_eq!(claim.following, Some(active.0.node), "it names the node that it asks");
    assert!(claim.state == State::Standby && claim.flags.has(Flags::SETTLED));
    assert_eq!(bench.hear(&active.yields_to(ME)), "take | say:active announce0 ask0:30 standby>active");
}

#[test]
fn a_claim_waits_for_the_preempt_delay() {
    for delay_ms in [1, 1_000, 3_500, 30_000] {
        let mut bench = Bench::up(|params| params.preempt_delay = Some(Duration::from_millis(delay_ms)));
        let mut active = Voice::less();
        active.0.hold = Duration::from_secs(100);
        bench.hear(&active.says(State::Active));
        assert_eq!(claims(&bench.run_until(delay_ms - 1)), 0, "delay {delay_ms} ms");
        assert_eq!(claims(&bench.run_until(delay_ms)), 1, "delay {delay_ms} ms");
    }
}

#[test]
fn an_unanswered_claim_repeats_within_the_interval_and_takes_nothing_by_force() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    for second in 6..=20 {
        let diary = bench.run_until(second * 1_000 - 1);
        assert!((3..=4).contains(&claims(&diary)), "{diary:?}");
        assert!(!diary.concat().contains("take"));
        bench.run_until(second * 1_000);
        bench.hear(&active.says(State::Active));
    }
}

#[test]
fn only_the_most_worthy_of_the_settled_claims() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.hear(&Voice::more().says_with(|said| said.flags = Flags::default()));
    bench.after(10);
    let before = bench.sent.iter().filter(|said| said.kind == Kind::Claim).count();
    assert!(before > 0, "a more worthy node that is not settled is no reason to wait");
    bench.hear(&Voice::new(21, 200).says(State::Standby));
    assert_eq!(claims(&bench.after(900)), 0);
}

#[test]
fn a_claim_is_obeyed_only_if_more_worthy_settled_fit_and_for_us() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    let claim = |said: &mut Heartbeat| (said.kind, said.following) = (Kind::Claim, Some(ME));
    for (label, packet) in [
        ("less worthy", Voice::less().claims()),
        ("equal with a higher address", Voice::new(11, 100).claims()),
        ("not settled", more.says_with(|said| (claim(said), said.flags = Flags::READY).0)),
        ("for somebody else", more.says_with(|said| (claim(said), said.following = Some(id(30))).0)),
        ("unfit", more.says_with(|said| (claim(said), said.state = State::Unfit).0)),
        ("leaving", more.says_with(|said| (claim(said), said.state = State::Shutdown).0)),
    ] {
        assert!(!bench.hear(&packet).contains("release"), "{label}");
    }
    assert!(bench.hear(&Voice::new(9, 100).claims()).contains("release"), "equal with a lower address");
}

#[test]
fn an_active_releases_before_it_names_its_successor() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    let sent = bench.sent.len();
    assert_eq!(bench.hear(&more.claims()), "note:met release");
    assert_eq!(bench.sent.len(), sent, "it says nothing before the address is gone");
    bench.sleep(5);
    assert_eq!(bench.give(Input::Released), "say:standby active>standby");
    let said = bench.last_sent();
    assert_eq!((said.state, said.following), (State::Standby, Some(more.0.node)));
    assert!(said.flags.has(Flags::RELEASED));
}

#[test]
fn a_yield_is_said_at_least_three_times_within_ten_ms() {
    let mut bench = Bench::active(|_| {});
    let sent = bench.sent.len();
    bench.hear(&Voice::more().claims());
    bench.after(10);
    assert!(bench.sent.len() >= sent + 3);
    for said in &bench.sent[sent..] {
        assert_eq!((said.state, said.following), (State::Standby, Some(id(20))));
    }
}

#[test]
fn a_lost_yield_is_repeated_on_the_next_claim() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.hear(&more.claims());
    for _ in 0..10 {
        bench.after(250);
        assert_eq!(bench.hear(&more.claims()), "say:standby");
        assert_eq!(bench.last_sent().following, Some(more.0.node));
    }
}

#[test]
fn a_claimant_takes_over_on_any_of_the_yields() {
    for lost in 0..6 {
        let mut active = Voice::less();
        let mut bench = Bench::following(&mut active, |_| {});
        bench.after(10);
        for _ in 0..lost {
            active.yields_to(ME);
        }
        // Beyond an interval the repeated answer carries no RELEASED any more.
        let packet = if lost < 5 { active.yields_to(ME) } else { active.says_with(|said| said.following = Some(ME)) };
        let outputs = [bench.hear(&packet), bench.give(Input::Tick)].concat();
        assert!(outputs.starts_with("take"), "{lost} lost: {outputs}");
    }
}

#[test]
fn a_successor_that_stays_silent_for_an_interval_is_replaced() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(4_200);
    bench.hear(&Voice::more().claims());
    assert!(!bench.run_until(5_199).concat().contains("take"));
    assert!(bench.run_until(5_200).concat().contains("take"));
}

#[test]
fn a_silent_successor_is_replaced_even_while_a_third_is_more_worthy_too() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(4_200);
    bench.hear(&Voice::new(40, 150).says(State::Standby));
    bench.hear(&Voice::more().claims());
    assert!(bench.run_until(5_200).concat().contains("take"), "nobody else will before the successor counts as dead");
}

#[test]
fn a_successor_that_cannot_is_replaced_at_once() {
    for state in [State::Unfit, State::Shutdown] {
        let mut more = Voice::more();
        let mut bench = Bench::active(|_| {});
        bench.run_until(4_200);
        bench.hear(&more.claims());
        bench.after(20);
        bench.hear(&more.says_with(|said| {
            said.state = state;
            said.flags = Flags::RELEASED;
        }));
        let outputs = bench.give(Input::Tick);
        assert!(outputs.starts_with("take"), "{state}: {outputs}");
    }
}

#[test]
fn a_successor_that_announced_the_address_and_resigned_is_replaced_at_once_and_named() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    bench.run_until(4_200);
    bench.hear(&more.claims());
    bench.give(Input::Released);
    bench.after(20);
    bench.give(Input::Resolution(claim()));
    bench.hear(&more.resigns());
    assert!(bench.give(Input::Tick).starts_with("take"), "it has said that the address is free");
    let Role::Taking(Taking { reason, .. }) = bench.node.role else { panic!("{:?}", bench.node.role) };
    assert_eq!(reason, Reason::Resigned { peer: more.0.node, state: State::Shutdown });
}

#[test]
fn a_node_that_sees_a_hand_over_leaves_the_address_to_the_successor() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    assert_eq!(bench.hear(&active.yields_to(id(40))), "");
    assert!(!bench.after(1_999).concat().contains("take"));
    assert!(bench.after(1).concat().contains("take"), "but not for ever");
}

#[test]
fn the_less_worthy_of_two_actives_speaks_at_once_and_releases_when_it_is_answered() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    assert_eq!(bench.hear(&more.says(State::Active)), "note:met refresh say:active");
    assert_eq!(bench.hear(&answer(&mut more)), "release | say:standby active>standby");
    let said = bench.last_sent();
    assert!(said.flags.has(Flags::RELEASED), "caches may point at it");
    assert_eq!(said.following, Some(more.0.node));
    assert!(!bench.after(3_000).concat().contains("take"));
}

#[test]
fn an_active_that_is_about_to_give_way_answers_less_worthy_ones_now_and_then() {
    let (mut more, mut less) = (Voice::more(), Voice::less());
    let mut bench = Bench::active(|_| {});
    bench.hear(&more.says(State::Active));
    let answered = (0..100).filter(|_| {
        bench.after(5);
        bench.hear(&less.says(State::Active)).contains("say:active")
    });
    assert_eq!(answered.count(), 10, "of 100 in half an interval");
    assert_eq!(bench.last_sent().following, Some(less.0.node));
    assert_eq!(bench.hear(&answer(&mut more)), "release | say:standby active>standby");
}

/// What the more worthy of two ACTIVEs says to the other one.
fn answer(more: &mut Voice) -> [u8; LEN] {
    more.says_with(|said| (said.state, said.following) = (State::Active, Some(ME)))
}

#[test]
fn the_less_worthy_of_two_actives_releases_unanswered_after_its_tolerance() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.run_until(4_200);
    bench.hear(&more.says(State::Active));
    for millis in [4_800, 5_700, 6_600, 7_500] {
        bench.run_until(millis);
        bench.hear(&more.says(State::Active));
    }
    assert!(!bench.run_until(7_699).concat().contains("release"));
    assert!(bench.run_until(7_700).concat().contains("release | say:standby active>standby"));
}

#[test]
fn the_less_worthy_of_two_actives_stays_when_the_other_one_has_gone() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.hear(&more.says(State::Active));
    bench.after(20);
    bench.hear(&more.yields_to(id(99)));
    assert!(!bench.after(5_000).concat().contains("release"));
}

#[test]
fn a_node_that_had_the_address_says_so_for_an_interval_at_least_and_not_for_ever() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.run_until(4_200);
    let sent = bench.sent.len();
    bench.hear(&answer(&mut more));
    bench.run_until(5_200);
    assert!(bench.sent[sent..].iter().all(|said| said.flags.has(Flags::RELEASED)));
    for second in 6..=10 {
        bench.run_until(second * 1_000);
        bench.hear(&more.says(State::Active));
    }
    assert!(!bench.last_sent().flags.has(Flags::RELEASED));
}

#[test]
fn the_more_worthy_of_two_actives_speaks_and_announces_at_once() {
    let mut less = Voice::less();
    let mut bench = Bench::active(|_| {});
    let first = bench.hear(&less.says(State::Active));
    assert_eq!(first, "note:met refresh say:active announce0 note:defended");
    assert_eq!(bench.hear(&less.says(State::Active)), "refresh say:active", "noted once, announced once a second");
    assert!(bench.after(999).concat().matches("announce").count() == 0);
    assert!(bench.after(1).concat().contains("announce0"));
    let last = bench.hear(&less.yields_to(ME));
    assert!(last.contains("announce0"), "a node that lets go is heard: there are frames left to speak last: {last}");
}

#[test]
fn the_more_worthy_announces_again_when_the_loser_let_go() {
    let mut less = Voice::less();
    let mut bench = Bench::active(|_| {});
    bench.hear(&less.says(State::Active));
    bench.after(100);
    assert_eq!(bench.hear(&less.yields_to(ME)), "announce0");
    assert_eq!(bench.hear(&less.yields_to(ME)), "", "the same news again");
}

#[test]
fn a_node_that_is_taking_the_address_gives_way_to_a_more_worthy_active() {
    let mut bench = Bench::up(|_| {});
    bench.obliges = false;
    bench.run_until(3_500);
    assert_eq!(bench.hear(&Voice::more().says(State::Active)), "note:met release");
    assert_eq!(bench.give(Input::Taken), "", "the answer to what it asked before");
    assert_eq!(bench.give(Input::Released), "say:standby");
}

#[test]
fn a_named_node_leaves_the_address_to_a_living_active() {
    let (mut active, mut confused) = (Voice::more(), Voice::less());
    let mut bench = Bench::following(&mut active, |_| {});
    assert_eq!(bench.hear(&confused.yields_to(ME)), "note:met");
}

#[test]
fn the_more_worthy_of_two_actives_yields_to_one_that_does_not_hear_it_for_its_hold() {
    let mut less = Voice::less();
    less.0.following = Some(less.0.node);
    let mut bench = Bench::active(|_| {});
    for second in 4..=7 {
        bench.run_until(second * 1_000);
        assert!(!bench.hear(&less.says(State::Active)).contains("release"), "second {second}");
    }
    bench.run_until(8_000);
    assert_eq!(bench.hear(&less.says(State::Active)), "release | say:standby active>standby");
    for second in 9..=20 {
        assert!(!bench.run_until(second * 1_000).concat().contains("take"), "it follows what it hears");
        bench.hear(&less.says(State::Active));
    }
    assert!(bench.run_until(23_500).concat().contains("take"), "until that one is silent");
}

#[test]
fn the_more_worthy_of_two_actives_does_not_yield_to_one_that_hears_it_or_that_comes_and_goes() {
    for (label, gap_ms, following) in [("answers", 1_000, Some(ME)), ("comes and goes", 3_500, Some(id(30)))] {
        let mut less = Voice::less();
        let mut bench = Bench::active(|_| {});
        for _ in 0..20 {
            let packet = less.says_with(|said| (said.state, said.following) = (State::Active, following));
            assert!(!bench.hear(&packet).contains("release"), "{label}");
            bench.after(gap_ms);
        }
    }
}

#[test]
fn an_active_that_hears_a_more_worthy_one_names_it() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.hear(&more.says(State::Active));
    assert_eq!(bench.last_sent().following, Some(more.0.node));
}

#[test]
fn only_the_active_that_was_asked_hands_over() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(10);
    assert!(bench.sent.iter().any(|said| said.kind == Kind::Claim && said.following == Some(active.0.node)));
    let mut other = Voice::new(31, 40);
    bench.hear(&active.says(State::Standby));
    assert_eq!(bench.hear(&other.yields_to(ME)), "note:met", "it was not asked, and speaks of another hand-over");
}

#[test]
fn a_successor_that_another_node_named_is_waited_for_two_intervals_and_no_longer_than_the_hold() {
    for (hold_ms, wait_ms) in [(3_500, 2_000), (1_300, 1_300)] {
        let mut active = Voice::less();
        active.0.hold = Duration::from_millis(hold_ms);
        let mut bench = Bench::up(|_| {});
        for round in 0..=50 {
            bench.run_until(round * 100);
            bench.hear(&active.says(State::Active));
        }
        bench.run_until(5_010);
        bench.hear(&active.yields_to(id(40)));
        let diary = bench.after(5_000);
        let took = diary.iter().find(|line| line.contains("take")).expect("the successor is silent");
        assert!(took.starts_with(&(5_010 + wait_ms).to_string()), "hold {hold_ms} ms: {diary:?}");
    }
}
