//! Routers that answer for addresses that they do not have (proxy ARP).
//!
//! A doorman who says "she lives here" to any name is no proof that she does. A router may answer for a whole network, so a host
//! that answers for the shared address is asked for others of the same network, drawn at random (decoys): a host answers for its
//! own, a doorman for all. And some answer requests alone, and leave probes, which have no sender, to the host that has the
//! address (Linux 6.18 does, measured): one that answers requests and no probes does not have it either.

use core::net::IpAddr;

use heapless::Vec;

use crate::time::{Duration, Instant};
use crate::wire::arp::Mac;

/// Those that answered for the address of late, and the question that is open.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    hosts: Vec<Host, MAX>,
    exam: Option<Exam>,
}

/// What to do about one that answered a probe for the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// It does not answer for others: it has the address.
    Cleared,
    /// It is not known yet.
    Open,
    /// Ask for this decoy once more, or for a new one.
    Ask(Option<IpAddr>),
}

/// What an answer to a decoy shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing, or nothing yet.
    None,
    /// Ask for another one.
    AskNext,
    /// It answers for everybody; `is_news`: that was not said yet.
    Proxy {
        /// It is worth a word.
        is_news: bool,
    },
}

/// What a reply to this host alone is worth that no probe asked for: no other host has heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It answers probes, and for no other host: it has the address.
    Owner,
    /// It is not known yet: to be asked by a probe.
    Ask,
    /// It was asked a moment ago, or it does not have the address.
    Nothing,
    /// It answers for what it does not have, which was not said yet.
    NewProxy,
}

#[derive(Debug, Clone, Copy)]
struct Host {
    mac: Mac,
    seen_at: Instant,
    /// Decoys that it answered for, one after the other.
    decoys: u8,
    /// When it had answered for all of them.
    proven_at: Option<Instant>,
    /// When it had not.
    cleared_at: Option<Instant>,
    /// When it answered a probe last.
    answered_at: Option<Instant>,
    /// When it was asked by a probe, since it had answered something else.
    asked_at: Option<Instant>,
    /// How many of these it did not answer.
    unanswered: u8,
    is_named: bool,
}

/// Decoys, one after the other.
#[derive(Debug, Clone, Copy)]
struct Exam {
    /// Which of them this is, from 1 on.
    number: u8,
    /// None: to be drawn.
    decoy: Option<IpAddr>,
    asked_at: Instant,
    times: u8,
}

impl Proxies {
    /// This one has answered a probe for the address. False if that says nothing, as it answers for everybody.
    pub fn answered(&mut self, now: Instant, mac: Mac) -> bool {
        let host = self.host(now, mac);
        (host.answered_at, host.unanswered) = (Some(now), 0);
        !host.is_proven(now)
    }

    /// What to do about one that has answered a probe for the address.
    pub fn examine(&mut self, now: Instant, mac: Mac) -> Suspicion {
        if self.host(now, mac).is_cleared(now) {
            return Suspicion::Cleared;
        }
        match self.exam {
            None => {
                self.hosts.iter_mut().for_each(|host| host.decoys = 0);
                self.exam = Some(Exam { number: 1, decoy: None, asked_at: now, times: 0 });
            }
            Some(exam) if exam.decoy.is_none() => {}
            Some(exam) if now < exam.asked_at + PATIENCE => return Suspicion::Open,
            Some(exam) if exam.times < TIMES => {}
            Some(_) => {
                self.clear(now);
                return Suspicion::Cleared;
            }
        }
        Suspicion::Ask(self.exam.and_then(|exam| exam.decoy))
    }

    /// The LAN was asked for this decoy.
    pub fn asked(&mut self, now: Instant, decoy: IpAddr) {
        if let Some(exam) = &mut self.exam {
            (exam.decoy, exam.asked_at, exam.times) = (Some(decoy), now, exam.times + 1);
        }
    }

    /// Nobody answers for decoys, or there are none: those that answered for the address have it.
    pub fn clear(&mut self, now: Instant) {
        self.exam = None;
        for host in &mut self.hosts {
            (host.decoys, host.cleared_at) = (0, Some(now));
        }
    }

