//! Stories of several nodes: which one has the address when, and for how long none or more than one has it.

use ha::wire::State;
use ha_sim::fault::What;
use ha_sim::world::Loss;

use crate::lan::Lan;

fn names(owners: &[usize]) -> Vec<usize> {
    owners.to_vec()
}

#[test]
fn a_cold_start_has_one_take_over() {
    let lan = Lan::settled(&[100, 300, 200]);
    assert_eq!(lan.history, [(0, names(&[])), (3_500, names(&[1]))]);
}

#[test]
fn a_cold_start_in_any_order_within_an_interval_has_one_take_over() {
    for delays in [[0, 300, 900], [900, 0, 300], [300, 900, 0], [900, 300, 0], [0, 900, 900], [1, 0, 2]] {
        let mut lan = Lan::new(&[100, 300, 200]);
        let mut order = [0, 1, 2];
        order.sort_by_key(|&host| delays[host]);
        for host in order {
            lan.run_until(delays[host]);
            lan.start(host);
        }
        lan.run_until(20_000);
        assert_eq!(lan.history, [(0, names(&[])), (3_500 + delays[1], names(&[1]))], "{delays:?}");
    }
}

#[test]
fn equal_nodes_have_one_owner_the_lowest_address() {
    let lan = Lan::settled(&[100, 100, 100, 100]);
    assert_eq!(lan.history, [(0, names(&[])), (3_500, names(&[0]))]);
}

#[test]
fn a_power_cut_costs_the_tolerance_at_most() {
    for after_ms in [0, 1, 499, 500, 999] {
        let mut lan = Lan::settled(&[300, 200, 100]);
        lan.run(after_ms);
        lan.forget_history();
        lan.cut_power(0);
        lan.run(10_000);
        assert_eq!(lan.owners(), [1]);
        assert!((2_500..=3_500).contains(&lan.blackout()), "cut after {after_ms} ms: {:?}", lan.history);
    }
}

#[test]
fn a_killed_daemon_has_lost_its_address_before_a_peer_takes_over() {
    for after_ms in [0, 1, 499, 500, 999] {
        let mut lan = Lan::settled(&[300, 200, 100]);
        lan.run(after_ms);
        lan.kill(0);
        lan.run(10_000);
        assert!(!lan.has_had_two_owners, "{:?}", lan.history);
        assert_eq!(lan.owners(), [1]);
    }
}

#[test]
fn a_killed_daemon_that_starts_again_costs_nothing_and_gets_the_address_back() {
    for dead_ms in [1, 100, 1_500, 3_000, 5_000] {
        let mut lan = Lan::settled(&[300, 200, 100]);
        lan.kill(0);
        lan.run(dead_ms);
        lan.start(0);
        lan.run(20_000);
        assert!(!lan.has_had_two_owners, "{:?}", lan.history);
        assert_eq!(lan.owners(), [0]);
        let owners: Vec<_> = lan.history.iter().filter(|(_, owners)| !owners.is_empty()).collect();
        assert_eq!(owners.len(), 3, "0, then 1, then 0 again: {:?}", lan.history);
    }
}

#[test]
fn a_resign_moves_the_address_within_one_network_trip_to_the_most_worthy() {
    let mut lan = Lan::settled(&[300, 100, 200]);
    lan.forget_history();
    lan.stop(0);
    assert_eq!(lan.owners(), [2]);
    lan.run(20_000);
    assert_eq!(lan.history, [(10_000, names(&[0])), (10_000, names(&[2]))], "nobody else, no gap");
}

#[test]
fn a_more_worthy_newcomer_gets_the_address_when_it_has_settled_and_without_a_gap() {
    let mut lan = Lan::new(&[100, 200, 300]);
    lan.start(0);
    lan.start(1);
    lan.run_until(10_200);
    lan.forget_history();
    lan.start(2);
    lan.run_until(30_000);
    assert_eq!(lan.history, [(10_200, names(&[1])), (13_700, names(&[2]))]);
}

#[test]
fn two_newcomers_cause_one_move() {
    let mut lan = Lan::new(&[100, 200, 300]);
    lan.start(0);
    lan.run_until(10_000);
    lan.forget_history();
    lan.start(1);
    lan.start(2);
    lan.run_until(30_000);
    assert_eq!(lan.history, [(10_000, names(&[0])), (13_500, names(&[2]))]);
}

