//! Which frame moves a client: a table of what this kernel does, so that a change in Linux is seen.
//!
//! Each cell is an address of its own that the client has in its neighbour table with the old MAC, in one of several
//! ways. One frame says that it is at the new one; what the table has then is read, and whether the client answered.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ha::wire::arp::{self, Arp, Frame, Mac};

use crate::card::Card;
use crate::lan::{A, Lan};
use crate::lines::{PATIENCE, eventually};

tests![a_client_is_moved_by_these_frames, a_client_that_drops_gratuitous_arp_is_moved_by_what_names_it];

/// `moves`: the client has the new MAC; `answers`: it answered, but has the old one; `both`: it answered and has the
/// new one; `-`: neither. Only a directed request gets an answer, even from those who go on sending to the old MAC.
///
/// Linux 6.18. Why: arp_is_garp, neigh_event_ns and locktime in its net/ipv4/arp.c and net/core/neighbour.c.
const MOVES: &str = "
                             absent     failed     stale      stale      reachable  reachable  permanent  noarp
                                                   < 1 s      > 1 s      < 1 s      > 1 s
gratuitous request, THA 0    -          moves      moves      moves      moves      moves      -          -
gratuitous request, THA own  -          moves      moves      moves      moves      moves      -          -
gratuitous request, THA ff   -          moves      moves      moves      moves      moves      -          -
gratuitous reply, THA own    -          moves      moves      moves      moves      moves      -          -
gratuitous reply, THA 0      -          moves      -          moves      -          moves      -          -
gratuitous reply, THA ff     -          moves      -          moves      -          moves      -          -
request for 255.255.255.255  -          moves      -          moves      -          moves      -          -
request for another host     -          moves      -          moves      -          moves      -          -
reply to the client          -          moves      -          moves      -          moves      -          -
directed request, broadcast  both       both       both       both       both       both       answers    answers
directed request, unicast    both       both       both       both       both       both       answers    answers
probe, SPA 0                 -          -          -          -          -          -          -          -
";

/// The same with `drop_gratuitous_arp`, as hosts on a WLAN may have it.
const MOVES_BUT_FOR_GRATUITOUS: &str = "
                             absent     failed     stale      stale      reachable  reachable  permanent  noarp
                                                   < 1 s      > 1 s      < 1 s      > 1 s
gratuitous request, THA 0    -          -          -          -          -          -          -          -
gratuitous request, THA own  -          -          -          -          -          -          -          -
gratuitous request, THA ff   -          -          -          -          -          -          -          -
gratuitous reply, THA own    -          -          -          -          -          -          -          -
gratuitous reply, THA 0      -          -          -          -          -          -          -          -
gratuitous reply, THA ff     -          -          -          -          -          -          -          -
request for 255.255.255.255  -          moves      -          moves      -          moves      -          -
request for another host     -          moves      -          moves      -          moves      -          -
reply to the client          -          moves      -          moves      -          moves      -          -
directed request, broadcast  both       both       both       both       both       both       answers    answers
directed request, unicast    both       both       both       both       both       both       answers    answers
probe, SPA 0                 -          -          -          -          -          -          -          -
";

fn a_client_is_moved_by_these_frames() {
    check(&measure("0"), MOVES);
}

fn a_client_that_drops_gratuitous_arp_is_moved_by_what_names_it() {
    check(&measure("1"), MOVES_BUT_FOR_GRATUITOUS);
}

fn check(measured: &str, expected: &str) {
    assert!(measured == expected, "measured:\n{measured}\nexpected:\n{expected}");
}

