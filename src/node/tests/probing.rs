//! Rule 9: silence of which ARP says otherwise.

use super::*;
use crate::config::OnConflict;

/// The shell answers every probe while `answers` says so; when the address was taken, and when probes were sent.
fn run(bench: &mut Bench, until: u64, answers: impl Fn(u64) -> bool) -> (Option<u64>, Vec<u64>) {
    let mut probes = Vec::new();
    let mut millis = bench.now.as_micros() / 1_000;
    while millis < until {
        millis += 1;
        let text = bench.run_until(millis).concat();
        if text.contains("take") {
            return (Some(millis), probes);
        }
        if text.contains("probe0") {
            probes.push(millis);
            if answers(millis) {
                bench.give(Input::Resolution(answer()));
            }
        }
    }
    (None, probes)
}

/// A STANDBY whose ACTIVE was heard for the last time at 5 s.
fn deserted(change: impl FnOnce(&mut Params)) -> Bench {
    Bench::following(&mut Voice::less(), |params| {
        params.preempt_delay = Some(Duration::from_secs(100));
        change(params);
    })
}

#[test]
fn a_dead_owner_answers_nothing_and_costs_nothing() {
    let (took, probes) = run(&mut deserted(|_| {}), 20_000, |_| false);
    assert_eq!((took, probes), (Some(8_500), std::vec![8_063]), "in the last eighth of the tolerance");
}

#[test]
fn an_owner_with_shorter_times_is_asked_for_by_its_times() {
    let mut quick = Voice::less();
    (quick.0.interval, quick.0.hold) = (Duration::from_millis(400), Duration::from_millis(1_400));
    let (took, probes) = run(&mut Bench::following(&mut quick, |_| {}), 20_000, |_| false);
    assert_eq!((took, probes), (Some(6_400), std::vec![6_225]), "in the last eighth of its hold");
}

#[test]
fn an_owner_whose_heartbeats_are_filtered_is_left_alone_until_it_answers_no_more() {
    let mut bench = deserted(|_| {});
    let (took, probes) = run(&mut bench, 30_000, |millis| millis < 20_000);
    assert!((23_000..=24_100).contains(&took.unwrap()), "{took:?}: a tolerance after its last answer");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] == 1_000), "{probes:?}");
    assert_eq!(bench.node.counters().in_use, 1);
}

#[test]
fn with_take_the_address_is_taken_at_the_usual_time_and_the_conflict_said() {
    let mut bench = deserted(|params| params.on_conflict = OnConflict::Take);
    bench.run_until(8_063);
    bench.give(Input::Resolution(answer()));
    let diary = bench.run_until(8_500);
    assert!(diary.last().unwrap().contains("note:in-use take"), "{diary:?}");
    assert_eq!(bench.node.counters().in_use, 1);
}

#[test]
fn a_frozen_owner_is_waited_for_while_its_kernel_answers_and_no_longer_than_its_lease() {
    for on_conflict in [OnConflict::Take, OnConflict::Hold] {
        for (answers_until, taken_at) in [(5_000, 5_350), (5_900, 6_200), (6_900, 7_200)] {
            let mut bench = deserted(|params| {
                params.interval = Duration::from_millis(100);
                params.tolerance = Duration::from_millis(350);
                params.on_conflict = on_conflict;
            });
            let mut voice = Voice::less();
            voice.0.seq = 10;
            (voice.0.interval, voice.0.hold) = (Duration::from_millis(100), Duration::from_millis(350));
            bench.hear(&voice.says(State::Active));
            let (took, _) = run(&mut bench, 20_000, |millis| millis < answers_until);
            let took = took.unwrap();
            assert!((taken_at - 100..=taken_at).contains(&took), "{on_conflict:?} {answers_until}: {took}");
        }
    }
}

#[test]
fn a_newcomer_that_hears_no_peer_leaves_an_address_alone_that_is_in_use() {
    let mut bench = Bench::up(|_| {});
    let (took, _) = run(&mut bench, 60_000, |millis| millis < 40_000);
    assert!((43_000..=44_100).contains(&took.unwrap()), "{took:?}");
}

#[test]
fn an_answer_before_the_silence_was_long_is_none() {
    let mut bench = deserted(|_| {});
    bench.run_until(7_000);
    bench.give(Input::Resolution(answer()));
    assert_eq!(run(&mut bench, 20_000, |_| false).0, Some(8_500));
}

#[test]
fn an_active_that_is_heard_again_ends_the_doubt() {
    let mut bench = deserted(|_| {});
    bench.run_until(8_100);
    bench.give(Input::Resolution(answer()));
    let mut voice = Voice::less();
    voice.0.seq = 20;
    bench.hear(&voice.says(State::Active));
    let (took, probes) = run(&mut bench, 20_000, |_| false);
    assert_eq!((took, probes.len()), (Some(11_600), 1));
}

