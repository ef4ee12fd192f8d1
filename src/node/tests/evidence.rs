//! Rules 10 and 11, crashes and recorded packets: what counts as having heard nothing, or something.

use super::*;

#[test]
fn an_active_that_slept_releases_first_and_then_listens_anew() {
    let mut bench = Bench::active(|_| {});
    bench.sleep(10_000);
    assert_eq!(bench.give(Input::Tick), "release | say:standby active>standby");
    let woken = bench.now.as_micros() / 1_000;
    assert!(!bench.run_until(woken + 3_499).concat().contains("take"));
    assert!(bench.run_until(woken + 3_500).concat().contains("take"));
}

#[test]
fn an_active_that_slept_says_nothing_as_active_before_the_address_is_gone() {
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    bench.sleep(10_000);
    let sent = bench.sent.len();
    bench.give(Input::Tick);
    bench.after(2_000);
    let said: Vec<State> = bench.sent[sent..].iter().map(|said| said.state).collect();
    assert!(!said.contains(&State::Active), "a less worthy ACTIVE would let go, and nobody has the address: {said:?}");
}

#[test]
fn an_active_that_slept_releases_first_whatever_wakes_it() {
    let mut voice = Voice::less();
    for (label, input) in [
        ("tick", Input::Tick),
        ("taken", Input::Taken),
        ("lost", Input::Lost),
        ("refused", Input::Refused),
        ("mac changed", Input::MacChanged([[2, 0, 0, 0, 0, 11]; MAX_LINKS])),
        ("link down", Input::Link(Link::Down(Unfit::NoCarrier))),
        ("shutdown", Input::Shutdown),
        ("heard", Input::Heard { at: Instant::NEVER, from: voice.0.node, ttl: 255, bytes: &voice.says(State::Active) }),
    ] {
        let mut bench = Bench::active(|_| {});
        bench.obliges = false;
        bench.sleep(2_101);
        let outputs = bench.give(input);
        assert!(outputs.starts_with("release"), "{label}: {outputs}");
        assert!(!outputs.contains("refresh") && !outputs.contains("announce"), "{label}: {outputs}");
    }
}

#[test]
fn a_late_tick_within_the_lease_is_no_sleep() {
    let mut bench = Bench::active(|_| {});
    let beat = bench.node.station.voice.last_beat;
    bench.now = beat + Duration::from_secs(2);
    assert!(bench.give(Input::Tick).starts_with("refresh say:active"));
    bench.sleep(2_001);
    assert!(bench.give(Input::Tick).starts_with("release"));
}

#[test]
fn every_accepted_timing_leaves_room_for_a_tick_that_is_a_little_late() {
    for (interval_ms, tolerance_ms) in
        [(1_000, 3_500), (100, 350), (10, 35), (500, 1_000), (1_000, 2_500), (2_000, 3_000), (3_000, 3_500)]
    {
        let mut params = params();
        params.interval = Duration::from_millis(interval_ms);
        params.tolerance = Duration::from_millis(tolerance_ms);
        let Ok(config) = Config::new(params) else { continue };
        let mut bench = Bench::up(|_| {});
        bench.node = Node::new(config, Seal::public(HERE), 1, at(0));
        bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
        let mut releases = 0;
        while let Some(deadline) = bench.node.deadline().filter(|&deadline| deadline < at(20 * interval_ms)) {
            bench.now = bench.now.max(deadline + Duration::from_micros(200));
            releases += usize::from(bench.give(Input::Tick).contains("release"));
        }
        let state = bench.node.state();
        assert_eq!((state, releases), (State::Active, 0), "interval {interval_ms} ms, tolerance {tolerance_ms} ms");
    }
}

#[test]
fn a_standby_that_slept_listens_anew() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.sleep(10_000);
    assert!(!bench.give(Input::Tick).contains("take"));
    assert!(!bench.run_until(18_499).concat().contains("take"));
    assert!(bench.run_until(18_500).concat().contains("take"));
}

#[test]
fn a_claimant_that_slept_does_not_take_over_on_a_stale_yield() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(10);
    bench.sleep(10_000);
    // It yielded to us, heard nothing from us, and took the address back: all of it still in our socket.
    let mut outputs = bench.hear(&active.yields_to(ME));
    outputs += &bench.hear(&active.says(State::Active));
    outputs += &bench.give(Input::Tick);
    assert!(!outputs.contains("take"), "{outputs}");
}

#[test]
fn a_node_that_slept_while_releasing_listens_anew() {
    let mut bench = Bench::active(|_| {});
    bench.obliges = false;
    bench.hear(&Voice::more().claims());
    bench.sleep(10_000);
    bench.obliges = true;
    bench.give(Input::Released);
    let woken = bench.now.as_micros() / 1_000;
    assert!(!bench.run_until(woken + 3_499).concat().contains("take"), "the node that it named has the address by now");
}

