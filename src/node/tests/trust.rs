//! With a secret key: a boot that is not known has to answer a challenge before it is believed.

use super::*;
use crate::wire::Key;

fn seal() -> Seal {
    Seal::keyed(&[Key::from_bytes([7; 32])], HERE)
}

fn keyed() -> Bench {
    let mut bench = Bench::new(|_| {});
    bench.node = Node::new(config(|_| {}), seal(), 1, at(0));
    bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true }));
    bench
}

impl Bench {
    fn hear_sealed(&mut self, said: &Heartbeat) -> String {
        self.hear(&seal().sign(said))
    }

    /// `voice` speaks, is asked, and answers.
    fn meet(&mut self, voice: &mut Voice, state: State) -> String {
        voice.0.state = state;
        voice.0.seq += 1;
        assert!(self.hear_sealed(&voice.0).starts_with("challenge"));
        let asked = self.last_sent();
        assert_eq!((asked.kind, asked.following), (Kind::Challenge, Some(voice.0.node)));
        voice.0.seq += 1;
        self.hear_sealed(&Heartbeat { kind: Kind::Response, nonce: asked.nonce, ..voice.0 })
    }
}

#[test]
fn an_unknown_boot_is_believed_when_it_has_answered() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    bench.run_until(0);
    assert_eq!(bench.meet(&mut voice, State::Active), "note:met");
    assert_eq!(bench.node.peers().active(bench.now).map(Peer::node), Some(voice.0.node));
    voice.0.seq += 1;
    assert_eq!(bench.hear_sealed(&voice.0), "", "known now");
}

#[test]
fn only_the_nonce_that_was_sent_last_is_an_answer() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    let ask = |bench: &mut Bench, voice: &mut Voice| {
        voice.0.seq += 1;
        assert!(bench.hear_sealed(&voice.0).starts_with("challenge"));
        bench.last_sent().nonce
    };
    let first = ask(&mut bench, &mut voice);
    bench.run_until(1_000);
    let second = ask(&mut bench, &mut voice);
    for (label, kind, nonce, expected) in [
        ("no answer", Kind::Heartbeat, second, ""),
        ("to an older question", Kind::Response, first, ""),
        ("guessed", Kind::Response, second ^ 1, ""),
        ("right", Kind::Response, second, "note:met"),
    ] {
        voice.0.seq += 1;
        let outputs = bench.hear_sealed(&Heartbeat { kind, nonce, ..voice.0 });
        assert_eq!(outputs.replace("note:dropped", ""), expected, "{label}");
    }
}

#[test]
fn a_boot_is_believed_if_it_was_alive_when_its_packet_arrived_however_late_it_is_read() {
    for (arrived, expected) in [(3_499, ""), (3_500, "challenge")] {
        let (mut bench, mut voice) = (keyed(), Voice::more());
        bench.meet(&mut voice, State::Standby);
        bench.now = at(5_000);
        voice.0.seq += 1;
        let (from, packet) = (voice.0.node, seal().sign(&voice.0));
        let outputs = bench.give(Input::Heard { at: at(arrived), from, ttl: 255, bytes: &packet });
        assert!(outputs.starts_with(expected) && outputs.is_empty() == expected.is_empty(), "{arrived}: {outputs}");
    }
}

/// A virtual machine that was set back: the same boot, and numbers that were heard before.
#[test]
fn one_that_is_set_back_to_an_earlier_number_proves_itself_when_it_was_silent_for_its_hold() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    bench.meet(&mut voice, State::Standby);
    voice.0.seq = 1_000;
    assert_eq!(bench.hear_sealed(&voice.0), "");
    voice.0.seq = 500;
    bench.run_until(3_499);
    assert_eq!(bench.hear_sealed(&voice.0), "note:dropped", "it may be played back");
    bench.sleep(1);
    assert_eq!(bench.meet(&mut voice, State::Active), "");
    assert_eq!(bench.node.peers().active(bench.now).map(Peer::node), Some(voice.0.node));
    voice.0.seq += 1;
    assert_eq!(bench.hear_sealed(&voice.0), "", "known now");
}

