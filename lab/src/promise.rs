//! A promise: what a value must be in every run, and with which timing.

use crate::stats::median;
use crate::timing::Timing;

use Bound::{Any, AtLeast, AtMost, Between, Median, Strict};

/// Whether a silent owner's own kernel drops what it sends from the address, at any timing. Until it does, the lease's
/// grain of a second decides, and the promises that wait for it are shown but not yet binding.
pub const FENCE: bool = true;
/// Whether a daemon at rest sleeps but once or twice in an interval, however many peers it has. The same.
pub const FEW_SLEEPS: bool = false;
/// Whether what the fence does with a packet is no more than it must be. The same.
pub const LEAN_FENCE: bool = true;

/// One promise of `ha`, which a scenario shows to be kept or not.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// Interval and tolerance.
    pub timing: Timing,
    /// The value, by its name in results.
    pub value: &'static str,
    /// The value in words.
    pub words: &'static str,
    /// What it must be.
    pub bound: Bound,
    /// Whether it is kept already: if not, the table says what is wanted, and nothing is missed.
    pub is_binding: bool,
    /// What CI does about it.
    in_short: InShort,
}

/// What the values of all runs must be like, in milliseconds or as a number.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// Every run between these.
    Between(f64, f64),
    /// Every run at most this: a number, or a time that is a matter of right and wrong.
    Strict(f64),
    /// Every run at most this.
    AtMost(f64),
    /// Every run at least this.
    AtLeast(f64),
    /// Half of the runs at most this.
    Median(f64),
    /// Whatever it is: a value to compare others with. But every run has it.
    Any,
}

/// What CI does about a promise.
#[derive(Debug, Clone, Copy)]
enum InShort {
    Measured,
    MeasuredAt(Timing),
    LeftOut,
}

/// 1 s / 3.5 s.
pub const SLOW: Timing = Timing::from_millis(1_000, 3_500);
/// 100 ms / 350 ms.
pub const BRISK: Timing = Timing::from_millis(100, 350);
/// 10 ms / 35 ms.
pub const FAST: Timing = Timing::from_millis(10, 35);

impl Promise {
    /// `value`, which `words` explain, stays within `bound`.
    pub const fn new(timing: Timing, value: &'static str, words: &'static str, bound: Bound) -> Self {
        Self { timing, value, words, bound, is_binding: true, in_short: InShort::Measured }
    }

    /// `value`, which `words` explain, is shown beside the others.
    pub const fn shown(timing: Timing, value: &'static str, words: &'static str) -> Self {
        Self::new(timing, value, words, Any)
    }

    /// It is wanted, and binds as soon as there is what it takes: [`FENCE`], [`FEW_SLEEPS`] or [`LEAN_FENCE`].
    pub const fn once(self, is_there: bool) -> Self {
        Self { is_binding: is_there, ..self }
    }

    /// CI has no time for it, or no machine that is fast enough.
    pub const fn not_in_short(self) -> Self {
        Self { in_short: InShort::LeftOut, ..self }
    }

    /// CI measures it with another timing.
    pub const fn in_short_at(self, timing: Timing) -> Self {
        Self { in_short: InShort::MeasuredAt(timing), ..self }
    }

    /// The timing with which CI measures it, if CI does.
    pub const fn timing_in_short(&self) -> Option<Timing> {
        match self.in_short {
            InShort::Measured => Some(self.timing),
            InShort::MeasuredAt(timing) => Some(timing),
            InShort::LeftOut => None,
        }
    }
}

impl Bound {
    /// Whether there are values, and they keep it. `allowance` is for what depends on the machine and on luck.
    pub fn holds(self, sorted: &[f64], allowance: f64) -> bool {
        let (Some(&min), Some(&max), Some(median)) = (sorted.first(), sorted.last(), median(sorted)) else {
            return false;
        };
        match self {
            Between(low, high) => low <= min && max <= high,
            Strict(limit) => max <= limit,
            AtLeast(limit) => min >= limit,
            AtMost(limit) => max <= limit + allowance,
            Median(limit) => median <= limit + allowance,
            Any => true,
        }
    }

    /// As the table of figures has it.
    pub fn in_words(self, allowance: f64) -> String {
        match self {
            Between(low, high) => format!("{low} to {high}"),
            Strict(limit) => format!("<= {limit}"),
            AtLeast(limit) => format!(">= {limit}"),
            AtMost(limit) => format!("<= {}", limit + allowance),
            Median(limit) => format!("median <= {}", limit + allowance),
            Any => String::new(),
        }
    }
}
