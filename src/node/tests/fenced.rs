//! A node behind a fence: what opens it, what closes it, and when.

use super::*;
use crate::fence::{Effect, effect};

/// What each packet did to the fence, for outputs in their order; `-` for what is no packet.
fn effects(outputs: &Outputs) -> String {
    let letter = |output: &Output| match output {
        Output::Send(packet) => match effect(packet) {
            Effect::Opens => 'o',
            Effect::Closes => 'c',
            Effect::None => 'n',
        },
        Output::Release => 'R',
        Output::Take => 'T',
        _ => '-',
    };
    outputs.iter().map(letter).filter(|&letter| letter != '-').collect()
}

fn active() -> Bench {
    active_with(|_| {})
}

fn active_with(change: impl FnOnce(&mut Params)) -> Bench {
    let mut bench = Bench::up(change);
    bench.give(Input::Fenced(true));
    bench.run_until(3_900);
    assert!(matches!(bench.node.role, Role::Active(_)), "{bench:?}");
    bench.obliges = false;
    bench
}

#[test]
fn a_resign_closes_the_fence_before_the_address_is_removed() {
    /// A way out.
    type Leave<'a> = &'a dyn Fn(&mut Bench) -> Outputs;
    let ways: [(&str, Leave<'_>, State); 4] = [
        ("stop", &|bench| bench.node.handle(bench.now, Input::Shutdown), State::Shutdown),
        ("link", &|bench| bench.node.handle(bench.now, Input::Link(Link::Down(Unfit::NoCarrier))), State::Unfit),
        ("refused", &|bench| bench.node.handle(bench.now, Input::Refused), State::Unfit),
        (
            "claim",
            &|bench| {
                bench.hear(&Voice::more().says(State::Standby));
                let claim = Voice(Heartbeat { seq: 10, ..Voice::more().0 }).claims();
                bench.node.handle(
                    bench.now,
                    Input::Heard { at: bench.now, from: Voice::more().0.node, ttl: 255, bytes: &claim },
                )
            },
            State::Standby,
        ),
    ];
    for (label, leave, state) in ways {
        let mut bench = active();
        let outputs = leave(&mut bench);
        assert_eq!(effects(&outputs), "cR", "{label}");
        assert_eq!(bench.node.state(), state, "{label}");
        let said = outputs.iter().find_map(|output| match output {
            Output::Send(packet) => Heartbeat::parse(packet).ok(),
            _ => None,
        });
        assert!(said.is_some_and(|said| said.state == state && said.flags.has(Flags::RELEASED)), "{label}");
    }
}

#[test]
fn a_burst_that_closed_the_fence_goes_on_whenever_the_address_goes() {
    for answers_after in [0, 4, 100] {
        let mut bench = active();
        bench.give(Input::Shutdown);
        bench.after(answers_after);
        bench.give(Input::Released);
        bench.after(5_000);
        assert!(bench.node.is_finished(), "{bench:?}");
        let resigns = bench.sent.iter().filter(|said| said.state == State::Shutdown).count();
        assert_eq!(resigns, 3, "the address went after {answers_after} ms");
    }
}

#[test]
fn a_change_of_mind_while_the_address_goes_is_said() {
    let mut bench = active();
    bench.give(Input::Refused);
    bench.give(Input::Shutdown);
    assert_eq!(bench.last_sent().state, State::Unfit);
    bench.give(Input::Released);
    assert_eq!(bench.last_sent().state, State::Shutdown);
}

#[test]
fn what_a_node_says_while_it_takes_the_address_does_not_open_the_fence() {
    let mut bench = Bench::up(|_| {});
    bench.obliges = false;
    bench.give(Input::Fenced(true));
    bench.run_until(3_900);
    assert!(matches!(bench.node.role, Role::Taking(_)), "{bench:?}");
    bench.now = bench.now + Duration::from_secs(1);
    assert_eq!(effects(&bench.node.handle(bench.now, Input::Tick)), "n");
    assert_eq!(effects(&bench.node.handle(bench.now, Input::Taken)), "o");
}

#[test]
fn a_fence_that_was_made_anew_is_opened_at_once() {
    let mut bench = active();
    assert_eq!(effects(&bench.node.handle(bench.now, Input::Fenced(true))), "o");
    assert_eq!(effects(&bench.node.handle(bench.now, Input::Fenced(false))), "", "there is none to open");
    let mut standby = Bench::up(|_| {});
    assert_eq!(effects(&standby.node.handle(standby.now, Input::Fenced(true))), "");
}

#[test]
fn an_owner_that_was_held_up_longer_than_its_fence_does_not_open_it_again() {
    let fast = |params: &mut Params| {
        (params.interval, params.tolerance) = (Duration::from_millis(100), Duration::from_millis(350));
    };
    let span = active_with(fast).node.config().fence_span();
    assert_eq!(span, Duration::from_millis(245), "the lease would let it sleep for a second");
    for (pause, expected) in [(span, "o"), (span + Duration::from_micros(1), "cR")] {
        let mut bench = active_with(fast);
        bench.now = bench.node.station.voice.last_beat + pause;
        assert_eq!(effects(&bench.node.handle(bench.now, Input::Tick)), expected, "{pause}");
    }
}

#[test]
fn without_a_fence_an_active_has_no_last_word() {
    let bench = active();
    assert!(!bench.node.needs_kernel_to_resign());
    let packet = bench.node.resign_packet().unwrap();
    assert_eq!(effect(&packet), Effect::Closes);
    assert!(Bench::active(|_| {}).node.needs_kernel_to_resign());
    assert!(!Bench::up(|_| {}).node.needs_kernel_to_resign(), "a STANDBY has nothing to lose");
}
