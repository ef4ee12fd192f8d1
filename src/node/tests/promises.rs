//! What holds in every state: refresh before send, absence asserted, the order of outputs, deadlines that do not spin.

use super::*;

#[test]
fn a_refresh_goes_before_every_heartbeat_of_an_active() {
    let (mut more, mut less) = (Voice::more(), Voice::less());
    let mut bench = Bench::active(|_| {});
    let mut diary = Vec::from([bench.hear(&less.says(State::Active)), bench.hear(&more.says(State::Active))]);
    diary.extend(bench.after(60_000));
    let said = diary.iter().flat_map(|line| line.split(" say:active").take(line.matches("say:active").count()));
    let (with, without): (Vec<_>, Vec<_>) = said.partition(|before| before.ends_with("refresh"));
    assert!(with.len() >= 2 && without.is_empty(), "{without:?}");
}

#[test]
fn a_lease_that_began_with_the_take_is_not_renewed_for_the_packet_that_tells_of_it() {
    let mut bench = Bench::up(|_| {});
    let diary = bench.run_until(5_000);
    let taken = diary.iter().position(|line| line.contains("take |")).expect("it takes the address");
    assert_eq!(diary[taken], "3500 take | say:active announce0 standby>active");
    assert_eq!(diary[taken + 1], "3503 refresh say:active", "the next one has to be");
    assert_eq!(bench.give(Input::Lost), "take note:repaired | say:active announce0 put-back");
    assert!(bench.after(1_000)[0].contains("refresh say:active"));
}

#[test]
fn a_standby_asserts_absence_at_start_and_each_second() {
    let mut bench = Bench::new(|_| {});
    let outputs = bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
    assert_eq!(outputs, "absent unfit>standby", "before anything is said");
    let mut active = Voice::more();
    for second in 0..60 {
        let diary = bench.run_until(second * 1_000).concat() + &bench.hear(&active.says(State::Active));
        assert_eq!(diary.matches("absent").count(), 1, "second {second}");
    }
    let mut fast = Bench::up(|params| {
        (params.interval, params.tolerance) = (Duration::from_millis(100), Duration::from_secs(60));
    });
    let asserted = fast.run_until(9_990).concat().matches("absent").count();
    assert!((10..=12).contains(&asserted), "not with each of its heartbeats: {asserted}");
}

#[test]
fn what_somebody_adds_is_removed_at_once_unless_it_is_ours() {
    assert_eq!(Bench::up(|_| {}).give(Input::Found), "absent");
    assert_eq!(Bench::new(|_| {}).give(Input::Found), "absent");
    assert_eq!(Bench::active(|_| {}).give(Input::Found), "");
}

#[test]
fn a_standby_in_step_with_the_active_speaks_when_it_hears_it() {
    for (quorum, expected) in [(0, 0), (2, 20)] {
        let mut active = Voice::more();
        let mut bench = Bench::following(&mut active, |params| params.quorum = quorum);
        let mut own_wakes = 0;
        for second in 6..26 {
            // The ACTIVE wakes up a little late each time.
            let said: usize = bench.run_until(second * 1_000 + second).concat().matches("say:standby").count();
            own_wakes += said;
            let answer = bench.hear(&active.says(State::Active));
            assert_eq!(said + answer.matches("say:standby").count(), 1, "one heartbeat an interval, quorum {quorum}");
        }
        assert_eq!(own_wakes, expected, "quorum {quorum}: it is counted on to the moment");
    }
}

