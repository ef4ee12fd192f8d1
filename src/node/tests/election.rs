//! Rules 1, 3, 6 and 7: silence, resign, unfit, sticky.

use super::*;

/// The lines at which the node asked for the address.
fn takes(diary: &[String]) -> Vec<&String> {
    diary.iter().filter(|line| line.contains("take")).collect()
}

#[test]
fn standby_waits_out_its_tolerance_before_it_takes_over() {
    let mut bench = Bench::up(|_| {});
    assert!(takes(&bench.run_until(3_499)).is_empty());
    assert_eq!(bench.run_until(3_500), ["3500 take | say:active announce0 standby>active"]);
}

#[test]
fn a_silent_active_is_replaced_when_its_own_hold_has_run_out_and_not_before() {
    for hold_ms in [1_500, 3_500, 20_000] {
        let mut active = Voice::more();
        active.0.hold = Duration::from_millis(hold_ms);
        let mut bench = Bench::following(&mut active, |_| {});
        assert!(takes(&bench.run_until(5_000 + hold_ms - 1)).is_empty(), "hold {hold_ms} ms");
        assert_eq!(takes(&bench.run_until(5_000 + hold_ms)).len(), 1, "hold {hold_ms} ms");
    }
}

#[test]
fn the_reason_names_the_silent_node_and_the_time() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.obliges = false;
    bench.run_until(8_500);
    let peer = active.0.node;
    let Role::Taking(Taking { reason, .. }) = bench.node.role else { panic!("{bench:?}") };
    assert_eq!(reason, Reason::Silent { peer, silence: Duration::from_millis(3_500) });
    bench.now = at(8_510);
    let outputs = bench.node.handle(bench.now, Input::Taken);
    let took = Duration::from_millis(10);
    assert_eq!(outputs.last(), Some(&Output::Changed { from: State::Standby, to: State::Active, reason, took }));
}

#[test]
fn no_node_takes_over_while_a_more_worthy_and_ready_one_lives() {
    let (mut active, mut other) = (Voice::new(40, 300), Voice::more());
    let mut bench = Bench::following(&mut active, |_| {});
    bench.hear(&other.says(State::Standby));
    bench.run_until(8_000);
    bench.hear(&other.says(State::Standby));
    assert!(takes(&bench.run_until(11_499)).is_empty(), "it is alive");
    assert_eq!(takes(&bench.run_until(11_500)).len(), 1, "it is dead too");
}

#[test]
fn of_two_equals_the_lower_address_takes_over() {
    for (other, expected) in [(9, 0), (11, 1)] {
        let mut active = Voice::more();
        let mut bench = Bench::following(&mut active, |_| {});
        bench.hear(&Voice::new(other, 100).says(State::Standby));
        bench.hear(&active.resigns());
        assert_eq!(takes(&[bench.give(Input::Tick)]).len(), expected, "against {other}");
    }
}

#[test]
fn a_node_that_cannot_host_keeps_no_other_from_taking_over() {
    let silent = |said: &mut Heartbeat| said.state = State::Unfit;
    let leaving = |said: &mut Heartbeat| said.state = State::Shutdown;
    let worthless = |said: &mut Heartbeat| said.worthiness = 0;
    let starting = |said: &mut Heartbeat| said.flags = Flags::default();
    for (label, change) in [
        ("unfit", silent as fn(&mut Heartbeat)),
        ("shutdown", leaving),
        ("worthiness 0", worthless),
        ("more worthy but not ready", starting),
    ] {
        let mut active = Voice::less();
        let mut bench = Bench::following(&mut active, |params| params.worthiness = 50);
        bench.hear(&Voice::more().says_with(change));
        bench.hear(&active.resigns());
        assert!(bench.give(Input::Tick).starts_with("take"), "{label}");
    }
}

#[test]
fn a_resign_is_taken_at_once() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    assert_eq!(bench.hear(&active.resigns()), "");
    assert_eq!(bench.give(Input::Tick), "take | say:active announce0 standby>active");
}

#[test]
fn a_resign_makes_the_next_tick_due_at_once() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.run_until(5_200);
    bench.hear(&active.resigns());
    assert_eq!(
        takes(&bench.after(0)).len(),
        1,
        "a caller that ticks at the deadlines only would lose up to an interval"
    );
}

#[test]
fn a_node_that_has_not_listened_does_not_take_over_after_a_resign() {
    let mut active = Voice::more();
    let mut bench = Bench::up(|_| {});
    bench.run_until(1_000);
    bench.hear(&active.says(State::Active));
    bench.hear(&active.resigns());
    assert!(takes(&bench.run_until(3_499)).is_empty());
    assert_eq!(takes(&bench.run_until(3_500)).len(), 1);
}

