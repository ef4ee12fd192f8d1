//! One counter per cause.

use crate::time::{Duration, Instant};

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// Of another size, magic or version: somebody else's packet.
    Foreign,
    /// Of another group.
    OtherGroup,
    /// The tag is wrong: another key, or damage.
    Forged,
    /// A field that holds nonsense.
    Malformed,
    /// The TTL is not 255 (RFC 5082): it came through a router.
    Misrouted,
    /// Sent from another address than it says.
    Misattributed,
    /// Our own packet came back.
    Looped,
    /// Another node has our address.
    Namesake,
    /// The last packet of its sender again: the last words of a dying node are sent three times.
    Duplicate,
    /// Not newer than what was heard.
    Replayed,
    /// The table of peers is full.
    Full,
}

/// How often each cause was seen, and when it was last worth a word.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    drops: [u64; DROPS],
    named_at: [Option<Instant>; DROPS],
    /// Times that the clock ran backwards.
    pub clock_backwards: u64,
    /// Times that somebody else removed the address.
    pub repairs: u64,
}

impl Counters {
    /// Counts a drop; true if it is worth a word: once a minute and cause.
    pub fn drop(&mut self, now: Instant, cause: Drop) -> bool {
        let index = cause as usize;
        self.drops[index] += 1;
        let is_worth_a_word = self.named_at[index].is_none_or(|at| now.since(at) >= NAME_AGAIN);
        if is_worth_a_word {
            self.named_at[index] = Some(now);
        }
        is_worth_a_word
    }

    /// How many packets were dropped for `cause`.
    pub fn dropped(&self, cause: Drop) -> u64 {
        self.drops[cause as usize]
    }
}

impl core::fmt::Display for Drop {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is not a packet of ha",
            Self::OtherGroup => "is of another group",
            Self::Forged => "has a wrong tag (another key?)",
            Self::Malformed => "holds nonsense",
            Self::Misrouted => "came through a router (TTL is not 255)",
            Self::Misattributed => "names another sender than its source",
            Self::Looped => "is our own (is the LAN looped?)",
            Self::Namesake => "comes from another node with our address",
            Self::Duplicate => "came twice",
            Self::Replayed => "is not newer than what was heard",
            Self::Full => "comes from one node too many",
        })
    }
}

const DROPS: usize = Drop::Full as usize + 1;
const NAME_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_always_and_named_once_a_minute() {
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let mut counters = Counters::default();
        assert!(counters.drop(at(0), Drop::Forged));
        assert!(!counters.drop(at(59), Drop::Forged));
        assert!(counters.drop(at(59), Drop::Foreign));
        assert!(counters.drop(at(60), Drop::Forged));
        assert_eq!((counters.dropped(Drop::Forged), counters.dropped(Drop::Foreign)), (3, 1));
    }
}
