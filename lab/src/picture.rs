//! One take-over as it was captured: a column for each station, a row for each frame, time from top to bottom.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::frames::{self, ASKER, Mac};
use crate::net::SHARED;
use crate::place::Place;
use crate::promise::BRISK;
use crate::run::{Extent, Run};
use crate::stage::Stage;
use crate::sys::Nanos;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    at: Nanos,
    from: Mac,
    /// No station if it is for all.
    to: Option<Mac>,
    colour: &'static str,
    words: String,
}

/// Plays a take-over and draws what went over the new owner's cable. Node 1 loses power; one of the clients that have
/// spoken to it is gone, too.
///
/// # Errors
/// When no node took over, or the tap lost frames.
pub fn take(place: Place<'_>) -> io::Result<String> {
    let run = Run { timing: BRISK, nodes: 3, number: 1, of: 1, extent: Extent::SHORT };
    let mut stage = Stage::open(&run, place, SHARED.into())?;
    stage.add_silent_clients(CLIENTS)?;
    let old = stage.start_all()?;
    stage.let_clients_speak(CLIENTS)?.stop()?;
    stage.cut_member(OFF)?;
    let tap = stage.tap(2)?;
    stage.cut_power()?;
    stage.wait_for_other_than(old)?;
    stage.sleep(Duration::from_millis(7_200));
    let frames = tap.frames(|frame| read(0, frame).is_some())?;
    stage.close()?;
    let rows: Vec<_> = frames.iter().filter_map(|(at, frame)| read(*at, frame)).collect();
    let start = rows.iter().position(|row| row.colour == HEARTBEAT);
    let start = start.ok_or_else(|| io::Error::other("node 2 sent no heartbeat as ACTIVE"))?;
    Ok(draw(&rows, rows[start].at))
}

/// A row for a frame that is drawn: ARP but for the probe's, and heartbeats of an ACTIVE.
fn read(at: Nanos, frame: &[u8]) -> Option<Row> {
    let mac = |bytes: &[u8]| bytes.try_into().ok().map(Mac);
    let (to, from) = (mac(frame.get(..6)?)?, mac(frame.get(6..12)?)?);
    if to == ASKER || from == ASKER {
        return None;
    }
    let to = Some(to).filter(|to| to.0[0] & 1 == 0); // the group bit of IEEE 802
    if frames::is_active(frame) {
        return Some(Row { at, from, to, colour: HEARTBEAT, words: "heartbeat: ACTIVE".into() });
    }
    let arp = frame.get(14..42).filter(|_| frame[12..14] == frames::ARP.to_be_bytes())?;
    let ip = |at: usize| Ipv4Addr::new(arp[at], arp[at + 1], arp[at + 2], arp[at + 3]);
    let (is_reply, sender, target) = (arp[7] == 2, ip(14), ip(24));
    let (colour, words) = match (is_reply, sender == target) {
        (false, true) => (GRATUITOUS, format!("gratuitous request: who has {target}, tell {sender}")),
        (true, true) => (GRATUITOUS, format!("gratuitous reply: {sender} is at {:?}", mac(&arp[8..14])?)),
        (false, false) if sender.is_unspecified() => (QUESTION, format!("probe: who has {target}")),
        (false, false) if sender == SHARED => (DIRECTED, format!("who has {target}, tell {sender}")),
        (false, false) => (QUESTION, format!("who has {target}, tell {sender}")),
        (true, false) => (REPLY, format!("{sender} is at {:?}", mac(&arp[8..14])?)),
    };
    Some(Row { at, from, to, colour, words })
}

fn draw(rows: &[Row], zero: Nanos) -> String {
    // Every node sends a heartbeat each interval; only the first that says ACTIVE is drawn.
    let mut active: Vec<Mac> = vec![Mac::of(1)];
    let mut shown: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| column(row.from).is_some()) {
        if row.colour == HEARTBEAT {
            if active.contains(&row.from) {
                continue;
            }
            active.push(row.from);
        }
        shown.push(row);
    }
    let bottom = TOP + ROW * f64::from(u32::try_from(shown.len()).unwrap_or(u32::MAX)) + ROW;
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='#fff'/>\n",
        bottom + 10.0
    );
    for (index, (_, name, _)) in STATIONS.iter().enumerate() {
        let x = x(index);
        let _ = writeln!(out, "<path d='M{x} {}V{bottom}' stroke='#ccc'/>", TOP - 8.0);
        let _ = writeln!(out, "<text x='{x}' y='{}' text-anchor='middle'>{name}</text>", TOP - 14.0);
    }
    let mut y = TOP;
    let mut last: Option<Nanos> = None;
    for row in shown {
        y += ROW;
        if last.is_some_and(|last| row.at.saturating_sub(last) > BREAK) {
            let _ = writeln!(out, "<path d='M8 {0}H{WIDTH}' stroke='#ddd' stroke-dasharray='2 3'/>", y - ROW * 0.7);
        }
        last = Some(row.at);
        arrow(&mut out, row, y);
        let words = WORDS;
        let _ = writeln!(out, "<text x='{}' y='{}' text-anchor='end'>{}</text>", LEFT - 30.0, y + 4.0, time(row, zero));
        let _ = writeln!(out, "<text x='{words}' y='{}' fill='{}'>{}</text>", y + 4.0, row.colour, row.words);
    }
    out + "</svg>\n"
}

