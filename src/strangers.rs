//! A node that was not heard before has to answer first.
//!
//! A friend's voice on an answering machine is genuine, and tells nothing about the present. So with a secret key a packet of a
//! boot that this node does not know only earns its sender a question with a nonce that was never used; the answer carries the
//! nonce back under the tag, and shows which boot lives. The question names a node and not a boot: packets recorded from
//! thousands of boots cost one question an interval, and do not keep the living one from answering it. A node with shorter
//! times is asked as often as it speaks: it would be ready, and have the address, before the next question.

use heapless::Vec;

use crate::budget::Budget;
use crate::hash::hash;
use crate::peers::hearsay;
use crate::time::{Duration, Instant};
use crate::wire::{Heartbeat, NodeId, State};

/// Those that were asked of late.
#[derive(Debug, Clone)]
pub struct Strangers {
    table: Vec<Stranger, MAX>,
    seed: u64,
    asked: u64,
    /// Until then a stranger that may be ACTIVE has asked others to count on it.
    active_until: Option<Instant>,
    answers: Budget,
}

/// One that was asked.
#[derive(Debug, Clone, Copy)]
struct Stranger {
    node: NodeId,
    /// None since it has answered.
    nonce: Option<u64>,
    /// Since when it has not answered.
    since: Instant,
    asked_at: Instant,
    /// It did not answer the question before.
    is_silent: bool,
}

impl Strangers {
    /// Nobody yet; `seed` is new at every start, so that no nonce is used twice.
    pub fn new(seed: u64, now: Instant) -> Self {
        Self {
            table: Vec::new(),
            seed,
            asked: 0,
            active_until: None,
            answers: Budget::new(ANSWERS_AT_ONCE, ANSWERS_PER_S, now),
        }
    }

    /// A genuine packet of a boot that is not known: the nonce to ask its sender with. Each node is asked once an `interval`
    /// or, if that is shorter, an interval of its own.
    ///
    /// A full table forgets the node that was asked longest ago, if that is an interval or it has answered; else none is asked.
    pub fn doubt(&mut self, now: Instant, said: &Heartbeat, interval: Duration) -> Option<u64> {
        if said.state == State::Active {
            self.active_until = self.active_until.max(Some(now + said.hold));
        }
        let known = self.table.iter().position(|stranger| stranger.node == said.node);
        // Not before the question and its answer have had their time, whatever was recorded: only the last one can be answered.
        let pause = said.interval.clamp(hearsay(interval).saturating_mul(2), interval);
        let is_due = |stranger: &Stranger| now.since(stranger.asked_at) >= pause;
        let place = match known {
            Some(index) => Some(index).filter(|&index| is_due(&self.table[index])),
            None if !self.table.is_full() => Some(self.table.len()),
            None => {
                let is_done = |&index: &usize| is_due(&self.table[index]) || self.table[index].nonce.is_none();
                (0..MAX).filter(is_done).min_by_key(|&index| self.table[index].asked_at)
            }
        };
        let index = place?;
        let silent = known.map(|index| self.table[index]).filter(|stranger| stranger.nonce.is_some());
        let is_silent = silent.is_some();
        let since = silent.map_or(now, |silent| silent.since);
        let nonce = self.nonce();
        let stranger = Stranger { node: said.node, nonce: Some(nonce), since, asked_at: now, is_silent };
        match self.table.get_mut(index) {
            Some(old) => *old = stranger,
            None => assert!(self.table.push(stranger).is_ok(), "there is room"),
        }
        Some(nonce)
    }

    /// True if a node is heard that has not answered and may live, deaf to this node. What does not answer for a minute is
    /// recorded, and so are many at once; what `has_left`, and does not answer, too.
    pub fn is_missing_one(&self, now: Instant, has_left: impl Fn(NodeId) -> bool) -> bool {
        let is_missing = |stranger: &Stranger| stranger.nonce.is_some() && now < stranger.since + BENEFIT_OF_DOUBT;
        !self.table.is_full() && self.table.iter().any(|stranger| is_missing(stranger) && !has_left(stranger.node))
    }

    /// True if this node was asked and has not answered yet.
    pub fn awaits(&self, node: NodeId) -> bool {
        self.table.iter().any(|stranger| stranger.node == node && stranger.nonce.is_some())
    }

    /// True if this node was asked again, since it did not answer for an interval: what is heard of it may be recorded.
    pub fn is_silent(&self, node: NodeId) -> bool {
        self.table.iter().any(|stranger| stranger.node == node && stranger.is_silent)
    }

    /// True, once, if this is the answer to the last question to its sender.
    pub fn is_answer(&mut self, said: &Heartbeat) -> bool {
        let asked = self.table.iter_mut().find(|stranger| stranger.node == said.node);
        asked.is_some_and(|asked| {
            let is_answer = asked.nonce.take_if(|nonce| *nonce == said.nonce).is_some();
            asked.is_silent &= !is_answer;
            is_answer
        })
    }

    /// Until when a node may be ACTIVE that could not prove yet that it lives.
    pub fn active_until(&self) -> Option<Instant> {
        self.active_until
    }

    /// True if a stranger's question may be answered: 100 a second, and 64 at once when a whole group starts.
    pub fn may_answer(&mut self, now: Instant) -> bool {
        self.answers.spend(1, now)
    }

    fn nonce(&mut self) -> u64 {
        self.asked += 1;
        u64::from_le_bytes(hash(&[&self.seed.to_le_bytes(), &self.asked.to_le_bytes()]))
    }
}

