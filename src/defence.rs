//! How often to contradict another host that says by ARP that it has the address.
//!
//! Two that contradict each other at once would never stop (RFC 5227 section 2.4). So an owner does it once a second at
//! most, always after the last claim, and after ten times in a minute leaves it at counting: then it is a fight, which a person
//! has to end.

use crate::time::{Duration, Instant};
use crate::wire::arp::Mac;

/// The conflicts of late.
#[derive(Debug, Clone, Default)]
pub struct Defence {
    /// The first contradiction of this minute, and how many there were since.
    minute: Option<(Instant, u32)>,
    last: Option<Instant>,
    named: Option<(Mac, Instant)>,
}

/// What to do about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// When to announce; none if that was done often enough.
    pub announce_at: Option<Instant>,
    /// This host is worth a word.
    pub is_news: bool,
}

impl Defence {
    /// Another host says that it has the address.
    pub fn claimed(&mut self, now: Instant, mac: Mac) -> Verdict {
        let is_known = self.named.is_some_and(|(named, at)| named == mac && now < at + MINUTE);
        let (since, times) = self.minute.filter(|&(since, _)| now < since + MINUTE).unwrap_or((now, 0));
        let at = self.last.map_or(now, |last| now.max(last + GAP));
        let is_planned = self.last.is_some_and(|last| last > now);
        let announce_at = if is_planned { self.last } else { (times < MOST).then_some(at) };
        if let Some(at) = announce_at.filter(|_| !is_planned) {
            self.minute = Some((since, times + 1));
            self.last = Some(at);
        }
        let has_just_given_up = announce_at.is_none() && self.minute.is_some_and(|(_, times)| times == MOST);
        if has_just_given_up {
            self.minute = Some((since, times + 1));
        }
        let is_news = !is_known || has_just_given_up;
        if is_news {
            self.named = Some((mac, now));
        }
        Verdict { announce_at, is_news }
    }
}

/// Between two contradictions.
const GAP: Duration = Duration::from_secs(1);

/// MAX_CONFLICTS and RATE_LIMIT_INTERVAL (RFC 5227 section 1.1).
const MOST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 9];

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn a_claim_is_contradicted_at_once_and_the_next_a_second_later() {
        let mut defence = Defence::default();
        let mut claimed = |millis| defence.claimed(at(millis), MAC).announce_at;
        assert_eq!(claimed(5_000), Some(at(5_000)));
        assert_eq!(claimed(5_100), Some(at(6_000)));
        assert_eq!(claimed(5_900), Some(at(6_000)), "one word for both");
        assert_eq!(claimed(6_500), Some(at(7_000)));
        assert_eq!(claimed(20_000), Some(at(20_000)));
    }

    #[test]
    fn ten_contradictions_a_minute_are_enough_and_that_is_said_once() {
        let mut defence = Defence::default();
        let verdicts: std::vec::Vec<_> = (0..300).map(|tenths| defence.claimed(at(tenths * 200), MAC)).collect();
        let mut announced: std::vec::Vec<_> = verdicts.iter().filter_map(|verdict| verdict.announce_at).collect();
        announced.dedup();
        assert_eq!(announced.len(), 10);
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_news).count(), 2, "the first, and the last straw");
        assert_eq!(defence.claimed(at(60_000), MAC), Verdict { announce_at: Some(at(60_000)), is_news: false });
    }

    #[test]
    fn every_host_is_named_once_a_minute_unless_another_one_comes_between() {
        let mut defence = Defence::default();
        let mut is_news = |millis, last| defence.claimed(at(millis), [2, 0, 0, 0, 0, last]).is_news;
        assert!(is_news(0, 1) && !is_news(100, 1) && is_news(200, 2) && is_news(300, 1) && !is_news(400, 1));
        assert!(is_news(60_400, 1));
    }
}
