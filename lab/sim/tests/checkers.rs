//! Every checker can fail: each is fed a bad history made by hand, and its good twin.

use std::cmp::Reverse;
use std::net::Ipv4Addr;

use ha::node::Reason;
use ha::time::{Duration, Instant};
use ha::wire::{Flags, Heartbeat, Kind, NodeId, State};
use ha_sim::bounds::Bounds;
use ha_sim::checkers::duties::Sent;
use ha_sim::checkers::rest::Trouble;
use ha_sim::checkers::words::Turn;
use ha_sim::checkers::{Checks, Rule, Status};
use ha_sim::plan::Plan;
use ha_sim::settings::{SHARED, SHARED_6, Settings};

const SECOND: u64 = 1_000_000;

fn id(node: u8) -> NodeId {
    NodeId::from_v4(Ipv4Addr::new(10, 0, 0, node))
}

/// The document states every rule in the words of the checker.
#[test]
fn the_protocol_says_what_is_checked() {
    let document = include_str!("../../../docs/protocol.md");
    let rules = document.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let missing: Vec<Rule> = Rule::ALL
        .into_iter()
        .filter(|rule| !rules.clone().any(|row| row == (&format!("{rule:?}"), rule.sentence())))
        .collect();
    assert_eq!(missing, []);
}

/// Node 0 is the most worthy of three; nobody has the address.
fn checks() -> Checks {
    let status = |node: u8| Status {
        is_owner: false,
        is_fit: true,
        is_doubtful: false,
        is_stray: false,
        can_talk: true,
        is_fenced: false,
        is_sticky: false,
        rank: (200 - u16::from(node), Reverse(id(node))),
        mac: u64::from(node),
    };
    let mut checks = Checks::new(bounds(), (0..3).map(status).collect(), false);
    checks.trouble(0, Trouble::Other);
    checks
}

fn bounds() -> Bounds {
    Bounds::of(&Plan::plain(3, 10))
}

fn own(checks: &mut Checks, now: u64, node: usize, is_owner: bool) {
    look(checks, now);
    let status = Status { is_owner, ..checks.all[node] };
    checks.update(now, node, status);
}

/// Everything that falls due before `now`.
fn look(checks: &mut Checks, now: u64) {
    while checks.due() < now {
        let due = checks.due() + 1;
        checks.look(due);
    }
}

/// At rest with node 0 as the owner, which the client knows, at 100 s.
fn at_rest() -> Checks {
    let mut checks = checks();
    own(&mut checks, SECOND, 0, true);
    checks.rest.learnt(SECOND, SHARED, 0, &checks.all, &mut checks.violation);
    look(&mut checks, 100 * SECOND);
    assert_eq!(checks.violation, None);
    assert!(checks.rest.is_calm());
    checks
}

fn broken(checks: &Checks) -> Option<Rule> {
    checks.violation.as_ref().map(|violation| violation.rule)
}

fn said(node: u8, seq: u64, state: State) -> Heartbeat {
    Heartbeat { state, flags: Flags::READY, worthiness: 200 - u16::from(node), seq, ..Heartbeat::plain(id(node)) }
}

fn turn(now: u64, node: usize) -> Turn {
    Turn { now, node, clock: Instant::from_micros(now) }
}

#[test]
fn two_owners_without_excuse() {
    for (missed_at, expected) in
        [(None, Some(Rule::TwoOwners)), (Some(19 * SECOND), None), (Some(2), Some(Rule::TwoOwners))]
    {
        let mut checks = checks();
        if let Some(at) = missed_at {
            checks.owners.missed(at, 0, 1);
        }
        own(&mut checks, 5 * SECOND, 0, true);
        own(&mut checks, 20 * SECOND, 1, true);
        own(&mut checks, 21 * SECOND, 1, false);
        assert_eq!(broken(&checks), expected, "{missed_at:?}");
    }
}

#[test]
fn two_owners_in_spite_of_a_quorum() {
    for (quorum, expected) in [(None, None), (Some(2), Some(Rule::Quorum))] {
        let mut checks = checks();
        checks.bounds.quorum = quorum;
        checks.owners.missed(19 * SECOND, 0, 1);
        own(&mut checks, 5 * SECOND, 0, true);
        own(&mut checks, 20 * SECOND, 1, true);
        own(&mut checks, 21 * SECOND, 1, false);
        assert_eq!(broken(&checks), expected, "{quorum:?}");
    }
}