#[test]
fn a_standby_finds_step_with_one_early_heartbeat_and_keeps_it_whatever_the_active_says_between() {
    for offset in [200, 500, 800] {
        let mut active = Voice::more();
        let mut bench = Bench::following(&mut active, |_| {});
        for (second, expected) in [(6, false), (7, true)] {
            bench.run_until(second * 1_000 + offset);
            let is_early = bench.hear(&active.says(State::Active)).contains("say:standby");
            assert_eq!(is_early, expected, "{offset} ms: in step until {second} s");
        }
        for second in 8..18 {
            assert!(!bench.run_until(second * 1_000 + offset).concat().contains("say:standby"), "{offset} ms");
            assert!(bench.hear(&active.says(State::Active)).contains("say:standby"), "{offset} ms: in step");
            bench.run_until(second * 1_000 + offset + 300);
            assert!(!bench.hear(&active.says(State::Active)).contains("say:standby"), "{offset} ms: an answer");
        }
    }
}

#[test]
fn behind_a_fence_the_lease_is_renewed_when_half_of_it_is_over() {
    for (interval_ms, tolerance_ms, expected) in [(1_000, 3_500, 10), (100, 350, 20), (400, 1_400, 25)] {
        let mut bench = Bench::up(|params| {
            params.interval = Duration::from_millis(interval_ms);
            params.tolerance = Duration::from_millis(tolerance_ms);
        });
        bench.give(Input::Fenced(true));
        bench.after(20_000);
        // A little late, as heartbeats are.
        let refreshes = (0..10_000).step_by(7).map(|_| {
            bench.sleep(7);
            bench.give(Input::Tick).matches("refresh").count()
        });
        let refreshes: usize = refreshes.sum();
        assert!(refreshes.abs_diff(expected) <= 1, "{interval_ms}/{tolerance_ms}: {refreshes} in ten seconds");
    }
}

#[test]
fn only_a_standby_asserts_absence() {
    let mut bench = Bench::active(|_| {});
    let mut diary = bench.after(60_000);
    bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
    diary.extend(bench.after(10_000));
    assert!(!diary.concat().contains("absent"));
}

#[test]
fn a_heartbeat_goes_out_each_interval_in_every_state_with_a_link() {
    let mut active = Voice::more();
    let refused = || {
        let mut bench = Bench::active(|_| {});
        bench.give(Input::Refused);
        bench
    };
    for mut bench in [Bench::up(|_| {}), Bench::following(&mut active, |_| {}), Bench::active(|_| {}), refused()] {
        let state = bench.node.state();
        let start = bench.now.as_micros() / 1_000;
        for second in 1..=3 {
            let sent = bench.sent.len();
            // A STANDBY waits a little longer for the ACTIVE.
            bench.run_until(start + second * 1_025);
            assert!(bench.sent.len() > sent, "{state}, second {second}");
        }
    }
}

#[test]
fn the_sequence_grows_with_every_packet() {
    let mut bench = Bench::active(|_| {});
    bench.hear(&Voice::more().claims());
    bench.after(20_000);
    bench.give(Input::Shutdown);
    bench.after(10);
    assert!(bench.sent.len() > 20);
    assert!(bench.sent.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].boot == pair[1].boot));
}

#[test]
fn a_heartbeat_says_what_the_configuration_says() {
    let mut bench = Bench::up(|params| {
        params.group = 7;
        params.worthiness = 321;
        params.interval = Duration::from_millis(200);
        params.tolerance = Duration::from_millis(900);
    });
    bench.run_until(0);
    let said = bench.last_sent();
    assert_eq!((said.group, said.worthiness, said.node, said.boot), (7, 321, ME, 1));
    assert_eq!((said.interval, said.hold), (Duration::from_millis(200), Duration::from_millis(900)));
    assert_eq!((said.state, said.following, said.flags), (State::Standby, None, Flags::default()));
    bench.run_until(800);
    assert_eq!(bench.last_sent().flags, Flags::default(), "not yet ready nor settled");
}

#[test]
fn a_heartbeat_names_the_node_that_its_sender_follows() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(1_000);
    assert_eq!(bench.last_sent().following, Some(active.0.node));
    let mut bench = Bench::active(|_| {});
    bench.after(1_000);
    assert_eq!(bench.last_sent().following, Some(ME));
}

