//! A client of machines that a script starts and stops. The script announces each move before it makes it.
//!
//! It does so by a line on standard input: `4000 1 power cut` is at most 4000 ms without a reply, one move of the
//! address, and a name. The span ends with the next line, the last one with the input. The client prints which machine
//! has the address.

use std::fmt::Write;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::analysis::{Recording, Sighting, Span, Witness};
use crate::frames::{Mac, Proof};
use crate::net::SHARED;
use crate::probe::Probe;
use crate::report;
use crate::sys::{self, Nanos};

/// An announced move.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Move {
    from: Nanos,
    most_ms: u32,
    moves: usize,
    what: String,
}

/// Asks for the address from `eth0` of this namespace until `orders` end, and prints the outcome as a table. Returns
/// false if the address was away for longer than announced, moved otherwise, or was at two machines at once. `names`
/// belong to the stations from 1 on.
///
/// # Errors
/// When the client cannot ask, has lost frames, or does not understand an order.
pub fn watch(orders: impl BufRead + Send + 'static, names: &[String]) -> io::Result<bool> {
    let probe = Probe::start(Path::new("/proc/self/ns/net"), SHARED.into())?;
    let (to_us, lines) = mpsc::channel();
    thread::spawn(move || orders.lines().map_while(Result::ok).try_for_each(|line| to_us.send(line)));
    let mut moves = Vec::new();
    let mut owner = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => moves.push(Move::read(&line, sys::now())?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let last = probe.sightings_of_last(LOOK).last().map(|sighting| sighting.mac);
        if let Some(mac) = last.filter(|mac| owner != Some(*mac) && probe.is_served_by(*mac)) {
            owner = Some(mac);
            report::say(&format!("at {}", name(mac, names)));
        }
    }
    let until = sys::now();
    let recording = probe.stop()?;
    recording.check_witness()?;
    let rows = rows(&recording, &moves, until);
    report::say(&table(&rows, names));
    Ok(rows.iter().all(Row::is_good))
}

impl Move {
    fn read(line: &str, from: Nanos) -> io::Result<Self> {
        let refusal = || {
            let text = format!("order {line:?}: expected milliseconds, moves and words, such as: 4000 1 power cut");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or_else(refusal);
        let most_ms = word()?.parse().map_err(|_| refusal())?;
        let moves = word()?.parse().map_err(|_| refusal())?;
        Ok(Self { from, most_ms, moves, what: word()?.to_owned() })
    }
}

/// A move, and what the client felt.
#[derive(Debug)]
struct Row<'a> {
    announced: &'a Move,
    /// The station that had the address, at first and at last.
    owners: [Option<Mac>; 2],
    felt: Witness,
}

impl Row<'_> {
    fn is_good(&self) -> bool {
        self.felt.blackout_ms <= f64::from(self.announced.most_ms)
            && self.felt.moves == self.announced.moves
            && self.felt.two_owners_ms == 0.0
    }
}

fn rows<'a>(recording: &Recording, moves: &'a [Move], until: Nanos) -> Vec<Row<'a>> {
    let ends = moves.iter().skip(1).map(|next| next.from).chain([until]);
    let owner_at_the_end_of = |span: Span| {
        let answers = |sighting: &&Sighting| sighting.proof == Proof::Reply && span.contains(sighting.at);
        recording.sightings.iter().rev().find(answers).map(|sighting| sighting.mac)
    };
    let row = |(announced, end): (&'a Move, Nanos)| {
        let span = Span::new(announced.from, end);
        let owners = [Span::new(0, announced.from), span].map(owner_at_the_end_of);
        Row { announced, owners, felt: Witness::of(recording, &[span]) }
    };
    moves.iter().zip(ends).map(row).collect()
}

fn name(mac: Mac, names: &[String]) -> String {
    let index = usize::from(mac.station()).checked_sub(1);
    index.and_then(|index| names.get(index)).cloned().unwrap_or_else(|| format!("{mac:?}"))
}

