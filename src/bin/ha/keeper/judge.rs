//! What a worker may order: what a living node could, and no more, so that an attacker who has taken it over gets nothing else.
//!
//! | order | what is not possible | then |
//! |---|---|---|
//! | beat, take | decided later than now, by the clock of the same machine | it is killed |
//! | state changed | more often than takes, releases and links change | it is killed |
//! | | to what it is, more often than an address that was put back is reported | no hook runs |
//! | | ACTIVE without the address, anything else with it, *shutdown* without being told to stop | no hook runs |
//! | take | more often than an address is taken, given up and taken again | refused |
//! | renewal, assertion | more often than answers and bursts need one | counts as done: the last one is that young |
//! | question to a neighbour | about what is no host, to what is no card | not sent |
//! | probe | for an address that is not near a shared one | not sent |
//!
//! The paces have room for the worst that a node and its LAN do by themselves.

use std::net::IpAddr;

use ha::budget::Budget;
use ha::config::Cidr;
use ha::time::{Duration, Instant};
use ha::wire::State;
use ha::wire::arp::Mac;

use crate::channel::{Duty, Order};
use crate::log::warn;

/// Watches what workers order, one after the other.
#[derive(Debug)]
pub struct Judge {
    works: Budget,
    takes: Budget,
    changes: Budget,
    is_logged: bool,
}

/// What is to be done about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Obey,
    /// It is acknowledged as if it were done: the last time was a moment ago.
    Skip,
    /// It is not done; a worker that waits for the outcome hears so.
    Refuse,
    /// No living worker orders that, for this reason.
    Kill(&'static str),
}

impl Judge {
    /// For a node that speaks once an `interval`.
    pub fn new(interval: Duration, now: Instant) -> Self {
        let pace = |times: u64, least: u64| {
            (times * Duration::from_secs(1).as_micros()).div_ceil(interval.as_micros()).max(least)
        };
        Self {
            works: Budget::new(WORKS_AT_ONCE, pace(40, 100), now),
            takes: Budget::new(TAKES_AT_ONCE, pace(2, 1), now),
            changes: Budget::new(CHANGES_AT_ONCE, pace(4, 4), now),
            is_logged: false,
        }
    }

    /// About an order that was read at `now`, of a worker that `has` the addresses or not and was told to stop or not.
    pub fn judge(&mut self, order: &Order, has: bool, is_leaving: bool, shared: &[Cidr], now: Instant) -> Verdict {
        match *order {
            Order::Beat { at_us, .. } | Order::Take { at_us, .. } if is_to_come(at_us, now) => {
                Verdict::Kill("that was decided in the future")
            }
            // A release is done whenever it is ordered: each has cost a take.
            Order::Beat { duty: Duty::None, .. } => Verdict::Obey,
            Order::Beat { duty: Duty::Release, .. } if has => Verdict::Obey,
            Order::Beat { .. } if self.works.spend(1, now) => Verdict::Obey,
            Order::Beat { .. } => Verdict::Skip,
            Order::Take { .. } if self.takes.spend(1, now) => Verdict::Obey,
            Order::Take { .. } => {
                if !std::mem::replace(&mut self.is_logged, true) {
                    warn!("worker takes the addresses more often than a node can: refused; logged once");
                }
                Verdict::Refuse
            }
            Order::Changed { .. } if !self.changes.spend(1, now) => {
                Verdict::Kill("to change the state more often than it can")
            }
            Order::Changed { to, .. } if State::from_byte(to).is_some_and(|to| can_be(to, has, is_leaving)) => {
                Verdict::Obey
            }
            Order::Ask { neighbour, to, .. } if is_host(neighbour, shared) && to.is_none_or(is_card) => Verdict::Obey,
            Order::Probe { address, .. } if is_near(address, shared) => Verdict::Obey,
            Order::Changed { .. } | Order::Ask { .. } | Order::Probe { .. } => Verdict::Refuse,
            // Within the rate of frames.
            Order::Announce(_) => Verdict::Obey,
            Order::Acknowledge(_) => Verdict::Obey,
        }
    }
}

/// Later than now: processors may disagree by less than a millisecond.
fn is_to_come(at_us: u64, now: Instant) -> bool {
    Instant::from_micros(at_us).since(now) > CLOCKS_DIFFER
}

/// The state that a worker reports is one that the keeper can see.
fn can_be(to: State, has: bool, is_leaving: bool) -> bool {
    match to {
        State::Active => has,
        State::Standby | State::Unfit => !has,
        State::Shutdown => !has && is_leaving,
    }
}

/// An address that some other host can have.
fn is_host(address: IpAddr, shared: &[Cidr]) -> bool {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let is_ours = shared.iter().any(|cidr| cidr.address == address);
    !is_ours && Cidr::new(address, prefix).check().is_ok()
}

/// A shared address, or one for which only a host replies that replies for every address: the core draws it from the same
/// network, of which the keeper knows no more than that it is not larger than the largest. Of IPv6 it draws none.
fn is_near(address: IpAddr, shared: &[Cidr]) -> bool {
    let is_near = |cidr: &Cidr| match (cidr.address, address) {
        (IpAddr::V4(shared), IpAddr::V4(address)) => shared.octets()[0] == address.octets()[0],
        (shared, address) => shared == address,
    };
    shared.iter().any(is_near)
}