#[test]
fn an_owner_at_rest_without_a_quorum() {
    for (talking, expected) in [(3, None), (1, Some(Rule::Rest))] {
        let mut checks = checks();
        checks.bounds.quorum = Some(2);
        for node in talking..3 {
            let status = Status { can_talk: false, is_fit: false, ..checks.all[node] };
            checks.update(SECOND, node, status);
        }
        own(&mut checks, SECOND, 0, true);
        checks.rest.learnt(SECOND, SHARED, 0, &checks.all, &mut checks.violation);
        look(&mut checks, 100 * SECOND);
        assert_eq!(broken(&checks), expected, "{talking}");
    }
}

#[test]
fn two_owners_for_too_long_after_they_hear_each_other() {
    for (until, expected) in [(22, None), (24, Some(Rule::Overlap))] {
        let mut checks = checks();
        checks.owners.missed(19 * SECOND, 1, 0);
        own(&mut checks, 5 * SECOND, 0, true);
        own(&mut checks, 20 * SECOND, 1, true);
        own(&mut checks, until * SECOND, 1, false);
        assert_eq!(broken(&checks), expected, "{until}");
    }
}

/// The fence of node 0 may be open until 22 s, one of which its machine sleeps.
#[test]
fn two_owners_in_spite_of_a_fence() {
    for (label, from, until, expected) in [
        ("while it may be open", 20, 22, None),
        ("it stays open", 20, 23, Some(Rule::Overlap)),
        ("when it should be shut", 23, 24, Some(Rule::TwoOwners)),
    ] {
        let mut checks = checks();
        checks.owners.missed(20 * SECOND, 0, 1);
        own(&mut checks, 5 * SECOND, 0, true);
        checks.owners.open(21 * SECOND, 0);
        checks.owners.open_longer(SECOND, 0);
        own(&mut checks, from * SECOND, 1, true);
        own(&mut checks, until * SECOND, 0, false);
        assert_eq!(broken(&checks), expected, "{label}");
    }
}

#[test]
fn nobody_or_a_lesser_node_or_two_at_rest() {
    for (owners, expected) in
        [(vec![0], None), (vec![], Some(Rule::Rest)), (vec![1], Some(Rule::Rest)), (vec![0, 1], Some(Rule::Rest))]
    {
        let mut checks = checks();
        checks.owners.odd(u64::MAX / 2, 0);
        for &node in &owners {
            own(&mut checks, SECOND, node, true);
            checks.rest.learnt(SECOND, SHARED, checks.all[node].mac, &checks.all, &mut checks.violation);
        }
        look(&mut checks, 100 * SECOND);
        assert_eq!(broken(&checks), expected, "{owners:?}");
    }
}

#[test]
fn a_move_without_a_reason() {
    let mut checks = at_rest();
    own(&mut checks, 120 * SECOND, 0, false);
    assert_eq!(broken(&checks), Some(Rule::Quiet));
}

#[test]
fn a_move_because_of_a_node_that_does_not_matter() {
    let mut checks = at_rest();
    checks.trouble(120 * SECOND, Trouble::Silent(2));
    own(&mut checks, 121 * SECOND, 0, false);
    own(&mut checks, 121 * SECOND, 1, true);
    assert_eq!(broken(&checks), Some(Rule::Moves));
}

#[test]
fn a_gap_after_a_stop_and_after_silence() {
    let bounds = bounds();
    for (trouble, gap, expected) in [
        (Trouble::Leaves(0), bounds.planned, None),
        (Trouble::Leaves(0), bounds.planned + 2, Some(Rule::Gap)),
        (Trouble::Silent(0), bounds.silence, None),
        (Trouble::Silent(0), bounds.silence + 2, Some(Rule::Gap)),
    ] {
        let mut checks = at_rest();
        let at = 120 * SECOND;
        checks.trouble(at, trouble);
        own(&mut checks, at, 0, false);
        own(&mut checks, at + gap, 1, true);
        checks.rest.learnt(at + gap, SHARED, 1, &checks.all, &mut checks.violation);
        look(&mut checks, at + 10 * SECOND);
        assert_eq!(broken(&checks), expected, "{trouble:?} {gap}");
    }
}