/// In Markdown, for people and for docs/measurements.md alike.
fn table(rows: &[Row<'_>], names: &[String]) -> String {
    let mut text = "| what happens | from | to | client dark, ms | at most | two owners, ms |\n".to_owned();
    text += "|---|---|---|---|---|---|\n";
    for row in rows {
        let [from, to] = row.owners.map(|owner| owner.map_or_else(|| "nobody".into(), |mac| name(mac, names)));
        let Move { what, most_ms, moves, .. } = row.announced;
        let Witness { blackout_ms, two_owners_ms, moves: moved, stall_ms, .. } = row.felt;
        let _ = write!(text, "| {what} | {from} | {to} | {blackout_ms:.0} | {most_ms} | {two_owners_ms}");
        if !row.is_good() {
            let _ = write!(text, " **missed**: {moved} moves of {moves}, probe held up for {stall_ms:.0} ms");
        }
        text += " |\n";
    }
    text
}

/// Between two looks at the owner.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// Three seconds, in which station 1 has the address until the first one is over, then after 500 ms of darkness
    /// station 2.
    fn recording() -> Recording {
        let mut recording = Recording::default();
        for index in 0..600_u32 {
            let at = Nanos::from(index) * 5 * MS;
            recording.echoes.push(at);
            recording.rounds.push(at);
            let mac = match at / MS {
                ..1_000 => Mac::of(1),
                1_000..1_500 => continue,
                _ => Mac::of(2),
            };
            for proof in [Proof::Echo(index), Proof::Reply] {
                recording.sightings.push(Sighting { at: at + MS, mac, proof });
            }
        }
        recording
    }

    fn moves(most_ms: u32, first: usize, second: usize) -> Vec<Move> {
        let one = |from, most_ms, moves, what: &str| Move { from, most_ms, moves, what: what.into() };
        vec![one(900 * MS, most_ms, first, "power cut"), one(2_000 * MS, 20, second, "return")]
    }

    #[test]
    fn a_move_is_good_if_it_is_as_announced() {
        let (recording, names) = (recording(), ["one".to_owned()]);
        let verdicts =
            |moves: &[Move]| rows(&recording, moves, 3_000 * MS).iter().map(Row::is_good).collect::<Vec<_>>();
        assert_eq!(verdicts(&moves(600, 1, 0)), [true, true]);
        assert_eq!(verdicts(&moves(500, 1, 0)), [false, true], "dark for longer");
        assert_eq!(verdicts(&moves(600, 0, 0)), [false, true], "moved");
        assert_eq!(verdicts(&moves(600, 1, 1)), [true, false], "did not move");
        let moves = moves(500, 1, 0);
        let text = table(&rows(&recording, &moves, 3_000 * MS), &names);
        assert!(
            text.contains("| power cut | one | 02:00:00:00:00:02 | 501 | 500 | 0 **missed**: 1 moves of 1"),
            "{text}"
        );
        assert!(text.contains("\n| return | 02:00:00:00:00:02 | 02:00:00:00:00:02 | 1 | 20 | 0 |\n"), "{text}");
    }

    #[test]
    fn two_owners_are_never_good() {
        let mut recording = recording();
        for index in 500..510 {
            let at = index * 5 * MS + 2 * MS;
            recording.sightings.push(Sighting { at, mac: Mac::of(1), proof: Proof::Reply });
        }
        recording.sightings.sort_by_key(|sighting| sighting.at);
        let moves = moves(600, 1, 1);
        assert!(!rows(&recording, &moves, 3_000 * MS)[1].is_good());
    }

    #[test]
    fn an_incomplete_order_is_refused() {
        let order = |line| Move::read(line, 7);
        let expected = Move { from: 7, most_ms: 4_000, moves: 1, what: "power cut".into() };
        assert_eq!(order("4000 1 power cut").unwrap(), expected);
        for line in ["", "4000", "4000 1", "4000 1 ", "soon 1 power cut", "4000 -1 power cut"] {
            let refusal = order(line).unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::InvalidInput, "{line}: {refusal}");
        }
    }
}