#[test]
fn an_active_that_turned_unfit_is_replaced_at_once() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.hear(&active.says(State::Unfit));
    assert!(bench.give(Input::Tick).starts_with("take"));
}

#[test]
fn a_node_that_shuts_down_releases_first_and_then_says_so_three_times_within_ten_ms() {
    let mut bench = Bench::active(|_| {});
    assert_eq!(bench.give(Input::Shutdown), "release | say:shutdown active>shutdown");
    assert!(!bench.node.is_finished());
    assert_eq!(bench.after(10).len(), 2);
    assert!(bench.node.is_finished());
    for said in &bench.sent[bench.sent.len() - 3..] {
        assert!(said.state == State::Shutdown && said.flags.has(Flags::RELEASED), "{said:?}");
    }
}

#[test]
fn a_finished_node_says_nothing_more() {
    for mut bench in [Bench::active(|_| {}), Bench::up(|_| {}), Bench::new(|_| {})] {
        bench.give(Input::Shutdown);
        bench.after(10);
        assert!(bench.node.is_finished());
        assert_eq!(bench.after(5_000), [""; 0]);
        assert_eq!(bench.node.deadline(), None);
    }
}

#[test]
fn worthiness_0_never_hosts_and_never_claims() {
    let mut bench = Bench::up(|params| params.worthiness = 0);
    let mut active = Voice::new(30, 0);
    assert!(takes(&bench.run_until(20_000)).is_empty(), "silence");
    bench.hear(&active.says(State::Active));
    assert!(bench.run_until(21_000).iter().all(|line| !line.contains("claim")));
    bench.hear(&active.resigns());
    assert_eq!(bench.give(Input::Tick), "", "resign");
    let mut other = Voice::less();
    bench.hear(&other.yields_to(ME));
    assert!(!matches!(bench.node.role, Role::Taking(_) | Role::Active(_)), "yield");
}

#[test]
fn worthiness_0_does_not_spin_when_others_hand_over() {
    let mut bench = Bench::up(|params| params.worthiness = 0);
    bench.run_until(5_000);
    bench.hear(&Voice::less().yields_to(id(20)));
    bench.run_until(30_000);
}

#[test]
fn a_node_that_loses_its_link_releases_and_is_out_of_the_election() {
    let mut bench = Bench::active(|_| {});
    let outputs = bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
    assert_eq!(outputs, "release | say:unfit active>unfit say:unfit say:unfit");
    assert_eq!(bench.after(60_000), [""; 0]);
    assert_eq!(bench.node.deadline(), None);
}

#[test]
fn a_refused_address_is_released_and_tried_again_after_listening_anew() {
    let mut bench = Bench::up(|_| {});
    bench.obliges = false;
    bench.run_until(3_500);
    bench.obliges = true;
    assert_eq!(bench.give(Input::Refused), "release | say:unfit standby>unfit");
    assert!(takes(&bench.run_until(10_499)).is_empty());
    assert_eq!(takes(&bench.run_until(10_500)).len(), 1, "3.5 s unfit and 3.5 s of listening");
}

#[test]
fn a_node_that_is_refused_again_and_again_tries_more_and_more_rarely() {
    let mut bench = Bench::up(|_| {});
    bench.obliges = false;
    let mut tries = Vec::new();
    while bench.now < at(600_000) {
        let diary = bench.after(100);
        if diary.concat().contains("take") {
            tries.push(bench.now.as_micros() / 1_000_000);
            bench.give(Input::Refused);
            bench.give(Input::Released);
        }
    }
    let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[..5].windows(2).all(|pair| pair[0] < pair[1]), "{gaps:?}");
    assert!(gaps.iter().all(|&gap| gap <= 64), "it does not give up: {gaps:?}");
}

#[test]
fn a_refusal_does_not_hide_that_the_link_went_down() {
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    bench.give(Input::Refused);
    bench.give(Input::Link(Link::Down(Unfit::NoInterface)));
    bench.obliges = true;
    bench.give(Input::Released);
    bench.after(60_000);
    assert_eq!(bench.node.state(), State::Unfit, "there is no interface to stand on");
    assert_eq!(bench.node.deadline(), None);
}

#[test]
fn an_unfit_node_is_silent_once_its_link_is_down() {
    let mut bench = Bench::active(|_| {});
    bench.give(Input::Refused);
    bench.after(100);
    bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
    assert_eq!(bench.after(10_000), [""; 0]);
}