#[test]
fn recorded_packets_of_an_earlier_boot_change_nothing_and_earn_a_question_an_interval() {
    let mut voice = Voice::more();
    let mut bench = keyed();
    bench.meet(&mut voice, State::Standby);
    voice.restarts();
    let recorded = voice.clone();
    voice.restarts();
    bench.run_until(1_000);
    voice.0.flags = Flags::SETTLED.with(Flags::READY, true);
    bench.meet(&mut voice, State::Standby);
    for second in 1..60 {
        bench.run_until(second * 1_000);
        voice.0.seq += 1;
        bench.hear_sealed(&voice.0);
    }
    let is_standby = bench.node.state() == State::Standby;
    assert!(is_standby, "the more worthy one is ready");
    let mut old = recorded.0;
    let mut questions = 0;
    for round in 0..1_000 {
        let kinds = [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Response];
        let states = [State::Standby, State::Active, State::Unfit, State::Shutdown];
        old.seq += 1;
        (old.kind, old.state, old.nonce) = (kinds[round % 4], states[round / 4 % 4], round as u64);
        old.flags = Flags::RELEASED.with(Flags::SETTLED, true);
        let outputs = bench.hear_sealed(&old);
        questions += usize::from(outputs == "challenge");
        assert!(["", "challenge", "note:dropped"].contains(&outputs.as_str()), "{outputs}");
    }
    assert_eq!(questions, 1);
    assert_eq!(bench.node.peers().iter().map(|peer| peer.said.boot).collect::<Vec<_>>(), [voice.0.boot]);
    assert_eq!(bench.node.counters().dropped(Drop::Unproven), 1_000 + 2);
}

/// A recorded packet has used the question up just before it starts; it would have the address before the next one.
#[test]
fn a_node_with_shorter_times_is_asked_when_it_speaks_again_and_not_before_a_question_can_be_answered() {
    for (interval, expected) in [(2_000, 1_000), (1_000, 1_000), (250, 250), (20, 100)] {
        let mut bench = keyed();
        let mut voice = Voice::more();
        assert_eq!(bench.hear_sealed(&voice.0), "challenge");
        voice.restarts();
        voice.0.interval = Duration::from_millis(interval);
        let is_asked = |&millis: &u64| {
            bench.run_until(millis);
            voice.0.seq += 1;
            bench.hear_sealed(&voice.0).contains("challenge")
        };
        assert_eq!((10..).step_by(10).find(is_asked), Some(expected), "it speaks each 10 ms, of {interval} ms");
    }
}

#[test]
fn a_question_is_answered_even_to_a_stranger_and_recorded_ones_in_moderation() {
    let mut bench = keyed();
    bench.run_until(10);
    let mut voice = Voice::more();
    (voice.0.kind, voice.0.following) = (Kind::Challenge, Some(ME));
    let mut answers = 0;
    for nonce in 1..=1_000 {
        voice.0.seq += 1;
        let outputs = bench.hear_sealed(&Heartbeat { nonce, ..voice.0 });
        if outputs.contains("respond") {
            answers += 1;
            assert_eq!((bench.last_sent().kind, bench.last_sent().nonce), (Kind::Response, nonce));
        }
    }
    assert_eq!(answers, 64);
    voice.0.following = Some(id(99));
    assert!(!bench.hear_sealed(&voice.0).contains("respond"), "somebody else is asked");
    assert_eq!(bench.node.peers().iter().count(), 0);
}

#[test]
fn a_question_of_a_known_boot_is_always_answered_and_does_not_change_what_it_follows() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    bench.meet(&mut voice, State::Active);
    for nonce in 1..=100 {
        voice.0.seq += 1;
        let asks = Heartbeat { kind: Kind::Challenge, following: Some(ME), nonce, ..voice.0 };
        assert_eq!(bench.hear_sealed(&asks), "respond");
    }
    assert_eq!(bench.node.peers().iter().next().unwrap().said.following, None);
}

#[test]
fn an_active_that_cannot_prove_itself_is_waited_for_one_tolerance_longer_and_once() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    voice.0.state = State::Active;
    let mut took = None;
    for tenth in 0..200 {
        let diary = bench.run_until(tenth * 100);
        if took.is_none() && diary.concat().contains("take") {
            took = Some(tenth * 100);
        }
        voice.0.seq += 1;
        bench.hear_sealed(&voice.0);
    }
    assert_eq!(took, Some(7_000), "what is played back must not keep the address from being served");
}

#[test]
fn a_silent_stranger_is_named_and_one_that_starts_anew_is_not() {
    let mut bench = keyed();
    let mut voice = Voice::more();
    bench.meet(&mut voice, State::Standby);
    voice.restarts();
    for (millis, expected) in [(999, ""), (1_000, "challenge"), (2_000, "challenge note:dropped")] {
        bench.run_until(millis);
        voice.0.seq += 1;
        assert_eq!(bench.hear_sealed(&voice.0), expected, "after {millis} ms");
    }
}

#[test]
fn without_a_key_no_node_is_asked() {
    let mut bench = Bench::up(|_| {});
    let mut voice = Voice::more();
    bench.run_until(0);
    assert_eq!(bench.hear(&voice.says(State::Active)), "note:met");
}