    /// This one has answered for `address`.
    pub fn answered_for(&mut self, now: Instant, mac: Mac, address: IpAddr) -> Evidence {
        let Some(exam) = self.exam.filter(|exam| exam.decoy == Some(address)) else { return Evidence::None };
        let host = self.host(now, mac);
        if host.decoys + 1 != exam.number {
            return Evidence::None;
        }
        host.decoys = exam.number;
        if exam.number < DECOYS {
            self.exam = Some(Exam { number: exam.number + 1, decoy: None, asked_at: now, times: 0 });
            return Evidence::AskNext;
        }
        (host.decoys, host.proven_at, host.cleared_at) = (0, Some(now), None);
        let is_news = !core::mem::replace(&mut host.is_named, true);
        self.exam = None;
        Evidence::Proxy { is_news }
    }

    /// This one has replied to this host alone that it has the address, and no probe has asked for it.
    pub fn replied(&mut self, now: Instant, mac: Mac) -> Reply {
        let host = self.host(now, mac);
        if host.is_proven(now) {
            return Reply::Nothing;
        }
        if host.answered_at.is_some_and(|at| now < at + MINUTE) {
            return if host.is_cleared(now) { Reply::Owner } else { Reply::Ask };
        }
        let Some(asked_at) = host.asked_at else { return Reply::Ask };
        if host.unanswered < PROBES && now >= asked_at + PATIENCE {
            host.unanswered += 1;
        }
        if host.unanswered < PROBES {
            return if now < asked_at + PATIENCE { Reply::Nothing } else { Reply::Ask };
        }
        if !core::mem::replace(&mut host.is_named, true) {
            return Reply::NewProxy;
        }
        // It may have got the address since.
        if now >= asked_at + MINUTE { Reply::Ask } else { Reply::Nothing }
    }

    /// This one was asked by a probe, since it had replied.
    pub fn probed(&mut self, now: Instant, mac: Mac) {
        self.host(now, mac).asked_at = Some(now);
    }

    /// A full table forgets the host that was not heard for longest.
    fn host(&mut self, now: Instant, mac: Mac) -> &mut Host {
        let known = self.hosts.iter().position(|host| host.mac == mac);
        let index = known.unwrap_or_else(|| {
            let new = Host {
                mac,
                seen_at: now,
                decoys: 0,
                proven_at: None,
                cleared_at: None,
                answered_at: None,
                asked_at: None,
                unanswered: 0,
                is_named: false,
            };
            if self.hosts.push(new).is_ok() {
                return self.hosts.len() - 1;
            }
            let oldest = (0..MAX).min_by_key(|&index| self.hosts[index].seen_at).expect("it is full");
            self.hosts[oldest] = new;
            oldest
        });
        self.hosts[index].seen_at = now;
        &mut self.hosts[index]
    }
}

impl Host {
    fn is_proven(&self, now: Instant) -> bool {
        self.proven_at.is_some_and(|at| now < at + KNOWN_FOR)
    }

    fn is_cleared(&self, now: Instant) -> bool {
        self.cleared_at.is_some_and(|at| now < at + KNOWN_FOR)
    }
}

/// Hosts in the table.
const MAX: usize = 8;

/// No host has this number of addresses, drawn at random, unless it has nearly all: with a tenth of them one passes for a proxy once in
/// 10,000 times. More would cost frames that a take-over needs a moment later.
const DECOYS: u8 = 4;

/// A question, or its answer, may be lost.
const TIMES: u8 = 3;

/// Probes without an answer.
const PROBES: u8 = 3;

/// Linux takes up to 0.8 s to answer for others (proxy_delay).
const PATIENCE: Duration = Duration::from_millis(900);

const MINUTE: Duration = Duration::from_secs(60);

