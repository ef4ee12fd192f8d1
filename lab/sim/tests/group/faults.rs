//! Clusters with drawn faults: nothing bad happens meanwhile, and all is well soon after the last one.

use ha_sim::fault::What;
use ha_sim::world::Loss;
use proptest::prelude::*;

use crate::lan::Lan;

#[derive(Debug, Clone)]
enum Fault {
    Wait { millis: u64 },
    Stop { host: usize },
    Kill { host: usize },
    CutPower { host: usize },
    Start { host: usize },
    Freeze { host: usize },
    Thaw { host: usize, keeps_backlog: bool },
}

/// Packets that get lost: bit `8 * from + to` cuts one direction, and every `one_in`-th packet of the rest is lost.
#[derive(Debug, Clone)]
struct Weather {
    cuts: u64,
    one_in: u64,
    millis: u64,
}

fn fault() -> impl Strategy<Value = Fault> {
    let host = || 0..HOSTS;
    prop_oneof![
        6 => prop_oneof![0..20_u64, 0..1_500_u64, 0..8_000_u64].prop_map(|millis| Fault::Wait { millis }),
        1 => host().prop_map(|host| Fault::Stop { host }),
        1 => host().prop_map(|host| Fault::Kill { host }),
        1 => host().prop_map(|host| Fault::CutPower { host }),
        3 => host().prop_map(|host| Fault::Start { host }),
        1 => host().prop_map(|host| Fault::Freeze { host }),
        2 => (host(), any::<bool>()).prop_map(|(host, keeps_backlog)| Fault::Thaw { host, keeps_backlog }),
    ]
}

fn weather() -> impl Strategy<Value = Weather> {
    let cuts = prop_oneof![Just(0), any::<u64>(), (any::<u64>(), any::<u64>()).prop_map(|(one, two)| one & two)];
    let one_in = prop_oneof![Just(u64::MAX), 2..30_u64];
    (cuts, one_in, 0..12_000_u64).prop_map(|(cuts, one_in, millis)| Weather { cuts, one_in, millis })
}

/// What cannot happen to a host in its condition does not happen.
fn happen(lan: &mut Lan, fault: &Fault) {
    match *fault {
        Fault::Wait { millis } => lan.run(millis),
        Fault::Stop { host } if lan.is_running(host) => lan.stop(host),
        Fault::Kill { host } => lan.kill(host),
        Fault::CutPower { host } => lan.cut_power(host),
        Fault::Start { host } if lan.is_off(host) => lan.start(host),
        Fault::Thaw { host, keeps_backlog } if lan.is_frozen(host) => lan.thaw(host, keeps_backlog),
        Fault::Freeze { host } if lan.is_running(host) => lan.freeze(host),
        Fault::Stop { .. } | Fault::Start { .. } | Fault::Thaw { .. } | Fault::Freeze { .. } => {}
    }
}

/// All nodes run again, every packet arrives, and some time passes.
fn heal(lan: &mut Lan) {
    lan.heal();
    for host in 0..HOSTS {
        happen(lan, &Fault::Thaw { host, keeps_backlog: false });
        happen(lan, &Fault::Start { host });
    }
    lan.run(20_000);
    lan.forget_history();
    lan.run(10_000);
}

/// Plays these faults on a LAN that loses no packet.
fn never_have_two_owners(worthinesses: &[u16], faults: &[Fault]) {
    let mut lan = Lan::settled(worthinesses);
    for fault in faults {
        // A whole machine that stands still hears nothing meanwhile: that is weather.
        let fault = match *fault {
            Fault::Thaw { host, .. } => Fault::Thaw { host, keeps_backlog: true },
            ref other => other.clone(),
        };
        happen(&mut lan, &fault);
        assert!(!lan.has_had_two_owners, "after {fault:?}: {:?}", lan.history);
    }
    heal(&mut lan);
    assert!(!lan.has_had_two_owners, "healed: {:?}", lan.history);
    assert_eq!(lan.history.len(), 1, "one owner, no more moves: {:?}", lan.history);
    assert_eq!(lan.owners(), best(worthinesses));
}

/// This was drawn once: two nodes believed to be the most worthy when the owner stopped.
#[test]
fn a_node_that_has_returned_and_an_older_standby_do_not_both_take_over() {
    let wait = |millis| Fault::Wait { millis };
    let faults = [
        Fault::CutPower { host: 0 },
        Fault::Start { host: 0 },
        wait(965),
        wait(1_148),
        wait(1_387),
        Fault::Stop { host: 2 },
    ];
    never_have_two_owners(&[1, 1, 2, 0], &faults);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_long_as_packets_arrive_there_are_never_two_owners(
        worthinesses in prop::collection::vec(0..4_u16, HOSTS),
        faults in prop::collection::vec(fault(), 1..60),
    ) {
        never_have_two_owners(&worthinesses, &faults);
    }

    #[test]
    fn after_any_weather_there_is_one_owner_the_most_worthy(
        worthinesses in prop::collection::vec(0..4_u16, HOSTS),
        storms in prop::collection::vec((weather(), fault()), 1..20),
    ) {
        let mut lan = Lan::settled(&worthinesses);
        for (weather, fault) in &storms {
            let Weather { cuts, one_in, millis } = *weather;
            lan.heal();
            for (from, to) in (0..HOSTS).flat_map(|from| (0..HOSTS).map(move |to| (from, to))) {
                if cuts >> (8 * from + to) & 1 == 1 {
                    lan.cut(What::Cut { from, to });
                }
            }
            let mut packets = 1..;
            lan.lose(Loss::of(move |_, _, _| packets.next().is_some_and(|packet: u64| packet.is_multiple_of(one_in))));
            happen(&mut lan, fault);
            lan.run(millis);
        }
        heal(&mut lan);
        prop_assert_eq!(lan.history.len(), 1, "one owner, no more moves: {:?}", &lan.history);
        prop_assert_eq!(lan.owners(), best(&worthinesses));
    }
}

/// The most worthy that may host at all; of equals the lowest address.
fn best(worthinesses: &[u16]) -> Vec<usize> {
    let hosts = (0..worthinesses.len()).rev().filter(|&host| worthinesses[host] > 0);
    hosts.max_by_key(|&host| worthinesses[host]).into_iter().collect()
}

const HOSTS: usize = 4;