/// The address of one card, not of many.
fn is_card(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

const CLOCKS_DIFFER: Duration = Duration::from_millis(1);

/// At once: all that waits when the keeper was held up.
const WORKS_AT_ONCE: u64 = 256;

/// At once: a start, and hand-overs that come back.
const TAKES_AT_ONCE: u64 = 8;

/// At once: those, and a link that goes and comes.
const CHANGES_AT_ONCE: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(60_000_000);

    fn shared() -> [Cidr; 2] {
        [
            Cidr::new([192, 0, 2, 1].into(), 24),
            Cidr::new(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), 64),
        ]
    }

    fn beat(duty: Duty, at_us: u64) -> Order {
        Order::Beat { at_us, duty, resign_packet: None }
    }

    fn changed(to: State) -> Order {
        Order::Changed { to: to as u8, peer: None, reason: heapless::String::new() }
    }

    /// Verdicts within `secs`, each of `orders` every millisecond.
    fn within(secs: u64, order: &Order, has: bool) -> Vec<Verdict> {
        let mut judge = Judge::new(Duration::from_secs(1), START);
        let times = (0..secs * 1_000).map(|millis| START + Duration::from_millis(millis));
        times.map(|now| judge.judge(order, has, false, &shared(), now)).collect()
    }

    fn obeyed(verdicts: &[Verdict]) -> usize {
        verdicts.iter().filter(|&&verdict| verdict == Verdict::Obey).count()
    }

    #[test]
    fn what_was_decided_in_the_future_is_the_end() {
        let now = START.as_micros();
        let mut judge = Judge::new(Duration::from_secs(1), START);
        for order in [
            |at_us| beat(Duty::None, at_us),
            |at_us| beat(Duty::Renew, at_us),
            |at_us| Order::Take { ticket: 1, at_us },
        ] {
            for at_us in [now + 1_001, now + 60_000_000, u64::MAX] {
                let verdict = judge.judge(&order(at_us), true, false, &shared(), START);
                assert!(matches!(verdict, Verdict::Kill(_)), "{:?}", order(at_us));
            }
            for at_us in [0, now - 1, now] {
                assert_eq!(
                    judge.judge(&order(at_us), true, false, &shared(), START),
                    Verdict::Obey,
                    "{:?}",
                    order(at_us)
                );
            }
        }
    }

    #[test]
    fn a_flood_of_renewals_becomes_what_answers_and_bursts_need() {
        let verdicts = within(10, &beat(Duty::Renew, 0), true);
        assert_eq!(obeyed(&verdicts), 256 + 999);
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Obey | Verdict::Skip)));
        assert_eq!(obeyed(&within(10, &beat(Duty::AssertAbsent, 0), false)), 256 + 999);
        assert_eq!(obeyed(&within(10, &beat(Duty::Release, 0), true)), 10_000, "never refused");
    }

    #[test]
    fn takes_are_as_rare_as_hand_overs_can_be() {
        let verdicts = within(10, &Order::Take { ticket: 1, at_us: 0 }, false);
        assert_eq!(obeyed(&verdicts), 8 + 19);
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Obey | Verdict::Refuse)));
    }

    #[test]
    fn a_state_is_reported_that_can_be_and_not_for_ever() {
        let all = [State::Standby, State::Active, State::Unfit, State::Shutdown];
        for (has, is_leaving, expected) in [
            (false, false, [true, false, true, false]),
            (true, false, [false, true, false, false]),
            (false, true, [true, false, true, true]),
            (true, true, [false, true, false, false]),
        ] {
            let mut judge = Judge::new(Duration::from_secs(1), START);
            let found = all.map(|to| judge.judge(&changed(to), has, is_leaving, &shared(), START) == Verdict::Obey);
            assert_eq!(found, expected, "{has} {is_leaving}");
        }
        let verdicts = within(1, &changed(State::Active), true);
        assert!(verdicts[..32].iter().all(|&verdict| verdict == Verdict::Obey));
        assert!(verdicts[40..].iter().any(|verdict| matches!(verdict, Verdict::Kill(_))));
        let mut judge = Judge::new(Duration::from_secs(1), START);
        let mut report =
            |secs: u64| judge.judge(&changed(State::Active), true, false, &shared(), START + Duration::from_secs(secs));
        assert!((0..1_000).all(|round| report(round * 10) == Verdict::Obey), "each ten seconds for ever");
    }

    #[test]
    fn only_hosts_are_asked_and_only_at_their_cards() {
        let mut judge = Judge::new(Duration::from_secs(1), START);
        let mut is_asked = |neighbour: &str, to| {
            let neighbour = neighbour.parse().unwrap();
            judge.judge(&Order::Ask { index: 0, neighbour, to }, true, false, &shared(), START) == Verdict::Obey
        };
        let card = Some([2, 0, 0, 0, 0, 7]);
        for host in ["192.0.2.7", "10.0.0.1", "2001:db8::7", "fe80::1"] {
            assert!(is_asked(host, None) && is_asked(host, card), "{host}");
        }
        for nobody in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1"] {
            assert!(!is_asked(nobody, card), "{nobody}");
        }
        for nobody in ["::", "::1", "ff02::1", "::ffff:192.0.2.7", "2001:db8::1"] {
            assert!(!is_asked(nobody, card), "{nobody}");
        }
        for nobody in [[0; 6], [255; 6], [1, 0, 0x5e, 2, 3, 4]] {
            assert!(!is_asked("192.0.2.7", Some(nobody)), "{nobody:?}");
        }
        let mut is_probed = |address: &str| {
            judge.judge(&Order::Probe { link: 0, address: address.parse().unwrap() }, false, false, &shared(), START)
                == Verdict::Obey
        };
        assert!(["192.0.2.1", "192.0.2.77", "2001:db8::1"].into_iter().all(&mut is_probed));
        assert!(!["0.0.0.0", "10.0.0.1", "255.255.255.255", "2001:db8::2", "::"].into_iter().any(is_probed));
    }
}