#[test]
fn a_key_that_does_not_sign_is_heard_until_it_is_taken_away() {
    let [old, new] = [[1; 32], [2; 32]].map(Key::from_bytes);
    let signs_old = Seal::keyed(core::slice::from_ref(&old), HERE);
    let packet = |seal: &Seal| seal.sign(&Voice::more().0);
    for (label, seal, hears) in [
        ("both", Seal::keyed(&[new.clone(), old.clone()], HERE), [true, true]),
        ("new", Seal::keyed(core::slice::from_ref(&new), HERE), [false, true]),
        ("old", signs_old.clone(), [true, false]),
    ] {
        let heard = [&signs_old, &Seal::keyed(core::slice::from_ref(&new), HERE)]
            .map(|signer| seal.is_genuine(&packet(signer)));
        assert_eq!(heard, hears, "{label}");
    }
    assert_eq!(packet(&Seal::keyed(&[old.clone(), new], HERE)), packet(&signs_old), "the first signs");
}

#[test]
fn an_active_that_hears_recorded_packets_asks_and_does_nothing_else() {
    let mut bench = keyed();
    bench.run_until(10_000);
    assert_eq!(bench.node.state(), State::Active);
    let mut old = Voice::more();
    old.0.flags = Flags::SETTLED.with(Flags::READY, true).with(Flags::RELEASED, true);
    for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Response] {
        for state in [State::Active, State::Standby, State::Unfit, State::Shutdown] {
            for following in [None, Some(ME), Some(old.0.node)] {
                old.0.seq += 1;
                let outputs = bench.hear_sealed(&Heartbeat { kind, state, following, ..old.0 });
                let left = ["refresh challenge", "refresh say:active", "note:dropped", " "];
                let left = left.iter().fold(outputs.clone(), |text, part| text.replace(part, ""));
                assert_eq!(left, "", "{kind} {state}: {outputs}");
            }
        }
    }
    assert_eq!(bench.node.state(), State::Active);
    assert_eq!(bench.node.station.last_active, None, "nobody is remembered for it");
}

#[test]
fn a_successor_that_has_started_anew_and_not_proved_it_yet_is_waited_for() {
    let mut bench = keyed();
    let (mut active, mut successor) = (Voice::new(30, 50), Voice::more());
    bench.meet(&mut active, State::Active);
    bench.meet(&mut successor, State::Standby);
    for second in 1..6 {
        bench.run_until(second * 1_000);
        for (voice, state) in [(&mut active, State::Active), (&mut successor, State::Standby)] {
            (voice.0.seq, voice.0.state) = (voice.0.seq + 1, state);
            bench.hear_sealed(&voice.0);
        }
    }
    (successor.0.seq, successor.0.state) = (successor.0.seq + 1, State::Shutdown);
    bench.hear_sealed(&successor.0);
    successor.restarts();
    (successor.0.seq, successor.0.state) = (1, State::Standby);
    assert!(bench.hear_sealed(&successor.0).contains("challenge"));
    let released = Flags::RELEASED.with(Flags::READY, true);
    (active.0.seq, active.0.state) = (active.0.seq + 1, State::Standby);
    bench.hear_sealed(&Heartbeat { flags: released, following: Some(successor.0.node), ..active.0 });
    assert!(!bench.after(900).concat().contains("take"), "who names it has heard it");
}

#[test]
fn recorded_packets_of_nodes_that_have_gone_do_not_raise_the_rate_of_announcements() {
    // For each: announcements from 100 s to 700 s after a neighbour has joined, with what is played back meanwhile.
    let announced = |recorded: &[Heartbeat]| {
        let mut bench = keyed();
        let (mut gone, mut neighbour) = (Voice::more(), Voice::less());
        bench.meet(&mut gone, State::Standby);
        gone.0.seq += 1;
        bench.hear_sealed(&Heartbeat { state: State::Shutdown, ..gone.0 });
        bench.meet(&mut neighbour, State::Standby);
        let mut announced = 0;
        for second in 1..700 {
            let text = bench.run_until(second * 1_000).concat();
            neighbour.0.seq += 1;
            let text = text + &bench.hear_sealed(&neighbour.0);
            let played: String = recorded.iter().map(|said| bench.hear_sealed(said)).collect();
            if second > 100 {
                announced += (text + &played).matches("announce").count();
            }
        }
        assert_eq!(bench.node.state(), State::Active);
        announced
    };
    let of = |last: u8, boot| Heartbeat { boot, seq: 1, state: State::Active, ..Voice::new(last, 200).0 };
    let least = announced(&[]);
    assert!((9..=11).contains(&least), "each minute: {least}");
    for (label, recorded) in [
        ("of one that has said so", std::vec![of(20, 20 << 8)]),
        ("of an earlier boot of that one", std::vec![of(20, 5)]),
        ("of one that was never met", std::vec![of(40, 5), of(41, 6)]),
    ] {
        assert_eq!(announced(&recorded), least, "{label}");
    }
}
