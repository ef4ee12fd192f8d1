//! Telling the LAN: who is asked, and what an ACTIVE does about somebody else who claims the address.

use super::*;
use crate::neighbours::Coverage;

fn neighbour(last: u8) -> (IpAddr, Mac) {
    (host(last), [2, 0, 0, 0, 1, last])
}

/// The host asks who has the address, or answers a question from it.
fn says(last: u8, is_reply: bool) -> Input<'static> {
    let (from, mac) = neighbour(last);
    Input::Resolution(Resolution { link: 0, is_reply, mac: Some(mac), from, to: ADDRESS, is_to_all: !is_reply })
}

fn claim_of(mac: u8) -> Input<'static> {
    Input::Resolution(Resolution { mac: Some([2, 0, 0, 0, 0, mac]), ..claim() })
}

fn covered(outputs: &Outputs) -> Option<Coverage> {
    outputs.iter().find_map(|output| match output {
        Output::Note(Note::Covered(coverage)) => Some(*coverage),
        _ => None,
    })
}

#[test]
fn a_node_that_takes_the_address_asks_the_gateway_then_members_then_the_last_users() {
    let mut bench = Bench::up(|_| {});
    bench.run_until(1_000);
    bench.give(says(5, false));
    bench.after(10);
    bench.give(says(6, false));
    bench.give(Input::Neighbour { link: 0, address: host(7), is_gateway: false });
    bench.give(Input::Neighbour { link: 0, address: host(1), is_gateway: true });
    bench.run_until(3_000);
    bench.hear(&Voice::less().says(State::Standby));
    let diary = bench.run_until(4_200).concat();
    assert!(diary.contains("take | say:active announce0 ask0:1 ask0:30 standby>active"), "{diary}");
    let at: Vec<_> = ["ask0:1 ", "ask0:30", "ask0:6", "ask0:5", "ask0:7"].map(|ask| diary.find(ask)).into();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "one by one, since four frames are kept: {diary}");
}

#[test]
fn the_silent_ones_are_asked_again_and_given_up_and_the_count_is_said() {
    let mut bench = Bench::up(|_| {});
    bench.give(says(5, false));
    bench.give(says(6, false));
    bench.run_until(3_499);
    let diary = bench.run_until(3_500);
    assert!(diary.concat().contains("ask0:5") && diary.concat().contains("ask0:6"), "{diary:?}");
    bench.after(3);
    assert_eq!(bench.give(says(5, true)), "");
    assert_eq!(bench.give(says(5, true)), "", "a second answer counts as none");
    let asks: Vec<_> = bench.run_until(12_000).into_iter().filter(|line| line.contains("ask")).collect();
    let at: Vec<_> = asks.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(at, ["3700", "4700", "6500", "10500"], "0.2, 1.2, 3 and 7 s after the first");
    assert!(asks.iter().all(|line| line.contains("ask0:6")), "{asks:?}");
    assert_eq!((bench.node.counters().asked, bench.node.counters().confirmed), (2, 1));
}

#[test]
fn the_count_is_reported_when_all_have_confirmed_and_no_other_became_known() {
    let mut bench = Bench::up(|_| {});
    bench.give(says(5, false));
    bench.run_until(3_500);
    bench.after(3);
    bench.give(says(5, true));
    bench.run_until(3_599);
    bench.now = at(3_600);
    let outputs = bench.node.handle(bench.now, Input::Tick);
    assert_eq!(covered(&outputs), Some(Coverage { confirmed: 1, asked: 1, after: Duration::from_millis(3) }));
    assert!(!bench.run_until(12_000).concat().contains("ask"));
}

#[test]
fn a_neighbour_is_asked_through_all_and_then_where_it_was_seen() {
    let mut bench = Bench::up(|_| {});
    bench.give(says(5, false));
    bench.obliges = false;
    bench.run_until(3_500);
    let mut to = Vec::new();
    let mut outputs = bench.node.handle(bench.now, Input::Taken);
    while to.len() < 5 {
        to.extend(outputs.iter().filter_map(|output| match output {
            Output::Ask(Ask { to, .. }) => Some(*to),
            _ => None,
        }));
        bench.now = bench.node.deadline().unwrap();
        outputs = bench.node.handle(bench.now, Input::Tick);
    }
    let mac = Some(neighbour(5).1);
    assert_eq!(to, [None, mac, None, mac, None]);
}

#[test]
fn a_neighbour_that_the_kernel_tells_of_later_is_asked_in_the_same_round() {
    let mut bench = Bench::active(|_| {});
    bench.give(says(9, false));
    bench.give(Input::MacChanged([MAC; MAX_LINKS]));
    bench.give(Input::Neighbour { link: 0, address: host(1), is_gateway: true });
    assert!(bench.after(1).concat().contains("ask0:1"));
}

#[test]
fn a_node_that_lets_go_asks_no_neighbour_any_more() {
    let mut bench = Bench::up(|_| {});
    bench.give(says(5, false));
    bench.run_until(3_500);
    bench.hear(&Voice::more().claims());
    assert!(!bench.after(900).concat().contains("ask"));
}

#[test]
fn a_claim_is_contradicted_at_once_then_once_a_second_then_no_more() {
    let mut bench = Bench::active(|_| {});
    bench.run_until(60_000);
    let mut announced = 0;
    for tenth in 0..200 {
        announced += bench.run_until(60_000 + tenth * 100).concat().matches("announce").count();
        let text = bench.give(claim_of(66));
        announced += text.matches("announce").count();
        if tenth == 0 {
            assert!(text.starts_with("note:conflict announce0"), "{text}");
        }
    }
    assert!((10..=15).contains(&announced), "ten and their repeats: {announced}");
    assert_eq!(bench.node.counters().conflicts, 200);
    assert_eq!(bench.node.state(), State::Active, "a host that shouts gets nothing");
}

#[test]
fn our_own_frames_that_come_back_are_no_claims() {
    let mut bench = Bench::active(|_| {});
    assert_eq!(bench.give(Input::Resolution(Resolution { mac: Some(MAC), ..claim() })), "");
    assert_eq!(bench.node.counters().conflicts, 0);
}

#[test]
fn a_claim_of_a_member_that_has_answered_names_it() {
    let mut bench = Bench::up(|_| {});
    bench.run_until(3_000);
    bench.hear(&Voice::less().says(State::Standby));
    bench.run_until(3_600);
    bench.give(says(30, true));
    let outputs = bench.node.handle(bench.now, Input::Resolution(Resolution { mac: Some(neighbour(30).1), ..claim() }));
    let text = outputs.iter().find_map(|output| match output {
        Output::Note(note @ Note::Conflict { .. }) => Some(note.to_string()),
        _ => None,
    });
    let expected = "conflict: 02:00:00:00:01:1e (192.0.2.30) says that it has 192.0.2.100: announced again";
    assert_eq!(text.as_deref(), Some(expected));
}