/// Most nodes that are asked at the same time; a larger group gets to know each other in several intervals.
const MAX: usize = 32;

/// For so long one that does not answer may be deaf, or its answers may get lost.
const BENEFIT_OF_DOUBT: Duration = Duration::from_secs(60);

const ANSWERS_AT_ONCE: u64 = 64;
const ANSWERS_PER_S: u64 = 100;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::wire::Kind;

    const INTERVAL: Duration = Duration::from_secs(1);

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn said(node: u8, boot: u64) -> Heartbeat {
        Heartbeat { boot, ..Heartbeat::plain(NodeId::from_v4(Ipv4Addr::new(192, 0, 2, node))) }
    }

    #[test]
    fn ten_thousand_boots_of_a_node_earn_one_question_an_interval() {
        let mut strangers = Strangers::new(7, at(0));
        let mut questions = 0;
        for number in 0..10_000 {
            let asked = strangers.doubt(at(number), &said(1, number), INTERVAL);
            questions += usize::from(asked.is_some());
        }
        assert_eq!((questions, strangers.table.len()), (10, 1));
    }

    #[test]
    fn only_the_last_nonce_is_an_answer_and_only_once() {
        let mut strangers = Strangers::new(7, at(0));
        let mut ask = |millis| strangers.doubt(at(millis), &said(1, 5), INTERVAL).unwrap();
        let (first, second) = (ask(0), ask(1_000));
        assert_ne!(first, second);
        let answer = |nonce, node| Heartbeat { kind: Kind::Response, nonce, ..said(node, 6) };
        assert!(!strangers.is_answer(&answer(first, 1)), "an older question");
        assert!(!strangers.is_answer(&answer(second, 2)), "somebody else");
        assert!(strangers.is_answer(&answer(second, 1)));
        assert!(!strangers.is_answer(&answer(second, 1)), "a copy");
    }

    #[test]
    fn a_node_that_does_not_answer_for_a_minute_or_has_left_is_not_missed() {
        let mut strangers = Strangers::new(7, at(0));
        for second in 0..120 {
            strangers.doubt(at(second * 1_000), &said(1, 5), INTERVAL);
            let is_missing = strangers.is_missing_one(at(second * 1_000), |_| false);
            assert_eq!(is_missing, second < 60, "{second}");
        }
        strangers.doubt(at(120_000), &said(2, 5), INTERVAL);
        assert!(strangers.is_missing_one(at(120_000), |_| false));
        assert!(!strangers.is_missing_one(at(120_000), |node| node == said(2, 5).node));
        for node in 3..=u8::try_from(MAX).unwrap() {
            strangers.doubt(at(120_000), &said(node, 5), INTERVAL);
        }
        assert!(!strangers.is_missing_one(at(120_000), |_| false), "this many at once are recorded");
    }

    #[test]
    fn a_node_that_has_answered_is_asked_again_after_an_interval_and_not_before() {
        let mut strangers = Strangers::new(7, at(0));
        let nonce = strangers.doubt(at(0), &said(1, 5), INTERVAL).unwrap();
        assert!(strangers.is_missing_one(at(0), |_| false));
        assert!(strangers.is_answer(&Heartbeat { kind: Kind::Response, nonce, ..said(1, 6) }));
        assert!(!strangers.is_missing_one(at(0), |_| false));
        let asks = [1, 999, 1_000].map(|millis| strangers.doubt(at(millis), &said(1, 5), INTERVAL).is_some());
        assert_eq!(asks, [false, false, true], "what is played back earns no more than that");
    }

    #[test]
    fn nonces_of_another_start_are_others() {
        let nonce = |seed| Strangers::new(seed, at(0)).doubt(at(0), &said(1, 5), INTERVAL);
        assert_ne!(nonce(7), nonce(8));
    }

    #[test]
    fn a_node_that_does_not_answer_for_an_interval_is_silent() {
        let mut strangers = Strangers::new(7, at(0));
        let silent = [0, 999, 1_000].map(|millis| {
            let _ = strangers.doubt(at(millis), &said(1, 5), INTERVAL);
            strangers.is_silent(said(1, 5).node)
        });
        assert_eq!(silent, [false, false, true]);
    }

    #[test]
    fn a_full_table_asks_no_more_until_a_node_has_had_an_interval() {
        let mut strangers = Strangers::new(7, at(0));
        let mut asks = |millis| {
            let asked = (0..40).filter_map(|node| strangers.doubt(at(millis), &said(node, 1), INTERVAL));
            asked.count()
        };
        assert_eq!((asks(0), asks(999), asks(1_000)), (MAX, 0, MAX));
    }

    #[test]
    fn an_active_that_cannot_prove_itself_is_remembered_for_its_hold() {
        let mut strangers = Strangers::new(7, at(0));
        let _ = strangers.doubt(at(0), &said(1, 5), INTERVAL);
        assert_eq!(strangers.active_until(), None);
        let _ = strangers.doubt(at(100), &Heartbeat { state: State::Active, ..said(1, 5) }, INTERVAL);
        assert_eq!(strangers.active_until(), Some(at(3_600)));
    }

    #[test]
    fn strangers_are_answered_a_hundred_times_a_second() {
        let mut strangers = Strangers::new(7, at(0));
        let mut answers = |millis| (0..1_000).filter(|_| strangers.may_answer(at(millis))).count();
        assert_eq!((answers(0), answers(9), answers(10), answers(1_010)), (64, 0, 1, 64));
    }
}