#[test]
fn a_sticky_active_keeps_the_address_from_a_claim_and_not_from_a_more_worthy_active() {
    let mut bench = Bench::active(|params| params.sticky = true);
    assert_eq!(bench.hear(&Voice::more().claims()), "note:met");
    assert!(bench.node.state() == State::Active);
    assert!(bench.last_sent().flags.has(Flags::STICKY));
    let mut other = Voice::new(40, 200);
    let answer = other.says_with(|said| (said.state, said.following) = (State::Active, Some(ME)));
    assert!(bench.hear(&answer).contains("release"));
}

#[test]
fn no_node_claims_from_a_sticky_active() {
    let mut active = Voice::less();
    active.0.flags = active.0.flags.with(Flags::STICKY, true);
    let mut bench = Bench::following(&mut active, |_| {});
    assert!(!bench.after(3_000).concat().contains("claim"));
}

#[test]
fn a_standby_that_follows_no_node_is_answered_at_once_and_not_more_often_than_it_could_ask_in_earnest() {
    let mut quick = Voice::less();
    (quick.0.interval, quick.0.hold) = (Duration::from_millis(40), Duration::from_millis(140));
    let mut bench = Bench::active(|_| {});
    bench.run_until(4_000);
    assert_eq!(bench.hear(&quick.says(State::Standby)), "note:met note:timing refresh say:active");
    assert_eq!(bench.hear(&quick.says(State::Standby)), "");
    bench.run_until(4_001);
    assert_eq!(bench.hear(&quick.says(State::Standby)), "");
    bench.run_until(4_002);
    assert_eq!(bench.hear(&quick.says(State::Standby)), "refresh say:active");
    bench.run_until(4_100);
    quick.0.following = Some(ME);
    assert_eq!(bench.hear(&quick.says(State::Standby)), "", "it knows");
}

#[test]
fn a_standby_answers_a_newcomer_that_is_ready_before_its_next_heartbeat() {
    for (hold, flags, heard) in [
        (660, Flags::default(), "note:met note:timing say:standby"),
        (1_300, Flags::default(), "note:met note:timing"),
        (660, Flags::READY, "note:met note:timing"),
    ] {
        let mut bench = Bench::up(|_| {});
        bench.run_until(2_100);
        let mut quick = Voice::less();
        quick.0.interval = Duration::from_millis(440);
        (quick.0.hold, quick.0.flags) = (Duration::from_millis(hold), flags);
        assert_eq!(bench.hear(&quick.says(State::Standby)), heard, "{hold} ms");
    }
}

#[test]
fn an_active_announces_again_when_it_hears_a_peer_that_it_had_given_up() {
    let mut peer = Voice::less();
    peer.0.following = Some(ME);
    let mut bench = Bench::active(|_| {});
    bench.hear(&peer.says(State::Standby));
    bench.after(3_499);
    assert_eq!(bench.hear(&peer.says(State::Standby)), "");
    bench.after(3_500);
    assert_eq!(bench.hear(&peer.says(State::Standby)), "note:back announce0");
}

#[test]
fn a_node_that_has_waited_for_starters_waits_for_a_packet_that_is_under_way() {
    for says_it in [true, false] {
        let mut starter = Voice::more();
        starter.0.flags = Flags::default();
        let mut bench = Bench::up(|_| {});
        for millis in [1_010, 2_010, 3_010, 4_010, 4_505] {
            bench.run_until(millis);
            bench.hear(&starter.says(State::Standby));
        }
        assert!(
            takes(&bench.run_until(5_559)).is_empty(),
            "ready and an interval is over, but not the starter's tolerance"
        );
        if says_it {
            starter.0.flags = Flags::READY;
            bench.hear(&starter.says(State::Standby));
        }
        assert_eq!(takes(&bench.run_until(5_560)).len(), usize::from(!says_it));
    }
}

#[test]
fn a_node_whose_tolerance_is_longer_than_a_minute_tries_no_more_often_than_that() {
    let mut bench = Bench::up(|params| params.tolerance = Duration::from_secs(90));
    bench.obliges = false;
    let mut tries = Vec::new();
    while bench.now < at(900_000) {
        if bench.after(1_000).concat().contains("take") {
            tries.push(bench.now.as_micros() / 1_000_000);
            bench.give(Input::Refused);
            bench.give(Input::Released);
        }
    }
    assert!(
        tries.len() > 3 && tries.windows(2).all(|pair| pair[1] - pair[0] >= 180),
        "{tries:?}: it waits, and then listens"
    );
}

#[test]
fn an_outdone_active_speaks_four_times_an_interval_until_it_is_answered() {
    let mut more = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.run_until(5_000);
    bench.hear(&more.says(State::Active));
    let sent = bench.sent.len();
    bench.after(2_000);
    let asked = bench.sent[sent..].iter().filter(|said| said.following == Some(more.0.node)).count();
    assert!((8..=12).contains(&asked), "{asked} packets in two intervals, the burst and the heartbeats among them");
}