/// Draws a frame to one column, or from edge to edge with a dot for each station that hears it.
fn arrow(out: &mut String, row: &Row, y: f64) {
    let Some(from) = column(row.from) else { return };
    let colour = row.colour;
    let _ = writeln!(out, "<circle cx='{}' cy='{y}' r='3.5' fill='{colour}'/>", x(from));
    match row.to.map(column) {
        Some(Some(to)) => {
            let (start, end) = (x(from), x(to));
            let back = if end > start { end - 6.0 } else { end + 6.0 };
            let _ = writeln!(out, "<path d='M{start} {y}H{end}' stroke='{colour}'/>");
            let _ = writeln!(out, "<path d='M{end} {y}L{back} {}V{}z' fill='{colour}'/>", y - 3.0, y + 3.0);
        }
        Some(None) => {} // to a station outside of the picture
        None => {
            let _ = writeln!(out, "<path d='M{} {y}H{}' stroke='{colour}'/>", x(0), x(STATIONS.len() - 1));
            for other in (0..STATIONS.len()).filter(|&other| other != from && STATIONS[other].2) {
                let _ = writeln!(out, "<circle cx='{}' cy='{y}' r='2' fill='{colour}'/>", x(other));
            }
        }
    }
}

fn time(row: &Row, zero: Nanos) -> String {
    let (sign, span) = if row.at < zero { ("-", zero - row.at) } else { ("+", row.at - zero) };
    let micros = f64::from(u32::try_from(span / 1_000).unwrap_or(u32::MAX));
    if micros < 100_000.0 { format!("{sign}{:.2} ms", micros / 1e3) } else { format!("{sign}{:.2} s", micros / 1e6) }
}

fn column(mac: Mac) -> Option<usize> {
    STATIONS.iter().position(|(station, ..)| Mac::of(*station) == mac)
}

fn x(column: usize) -> f64 {
    LEFT + f64::from(u32::try_from(column).unwrap_or(0)) * COLUMN
}

/// The stations of the picture, and whether they hear anything.
const STATIONS: [(u8, &str, bool); 9] = [
    (1, "n1: dead", false),
    (2, "n2", true),
    (3, "n3", true),
    (254, "gateway", true),
    (101, "c1", true),
    (102, "c2", true),
    (103, "c3", true),
    (104, "c4: off", false),
    (200, "client", true),
];
const CLIENTS: u8 = 4;
const OFF: &str = "c4";

const HEARTBEAT: &str = "#888888";
const GRATUITOUS: &str = "#0b5d1e";
const DIRECTED: &str = "#7b2d8b";
const REPLY: &str = "#1f6fb2";
const QUESTION: &str = "#b5651d";

const LEFT: f64 = 110.0;
const COLUMN: f64 = 58.0;
const TOP: f64 = 34.0;
const ROW: f64 = 17.0;
const WORDS: f64 = LEFT + 9.0 * COLUMN - 25.0;
const WIDTH: f64 = WORDS + 320.0;
/// A pause of this length is drawn as a line.
const BREAK: Nanos = 20_000_000;

#[cfg(test)]
mod tests {
    use ha::wire::arp;

    use super::*;

    #[test]
    fn frames_are_told_apart() {
        let words = |frame: &[u8]| read(7, frame).map(|row| (row.words, row.to));
        let node = Mac::of(2);
        let request = arp::gratuitous_request(node.0, SHARED);
        let said = "gratuitous request: who has 10.77.0.100, tell 10.77.0.100";
        assert_eq!(words(&request), Some((said.into(), None)));
        let said = "gratuitous reply: 10.77.0.100 is at 02:00:00:00:00:02";
        assert_eq!(words(&arp::gratuitous_reply(node.0, SHARED)), Some((said.into(), None)));
        assert_eq!(words(&arp::probe(node.0, SHARED)), Some(("probe: who has 10.77.0.100".into(), None)));
        let mut directed = request;
        directed[..6].copy_from_slice(&Mac::of(254).0);
        directed[41] = 254;
        let said = "who has 10.77.0.254, tell 10.77.0.100";
        assert_eq!(words(&directed), Some((said.into(), Some(Mac::of(254)))));
        assert_eq!(words(&frames::who_has(SHARED)), None, "the probe");
        for length in 0..request.len() {
            assert_eq!(words(&request[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn each_frame_has_a_row_with_its_time_and_heartbeats_are_drawn_once() {
        let row = |at: Nanos, colour, to| Row { at, from: Mac::of(2), to, colour, words: format!("at {at}") };
        let rows = [
            row(1_000_000, QUESTION, None),
            row(3_000_000, HEARTBEAT, None),
            row(3_500_000, HEARTBEAT, None),
            row(3_200_000, DIRECTED, Some(Mac::of(254))),
            row(1_203_000_000, GRATUITOUS, None),
        ];
        let svg = draw(&rows, rows[1].at);
        for words in ["-2.00 ms", "+0.00 ms", "+0.20 ms", "+1.20 s", "at 1000000", "at 3000000", "at 1203000000"] {
            assert_eq!(svg.matches(&format!(">{words}<")).count(), 1, "{words} in {svg}");
        }
        assert!(!svg.contains("at 3500000"));
        assert_eq!(svg.matches("r='2'").count(), 3 * 6, "each station that hears a broadcast");
        assert_eq!(svg.matches("stroke-dasharray").count(), 1, "the break of a second");
    }
}