#[test]
fn a_hand_over_survives_the_loss_of_any_packet() {
    for lost in 0..40 {
        let mut lan = Lan::new(&[100, 200, 300]);
        lan.start(0);
        lan.start(1);
        lan.run_until(10_000);
        lan.start(2);
        lan.run_until(13_490);
        lan.forget_history();
        let mut packets = 0..;
        lan.lose(Loss::of(move |_, _, _| packets.next() == Some(lost)));
        lan.run_until(30_000);
        assert_eq!(lan.owners(), [2], "packet {lost}");
        assert!(!lan.has_had_two_owners, "packet {lost}: {:?}", lan.history);
        assert!(lan.blackout() <= 10, "packet {lost}: {:?}", lan.history);
    }
}

#[test]
fn a_hand_over_to_a_node_that_dies_costs_an_interval() {
    for third in [100, 250] {
        let mut lan = Lan::new(&[200, third, 300]);
        lan.start(0);
        lan.run_until(10_000);
        lan.start(1);
        lan.start(2);
        lan.run_until(13_490);
        lan.forget_history();
        // The successor dies after its claim: it hears no answer.
        lan.lose(Loss::of(|from, to, said| to == 2 || (from == 2 && said.state == State::Active)));
        lan.run_until(13_502);
        lan.cut_power(2);
        lan.run_until(30_000);
        assert!(lan.blackout() <= 1_100, "third has {third}: {:?}", lan.history);
        assert!(!lan.has_had_two_owners, "third has {third}: {:?}", lan.history);
    }
}

#[test]
fn a_frozen_active_is_replaced_after_its_lease_and_thaws_into_peace() {
    for keeps_backlog in [true, false] {
        let mut lan = Lan::settled(&[300, 200, 100]);
        lan.run(100);
        lan.freeze(0);
        lan.run(10_000);
        assert_eq!(lan.owners(), [1]);
        lan.forget_history();
        lan.thaw(0, keeps_backlog);
        lan.run(3_000);
        assert_eq!(lan.history, [(20_100, names(&[1]))], "backlog kept: {keeps_backlog}");
        lan.run(20_000);
        assert_eq!(lan.owners(), [0]);
        assert_eq!((lan.has_had_two_owners, lan.blackout()), (false, 0), "{:?}", lan.history);
    }
}

#[test]
fn a_frozen_standby_thaws_into_peace() {
    for keeps_backlog in [true, false] {
        for frozen in [1, 2] {
            let mut lan = Lan::settled(&[300, 200, 100]);
            lan.forget_history();
            lan.freeze(frozen);
            lan.run(10_000);
            lan.thaw(frozen, keeps_backlog);
            lan.run(20_000);
            assert_eq!(lan.history, [(10_000, names(&[0]))], "host {frozen}, backlog kept: {keeps_backlog}");
        }
    }
}

#[test]
fn a_healed_partition_has_one_owner_within_an_interval_and_never_none() {
    for isolated in [0, 1, 2] {
        for cut_ms in (0..1_000).step_by(111) {
            let mut lan = Lan::settled(&[300, 200, 100]);
            lan.run(cut_ms);
            lan.isolate(isolated);
            lan.run(10_000);
            assert_eq!(lan.owners().len(), 2, "each side serves");
            lan.heal();
            lan.forget_history();
            let healed = lan.now();
            lan.run(20_000);
            assert_eq!((lan.owners(), lan.blackout()), (vec![0], 0), "isolated {isolated}: {:?}", lan.history);
            let (last, _) = lan.history.last().unwrap();
            assert!(last - healed <= 1_100 && lan.history.len() == 2, "isolated {isolated}: {:?}", lan.history);
        }
    }
}

#[test]
fn a_partition_that_heals_one_way_first_ends_with_one_owner() {
    for deaf in [0, 1] {
        let mut lan = Lan::settled(&[300, 200]);
        lan.isolate(0);
        lan.run(10_000);
        lan.heal();
        lan.cut(What::Deaf(deaf));
        lan.run(500);
        lan.heal();
        lan.run(5_000);
        assert_eq!(lan.owners(), [0], "{deaf} was deaf for longer");
    }
}

#[test]
fn a_spectator_sees_every_move_and_never_takes_part() {
    let mut lan = Lan::settled(&[300, 0, 200]);
    lan.stop(0);
    lan.run(5_000);
    lan.start(0);
    lan.run(10_000);
    lan.cut_power(0);
    lan.run(10_000);
    lan.cut_power(2);
    lan.run(60_000);
    assert!(lan.history.iter().all(|(_, owners)| !owners.contains(&1)), "{:?}", lan.history);
    assert_eq!(lan.owners(), []);
}