#[test]
fn a_deaf_link_is_listened_to_for_its_delay_and_the_tolerance() {
    let mut bench = Bench::new(|_| {});
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
    assert!(!bench.run_until(13_499).concat().contains("take"));
    assert!(bench.run_until(13_500).concat().contains("take"));
}

#[test]
fn the_first_packet_heard_ends_the_link_delay() {
    let mut bench = Bench::new(|_| {});
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
    bench.run_until(2_000);
    bench.hear(&Voice::less().says(State::Standby));
    assert!(!bench.run_until(5_499).concat().contains("take"));
    assert!(bench.run_until(5_500).concat().contains("take"));
}

#[test]
fn a_packet_that_is_dropped_does_not_end_the_link_delay() {
    let mut bench = Bench::new(|_| {});
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
    bench.run_until(2_000);
    let own = Seal::public(HERE).sign(&bench.last_sent());
    assert_eq!(bench.hear(&own), "note:dropped", "our own packet, looped, does not prove that others get through");
    assert_eq!(bench.hear(&Voice::less().says_with(|said| said.group = 9)), "");
    assert!(!bench.run_until(13_499).concat().contains("take"));
}

#[test]
fn a_sleep_does_not_shorten_the_link_delay() {
    let mut bench = Bench::new(|_| {});
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
    bench.run_until(1_000);
    bench.sleep(4_000);
    bench.give(Input::Tick);
    assert!(!bench.run_until(13_499).concat().contains("take"));
}

#[test]
fn a_link_that_flaps_makes_it_listen_again_from_the_last_up() {
    let mut bench = Bench::up(|_| {});
    for second in 1..20 {
        assert!(!bench.run_until(second * 1_000).concat().contains("take"));
        bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
        assert_eq!(
            bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false })),
            "absent unfit>standby"
        );
    }
    assert!(!bench.run_until(32_499).concat().contains("take"));
    assert!(bench.run_until(32_500).concat().contains("take"));
}

#[test]
fn an_active_that_crashed_and_starts_again_is_replaced_at_once() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(500);
    active.restarts();
    assert_eq!(bench.hear(&active.says(State::Standby)), "");
    assert!(bench.give(Input::Tick).starts_with("take"));
}

#[test]
fn late_packets_of_the_boot_before_change_nothing() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    let late = active.says(State::Active);
    active.restarts();
    bench.hear(&active.says(State::Standby));
    bench.give(Input::Tick);
    assert_eq!(bench.hear(&late), "note:dropped");
    assert_eq!(bench.node.state(), State::Active);
    assert_eq!(bench.node.counters().dropped(Drop::Replayed), 1);
}

#[test]
fn replayed_packets_change_nothing() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    let recorded = active.says(State::Active);
    bench.hear(&recorded);
    let (before, expiry) = (bench.node.state(), bench.node.peers().next_expiry(bench.now));
    bench.after(500);
    for _ in 0..100 {
        bench.hear(&recorded);
    }
    assert_eq!(bench.node.peers().next_expiry(bench.now), expiry);
    assert_eq!((bench.node.state(), bench.node.counters().dropped(Drop::Duplicate)), (before, 100));
    assert!(bench.run_until(8_500).concat().contains("take"), "a recording keeps no dead node alive");
}

#[test]
fn a_clock_that_runs_backwards_is_counted_and_changes_nothing() {
    let mut bench = Bench::active(|_| {});
    let deadline = bench.node.deadline();
    let outputs = bench.node.handle(at(0), Input::Tick);
    assert!(outputs.is_empty());
    assert_eq!((bench.node.deadline(), bench.node.counters().clock_backwards), (deadline, 1));
}

#[test]
fn a_claimant_that_paused_does_not_take_over_on_a_stale_yield() {
    let mut active = Voice::less();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.after(10);
    // Shorter than a sleep, longer than the interval after which the old ACTIVE takes the address back.
    bench.sleep(1_500);
    let mut outputs = bench.hear(&active.yields_to(ME));
    outputs += &bench.hear(&active.says(State::Active));
    outputs += &bench.give(Input::Tick);
    assert!(!outputs.contains("take"), "{outputs}");
}

#[test]
fn a_standby_does_not_take_its_own_pause_for_silence() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    // The whole machine stood still: two heartbeats came and nobody was there. The kernel of an ACTIVE that dies now
    // keeps the address for its lease.
    bench.sleep(2_500);
    bench.give(Input::Tick);
    assert!(!bench.run_until(9_500).concat().contains("take"));
}
