//! Every role with every input: the role after it, and what comes out, in order.

use std::eprintln;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::node::standby::Successor;

mod holding;
mod waiting;

/// A role, and for each input: its label, the role after it, the outputs.
type Rows = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

/// How to get into each role. Both peers are known to be unfit before; the shell answers nothing.
fn bench_in(role: &str) -> Bench {
    let silent = |mut bench: Bench| {
        bench.obliges = false;
        bench
    };
    let new = || silent(Bench::new(|_| {}));
    let up = || {
        let mut bench = Bench::up(|_| {});
        bench.after(100);
        bench.hear(&Voice::more().says(State::Unfit));
        bench.hear(&Voice::less().says(State::Unfit));
        silent(bench)
    };
    let taking = || {
        let mut bench = up();
        bench.run_until(3_600);
        bench
    };
    let active = || {
        let mut bench = taking();
        bench.give(Input::Taken);
        bench.after(300);
        bench
    };
    let after = |mut bench: Bench, input: Input<'_>| {
        bench.give(input);
        bench.after(100);
        bench
    };
    let ready = |packet: &[u8; LEN]| {
        let mut bench = up();
        bench.run_until(3_400);
        bench.hear(packet);
        bench.run_until(3_600);
        bench
    };
    let fenced = |mut bench: Bench| {
        bench.give(Input::Fenced(true));
        bench.after(10);
        bench
    };
    match role {
        "unfit, never linked" => new(),
        "unfit, link lost" => after(up(), Input::Link(Link::Down(Unfit::NoCarrier))),
        "unfit, refused" => after(after(taking(), Input::Refused), Input::Released),
        "listening" => up(),
        "ready, following a more worthy" => ready(&talk("more").says(State::Active)),
        "ready, claiming" => ready(&talk("less").says(State::Active)),
        "ready, has yielded" => {
            let mut bench = active();
            bench.hear(&talk("more").claims());
            after(bench, Input::Released)
        }
        "taking" => taking(),
        "active" => active(),
        "active, fenced" => fenced(active()),
        "releasing, fenced" => {
            let mut bench = fenced(active());
            bench.hear(&talk("more").claims());
            bench.after(100);
            bench
        }
        "releasing, then standby" => {
            let mut bench = active();
            bench.hear(&talk("more").claims());
            bench.after(100);
            bench
        }
        "releasing, then listening" => {
            let mut bench = active();
            bench.sleep(2_500);
            bench.give(Input::Lost);
            bench
        }
        "releasing, then unfit" => after(active(), Input::Link(Link::Down(Unfit::NoCarrier))),
        "releasing, refused" => after(active(), Input::Refused),
        "releasing, then shutdown" => after(active(), Input::Shutdown),
        "shutdown" => after(up(), Input::Shutdown),
        _ => unreachable!("no such role: {role}"),
    }
}

/// A peer of `bench_in`, later than anything it has said there: every use begins where `Voice` begins again plus 10.
fn talk(who: &str) -> Voice {
    let mut voice = if who == "more" { Voice::more() } else { Voice::less() };
    voice.0.seq = 10;
    voice
}

