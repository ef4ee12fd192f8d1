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
        let (quiet, life, moved, measured) = (None, None, Vec::new(), Vec::new());
        Self { start, ended, old, mended: None, quiet, life, moved, measured }
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

fn two_owners_ms(recording: &Recording, span: Span) -> f64 {
    millis(recording.two_owners(span).iter().map(|span| span.length()).sum())
}
