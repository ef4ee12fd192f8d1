//! From the moments of a run to what was measured in it.

use std::collections::BTreeMap;

use crate::analysis::{Recording, Span, Witness, millis};
use crate::frames::Mac;
use crate::neighbours::Move;
use crate::stats::count;
use crate::sys::{self, Nanos};

/// The moments of a run that matter.
#[derive(Debug)]
pub struct Marks {
    /// When the event of the scenario began.
    start: Nanos,
    ended: Nanos,
    old: Option<Mac>,
    mended: Option<Mended>,
    /// Only these spans count, if there are any: the scenario itself moves the address between them.
    pub quiet: Option<Vec<Span>>,
    /// The start of all nodes, and how many moves the scenario means to cause from there on.
    pub life: Option<(Nanos, u32)>,
    /// Clients that have the new owner's MAC instead of the old one's, and since when; the first of them is member 0.
    pub moved: Vec<Move>,
    /// When the old owner sent a frame from the address, if its cable was watched.
    pub from_old: Option<Vec<Nanos>>,
    /// The values that the scenario measured itself.
    pub measured: Vec<(&'static str, f64)>,
}

/// The fault has ended.
#[derive(Debug)]
struct Mended {
    /// From the first step that ends the fault to the last one.
    span: Span,
    /// Whether the four values count from the fault on, or only from here.
    counts_before: bool,
}

/// Values of one scenario, by their names in results.
pub type Details = BTreeMap<&'static str, f64>;

/// Reads one more value out of a recording: its name, and the value if there is one.
pub type Reading = fn(&Marks, &Recording) -> (&'static str, Option<f64>);

impl Marks {
    /// What to measure began at `start`, when `old` had the address, and ends now.
    pub fn new(start: Nanos, old: Option<Mac>) -> Self {
        let ended = sys::now();
        let (quiet, life, moved, from_old, measured) = (None, None, Vec::new(), None, Vec::new());
        Self { start, ended, old, mended: None, quiet, life, moved, from_old, measured }
    }

    /// The fault has ended during that span. What happened before does not count: two owners are physics while the
    /// client sees both sides of a cut LAN.
    pub fn healed(self, span: Span) -> Self {
        Self { mended: Some(Mended { span, counts_before: false }), ..self }
    }

    /// The fault has ended at that time, and what happened before counts, too.
    pub fn thawed(self, at: Nanos) -> Self {
        Self { mended: Some(Mended { span: Span::new(at, at), counts_before: true }), ..self }
    }

    /// From the start to the end.
    pub fn whole(&self) -> Span {
        Span::new(self.start, self.ended)
    }

    /// When another station than the old owner first had the address.
    pub fn first_of_another(&self, recording: &Recording) -> Option<Nanos> {
        recording.first_sighting(self.whole(), |mac| Some(mac) != self.old)
    }

    /// A value that the scenario measured itself.
    pub fn measured_as(&self, name: &str) -> Option<f64> {
        self.measured.iter().find(|(its, _)| *its == name).map(|&(_, value)| value)
    }

    /// Milliseconds from the start to that moment.
    pub fn since_start(&self, at: Nanos) -> f64 {
        millis(at.saturating_sub(self.start))
    }

    /// The values of this scenario: those that it measured itself, those that `readings` find in the recording, and
    /// those that follow from its marks.
    pub fn details(&self, recording: &Recording, readings: &[Reading]) -> Details {
        let mut details: Details = self.measured.iter().copied().collect();
        for reading in readings {
            let (name, value) = reading(self, recording);
            details.extend(value.map(|value| (name, value)));
        }
        if let Some(new) = self.first_of_another(recording) {
            let since = |moved: &Move| millis(moved.at.saturating_sub(new));
            let first = self.moved.iter().find(|moved| moved.member == 0);
            details.extend(first.map(|moved| ("first_moved_ms", since(moved))));
            details.extend(self.moved.last().map(|moved| ("last_moved_ms", since(moved))));
        }
        if let (Some(old), Some(from_old), Some(taken)) = (self.old, &self.from_old, self.first_of_another(recording)) {
            let thawed = self.mended.as_ref().map(|mended| mended.span.from);
            let frozen = Span::new(taken, thawed.unwrap_or(self.ended));
            details.insert("frames_after_take_over", count(from_old.iter().filter(|at| frozen.contains(**at)).count()));
            // From the thaw on it may get the address back in good order.
            let is_stray = |at: &Nanos, thawed| *at >= thawed && recording.is_had_by_another(*at, old);
            let stray = thawed.map(|thawed| from_old.iter().filter(|at| is_stray(at, thawed)).count());
            details.extend(stray.map(|frames| ("frames_after_thaw", count(frames))));
        }
        if let Some((begun, meant)) = self.life {
            let life = Span::new(begun, self.ended);
            let up = recording.first_sighting(life, |_| true).unwrap_or(self.ended);
            details.insert("up_ms", millis(up.saturating_sub(begun)));
            details.insert("moves_caused", count(recording.moves(life)) - f64::from(meant));
            details.insert("two_owners_ever_ms", two_owners_ms(recording, life));
        }
        if let Some(mended) = &self.mended {
            let after = Span::new(mended.span.from, self.ended);
            let complete = Span::new(mended.span.until, self.ended);
            let last = recording.two_owners(complete).last().map_or(0, |span| span.until - complete.from);
            details.insert("one_owner_after_ms", millis(last));
            details.insert("blackout_after_ms", millis(recording.blackout(after)));
            if !mended.counts_before {
                let before = Span::new(self.start, mended.span.from);
                details.insert("blackout_before_ms", millis(recording.blackout(before)));
                details.insert("two_owners_before_ms", two_owners_ms(recording, before));
            }
        }
        details
    }

    /// The values that every scenario has.
    pub fn witness(&self, recording: &Recording) -> Witness {
        let counted = match &self.mended {
            Some(mended) if !mended.counts_before => Span::new(mended.span.from, self.ended),
            _ => self.whole(),
        };
        Witness::of(recording, self.quiet.as_deref().unwrap_or(&[counted]))
    }
}

/// How long another node takes to have the address after the start.
pub fn take_over(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    ("take_over_ms", marks.first_of_another(recording).map(|at| marks.since_start(at)))
}

/// How long the old owner still has the address after the start: its kernel keeps it until the lease ends.
pub fn lease_end(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    let last = marks.old.and_then(|old| recording.last_sighting(marks.whole(), old));
    ("lease_end_ms", last.map(|at| marks.since_start(at)))
}

/// How long the old owner is still heard from the address after the start, until another node has it.
pub fn silent(marks: &Marks, recording: &Recording) -> (&'static str, Option<f64>) {
    let until = marks.first_of_another(recording).unwrap_or(marks.ended);
    let last = marks.old.and_then(|old| recording.last_sighting(Span::new(marks.start, until), old));
    ("silent_ms", last.map(|at| marks.since_start(at)))
}

fn two_owners_ms(recording: &Recording, span: Span) -> f64 {
    millis(recording.two_owners(span).iter().map(|span| span.length()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Sighting;
    use crate::frames::Proof;

    const OLD: Mac = Mac::of(1);
    const NEW: Mac = Mac::of(2);

    const MS: Nanos = 1_000_000;

    /// Another station has the address from 100 ms to 300 ms, and once more from 400 ms to 500 ms.
    fn recording() -> Recording {
        let mac = |ms| if (100..300).contains(&ms) || (400..500).contains(&ms) { NEW } else { OLD };
        let sighting = |ms: Nanos| Sighting { at: ms * MS, mac: mac(ms), proof: Proof::Reply };
        Recording { sightings: (0..600).step_by(5).map(sighting).collect(), ..Recording::default() }
    }

    fn marks(from_old: &[Nanos], thawed: Option<Nanos>) -> Marks {
        let mended = thawed.map(|at| Mended { span: Span::new(at * MS, at * MS), counts_before: true });
        let from_old = Some(from_old.iter().map(|at| at * MS).collect());
        Marks { start: 0, ended: 600 * MS, mended, from_old, ..Marks::new(0, Some(OLD)) }
    }

    #[test]
    fn of_a_dead_owner_every_frame_counts_from_the_take_over_on() {
        let details = marks(&[40, 90, 101, 120, 310, 599], None).details(&recording(), &[]);
        assert_eq!(details["frames_after_take_over"], 4.0);
        assert_eq!(details.get("frames_after_thaw"), None);
    }

    #[test]
    fn of_a_thawed_owner_frames_count_while_another_has_the_address() {
        let details = marks(&[40, 90, 101, 120, 201, 250, 330, 420, 550], Some(200)).details(&recording(), &[]);
        assert_eq!((details["frames_after_take_over"], details["frames_after_thaw"]), (2.0, 3.0));
    }

    #[test]
    fn frames_count_only_if_another_station_ever_had_the_address() {
        let nobody = Recording { sightings: recording().sightings[..20].to_vec(), ..Recording::default() };
        assert_eq!(marks(&[40, 90], None).details(&nobody, &[]).get("frames_after_take_over"), None);
        let unwatched = Marks { from_old: None, ..marks(&[], None) };
        assert_eq!(unwatched.details(&recording(), &[]).get("frames_after_take_over"), None);
    }
}
