//! Which frame of Neighbour Discovery moves a client: a table of what this kernel does, as `acceptance.rs` has it of ARP.
//!
//! Each cell is an address of its own that the client has in its neighbour table with the old MAC, in one of several ways. One
//! frame says that it is at the new one; what the table has then is read, and where the client's reply went.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::thread::sleep;
use std::time::Duration;

use ha::wire::arp::Mac;
use ha::wire::nd;

use crate::card::Card;
use crate::lan::{A, Lan, Namespace};
use crate::lines::{PATIENCE, eventually};

tests![a_client_is_moved_by_these_advertisements_and_solicitations, a_reply_by_unicast_names_no_hardware_address];

/// `moves`: the client has the new MAC; `both`: it replied to that, too; `to old`: it replied to the old one, which it still has;
/// `-`: nothing. So a reply that arrives shows that the entry has moved.
///
/// Linux 6.18. Why: ndisc_recv_na, ndisc_recv_ns and __neigh_update in its net/ipv6/ndisc.c and net/core/neighbour.c.
const MOVES: &str = "
                          absent     failed     stale      reachable  delay      permanent  noarp
NA to all                 -          -          moves      moves      moves      -          -
NA to all of a router     -          -          moves      moves      moves      -          -
NA to all without O       -          -          -          -          -          -          -
NA to all without TLLA    -          -          -          -          -          -          -
NA with hop limit 64      -          -          -          -          -          -          -
NS to the group           both       both       both       both       both       to old     to old
NS to the client          both       both       both       both       both       to old     to old
NS without SLLA           -          -          to old     to old     to old     to old     to old
probe                     -          -          -          -          -          -          -
";

fn a_client_is_moved_by_these_advertisements_and_solicitations() {
    let measured = measure();
    assert!(measured == MOVES, "measured:\n{measured}\nexpected:\n{MOVES}");
}

/// The directed request by unicast gets a reply that says neither O nor TLLA: it confirms, and names nobody.
fn a_reply_by_unicast_names_no_hardware_address() {
    let lan = Lan::new();
    give_ipv6(&lan.b);
    let card = Card::of_ipv6(&lan.a);
    let said = || card.next().and_then(|frame| heard(&frame)).filter(|said| said.is_reply);
    // The link comes up a moment later than the command that brings it up.
    eventually("the client is there", PATIENCE, || {
        card.send(&nd::solicitation(NEW, LAST, CLIENT, None));
        sleep(Duration::from_millis(50));
        said().is_some()
    });
    while card.next().is_some() {}
    for (to, named) in [(None, Some(CLIENT_MAC)), (Some(CLIENT_MAC), None)] {
        card.send(&nd::solicitation(NEW, LAST, CLIENT, to));
        let mut said = None;
        eventually("the client replies", PATIENCE, || {
            said = card.next().and_then(|frame| heard(&frame)).filter(|said| said.is_reply);
            said.is_some()
        });
        let said = said.unwrap();
        assert_eq!((said.from, said.to, said.mac), (CLIENT.into(), LAST.into(), named), "{to:?}");
        assert!(!said.is_to_all && !said.answers_probe());
    }
    card.send(&nd::probe(NEW, CLIENT));
    let mut answer = None;
    eventually("the client answers the probe", PATIENCE, || {
        answer = card.next().and_then(|frame| heard(&frame)).filter(ha::wire::Resolution::answers_probe);
        answer.is_some()
    });
    assert_eq!(answer.map(|said| (said.from, said.mac)), Some((CLIENT.into(), Some(CLIENT_MAC))));
}