fn give(bench: &mut Bench, input: &str) -> String {
    let heard = |bench: &mut Bench, who: &str, what: fn(&mut Voice) -> [u8; LEN]| {
        let mut voice = talk(who);
        voice.0.seq = 20;
        // The peers were unfit, and silent since: that they are back is no part of the table.
        bench.hear(&what(&mut voice)).replace("note:back", "").trim_start().to_string()
    };
    match input {
        "tick before the deadline" => bench.give(Input::Tick),
        "tick at the deadline" => {
            bench.now = bench.node.deadline().unwrap_or(bench.now + Duration::from_secs(5));
            bench.give(Input::Tick)
        }
        "more worthy says standby" => heard(bench, "more", |voice| voice.says(State::Standby)),
        "less worthy says standby" => heard(bench, "less", |voice| voice.says(State::Standby)),
        "more worthy says active" => heard(bench, "more", |voice| voice.says(State::Active)),
        "less worthy says active" => heard(bench, "less", |voice| voice.says(State::Active)),
        "more worthy claims" => heard(bench, "more", Voice::claims),
        "less worthy claims" => heard(bench, "less", Voice::claims),
        "less worthy asks" => heard(bench, "less", Voice::asks),
        "more worthy yields to us" => heard(bench, "more", |voice| voice.yields_to(ME)),
        "less worthy yields to us" => heard(bench, "less", |voice| voice.yields_to(ME)),
        "less worthy yields to more worthy" => heard(bench, "less", |voice| voice.yields_to(Voice::more().0.node)),
        "more worthy resigns" => heard(bench, "more", Voice::resigns),
        "less worthy resigns" => heard(bench, "less", Voice::resigns),
        "link up" => bench.give(Input::Link(Link::Up { node: ME, prefix: 24, macs: [MAC; MAX_LINKS], already: true })),
        "link down" => bench.give(Input::Link(Link::Down(Unfit::NoCarrier))),
        "taken" => bench.give(Input::Taken),
        "refused" => bench.give(Input::Refused),
        "released" => bench.give(Input::Released),
        "lost" => bench.give(Input::Lost),
        "found" => bench.give(Input::Found),
        "fenced" => bench.give(Input::Fenced(true)),
        "mac changed" => bench.give(Input::MacChanged([[2, 0, 0, 0, 0, 11]; MAX_LINKS])),
        "answered" => bench.give(Input::Resolution(answer())),
        "claimed" => bench.give(Input::Resolution(claim())),
        "shutdown" => bench.give(Input::Shutdown),
        _ => unreachable!("no such input: {input}"),
    }
}

fn role(bench: &Bench) -> String {
    match &bench.node.role {
        Role::Unfit { .. } => "unfit".to_string(),
        Role::Standby(standby) => {
            let is_ready = bench.node.station.listening.is_ready(bench.now, bench.node.config());
            let named = match standby.successor {
                None => String::new(),
                Some(Successor { node, is_ours: true, .. }) => format!(", ours is {node}"),
                Some(Successor { node, is_ours: false, .. }) => format!(", next is {node}"),
            };
            format!("{}{named}", if is_ready { "ready" } else { "listening" })
        }
        Role::Taking(_) => "taking".to_string(),
        Role::Active(_) => "active".to_string(),
        Role::Releasing(Releasing { then: Then::Standby { .. }, .. }) => "releasing>standby".to_string(),
        Role::Releasing(Releasing { then: Then::Listen { .. }, .. }) => "releasing>listening".to_string(),
        Role::Releasing(Releasing { then: Then::Unfit | Then::Refused, .. }) => "releasing>unfit".to_string(),
        Role::Releasing(Releasing { then: Then::Shutdown, .. }) => "releasing>shutdown".to_string(),
        Role::Shutdown => "shutdown".to_string(),
    }
}

/// Says all rows that fail, each as it is, not the first one only.
#[test]
fn every_role_answers_every_input_as_the_table_says() {
    let mut failures = 0;
    for (before, rows) in waiting::ROWS.iter().chain(holding::ROWS) {
        for &(input, after, outputs) in *rows {
            let mut bench = bench_in(before);
            let said = give(&mut bench, input);
            let now = role(&bench);
            if (now.as_str(), said.as_str()) != (after, outputs) {
                failures += 1;
                eprintln!("{before}: expected ({input:?}, {after:?}, {outputs:?}),");
                eprintln!("{before}:      got ({input:?}, {now:?}, {said:?}),");
            }
        }
    }
    assert_eq!(failures, 0, "rows of the table fail");
}

#[test]
fn the_table_leaves_no_input_out() {
    let (_, all) = waiting::ROWS[0];
    let labels = |rows: &[(&'static str, _, _)]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    for (role, rows) in waiting::ROWS.iter().chain(holding::ROWS) {
        assert_eq!(labels(rows), labels(all), "{role}");
    }
    assert_eq!(all.len(), 26);
}