#[test]
fn a_change_of_state_comes_last_and_what_it_needs_comes_first() {
    let mut bench = Bench::up(|params| {
        for last in 101..=104 {
            params.addresses.push(Cidr::new(host(last), 24)).unwrap();
        }
    });
    let diary = bench.run_until(3_500);
    let expected = "3500 take | say:active announce0 announce1 announce2 announce3 standby>active";
    assert_eq!(diary.last().unwrap(), expected, "heartbeats go before announcements, which keep to their budget");
    assert!(bench.after(1_000).concat().contains("announce4"));
}

#[test]
fn a_removed_address_is_put_back_at_once_and_announced_when_it_is_up() {
    let mut bench = Bench::active(|_| {});
    let repaired = bench.give(Input::Lost);
    assert_eq!(repaired, "take note:repaired | say:active announce0 put-back", "peers count from the new lease too");
    assert_eq!(bench.node.counters().repairs, 1);
}

#[test]
fn an_address_that_is_removed_all_the_time_makes_no_flood() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(20_000);
    let sent = bench.sent.len();
    for millis in 20_001..=21_000 {
        bench.give(Input::Lost);
        bench.run_until(millis);
    }
    let repairs = bench.node.counters().repairs;
    assert!((19..=21).contains(&repairs), "{repairs} repairs");
    assert!(bench.sent.len() - sent <= 22, "{} packets", bench.sent.len() - sent);
}

/// Routes that hung on it are gone: the user's program has its chance, at most each 10 s, and after the last removal too.
#[test]
fn that_the_address_was_put_back_is_said_at_once_and_then_once_in_ten_seconds() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(20_000);
    let mut said = Vec::new();
    for millis in (20_000..=45_000).step_by(100) {
        let diary = bench.run_until(millis);
        said.extend(diary.iter().filter(|line| line.contains("put-back")).map(|line| line[..5].to_string()));
        if millis <= 32_000 && bench.give(Input::Lost).contains("put-back") {
            said.push(format!("{millis}"));
        }
    }
    assert_eq!(said, ["20000", "30000", "40000"]);
    bench.give(Input::Lost);
    assert!(!bench.after(500).concat().contains("put-back"), "too soon");
    bench.hear(&Voice::more().claims());
    assert!(!bench.after(20_000).concat().contains("put-back"), "it is not here any more");
}

#[test]
fn a_repair_that_was_put_off_is_not_done_after_a_release() {
    let mut bench = Bench::active(|_| {});
    bench.give(Input::Lost);
    assert_eq!(bench.give(Input::Lost), "");
    bench.hear(&Voice::more().claims());
    assert!(!bench.after(500).concat().contains("take"));
}

#[test]
fn a_release_that_is_not_answered_is_repeated_until_the_lease_has_ended() {
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    bench.run_until(4_000);
    assert_eq!(bench.give(Input::Shutdown), "release");
    let diary = bench.run_until(10_000);
    assert!(diary.concat().matches("release").count() >= 2, "{diary:?}");
    assert!(bench.node.is_finished(), "the kernel has removed it: {diary:?}");
}

#[test]
fn without_a_lease_only_the_answer_ends_a_release() {
    let mut bench = Bench::active(|params| params.lease = false);
    bench.obliges = false;
    bench.give(Input::Shutdown);
    let diary = bench.after(60_000);
    assert!(diary.concat().matches("release").count() >= 59, "{diary:?}");
    assert!(!bench.node.is_finished() && bench.node.state() == State::Active);
}

#[test]
fn answers_that_no_node_waits_for_change_nothing() {
    for input in [Input::Taken, Input::Refused, Input::Released, Input::Lost] {
        let mut bench = Bench::up(|_| {});
        assert_eq!(bench.give(input), "", "{input:?}");
        assert_eq!(bench.node.state(), State::Standby, "{input:?}");
    }
}