#[test]
fn a_resign_is_believed_although_a_host_answers_for_the_address() {
    let mut bench = deserted(|_| {});
    bench.run_until(8_100);
    bench.give(Input::Resolution(answer()));
    let mut voice = Voice::less();
    voice.0.seq = 20;
    assert!(bench.hear(&voice.resigns()).is_empty());
    assert!(bench.after(10).concat().contains("take"));
}

#[test]
fn a_successor_that_is_not_heard_but_has_the_address_keeps_it() {
    let mut bench = Bench::active(|_| {});
    let mut voice = Voice::more();
    bench.run_until(10_000);
    bench.hear(&voice.claims());
    let (took, probes) = run(&mut bench, 20_000, |millis| millis < 12_000);
    assert_eq!(probes.first(), Some(&10_500));
    assert_eq!(took, Some(13_500), "not after an interval, but when it counts as dead");
}

/// Just ACTIVE after 3.5 s of silence, and somebody with this hardware address has taken it too.
fn collided(on_conflict: OnConflict, mac: Mac, after_ms: u64) -> Bench {
    let mut bench = Bench::up(|params| params.on_conflict = on_conflict);
    bench.run_until(3_550);
    assert_eq!(bench.node.state(), State::Active);
    bench.after(after_ms);
    bench.give(Input::Resolution(Resolution { mac: Some(mac), ..claim() }));
    bench.give(Input::Resolution(Resolution { mac: Some(mac), ..answer() }));
    bench
}

#[test]
fn of_two_that_take_it_blindly_in_the_same_moment_the_lower_hardware_address_keeps_it() {
    let (lower, higher) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 99]);
    for (on_conflict, mac, after_ms, expected) in [
        (OnConflict::Hold, lower, 1, State::Standby),
        (OnConflict::Hold, higher, 1, State::Active),
        (OnConflict::Hold, lower, 3_500, State::Active),
        (OnConflict::Take, lower, 1, State::Active),
    ] {
        let bench = collided(on_conflict, mac, after_ms);
        assert_eq!(bench.node.state(), expected, "{on_conflict:?} {mac:?} {after_ms}");
    }
}

#[test]
fn a_node_that_was_handed_the_address_gives_way_to_no_host() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(10);
    bench.hear(&active.yields_to(ME));
    bench.give(Input::Resolution(Resolution { mac: Some([2, 0, 0, 0, 0, 1]), ..claim() }));
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn a_node_that_finds_another_owner_before_its_own_announcement_gives_way_if_that_is_no_shout() {
    let mut bench = Bench::up(|_| {});
    bench.obliges = false;
    bench.run_until(3_550);
    let mac = [2, 0, 0, 0, 0, 99];
    assert_eq!(bench.give(Input::Resolution(Resolution { mac: Some(mac), ..claim() })), "probe0");
    assert_eq!(bench.give(Input::Resolution(Resolution { mac: Some(mac), ..answer() })), "release");
}

#[test]
fn wrong_tags_beside_an_address_in_use_point_to_the_keys() {
    let mut bench = Bench::up(|_| {});
    let mut other = Voice::more().says(State::Active);
    other[LEN - 1] ^= 1;
    bench.run_until(3_100);
    bench.hear(&other);
    bench.give(Input::Resolution(answer()));
    bench.run_until(3_499);
    bench.now = at(3_500);
    let outputs = bench.node.handle(at(3_500), Input::Tick);
    let note = outputs.iter().chain(&bench.node.handle(at(3_550), Input::Tick)).find_map(|output| match output {
        Output::Note(note @ Note::InUse { .. }) => Some(note.to_string()),
        _ => None,
    });
    let expected = "192.0.2.100 is in use by 02:02:02:02:02:02 (no node that is known), which is not heard: not taken \
                    (on-conflict hold); packets with a wrong tag are: another key?";
    assert_eq!(note.as_deref(), Some(expected));
}

#[test]
fn only_the_node_that_would_take_over_probes() {
    let mut bench = deserted(|_| {});
    let mut more = Voice::more();
    while bench.now < at(9_500) {
        bench.hear(&more.says(State::Standby));
        bench.after(100);
    }
    // The more worthy one is ready, and alive until long after the ACTIVE has expired.
    assert_eq!((bench.node.state(), bench.probed.len()), (State::Standby, 0), "{:?}", bench.probed);
}

#[test]
fn a_node_with_several_addresses_probes_for_the_first_alone() {
    let mut bench = deserted(|params| params.addresses.push(Cidr::new(host(101), 24)).unwrap());
    let (took, probes) = run(&mut bench, 20_000, |_| false);
    assert!(took.is_some() && !probes.is_empty());
    assert!(bench.probed.iter().all(|&address| address == ADDRESS), "{:?}", bench.probed);
}