#[test]
fn a_spectator_does_not_spin_when_it_misses_the_end_of_a_hand_over() {
    let mut lan = Lan::new(&[100, 200, 0]);
    lan.start(0);
    lan.start(2);
    lan.run_until(10_000);
    lan.start(1);
    lan.cut(What::Cut { from: 1, to: 2 });
    lan.run_until(30_000);
    assert_eq!(lan.owners(), [1]);
}

#[test]
fn sixteen_nodes_that_leave_one_by_one_are_replaced_in_the_order_of_their_worth() {
    let worthinesses: Vec<u16> = (0..16).map(|host| 1_000 - host).collect();
    let mut lan = Lan::settled(&worthinesses);
    for host in 0..15 {
        assert_eq!(lan.owners(), [host]);
        lan.forget_history();
        lan.stop(host);
        lan.run(2_000);
        assert_eq!(lan.owners(), [host + 1]);
        assert_eq!((lan.has_had_two_owners, lan.blackout()), (false, 0), "{:?}", lan.history);
    }
}

#[test]
fn a_newcomer_that_has_just_got_ready_and_an_older_standby_do_not_both_take_over() {
    for after_ms in [0, 1, 200, 499] {
        let mut lan = Lan::new(&[200, 100, 300]);
        lan.start(1);
        lan.start(2);
        lan.run_until(10_000);
        lan.start(0);
        lan.run_until(13_500 + after_ms);
        lan.stop(2);
        assert_eq!(lan.owners().len(), 1, "{after_ms} ms after it got ready");
        assert!(!lan.has_had_two_owners, "{after_ms} ms after it got ready: {:?}", lan.history);
    }
}

/// The fence ends a frozen owner at any timing, before the others take over; unfenced ones of such timing wait for the lease.
#[test]
fn behind_a_fence_a_frozen_or_killed_owner_is_replaced_after_the_tolerance_and_never_doubled() {
    for [interval, tolerance] in [[1_000, 3_500], [100, 350], [10, 35]] {
        for after_ms in [0, 1, interval / 2, interval - 1] {
            for kills in [false, true] {
                let mut lan = Lan::fenced(&[300, 200, 100], [interval, tolerance]);
                lan.run(after_ms);
                lan.forget_history();
                if kills {
                    lan.kill(0)
                } else {
                    lan.freeze(0)
                }
                lan.run(10_000);
                assert!(!lan.has_had_two_owners, "{:?}", lan.history);
                assert_eq!(lan.owners(), [1]);
                let taken_after = lan.history.last().unwrap().0 - lan.history[0].0;
                assert!(taken_after <= tolerance, "{interval}/{tolerance} {after_ms} {kills}: {:?}", lan.history);
            }
        }
    }
}

#[test]
fn a_frozen_owner_behind_a_fence_thaws_without_a_word_from_the_address() {
    for [interval, tolerance] in [[1_000, 3_500], [100, 350]] {
        for frozen_ms in [tolerance - interval, tolerance, 2 * tolerance, 10_000] {
            for keeps_backlog in [true, false] {
                let mut lan = Lan::fenced(&[300, 200, 100], [interval, tolerance]);
                lan.freeze(0);
                lan.run(frozen_ms);
                lan.forget_history();
                lan.thaw(0, keeps_backlog);
                lan.run(tolerance - 1);
                assert!(!lan.has_had_two_owners, "{:?}", lan.history);
                assert!(!lan.history.iter().any(|(_, owners)| owners.contains(&0)), "{frozen_ms}: {:?}", lan.history);
            }
        }
    }
}

#[test]
fn behind_a_fence_a_killed_keeper_costs_nothing() {
    let mut lan = Lan::fenced(&[300, 200, 100], [1_000, 3_500]);
    lan.run(500);
    lan.forget_history();
    lan.kill_keeper(0);
    lan.run(3_000);
    assert_eq!(lan.history, [(10_500, names(&[0])), (10_500, names(&[1]))]);
}

#[test]
fn without_a_fence_a_killed_keeper_is_silence() {
    let mut lan = Lan::settled(&[300, 200, 100]);
    lan.kill_keeper(0);
    lan.run(10_000);
    assert!(!lan.has_had_two_owners, "{:?}", lan.history);
    assert!(lan.history.iter().all(|&(at, ref owners)| owners != &[1] || at >= 12_000), "{:?}", lan.history);
}