#[test]
fn at_rest_nothing_wakes_a_node_but_its_interval_and_its_announcements() {
    let mut bench = Bench::active(|_| {});
    let mut peer = Voice::less();
    (peer.0.interval, peer.0.hold, peer.0.following) = (Duration::from_secs(100), Duration::from_secs(300), Some(ME));
    bench.hear(&peer.says(State::Standby));
    bench.run_until(20_000);
    let beats = bench.after(50_000);
    assert!(beats.len() <= 51, "{beats:?}");
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    let mut wakes = 0;
    for second in 6..60 {
        while let Some(deadline) = bench.node.deadline().filter(|&deadline| deadline <= at(second * 1_000)) {
            bench.now = deadline;
            bench.give(Input::Tick);
            wakes += 1;
        }
        bench.now = at(second * 1_000);
        bench.hear(&active.says(State::Active));
    }
    assert_eq!(wakes, 0, "it is awake when it hears the ACTIVE");
}

#[test]
fn a_resign_packet_is_newer_than_all_packets_before() {
    let mut bench = Bench::up(|_| {});
    for millis in (0..8_000).step_by(100) {
        bench.run_until(millis);
        let said = bench.sent.last().expect("it speaks at once");
        let words = Heartbeat::parse(&bench.node.resign_packet().expect("it has an address of its own")).unwrap();
        assert_eq!((words.state, words.boot, words.following), (State::Shutdown, said.boot, None));
        assert_eq!(words.seq, said.seq + (1 << 32));
        assert_eq!(words.flags.has(Flags::RELEASED), said.state == State::Active, "at {millis} ms");
    }
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn the_resign_packet_of_an_active_frees_the_address_at_once() {
    let mut active = Bench::active(|_| {});
    active.node.station.interface.as_mut().unwrap().node = id(9);
    let mut standby = Bench::up(|_| {});
    for second in 0..12 {
        standby.run_until(second * 1_000);
        active.run_until(second * 1_000);
        if let Some(said) = active.sent.last() {
            standby.hear(&active.node.station.seal.sign(said));
        }
    }
    let words = active.node.resign_packet().unwrap();
    standby.hear(&words);
    assert_eq!(standby.give(Input::Tick), "take | say:active announce0 standby>active");
    assert_eq!(standby.hear(&words), "");
    assert_eq!(standby.node.counters().dropped(Drop::Duplicate), 1, "said three times, it counts once");
}

#[test]
fn an_active_announces_each_tolerance_while_a_peer_is_missing() {
    let announced = |diary: Vec<String>| -> Vec<u64> {
        let lines = diary.iter().filter(|line| line.contains("announce"));
        lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let mut bench = Bench::active(|_| {});
    let mut peer = Voice::less();
    bench.run_until(30_000);
    assert_eq!(
        bench.hear(&peer.says(State::Standby)),
        "note:met refresh say:active announce0",
        "somebody new may have had the address"
    );
    assert_eq!(announced(bench.run_until(33_000)), [31_200, 33_000]);
    assert_eq!(announced(bench.run_until(45_000)), [37_000, 40_500, 44_000], "it fell silent");
    bench.hear(&peer.says(State::Standby));
    bench.run_until(52_000);
    assert_eq!(bench.hear(&peer.resigns()), "note:back announce0");
    assert_eq!(announced(bench.run_until(118_000)), [53_200, 55_000, 59_000], "it has left");
}

#[test]
fn a_node_that_had_the_address_says_so_to_an_active_that_cannot_know_it() {
    let mut active = Voice::more();
    let mut bench = Bench::active(|_| {});
    bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
    bench.run_until(20_000);
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
    bench.after(10);
    assert!(!bench.last_sent().flags.has(Flags::RELEASED), "that is long ago");
    assert_eq!(bench.hear(&active.says(State::Active)), "note:met say:standby");
    assert!(bench.last_sent().flags.has(Flags::RELEASED));
    assert_eq!(bench.hear(&active.says(State::Active)), "", "once");
}