/// Then one may have got the address, or have become a router.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const ROUTER: Mac = [2, 0, 0, 0, 0, 1];
    const HOST: Mac = [2, 0, 0, 0, 0, 2];

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    const fn decoy(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    /// Answers for this number of decoys, one after the other.
    fn examined(proxies: &mut Proxies, now: Instant, decoys: u8) -> Evidence {
        let mut evidence = Evidence::None;
        for number in 1..=decoys {
            assert_eq!(proxies.examine(now, ROUTER), Suspicion::Ask(None), "{number}");
            proxies.asked(now, decoy(number));
            assert_eq!(proxies.examine(now, ROUTER), Suspicion::Open);
            evidence = proxies.answered_for(now, ROUTER, decoy(number));
        }
        evidence
    }

    #[test]
    fn a_host_that_answers_for_four_others_one_after_the_other_is_a_proxy_and_named_once() {
        let mut proxies = Proxies::default();
        assert!(proxies.answered(at(0), ROUTER));
        assert_eq!(examined(&mut proxies, at(0), DECOYS - 1), Evidence::AskNext);
        assert!(proxies.answered(at(0), ROUTER), "not yet");
        assert_eq!(proxies.examine(at(0), ROUTER), Suspicion::Ask(None));
        proxies.asked(at(0), decoy(99));
        assert_eq!(proxies.answered_for(at(0), ROUTER, decoy(98)), Evidence::None, "nobody has asked for it");
        assert_eq!(proxies.answered_for(at(0), ROUTER, decoy(99)), Evidence::Proxy { is_news: true });
        assert!(!proxies.answered(at(3_599_999), ROUTER));
        assert!(proxies.answered(at(3_600_000), ROUTER), "it may have got the address since");
        assert_eq!(examined(&mut proxies, at(3_600_000), DECOYS), Evidence::Proxy { is_news: false });
    }

    #[test]
    fn a_host_that_answers_for_itself_alone_has_the_address() {
        let mut proxies = Proxies::default();
        assert_eq!(proxies.examine(at(0), HOST), Suspicion::Ask(None));
        proxies.asked(at(0), decoy(1));
        assert_eq!(proxies.examine(at(899), HOST), Suspicion::Open);
        assert_eq!(proxies.examine(at(900), HOST), Suspicion::Ask(Some(decoy(1))), "the question may be lost");
        proxies.asked(at(900), decoy(1));
        assert_eq!(proxies.examine(at(1_800), HOST), Suspicion::Ask(Some(decoy(1))));
        proxies.asked(at(1_800), decoy(1));
        assert_eq!(proxies.examine(at(2_700), HOST), Suspicion::Cleared);
        assert_eq!(proxies.examine(at(3_602_699), HOST), Suspicion::Cleared);
        assert_eq!(proxies.examine(at(3_602_700), HOST), Suspicion::Ask(None));
    }

    #[test]
    fn the_host_beside_a_proxy_stays_one() {
        let mut proxies = Proxies::default();
        assert!(proxies.answered(at(0), HOST) && proxies.answered(at(0), ROUTER));
        // The second decoy is the host's own.
        examined(&mut proxies, at(0), 1);
        proxies.examine(at(0), ROUTER);
        proxies.asked(at(0), decoy(2));
        assert_eq!(proxies.answered_for(at(0), HOST, decoy(2)), Evidence::None);
        assert_eq!(proxies.answered_for(at(0), ROUTER, decoy(2)), Evidence::AskNext);
        for number in 3..=DECOYS {
            proxies.examine(at(0), ROUTER);
            proxies.asked(at(0), decoy(number));
            proxies.answered_for(at(0), ROUTER, decoy(number));
        }
        assert!(proxies.answered(at(1), HOST) && !proxies.answered(at(1), ROUTER));
    }

    #[test]
    fn a_host_that_answers_requests_and_three_times_no_probe_does_not_have_the_address() {
        let mut proxies = Proxies::default();
        let mut replies = |millis| {
            let reply = proxies.replied(at(millis), ROUTER);
            if reply == Reply::Ask {
                proxies.probed(at(millis), ROUTER);
            }
            reply
        };
        for (millis, expected) in [
            (0, Reply::Ask),
            (100, Reply::Nothing),
            (1_200, Reply::Ask),
            (3_000, Reply::Ask),
            (7_000, Reply::NewProxy),
            (10_000, Reply::Nothing),
            (63_000, Reply::Ask),
            (64_000, Reply::Nothing),
        ] {
            assert_eq!(replies(millis), expected, "{millis}");
        }
        assert!(proxies.answered(at(65_000), ROUTER));
        assert_eq!(proxies.replied(at(65_000), ROUTER), Reply::Ask, "it answers now: is it a host?");
        proxies.clear(at(66_000));
        assert_eq!(proxies.replied(at(66_000), ROUTER), Reply::Owner);
    }

    #[test]
    fn a_full_table_forgets_the_host_that_was_not_heard_for_longest() {
        let mut proxies = Proxies::default();
        examined(&mut proxies, at(0), DECOYS);
        for last in 10..16 {
            assert!(proxies.answered(at(last.into()), [2, 0, 0, 0, 0, last]));
        }
        assert!(!proxies.answered(at(20), ROUTER));
        assert!(proxies.answered(at(21), [2, 0, 0, 0, 0, 16]) && proxies.answered(at(22), [2, 0, 0, 0, 0, 17]));
        assert!(!proxies.answered(at(23), ROUTER));
    }
}
