//! Who is missing is said once, and who is back.

use super::*;

fn count(diary: &[String], text: &str) -> usize {
    diary.iter().map(|line| line.matches(text).count()).sum()
}

/// STANDBY for 5 s with the peers, the first of them ACTIVE.
fn among(peers: &mut [Voice], change: impl FnOnce(&mut Params)) -> Bench {
    let mut bench = Bench::up(change);
    for second in 0..=5 {
        bench.run_until(second * 1_000);
        for (number, peer) in peers.iter_mut().enumerate() {
            bench.hear(&peer.says(if number == 0 { State::Active } else { State::Standby }));
        }
    }
    bench
}

#[test]
fn a_peer_that_falls_silent_is_reported_once_when_it_counts_as_dead_and_once_when_it_is_back() {
    let mut peers = [Voice::more(), Voice::less()];
    let mut bench = among(&mut peers, |_| {});
    let mut diary = Vec::new();
    for second in 6..30 {
        diary.extend(bench.run_until(second * 1_000));
        diary.push(bench.hear(&peers[0].says(State::Active)));
    }
    assert_eq!((count(&diary, "note:missing"), count(&diary, "note:alone")), (1, 0), "{diary:?}");
    assert!(diary.contains(&"8500 note:missing".to_string()), "{diary:?}");
    assert_eq!(bench.hear(&peers[1].says(State::Standby)), "note:back");
    assert_eq!(bench.hear(&peers[1].says(State::Standby)), "");
}

#[test]
fn a_node_that_hears_no_peer_any_more_reports_so_once() {
    let mut bench = Bench::active(|_| {});
    let mut peer = Voice::less();
    bench.hear(&peer.says(State::Standby));
    let mut diary = bench.run_until(60_000);
    assert_eq!((count(&diary, "note:alone"), count(&diary, "note:missing")), (1, 1), "{diary:?}");
    assert!(bench.hear(&peer.says(State::Standby)).contains("note:back"));
    diary = bench.run_until(120_000);
    assert_eq!(count(&diary, "note:alone"), 1, "{diary:?}");
}

#[test]
fn a_peer_that_has_left_is_not_missed_and_back_when_it_is_heard() {
    let mut peers = [Voice::less(), Voice::new(40, 40)];
    let mut bench = among(&mut peers, |params| params.sticky = true);
    bench.hear(&peers[0].says(State::Active));
    bench.hear(&peers[1].resigns());
    bench.hear(&peers[0].resigns());
    let diary = bench.run_until(60_000);
    assert_eq!((count(&diary, "note:alone"), count(&diary, "note:missing")), (0, 0), "{diary:?}");
    peers[0].restarts();
    assert!(bench.hear(&peers[0].says(State::Standby)).contains("note:back"));
}

#[test]
fn an_unfit_node_that_falls_silent_is_no_reason_to_fear_for_the_own_link() {
    let mut bench = Bench::active(|_| {});
    bench.hear(&Voice::less().says(State::Unfit));
    let diary = bench.run_until(60_000);
    assert_eq!((count(&diary, "note:missing"), count(&diary, "note:alone")), (1, 0), "{diary:?}");
}

#[test]
fn many_that_fall_silent_together_are_summed_up() {
    let mut peers: Vec<_> = (20..=255).map(|last| Voice::new(last, 200)).collect();
    let mut bench = among(&mut peers, |_| {});
    let diary = bench.run_until(30_000);
    assert_eq!((count(&diary, "note:missing"), count(&diary, "note:missing+232 note:alone")), (5, 1), "{diary:?}");
    assert_eq!(bench.node.state(), State::Active);
}

#[test]
fn a_node_that_was_deaf_or_slept_misses_no_peer_for_that() {
    let mut peers = [Voice::more(), Voice::less()];
    for sleeps in [false, true] {
        let mut bench = among(&mut peers, |_| {});
        if sleeps {
            bench.sleep(60_000);
        } else {
            bench.give(Input::Link(Link::Down(Unfit::NoCarrier)));
            bench.after(60_000);
            bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: false }));
        }
        let mut diary = bench.after(1);
        diary.push(bench.hear(&peers[0].says(State::Active)));
        diary.extend(bench.after(3_000));
        assert_eq!((count(&diary, "note:missing"), count(&diary, "note:back")), (0, 0), "{sleeps}: {diary:?}");
        bench.hear(&peers[0].says(State::Active));
        assert_eq!(count(&bench.after(1_000), "note:missing"), 1, "{sleeps}: the other one");
    }
}

#[test]
fn without_a_quorum_missing_peers_are_reported_all_the_same() {
    let mut peers = [Voice::more(), Voice::less()];
    let mut bench = among(&mut peers, |params| params.quorum = 2);
    let diary = bench.run_until(30_000);
    assert_eq!(bench.node.state(), State::Standby);
    assert_eq!((count(&diary, "note:missing"), count(&diary, "note:alone")), (2, 1), "{diary:?}");
}