/// Others wait for a frozen owner while its kernel answers, which behind a fence it does for less than the tolerance.
#[test]
fn a_gap_after_the_silence_of_an_owner_behind_a_fence() {
    for (is_fenced, expected) in [(false, None), (true, Some(Rule::Gap))] {
        let mut checks = at_rest();
        let gap = checks.bounds.successor_of_fenced;
        checks.bounds.successor = gap + 2 * SECOND;
        let at = 120 * SECOND;
        checks.update(at, 0, Status { is_fenced, ..checks.all[0] });
        checks.trouble(at, Trouble::Silent(0));
        own(&mut checks, at + 2 * SECOND, 0, false);
        own(&mut checks, at + gap + 2, 1, true);
        assert_eq!(broken(&checks), expected, "{is_fenced}");
    }
}

#[test]
fn a_client_that_learns_two_addresses_one_after_the_other() {
    let mut checks = at_rest();
    checks.all[0].mac = 7;
    for (address, mac, expected) in [(SHARED_6, 7, None), (SHARED_6, 8, Some(Rule::Cache))] {
        checks.rest.learnt(120 * SECOND, address, mac, &checks.all, &mut checks.violation);
        assert_eq!(broken(&checks), expected);
    }
}

#[test]
fn a_client_that_has_never_asked_for_an_ipv6_address() {
    for (client_has_entry, expected) in [(false, None), (true, Some(Rule::Cache))] {
        let mut checks = checks();
        checks.bounds.client_has_entry = client_has_entry;
        own(&mut checks, SECOND, 0, true);
        look(&mut checks, 100 * SECOND);
        assert_eq!(broken(&checks), expected);
    }
}

#[test]
fn a_stranger_that_nobody_contradicts_since_ten_times_a_minute_are_enough() {
    for (gave_up_at, expected) in [(119, None), (59, Some(Rule::Cache))] {
        let mut checks = at_rest();
        checks.rest.given_up(gave_up_at * SECOND);
        checks.rest.learnt(gave_up_at * SECOND, SHARED, 0, &checks.all, &mut checks.violation);
        checks.trouble(120 * SECOND, Trouble::Rehoused(0));
        checks.rest.claimed(120 * SECOND);
        checks.rest.learnt(120 * SECOND, SHARED, 2, &checks.all, &mut checks.violation);
        look(&mut checks, 125 * SECOND);
        assert_eq!(broken(&checks), expected, "given up at {gave_up_at} s");
    }
}

#[test]
fn a_client_that_is_left_with_the_wrong_hardware_address() {
    let mut checks = at_rest();
    checks.rest.learnt(120 * SECOND, SHARED, 2, &checks.all, &mut checks.violation);
    assert_eq!(broken(&checks), Some(Rule::Cache));
    let mut checks = at_rest();
    checks.trouble(120 * SECOND, Trouble::Leaves(0));
    own(&mut checks, 120 * SECOND, 0, false);
    own(&mut checks, 120 * SECOND + 100, 1, true);
    look(&mut checks, 123 * SECOND);
    assert_eq!(broken(&checks), Some(Rule::Cache));
}