/// A kind of frame, and one that says by it that an address is at the new MAC.
type Form = (&'static str, fn(Ipv6Addr) -> Vec<u8>);

const FORMS: [Form; 9] = [
    ("NA to all", |at| nd::advertisement(NEW, at, false).to_vec()),
    ("NA to all of a router", |at| nd::advertisement(NEW, at, true).to_vec()),
    ("NA to all without O", |at| changed(&nd::advertisement(NEW, at, false), |frame| frame[FLAGS_AT] = 0)),
    ("NA to all without TLLA", |at| changed(&nd::advertisement(NEW, at, false), |frame| frame.truncate(OPTION_AT))),
    ("NA with hop limit 64", |at| changed(&nd::advertisement(NEW, at, false), |frame| frame[HOP_LIMIT_AT] = 64)),
    ("NS to the group", |at| nd::solicitation(NEW, at, CLIENT, None).to_vec()),
    ("NS to the client", |at| nd::solicitation(NEW, at, CLIENT, Some(CLIENT_MAC)).to_vec()),
    ("NS without SLLA", |at| changed(&nd::solicitation(NEW, at, CLIENT, None), |frame| frame.truncate(OPTION_AT))),
    ("probe", |at| nd::probe(NEW, at).to_vec()),
];

/// How the client has the address, as ip-neighbour(8) names it.
const ENTRIES: [&str; 7] = ["absent", "failed", "stale", "reachable", "delay", "permanent", "noarp"];

fn measure() -> String {
    let lan = Lan::new();
    give_ipv6(&lan.b);
    let card = Card::of_ipv6(&lan.a);
    enter(&lan);
    for (row, column) in cells() {
        card.send(&FORMS[row].1(address(row, column)));
    }
    // Whatever this one does, the others have done.
    card.send(&nd::solicitation(NEW, LAST, CLIENT, None));
    eventually("the last frame arrives", PATIENCE, || macs(&lan).contains_key(&LAST));
    let macs = macs(&lan);
    sleep(Duration::from_millis(50));
    let mut replied = HashMap::new();
    while let Some(frame) = card.next() {
        if let Some(said) = heard(&frame)
            && said.is_reply
            && said.from == CLIENT
        {
            replied.insert(said.to, frame[..6] == NEW);
        }
    }
    draw(|at| match (macs.get(&at).is_some_and(|mac| mac == NEW_TEXT), replied.get(&at.into())) {
        (true, Some(true)) => "both",
        (true, None) => "moves",
        (false, Some(false)) => "to old",
        (false, None) => "-",
        (true, Some(false)) | (false, Some(true)) => "odd",
    })
}

/// Its address, at once.
fn give_ipv6(client: &Namespace) {
    client.inside(|| {
        for (name, value) in [("accept_dad", "0"), ("disable_ipv6", "0")] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{name}"), value).unwrap();
        }
    });
    client.ip(&format!("-6 address add {CLIENT}/64 dev eth0 nodad"));
}

/// Puts the entries into the client's table.
fn enter(lan: &Lan) {
    let mut batch = String::new();
    for (row, column) in cells().filter(|&(_, column)| column > 0) {
        let (at, state) = (address(row, column), ENTRIES[column]);
        writeln!(batch, "neighbour replace {at} lladdr {OLD_TEXT} nud {state} dev eth0").unwrap();
    }
    lan.b.ip_batch(&batch);
}

/// What the client has now.
fn macs(lan: &Lan) -> HashMap<Ipv6Addr, String> {
    let text = lan.b.ip("-6 neighbour show nud all dev eth0");
    let entry = |line: &str| {
        let (address, rest) = line.split_once(' ')?;
        let mac = rest.split_whitespace().skip_while(|&word| word != "lladdr").nth(1)?;
        Some((address.parse().ok()?, mac.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// What a frame says, if it is Neighbour Discovery.
fn heard(frame: &[u8]) -> Option<ha::wire::Resolution> {
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
    nd::parse(address(22)?, address(38)?, frame[HOP_LIMIT_AT], frame.get(MESSAGE_AT..)?)
}

/// The frame with a change, and with the length and the checksum that it has then.
fn changed(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame);
    let len = u8::try_from(frame.len() - MESSAGE_AT).unwrap();
    frame[19] = len;
    frame[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    let mut sum = u64::from(len) + 58;
    for word in frame[22..].chunks(2) {
        sum += u64::from(word[0]) << 8 | u64::from(word[1]);
    }
    let sum = !u16::try_from(sum % 0xffff).unwrap();
    frame[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn draw(cell: impl Fn(Ipv6Addr) -> &'static str) -> String {
    let line = |head: &str, words: &mut dyn Iterator<Item = &'static str>| {
        let cells: String = words.map(|word| format!("{word:<11}")).collect();
        format!("{head:<26}{cells}").trim_end().to_owned() + "\n"
    };
    let mut table = String::from("\n");
    table += &line("", &mut ENTRIES.into_iter());
    for (row, (name, _)) in FORMS.iter().enumerate() {
        table += &line(name, &mut (0..ENTRIES.len()).map(|column| cell(address(row, column))));
    }
    table
}

fn cells() -> impl Iterator<Item = (usize, usize)> {
    (0..FORMS.len()).flat_map(|row| (0..ENTRIES.len()).map(move |column| (row, column)))
}

/// From 2001:db8::100 on.
fn address(row: usize, column: usize) -> Ipv6Addr {
    let host = 0x100 + row * ENTRIES.len() + column;
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::try_from(host).expect("63 cells"))
}

const HOP_LIMIT_AT: usize = 21;
const MESSAGE_AT: usize = 54;
const CHECKSUM_AT: usize = 56;
const FLAGS_AT: usize = 58;
const OPTION_AT: usize = 78;

const NEW: Mac = [2, 0, 0, 0, 0, 0x0b];
const NEW_TEXT: &str = A.1;
const OLD_TEXT: &str = "02:00:00:00:00:0d";
const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xc);
const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 0x0c];
const LAST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xff);