/// A kind of frame, and one that says by it that an address is at the new MAC.
type Form = (&'static str, fn(Ipv4Addr) -> Frame);

const FORMS: [Form; 12] = [
    ("gratuitous request, THA 0", |at| arp::gratuitous_request(NEW, at)),
    ("gratuitous request, THA own", |at| arp(ALL, REQUEST, at, NEW, at)),
    ("gratuitous request, THA ff", |at| arp(ALL, REQUEST, at, ALL, at)),
    ("gratuitous reply, THA own", |at| arp::gratuitous_reply(NEW, at)),
    ("gratuitous reply, THA 0", |at| arp(ALL, REPLY, at, NONE, at)),
    ("gratuitous reply, THA ff", |at| arp(ALL, REPLY, at, ALL, at)),
    ("request for 255.255.255.255", |at| arp(ALL, REQUEST, at, NONE, Ipv4Addr::BROADCAST)),
    ("request for another host", |at| arp(ALL, REQUEST, at, NONE, LAST)),
    ("reply to the client", |at| arp(CLIENT_MAC, REPLY, at, CLIENT_MAC, CLIENT)),
    ("directed request, broadcast", |at| arp(ALL, REQUEST, at, NONE, CLIENT)),
    ("directed request, unicast", |at| arp(CLIENT_MAC, REQUEST, at, NONE, CLIENT)),
    ("probe, SPA 0", |at| arp::probe(NEW, at)),
];

/// How the client has the address: the head of the column, the state as ip-neighbour(8) names it, whether it is fresh.
type Entry = ([&'static str; 2], Option<&'static str>, bool);

/// One second is what `locktime` of arp(7) makes a difference by.
const ENTRIES: [Entry; 8] = [
    (["absent", ""], None, true),
    (["failed", ""], Some("failed"), true),
    (["stale", "< 1 s"], Some("stale"), true),
    (["stale", "> 1 s"], Some("stale"), false),
    (["reachable", "< 1 s"], Some("reachable"), true),
    (["reachable", "> 1 s"], Some("reachable"), false),
    (["permanent", ""], Some("permanent"), true),
    (["noarp", ""], Some("noarp"), true),
];

fn measure(drop_gratuitous_arp: &str) -> String {
    for _ in 0..5 {
        if let Some(table) = try_measure(drop_gratuitous_arp) {
            return table;
        }
    }
    panic!("the machine stands still for so long that nothing is known about an entry that is less than 1 s old");
}

/// Nothing if what should have been fresh was not.
fn try_measure(drop_gratuitous_arp: &str) -> Option<String> {
    let lan = Lan::new();
    lan.b.inside(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/drop_gratuitous_arp", drop_gratuitous_arp).unwrap());
    let card = Card::of(&lan.a);
    enter(&lan, false);
    sleep(Duration::from_millis(1_100));
    let begun = Instant::now();
    enter(&lan, true);
    for (row, column) in cells() {
        card.send(&FORMS[row].1(address(row, column)));
    }
    // Whatever this one does, the others have done.
    card.send(&arp(ALL, REQUEST, LAST, NONE, CLIENT));
    eventually("the last frame arrives", PATIENCE, || macs(&lan).contains_key(&LAST));
    if begun.elapsed() > Duration::from_millis(900) {
        return None;
    }
    let macs = macs(&lan);
    let mut answered = Vec::new();
    while let Some(frame) = card.next() {
        let is_client =
            Arp::parse(&frame).is_some_and(|arp| arp.is_reply && (arp.mac, arp.from) == (CLIENT_MAC, CLIENT));
        if is_client && frame[..6] == NEW {
            answered.push(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[38..42]).unwrap()));
        }
    }
    Some(draw(|at| match (macs.get(&at).is_some_and(|mac| mac == NEW_TEXT), answered.contains(&at)) {
        (true, true) => "both",
        (true, false) => "moves",
        (false, true) => "answers",
        (false, false) => "-",
    }))
}

/// Puts those entries into the client's table that are to be fresh, or the others.
fn enter(lan: &Lan, fresh: bool) {
    let mut batch = String::new();
    for (row, column) in cells() {
        if let (_, Some(state), is_fresh) = ENTRIES[column]
            && is_fresh == fresh
        {
            let at = address(row, column);
            writeln!(batch, "neighbour replace {at} lladdr {OLD_TEXT} nud {state} dev eth0").unwrap();
        }
    }
    lan.b.ip_batch(&batch);
}

/// What the client has now.
fn macs(lan: &Lan) -> HashMap<Ipv4Addr, String> {
    let text = lan.b.ip("-4 neighbour show nud all dev eth0");
    let entry = |line: &str| {
        let (address, rest) = line.split_once(' ')?;
        let mac = rest.split_whitespace().skip_while(|&word| word != "lladdr").nth(1)?;
        Some((address.parse().ok()?, mac.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

fn draw(cell: impl Fn(Ipv4Addr) -> &'static str) -> String {
    let line = |head: &str, words: &mut dyn Iterator<Item = &'static str>| {
        let cells: String = words.map(|word| format!("{word:<11}")).collect();
        format!("{head:<29}{cells}").trim_end().to_owned() + "\n"
    };
    let mut table = String::from("\n");
    for half in 0..2 {
        table += &line("", &mut ENTRIES.iter().map(|(head, ..)| head[half]));
    }
    for (row, (name, _)) in FORMS.iter().enumerate() {
        table += &line(name, &mut (0..ENTRIES.len()).map(|column| cell(address(row, column))));
    }
    table
}

fn cells() -> impl Iterator<Item = (usize, usize)> {
    (0..FORMS.len()).flat_map(|row| (0..ENTRIES.len()).map(move |column| (row, column)))
}

/// From 10.0.0.128 on.
fn address(row: usize, column: usize) -> Ipv4Addr {
    let host = 128 + row * ENTRIES.len() + column;
    Ipv4Addr::new(10, 0, 0, u8::try_from(host).expect("96 cells"))
}

/// From the new MAC, field by field (RFC 826).
fn arp(to: Mac, operation: [u8; 2], spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Frame {
    let (spa, tpa) = (spa.octets(), tpa.octets());
    let fields: [&[u8]; 8] = [&to, &NEW, &[8, 6, 0, 1, 8, 0, 6, 4], &operation, &NEW, &spa, &tha, &tpa];
    fields.concat().try_into().expect("the sum of their sizes")
}

const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

const NEW: Mac = [2, 0, 0, 0, 0, 0x0b];
const NEW_TEXT: &str = A.1;
const OLD_TEXT: &str = "02:00:00:00:00:0d";
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 12);
const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 0x0c];
const ALL: Mac = [0xff; 6];
const NONE: Mac = [0; 6];
const LAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 127);