#[test]
fn who_takes_the_address_within_the_hold_of_an_active() {
    for (after, expected) in [(3_499_999, Some(Rule::Knowledge)), (3_500_000, None)] {
        let mut checks = checks();
        checks.words.heard(turn(SECOND, 1), Instant::NEVER, 0, &said(0, 1, State::Active), &checks.all, &checks.bounds);
        checks.words.takes(turn(SECOND + after, 1), &checks.all, &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{after}");
    }
}

#[test]
fn who_takes_a_vacant_address_before_a_more_worthy_node() {
    for (taker, better, expected) in [(1, 0, Some(Rule::Order)), (0, 1, None)] {
        let mut checks = checks();
        let better_said = said(u8::try_from(better).unwrap(), 1, State::Standby);
        checks.words.heard(turn(SECOND, taker), Instant::NEVER, better, &better_said, &checks.all, &checks.bounds);
        checks.words.takes(turn(2 * SECOND, taker), &checks.all, &mut checks.violation);
        let reason = Reason::Nobody { listened: Duration::from_secs(3) };
        checks.words.got_active(
            2 * SECOND,
            taker,
            &Settings { tolerance: 0, ..Settings::default() },
            reason,
            &mut checks.violation,
        );
        assert_eq!(broken(&checks), expected, "{taker}");
    }
}

#[test]
fn who_takes_the_address_before_it_has_listened_for_its_tolerance() {
    let tolerance = 3_500_000;
    for (link_delay, heard_at, takes_at, expected) in [
        (0, None, 4_499_999, Some(Rule::Patience)),
        (0, None, 4_500_000, None),
        (10 * SECOND, None, 14_499_999, Some(Rule::Patience)),
        (10 * SECOND, None, 14_500_000, None),
        (10 * SECOND, Some(2 * SECOND), 5_499_999, Some(Rule::Patience)),
        (10 * SECOND, Some(2 * SECOND), 5_500_000, None),
    ] {
        let mut checks = checks();
        checks.words.linked(turn(SECOND, 0), link_delay);
        if let Some(at) = heard_at {
            checks.words.heard(
                turn(at, 0),
                Instant::NEVER,
                1,
                &said(1, 1, State::Standby),
                &checks.all,
                &checks.bounds,
            );
        }
        checks.words.takes(turn(takes_at, 0), &checks.all, &mut checks.violation);
        let reason = Reason::Nobody { listened: Duration::from_micros(tolerance) };
        checks.words.got_active(takes_at, 0, &Settings::default(), reason, &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{link_delay} {heard_at:?} {takes_at}");
    }
}

#[test]
fn who_takes_an_address_whose_owner_has_just_answered() {
    let silence = Reason::Nobody { listened: Duration::from_micros(3_500_000) };
    let handed_over = Reason::HandedOver { peer: id(1) };
    for (probed_at, answered_at, takes, expected) in [
        (9_100_000, 9_900_000, vec![(10_000_000, silence)], Some(Rule::Knowledge)),
        (9_000_000, 9_900_000, vec![(10_000_000, silence)], None),
        (9_100_000, 9_800_000, vec![(10_000_000, silence)], None),
        (9_100_000, 9_900_000, vec![(10_000_000, handed_over)], None),
        // It was the owner itself since.
        (9_100_000, 9_900_000, vec![(9_950_000, handed_over), (10_000_000, silence)], None),
    ] {
        let mut checks = checks();
        checks.words.probed(turn(probed_at, 0), SHARED);
        checks.words.answered(turn(answered_at, 0), SHARED);
        for &(at, reason) in &takes {
            checks.words.takes(turn(at, 0), &checks.all, &mut checks.violation);
            checks.words.got_active(at, 0, &Settings::default(), reason, &mut checks.violation);
        }
        assert_eq!(broken(&checks), expected, "{probed_at} {answered_at} {takes:?}");
    }
}

#[test]
fn who_goes_on_beside_a_more_worthy_active() {
    let bounds = bounds();
    for (wait, expected) in [(SECOND * 7 / 2, None), (SECOND * 18 / 5, Some(Rule::Yield))] {
        let mut checks = checks();
        checks.words.heard(turn(SECOND, 1), Instant::NEVER, 0, &said(0, 1, State::Active), &checks.all, &checks.bounds);
        for now in [SECOND, SECOND + wait] {
            checks.words.heard(
                turn(now, 1),
                Instant::NEVER,
                0,
                &said(0, 1 + now, State::Active),
                &checks.all,
                &checks.bounds,
            );
            checks.words.done(turn(now, 1), true, &checks.all, &bounds, &mut checks.violation);
        }
        assert_eq!(broken(&checks), expected, "{wait}");
    }
}

#[test]
fn who_goes_on_beside_an_active_that_does_not_hear_it() {
    for (last, following, expected) in
        [(4, Some(id(1)), Some(Rule::Yield)), (3, Some(id(1)), None), (4, Some(id(0)), None), (4, None, None)]
    {
        let mut checks = checks();
        for second in 0..=last {
            let now = SECOND * (second + 1);
            checks.words.done(turn(now, 0), true, &checks.all, &checks.bounds, &mut checks.violation);
            let said = Heartbeat { following, ..said(1, second + 1, State::Active) };
            checks.words.heard(turn(now, 0), Instant::NEVER, 1, &said, &checks.all, &checks.bounds);
        }
        let now = SECOND * (last + 1) + SECOND / 10;
        checks.words.done(turn(now, 0), true, &checks.all, &checks.bounds, &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{last} {following:?}");
    }
}

/// It hears of another reason to have the address in the moment in which it lets go of it.
#[test]
fn who_lets_go_and_takes_the_address_again_at_once_is_a_new_owner() {
    let mut checks = checks();
    for second in 0..=4 {
        let now = SECOND * (second + 1);
        checks.words.done(turn(now, 0), true, &checks.all, &checks.bounds, &mut checks.violation);
        let said = Heartbeat { following: Some(id(1)), ..said(1, second + 1, State::Active) };
        checks.words.heard(turn(now, 0), Instant::NEVER, 1, &said, &checks.all, &checks.bounds);
    }
    let resign = said(1, 6, State::Unfit);
    checks.words.heard(turn(5 * SECOND, 0), Instant::NEVER, 1, &resign, &checks.all, &checks.bounds);
    checks.words.takes(turn(5 * SECOND, 0), &checks.all, &mut checks.violation);
    for now in [5 * SECOND, 5 * SECOND + SECOND / 10] {
        checks.words.done(turn(now, 0), true, &checks.all, &checks.bounds, &mut checks.violation);
    }
    assert_eq!(broken(&checks), None);
}

fn send(checks: &mut Checks, now: u64, said: &Heartbeat, has_address: bool, has_link: bool) {
    let states = [said.state; 2];
    let is_calm = checks.rest.is_calm();
    let sent = Sent { node: 0, said, states, has_address, has_link, is_calm };
    checks.duties.sent(now, &sent, &mut checks.violation);
}

#[test]
fn a_sequence_number_that_does_not_grow() {
    for (seq, expected) in [(2, None), (1, Some(Rule::Sequence)), (3, Some(Rule::Sequence))] {
        let mut checks = checks();
        send(&mut checks, SECOND, &said(0, 1, State::Standby), false, true);
        send(&mut checks, 2 * SECOND, &said(0, seq, State::Standby), false, true);
        assert_eq!(broken(&checks), expected, "{seq}");
    }
}

#[test]
fn a_resign_that_is_said_before_the_address_is_gone() {
    let mut checks = checks();
    send(&mut checks, SECOND, &said(0, 1, State::Standby), true, true);
    assert_eq!(broken(&checks), Some(Rule::Truth));
}

#[test]
fn words_after_the_end() {
    let mut checks = checks();
    for seq in 1..=4 {
        send(&mut checks, SECOND * seq, &said(0, seq, State::Shutdown), false, true);
    }
    for seq in 5..=9 {
        let response = Heartbeat { kind: Kind::Response, ..said(0, seq, State::Shutdown) };
        send(&mut checks, SECOND * seq, &response, false, true);
    }
    assert_eq!(broken(&checks), None);
    send(&mut checks, SECOND * 10, &said(0, 10, State::Shutdown), false, true);
    assert_eq!(broken(&checks), Some(Rule::Silence));
}

#[test]
fn more_packets_than_one_each_interval_at_rest() {
    let mut checks = at_rest();
    for seq in 1..=2 {
        send(&mut checks, 120 * SECOND + seq, &said(0, seq, State::Active), true, true);
    }
    assert_eq!(broken(&checks), None);
    send(&mut checks, 120 * SECOND + 3, &said(0, 3, State::Active), true, true);
    assert_eq!(broken(&checks), Some(Rule::Flood));
}

#[test]
fn an_address_without_duty_an_announcement_without_address_and_a_tick_without_end() {
    let mut all = [checks(), checks(), checks()];
    let [duty, announce, spin] = &mut all;
    duty.duties.done(SECOND, 0, Some(State::Standby), true, &mut duty.violation);
    announce.duties.announced(SECOND, 0, false, &mut announce.violation);
    spin.duties.spun(SECOND, 0, 6, &mut spin.violation);
    assert_eq!(all.each_ref().map(broken), [Some(Rule::Duty), Some(Rule::Announce), Some(Rule::Spin)]);
}

#[test]
fn a_change_that_is_not_reported() {
    for (reported, expected) in [(Some(State::Standby), None), (None, Some(Rule::Report))] {
        let Checks { mut reports, mut violation, .. } = checks();
        if let Some(state) = reported {
            reports.changed(0, state);
        }
        reports.done(turn(SECOND, 0), None, &mut violation);
        assert_eq!(violation, None, "the keeper has not answered");
        reports.done(turn(SECOND, 0), Some(State::Standby), &mut violation);
        assert_eq!(violation.map(|violation| violation.rule), expected, "{reported:?}");
    }
}

/// An ACTIVE puts the address back after 20 s and after 24 s.
#[test]
fn an_address_put_back_is_reported_too_often_too_late_or_for_nothing() {
    let report = Some(Rule::Report);
    for (label, reported_at, released_at, expected) in [
        ("at once and when ten seconds are over", &[20, 30][..], None, None),
        ("not at all", &[], None, report),
        ("once", &[20], None, report),
        ("too late", &[20, 31], None, report),
        ("twice within ten seconds", &[20, 24], None, report),
        ("once too often", &[20, 30, 40], None, report),
        ("once, and the address is released", &[20], Some(25), None),
        ("after the address was released", &[20, 30], Some(25), report),
    ] {
        let Checks { mut reports, mut violation, .. } = checks();
        reports.changed(0, State::Active);
        for second in 0..60 {
            let turn = turn(second * SECOND, 0);
            if [20, 24].contains(&second) {
                reports.taken(turn);
            }
            if released_at == Some(second) {
                reports.releases(0);
            }
            if reported_at.contains(&second) {
                reports.put_back(turn, &mut violation);
            }
            reports.done(turn, None, &mut violation);
        }
        assert_eq!(violation.map(|violation| violation.rule), expected, "{label}");
    }
}

#[test]
fn a_change_that_is_not_said_at_once() {
    let change = Some(Rule::Change);
    for (label, sent_at, from, is_fenced, expected) in [
        ("at once", 20 * SECOND, State::Standby, false, None),
        ("not now", 19 * SECOND, State::Standby, false, change),
        ("it gets fit", 19 * SECOND, State::Unfit, false, None),
        ("not now, though a fence would allow it for what it gives up", 19 * SECOND, State::Standby, true, change),
    ] {
        let mut checks = checks();
        send(&mut checks, sent_at, &said(0, 1, State::Active), true, true);
        checks.duties.changed(20 * SECOND, 0, [from, State::Active], is_fenced, &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{label}");
    }
}

/// Behind a fence a node says that it leaves, and reports so when its kernel has removed the address.
#[test]
fn a_fence_lets_a_node_say_that_it_leaves_before_it_has_left() {
    for (is_fenced, said_state, expected) in [
        (true, State::Standby, None),
        (false, State::Standby, Some(Rule::Change)),
        (true, State::Active, Some(Rule::Change)),
    ] {
        let mut checks = checks();
        send(&mut checks, 19 * SECOND, &said(0, 1, said_state), false, true);
        let states = [State::Active, State::Standby];
        checks.duties.changed(20 * SECOND, 0, states, is_fenced, &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{is_fenced} {said_state}");
    }
}

#[test]
fn a_fence_that_opens_before_the_address_is_there() {
    let mut checks = checks();
    checks.duties.added(0, true);
    checks.duties.opened(SECOND, 0, &mut checks.violation);
    assert_eq!(broken(&checks), None);
    checks.duties.added(0, false);
    checks.duties.opened(SECOND, 0, &mut checks.violation);
    assert_eq!(broken(&checks), Some(Rule::Fence));
}

#[test]
fn a_fence_that_opens_again_when_others_may_have_the_address() {
    for (label, state, after, expected) in [
        ("in time", State::Active, 2_500_000, None),
        ("too late", State::Active, 2_500_001, Some(Rule::Fence)),
        ("taken anew", State::Standby, 2_500_001, None),
    ] {
        let mut checks = checks();
        checks.words.spoke(turn(SECOND, 0), &said(0, 1, state));
        checks.words.opens(turn(SECOND + after, 0), &mut checks.violation);
        assert_eq!(broken(&checks), expected, "{label}");
    }
}
