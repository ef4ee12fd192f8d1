//! What the simulator found in the rules, each as small as it could be made.

use ha::config::OnConflict;
use ha_sim::checkers::Violation;
use ha_sim::draw;
use ha_sim::fault::What;
use ha_sim::plan::Plan;
use ha_sim::play::play;
use ha_sim::settings::Settings;
use ha_sim::time::FOREVER;
use ha_sim::trace::Trace;

const SECOND: u64 = 1_000_000;

fn violation(plan: &Plan) -> Option<Violation> {
    let (outcome, lines) = play(plan, Trace::on());
    if outcome.violation.is_some() {
        for line in lines {
            println!("{line}");
        }
    }
    outcome.violation
}

/// A newcomer whose tolerance is shorter than the owner's interval has heard nothing when it is ready.
#[test]
fn a_newcomer_with_shorter_timing_does_not_take_over_from_an_owner_that_lives() {
    let mut plan = Plan::plain(2, 2);
    let quick = Settings {
        interval: SECOND / 4,
        tolerance: SECOND * 7 / 8,
        preempt_delay: SECOND * 7 / 8,
        ..plan.nodes[1].settings
    };
    plan.nodes[1].settings = quick;
    plan.nodes[1].starts_at = 30 * SECOND + SECOND * 13 / 25;
    assert_eq!(violation(&plan), None);
}

/// So has it heard nothing of a STANDBY with a longer interval, and both would follow an ACTIVE that stops.
#[test]
fn a_newcomer_with_shorter_timing_does_not_take_over_beside_a_standby_of_longer_timing() {
    let mut plan = Plan::plain(3, 1);
    for (node, interval) in plan.nodes.iter_mut().zip([SECOND, 2 * SECOND, SECOND / 4]) {
        let tolerance = interval * 7 / 2;
        node.settings = Settings { interval, tolerance, preempt_delay: tolerance, sticky: true, ..node.settings };
    }
    for tenth in 0..20 {
        let mut plan = plan.clone();
        plan.nodes[2].starts_at = (300 + tenth) * SECOND / 10;
        let plan = plan.with((310 + tenth) * SECOND / 10, 20 * SECOND, What::Stop(0, None));
        assert_eq!(violation(&plan), None, "started {tenth} tenths late");
    }
}

/// An older STANDBY waits for an ACTIVE that may be played back. When it has waited long enough a newcomer has become ACTIVE, which
/// it has to know by then, although what was played back is asked for, too.
#[test]
fn a_newcomer_with_shorter_timing_is_known_before_it_has_the_address_whatever_is_played_back() {
    let mut plan = Plan { keyed: true, ..Plan::plain(2, 1) };
    for (n, interval) in [SECOND / 4, 2 * SECOND].into_iter().enumerate() {
        let tolerance = interval * 7 / 2;
        let node = &mut plan.nodes[n];
        node.settings =
            Settings { interval, tolerance, preempt_delay: tolerance, on_conflict: OnConflict::Take, ..node.settings };
    }
    plan.nodes[1].starts_at = 20 * SECOND + SECOND / 2;
    let plan = plan.with(10 * SECOND, SECOND, What::Stop(0, None));
    let plan = plan.with(29 * SECOND, 10 * SECOND, What::Replay { every: 27_000 });
    for tenth in 0..10 {
        let plan = plan.clone().with((305 + tenth) * SECOND / 10, 2 * SECOND, What::Stop(0, None));
        assert_eq!(violation(&plan), None, "stopped {tenth} tenths late");
    }
}

/// The repair renews the kernel's lease: peers must count from there, or the lease outlives their patience.
#[test]
fn an_owner_that_freezes_after_a_repair_has_lost_the_address_before_a_peer_takes_it() {
    for late in 0..20 {
        let at = 60 * SECOND + 400_000;
        let plan = Plan { seed: late, ..Plan::plain(2, 2) };
        let plan = plan.with(at, 0, What::Steal(0)).with(at + 1_000, 20 * SECOND, What::Freeze(0));
        assert_eq!(violation(&plan), None, "seed {late}");
    }
}

/// A deaf owner does not hear that the loser released the address; when it hears again, no packet makes it announce.
#[test]
fn clients_find_an_owner_that_was_deaf_while_another_one_came_and_went() {
    let plan =
        Plan::plain(2, 4).with(72 * SECOND, 18 * SECOND, What::Deaf(0)).with(74 * SECOND, 4 * SECOND, What::Dumb(0));
    assert_eq!(violation(&plan), None);
}

/// Each try of a node whose kernel refuses the address costs the group a hand-over.
#[test]
fn a_node_that_is_refused_leaves_the_address_to_others_more_and_more_often() {
    let plan = Plan::plain(2, 30).with(60 * SECOND, FOREVER, What::Refuse(0));
    let (outcome, _) = play(&plan, Trace::default());
    assert_eq!(outcome.violation, None);
    assert!(outcome.moves < 40, "{} moves", outcome.moves);
}

/// An owner whose packets get lost beside one that it hears: the rules for two owners cannot end it, its own hearing does.
#[test]
fn an_owner_that_nobody_hears_leaves_the_address_to_the_one_that_it_hears() {
    let plan = Plan::plain(3, 5).with(60 * SECOND, 60 * SECOND, What::Dumb(0));
    let (outcome, lines) = play(&plan, Trace::on());
    assert_eq!(outcome.violation, None);
    let unheard = lines.iter().filter(|line| line.to_string().contains("has not heard this node for")).count();
    // Away, and back when the claim is heard.
    assert_eq!((unheard, outcome.moves), (1, 3));
}

/// It never hears that the other one had the address meanwhile: it announces by itself as long as that one is missing.
#[test]
fn clients_find_an_owner_that_was_deaf_until_the_other_owner_had_died() {
    let plan = Plan::plain(2, 4)
        .with(72 * SECOND, 30 * SECOND, What::Deaf(0))
        .with(74 * SECOND, 8 * SECOND, What::Dumb(0))
        .with(95 * SECOND, FOREVER, What::Power(1));
    assert_eq!(violation(&plan), None);
}

/// A virtual machine that stood still with its clock knows nothing of the owner that came and went meanwhile.
#[test]
fn clients_find_an_owner_whose_machine_stood_still() {
    for meanwhile in [What::Power(1), What::Carrier { n: 1, deaf: 0 }] {
        let sleeps = What::Pause { n: 0, clock_runs: false };
        let plan = Plan::plain(2, 4).with(72 * SECOND, 10 * SECOND, sleeps).with(80 * SECOND, SECOND, meanwhile);
        assert_eq!(violation(&plan), None, "{meanwhile}");
    }
}

/// The second repair is to be reported ten seconds after the first one; until then the node has slept and released the address.
#[test]
fn a_node_that_released_the_address_does_not_report_that_it_has_put_it_back() {
    let plan = Plan::plain(2, 2).with(60 * SECOND, 0, What::Steal(0)).with(62 * SECOND, 0, What::Steal(0)).with(
        64 * SECOND,
        5 * SECOND,
        What::Freeze(0),
    );
    assert_eq!(violation(&plan), None);
}

/// Both were drawn; a checker blamed a node that had done right. One let go and took the address again in the same instant, one
/// told others four times that it had given up a take.
#[test]
fn an_owner_that_is_new_and_a_take_that_is_given_up_are_counted_as_what_they_are() {
    for seed in [493_067_428_820, 204_635_660] {
        assert_eq!(violation(&draw::plan(seed, 10)), None, "seed {seed}");
    }
}
