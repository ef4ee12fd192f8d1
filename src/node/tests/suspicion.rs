//! Rule 2: an ACTIVE that is overdue is asked before its successor takes over.

use super::*;

/// What is sent while an ACTIVE heard last at 5 s stays silent, by the millisecond.
fn silence(mut bench: Bench) -> Vec<String> {
    bench.run_until(8_500)
}

fn queries(diary: &[String]) -> Vec<u64> {
    let queries = diary.iter().filter(|line| line.contains("query"));
    queries.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_successor_asks_from_half_of_the_hold_on_and_takes_over_no_later_for_that() {
    let mut active = Voice::more();
    let bench = Bench::following(&mut active, |_| {});
    let diary = silence(bench);
    let asked = queries(&diary);
    assert_eq!((asked[0], asked.len()), (6_750, 11), "{diary:?}");
    assert!(asked.windows(2).all(|pair| (166..=167).contains(&(pair[1] - pair[0]))), "{asked:?}");
    assert!(diary.last().unwrap().starts_with("8500 take"), "{diary:?}");
}

#[test]
fn a_query_is_addressed_to_the_active() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.run_until(6_750);
    let said = bench.last_sent();
    assert_eq!((said.kind, said.state, said.following), (Kind::Query, State::Standby, Some(active.0.node)));
}

#[test]
fn an_answer_ends_the_questions() {
    let mut active = Voice::more();
    let mut bench = Bench::following(&mut active, |_| {});
    bench.run_until(6_750);
    bench.hear(&active.says(State::Active));
    let diary = bench.run_until(8_499);
    assert_eq!(queries(&diary), [], "{diary:?}");
    assert_eq!(queries(&bench.run_until(8_500)), [8_500]);
}

#[test]
fn a_heartbeat_that_is_not_overdue_is_not_asked_for() {
    let mut active = Voice::more();
    active.0.hold = Duration::from_millis(1_500);
    let mut bench = Bench::following(&mut active, |_| {});
    assert_eq!(queries(&bench.run_until(6_049)), []);
    assert_eq!(queries(&bench.run_until(6_050)), [6_050]);
}

#[test]
fn only_the_node_that_would_take_over_asks() {
    let mut active = Voice::less();
    let claims = Bench::following(&mut active, |_| {});
    let mut unready = Bench::up(|_| {});
    unready.hear(&Voice::more().says(State::Active));
    let mut outdone = Bench::following(&mut Voice::more(), |_| {});
    outdone.hear(&Voice::new(21, 200).says(State::Standby));
    let off = Bench::following(&mut Voice::more(), |params| params.suspicion = false);
    let never = Bench::following(&mut Voice::more(), |params| params.worthiness = 0);
    for (label, mut bench) in [("claims", claims), ("outdone", outdone), ("switched off", off), ("never hosts", never)]
    {
        assert_eq!(queries(&bench.run_until(8_499)), [], "{label}");
    }
    assert_eq!(queries(&unready.run_until(3_499)), [], "not ready");
}

#[test]
fn an_active_answers_a_query_for_it_at_once_and_no_other() {
    let mut less = Voice::less();
    let mut bench = Bench::active(|_| {});
    let query = |said: &mut Heartbeat| (said.kind, said.following) = (Kind::Query, Some(id(99)));
    bench.hear(&less.says_with(query));
    bench.after(100);
    assert_eq!(bench.hear(&less.says_with(query)), "");
    assert_eq!(bench.hear(&less.asks()), "refresh say:active");
    assert_eq!(bench.hear(&less.asks()), "", "a flood of questions is not answered");
    bench.after(50);
    assert_eq!(bench.hear(&less.asks()), "refresh say:active");
}
