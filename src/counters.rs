//! One counter per cause.

use heapless::Vec;

use crate::neighbours::Coverage;
use crate::time::{Duration, Instant};
use crate::wire::NodeId;

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// Of another size or magic: another program's packet.
    Foreign,
    /// Of version 1 of the protocol: an older `ha`.
    OldVersion,
    /// Of a version that is not known.
    OtherVersion,
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
    /// Its source is not in our subnet.
    OffLink,
    /// Our own packet came back.
    Looped,
    /// Another node has our address.
    Namesake,
    /// The last packet of its sender again: the keeper sends a resign packet three times.
    Duplicate,
    /// Not newer than what was heard.
    Replayed,
    /// Of a boot that has not answered our challenge.
    Unproven,
    /// The table of peers is full.
    Full,
}

/// How often each cause was seen, and what was worth a word of late.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    drops: [u64; DROPS],
    named: Vec<Named, NAMES>,
    /// Times that the clock ran backwards.
    pub clock_backwards: u64,
    /// Times that the address was removed from outside.
    pub repairs: u64,
    /// ARP packets in which another host said that it has an address that we had.
    pub conflicts: u64,
    /// Times that an address which was to be taken was in use.
    pub in_use: u64,
    /// Neighbours that were asked whether they know where the address is.
    pub asked: u64,
    /// Those that have confirmed it.
    pub confirmed: u64,
}

/// A source and a cause that were named.
#[derive(Debug, Clone)]
struct Named {
    from: NodeId,
    cause: Drop,
    at: Instant,
}

impl Counters {
    /// Counts a drop; true if it is worth a word: once a minute for each source and cause, and 16 words a minute in all, since
    /// sources can be invented.
    pub fn drop(&mut self, now: Instant, from: NodeId, cause: Drop) -> bool {
        self.count(cause);
        let is_old = |named: &Named| now.since(named.at) >= NAME_AGAIN;
        if let Some(named) = self.named.iter_mut().find(|named| (named.from, named.cause) == (from, cause)) {
            let is_worth_a_word = is_old(named);
            if is_worth_a_word {
                named.at = now;
            }
            return is_worth_a_word;
        }
        if self.named.is_full() {
            self.named.retain(|named| !is_old(named));
        }
        self.named.push(Named { from, cause, at: now }).is_ok()
    }

    /// Counts what came of a round of questions.
    pub fn covered(&mut self, coverage: Coverage) {
        self.asked += u64::from(coverage.asked);
        self.confirmed += u64::from(coverage.confirmed);
    }

    /// Counts a drop that is nothing worth a word.
    pub fn count(&mut self, cause: Drop) {
        self.drops[cause as usize] += 1;
    }

    /// How many packets were dropped for `cause`.
    pub fn dropped(&self, cause: Drop) -> u64 {
        self.drops[cause as usize]
    }

    /// Every cause with its count, those never seen left out.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> {
        Drop::ALL.into_iter().map(|cause| (cause, self.dropped(cause))).filter(|&(_, count)| count > 0)
    }
}

impl Drop {
    const ALL: [Self; DROPS] = [
        Self::Foreign,
        Self::OldVersion,
        Self::OtherVersion,
        Self::OtherGroup,
        Self::Forged,
        Self::Malformed,
        Self::Misrouted,
        Self::Misattributed,
        Self::OffLink,
        Self::Looped,
        Self::Namesake,
        Self::Duplicate,
        Self::Replayed,
        Self::Unproven,
        Self::Full,
    ];
}

impl core::fmt::Display for Drop {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Foreign => "is not a packet of ha",
            Self::OldVersion => {
                "speaks version 1 of the protocol: an older ha, which does not hear us either; expected version 2"
            }
            Self::OtherVersion => "speaks an unknown version of the protocol: a newer ha? Expected version 2",
            Self::OtherGroup => "is of another group",
            Self::Forged => "has a wrong tag (another key?)",
            Self::Malformed => "holds nonsense",
            Self::Misrouted => "came through a router (TTL is not 255)",
            Self::Misattributed => "names another sender than its source",
            Self::OffLink => "comes from another subnet",
            Self::Looped => "is our own (is the LAN looped?)",
            Self::Namesake => "comes from another node with our address",
            Self::Duplicate => "came twice",
            Self::Replayed => "is not newer than what was heard",
            Self::Unproven => "is of a boot that does not answer (recorded?)",
            Self::Full => "comes from one node too many",
        })
    }
}

const DROPS: usize = Drop::Full as usize + 1;
const NAME_AGAIN: Duration = Duration::from_secs(60);

/// Most words about dropped packets in a minute.
const NAMES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const fn node(number: u8) -> NodeId {
        NodeId::from_v4(core::net::Ipv4Addr::new(192, 0, 2, number))
    }

    #[test]
    fn each_cause_is_counted_always_and_named_once_a_minute_and_source() {
        let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
        let mut counters = Counters::default();
        assert!(counters.drop(at(0), node(1), Drop::Forged));
        assert!(counters.drop(at(1), node(2), Drop::Forged));
        assert!(!counters.drop(at(59), node(1), Drop::Forged));
        assert!(counters.drop(at(59), node(1), Drop::Foreign));
        assert!(counters.drop(at(60), node(1), Drop::Forged));
        let counts: std::vec::Vec<_> = counters.drops().collect();
        assert_eq!(counts, [(Drop::Foreign, 1), (Drop::Forged, 4)]);
    }

    #[test]
    fn invented_sources_get_no_more_than_their_share_of_words() {
        let mut counters = Counters::default();
        let words = |counters: &mut Counters, secs: u64| {
            let at = Instant::from_micros(secs * 1_000_000);
            (0..=255).filter(|&number| counters.drop(at, node(number), Drop::Forged)).count()
        };
        assert_eq!((words(&mut counters, 0), words(&mut counters, 59), words(&mut counters, 60)), (NAMES, 0, NAMES));
        assert_eq!(counters.dropped(Drop::Forged), 3 * 256);
    }
}
