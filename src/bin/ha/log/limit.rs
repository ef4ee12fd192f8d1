//! How many lines a cause may write: 60 in a minute that begins with its first. The others are held back and counted, and one line
//! says how many when the minute is over.
//!
//! A cause is a place in the sources that writes a line, or several of them about the same: a flood of one takes no
//! line from another. So there are as many causes as the program has, whatever comes from outside.

use std::sync::atomic::{AtomicU32, Ordering};

use ha::time::Instant;
use log::Level;

use super::line::Line;

/// Why a line is written; counts its lines.
#[derive(Debug)]
pub struct Cause {
    /// Lines in a minute at most.
    most: u32,
    /// When its minute began, in milliseconds; what an overflow after 49 days does to that is over in a minute.
    began: AtomicU32,
    /// Lines since then.
    written: AtomicU32,
}

impl Cause {
    /// It has written nothing.
    pub const fn new() -> Self {
        Self::of(LINES)
    }

    /// One that has a part of the lines, where both processes speak of the same.
    pub const fn of(most: u32) -> Self {
        Self { most, began: AtomicU32::new(0), written: AtomicU32::new(0) }
    }

    /// Counts lines that belong together: at the beginning of a minute they are never too many. If they are: the milliseconds
    /// until it is over.
    fn admit(&self, now_ms: u32, lines: u32) -> Result<(), u32> {
        let written = self.written.load(Ordering::Relaxed);
        let passed = now_ms.wrapping_sub(self.began.load(Ordering::Relaxed));
        if written == 0 || passed >= MINUTE_MS {
            self.began.store(now_ms, Ordering::Relaxed);
            self.written.store(lines, Ordering::Relaxed);
            return Ok(());
        }
        if written.saturating_add(lines) > self.most {
            return Err(MINUTE_MS - passed);
        }
        self.written.store(written + lines, Ordering::Relaxed);
        Ok(())
    }
}

/// What is held back at the moment.
#[derive(Debug)]
pub struct Limits {
    held: heapless::Vec<Held, MAX_HELD>,
    /// Lines of more causes than there is room for.
    others: u32,
}

/// Lines of one cause that were held back.
#[derive(Debug)]
pub struct Held {
    cause: &'static Cause,
    until_ms: u32,
    /// How many.
    pub lines: u32,
    /// Of the first of them.
    pub level: Level,
    /// The first of them.
    pub example: Line,
}

impl Limits {
    /// Nothing is held back.
    pub const fn new() -> Self {
        Self { held: heapless::Vec::new(), others: 0 }
    }

    /// Counts `lines` of `cause`; true if they may be written. `example` makes the first one, if none is held back yet.
    pub fn admit(
        &mut self,
        (cause, lines): (&'static Cause, u32),
        level: Level,
        now: Instant,
        example: impl FnOnce() -> Line,
    ) -> bool {
        let now_ms = millis(now);
        let Err(left_ms) = cause.admit(now_ms, lines) else { return true };
        if let Some(held) = self.held.iter_mut().find(|held| std::ptr::eq(held.cause, cause)) {
            held.lines = held.lines.saturating_add(lines);
        } else if !self.held.is_full() {
            let held = Held { cause, until_ms: now_ms.wrapping_add(left_ms), lines, level, example: example() };
            assert!(self.held.push(held).is_ok(), "there is room");
        } else {
            self.others = self.others.saturating_add(lines);
        }
        false
    }

    /// What was held back until now, one cause at a time; that is a line of it, too.
    pub fn due(&mut self, now: Instant) -> Option<Held> {
        let now_ms = millis(now);
        let is_over = |held: &Held| now_ms.wrapping_sub(held.until_ms) < u32::MAX / 2;
        let held = self.held.swap_remove(self.held.iter().position(is_over)?);
        let _ = held.cause.admit(now_ms, 1);
        Some(held)
    }

    /// Lines of other causes that were held back; counts from zero again.
    pub fn others(&mut self) -> u32 {
        std::mem::take(&mut self.others)
    }
}

/// The lower bits: the clock begins when the machine does.
fn millis(now: Instant) -> u32 {
    let millis = now.as_micros() / 1_000 % (1 << 32);
    u32::try_from(millis).expect("it has 32 bits")
}

/// Of a cause in a minute, at most.
const LINES: u32 = 60;

const MINUTE_MS: u32 = 60_000;

/// Causes that are held back at the same time; of more the lines are counted together.
const MAX_HELD: usize = 8;

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.write_str(text).unwrap();
        line
    }

    #[test]
    fn a_flood_says_60_lines_a_minute_and_how_many_it_did_not_say() {
        static CAUSE: Cause = Cause::new();
        let mut limits = Limits::new();
        // A signal every 100 us; from when on lies across the overflow of 32 bits.
        for start in [5, u64::from(u32::MAX) - 30_000] {
            let mut summaries = vec![];
            let mut said = [0; 3];
            for tenth in 0..1_500_000 {
                let now = at(start + tenth / 10);
                let minute = usize::try_from(tenth / 600_000).unwrap();
                while let Some(held) = limits.due(now) {
                    said[minute] += 1;
                    summaries.push((held.lines, held.level, held.example.text().to_vec()));
                }
                said[minute] += usize::from(limits.admit((&CAUSE, 1), Level::Warn, now, || line("again")));
            }
            assert_eq!(said, [60; 3], "{start}");
            assert_eq!(
                summaries,
                [(599_940, Level::Warn, b"again".to_vec()), (599_941, Level::Warn, b"again".to_vec())]
            );
            // And if nothing comes any more, it is said all the same.
            assert_eq!(limits.due(at(start + 180_001)).map(|held| held.lines), Some(299_941));
            assert!(limits.due(at(start + 300_000)).is_none());
            assert!(limits.admit((&CAUSE, 1), Level::Warn, at(start + 300_000), || line("")));
        }
    }

    #[test]
    fn a_cause_takes_no_line_from_another() {
        static FLOOD: Cause = Cause::new();
        static OTHER: Cause = Cause::new();
        let mut limits = Limits::new();
        for _ in 0..10_000 {
            limits.admit((&FLOOD, 1), Level::Info, at(0), || line(""));
        }
        for millis in 0..60 {
            assert!(limits.admit((&OTHER, 1), Level::Info, at(millis), || line("")), "{millis}");
        }
        assert!(!limits.admit((&OTHER, 1), Level::Info, at(60), || line("")));
    }

    #[test]
    fn lines_that_belong_together_are_said_together_or_not_at_all() {
        static CAUSE: Cause = Cause::of(52);
        let mut limits = Limits::new();
        let mut said = |lines, millis| limits.admit((&CAUSE, lines), Level::Info, at(millis), || line(""));
        assert!(said(300, 0), "those of a large group are never few");
        assert!(!said(1, 59_999));
        assert_eq!([said(20, 60_000), said(20, 60_001), said(20, 60_002), said(12, 60_003)], [true, true, false, true]);
    }

    #[test]
    fn more_causes_than_there_is_room_for_are_counted_together() {
        static CAUSES: [Cause; MAX_HELD + 2] = [const { Cause::new() }; MAX_HELD + 2];
        let mut limits = Limits::new();
        for cause in &CAUSES {
            for _ in 0..LINES + 3 {
                limits.admit((cause, 1), Level::Info, at(7), || line(""));
            }
        }
        assert!(limits.due(at(60_006)).is_none());
        let held: Vec<u32> = std::iter::from_fn(|| limits.due(at(60_007))).map(|held| held.lines).collect();
        assert_eq!((held, limits.others(), limits.others()), (vec![3; MAX_HELD], 6, 0));
    }
}
