//! Directed requests: who is asked whether it knows where the address is, and what comes of it.

use std::net::{Ipv4Addr, UdpSocket};

use ha::wire::arp;

use crate::capture::{Capture, Frame};
use crate::card::Card;
use crate::daemon::Daemon;
use crate::lan::{A, B, Lan, Namespace, SHARED, SHARED_CIDR};
use crate::lines::PATIENCE;

tests![
    who_uses_the_address_is_asked_and_the_log_says_how_many_know,
    a_neighbour_that_never_answers_is_asked_five_times_and_counted,
];

/// A host that asked for the address once is a neighbour, and so is the gateway, which never did.
fn who_uses_the_address_is_asked_and_the_log_says_how_many_know() {
    for (label, prepare) in [
        ("a host that has asked for it", (|lan: &Lan| asks_for_it(&lan.b)) as fn(&Lan)),
        ("the gateway", |lan| drop(lan.a.ip(&format!("route add default via {}", B.0)))),
    ] {
        let lan = Lan::new();
        let capture = Capture::start(&lan.b, "arp");
        let daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("standby: ");
        prepare(&lan);
        daemon.says("active: ");
        capture.wait(label, PATIENCE, |frames| {
            let asks = format!("{} > ff:ff:ff:ff:ff:ff, ethertype ARP", A.1);
            let is_it = |frame: &&Frame| {
                frame.text.starts_with(&asks) && frame.text.contains("Request who-has 10.0.0.12 tell 10.0.0.100")
            };
            let question = frames.iter().find(is_it)?;
            assert_eq!(question.bytes[32..38], [0; 6], "{question:?}");
            Some(())
        });
        daemon.says("1 of 1 neighbours confirmed in ");
        let entry = lan.b.ip("neigh show 10.0.0.100");
        assert!(entry.contains(A.1), "{label}: {entry}");
    }
}

/// By a broadcast, whichever node has it.
fn asks_for_it(host: &Namespace) {
    host.inside(|| UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", (SHARED, 9))).unwrap());
}

fn a_neighbour_that_never_answers_is_asked_five_times_and_counted() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let options =
        ["--address", SHARED_CIDR, "--interval", "100ms", "--tolerance", "350ms", "--announce-interval", "60s"];
    let daemon = Daemon::start(&lan.a, &options);
    daemon.says("standby: ");
    let card = Card::of(&lan.b);
    let (nobody, mac) = (Ipv4Addr::new(10, 0, 0, 77), [2, 0, 0, 0, 0, 77]);
    card.send(&arp::directed_request(mac, nobody, SHARED.parse().unwrap(), None));
    daemon.says("active: ");
    daemon.says("none of 1 neighbours confirmed");
    let frames = capture.so_far();
    let asked: Vec<_> =
        frames.iter().filter(|frame| frame.text.contains("who-has 10.0.0.77 tell 10.0.0.100")).collect();
    let at: Vec<f64> = asked.iter().map(|frame| frame.at - asked[0].at).collect();
    assert_eq!(at.len(), 5, "{asked:?}");
    for (at, due) in at.iter().zip([0.0, 0.2, 1.2, 3.0, 7.0]) {
        assert!((due - 0.1..due + 0.4).contains(at), "{at} s after the first, due {due} s after it");
    }
    let to_all: Vec<_> = asked.iter().map(|frame| frame.text.contains("> ff:ff:ff:ff:ff:ff,")).collect();
    assert_eq!(to_all, [true, false, true, false, true]);
}
