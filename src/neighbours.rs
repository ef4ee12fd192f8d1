//! Who on the LAN uses the addresses, and whether they know where these are.
//!
//! A broadcast is a notice on the wall: nobody knows who has read it. So a node that took the address also sends each neighbour
//! that uses it a directed request, "who has NEIGHBOUR, tell SHARED": the neighbour enters the sender, whatever it knew before,
//! and its reply confirms that it did. A silent one is asked again. Every node keeps the table, since every node hears which hosts
//! ask for the address, and the next ACTIVE will need it.

use core::cmp::Reverse;
use core::net::IpAddr;

use heapless::Vec;

use crate::announce;
use crate::budget::Budget;
use crate::time::{Duration, Instant};
use crate::wire::arp::Mac;

/// Most neighbours.
pub const MAX: usize = 64;

/// The neighbours and the round of questions that is going on.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    table: Vec<Neighbour, MAX>,
    round: Option<Round>,
}

/// The link on which a host is, and its address there: routers often have fe80::1 on each.
pub type Host = (u8, IpAddr);

/// Why a host is a neighbour; the first kinds are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A router: all hosts behind it depend on it.
    Gateway,
    /// A node of the group.
    Member,
    /// It has asked for an address, or answered a question from one.
    User,
    /// The kernel knew it when the address was taken.
    Cached,
}

/// A directed request: "who has `neighbour`, tell the address with this index".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Which shared address.
    pub index: u8,
    /// The neighbour that is asked.
    pub neighbour: IpAddr,
    /// Where it is, if it alone is to hear it; else all do.
    pub to: Option<Mac>,
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Neighbours that have confirmed every address that they use.
    pub confirmed: u16,
    /// Neighbours that were asked.
    pub asked: u16,
    /// From the beginning to the last confirmation.
    pub after: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Neighbour {
    host: Host,
    mac: Option<Mac>,
    kind: Kind,
    /// A bit for each shared address that it uses.
    uses: u16,
    seen_at: Instant,
    /// Of these, what it has not confirmed in this round ...
    unconfirmed: u16,
    /// ... and what it has still to be asked for in this pass.
    pending: u16,
    passes: usize,
    asked_at: Option<Instant>,
    due: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    started: Instant,
    coverage: Coverage,
}

impl Neighbours {
    /// A host uses the addresses whose bits are set in `uses`; one that uses none is no neighbour. A full table forgets the host that
    /// was not seen for longest, but no gateway, and none for one that only the kernel knew.
    pub fn learn(&mut self, now: Instant, host: Host, mac: Option<Mac>, kind: Kind, uses: u16) {
        if uses == 0 {
            return;
        }
        if let Some(known) = self.table.iter_mut().find(|known| known.host == host) {
            known.mac = mac.or(known.mac);
            known.kind = known.kind.min(kind);
            known.uses |= uses;
            known.seen_at = now;
            return;
        }
        let most = match kind {
            Kind::Gateway => MAX_GATEWAYS,
            Kind::Member => MAX_MEMBERS,
            Kind::User | Kind::Cached => MAX,
        };
        let asks = self.round.is_some() && kind != Kind::User;
        let unconfirmed = if asks { uses } else { 0 };
        let new = Neighbour {
            host,
            mac,
            kind,
            uses,
            seen_at: now,
            unconfirmed,
            pending: unconfirmed,
            passes: 0,
            asked_at: None,
            due: now,
        };
        let is_crowded = self.table.iter().filter(|known| known.kind == kind).count() >= most;
        if !is_crowded && !self.table.is_full() {
            assert!(self.table.push(new).is_ok(), "there is room");
        } else if let Some(oldest) = self.oldest(is_crowded.then_some(kind)).filter(|_| kind != Kind::Cached) {
            *oldest = new;
        }
    }

    /// A host said that it uses the address with this index; `is_reply`: it answers a question from that address.
    pub fn hear(&mut self, now: Instant, host: Host, mac: Option<Mac>, index: u8, is_reply: bool) {
        let bit = 1 << index;
        self.learn(now, host, mac, Kind::User, bit);
        let Some(round) = &mut self.round else { return };
        let asked = self.table.iter_mut().find(|known| known.host == host && known.asked_at.is_some());
        if let Some(asked) = asked.filter(|asked| is_reply && asked.unconfirmed & bit != 0) {
            asked.unconfirmed &= !bit;
            asked.pending &= !bit;
            if asked.unconfirmed == 0 {
                // The question may be one of the round before.
                round.coverage.asked += u16::from(asked.asked_at < Some(round.started));
                round.coverage.confirmed += 1;
                round.coverage.after = now.since(round.started);
            }
        }
    }

    /// The addresses of the neighbours with this hardware address.
    pub fn named(&self, mac: Mac) -> impl Iterator<Item = IpAddr> {
        self.table.iter().filter(move |known| known.mac == Some(mac)).map(|known| known.host.1)
    }

    /// Asks all from `at` on. Those that the round before did not come to go first.
    pub fn start(&mut self, at: Instant) {
        let goes_on = self.round.is_some();
        let coverage = Coverage { confirmed: 0, asked: 0, after: Duration::ZERO };
        self.round = Some(Round { started: at, coverage });
        for known in &mut self.table {
            let asked_at = known.asked_at.filter(|_| goes_on);
            let (unconfirmed, pending) = (known.uses, known.uses);
            *known = Neighbour { unconfirmed, pending, passes: 0, asked_at, due: at, ..*known };
        }
    }

    /// Falls silent: the address is no longer ours.
    pub fn stop(&mut self) {
        self.round = None;
    }

    /// The next question; ask until there is none.
    pub fn poll(&mut self, now: Instant, frames: &mut Budget) -> Option<Ask> {
        let round = self.round.as_mut()?;
        for silent in self.table.iter_mut().filter(|known| known.is_given_up(now)) {
            silent.unconfirmed = 0;
        }
        let next = self.table.iter_mut().filter(|known| known.unconfirmed != 0 && known.due <= now);
        let next = next.min_by(|one, other| one.turn().cmp(&other.turn()))?;
        if !frames.spend_but(KEPT, 1, now) {
            return None;
        }
        if next.pending == 0 {
            next.pending = next.unconfirmed;
        }
        if next.passes == 0 && next.pending == next.unconfirmed {
            round.coverage.asked += 1;
            next.asked_at = Some(now);
        }
        let index = next.pending.trailing_zeros();
        next.pending &= next.pending - 1;
        // A broadcast moves older entries of others too; what is sent to one alone a WLAN delivers more surely.
        let is_to_all = next.passes % 2 == 0;
        if next.pending == 0 {
            let after = REPEATS.get(next.passes).copied().unwrap_or(LAST + PATIENCE);
            next.passes += 1;
            next.due = next.asked_at.unwrap_or(now) + after;
        }
        Some(Ask { index: u8::try_from(index).ok()?, neighbour: next.host.1, to: next.mac.filter(|_| !is_to_all) })
    }

    /// What came of the round, once, when each neighbour has confirmed or was given up; none if none was asked.
    pub fn finish(&mut self, now: Instant) -> Option<Coverage> {
        let is_open = self.table.iter().any(|known| known.unconfirmed != 0);
        let round = self.round.take_if(|round| !is_open && now >= round.started + OPEN)?;
        Some(round.coverage).filter(|coverage| coverage.asked > 0)
    }

    /// When [`Self::poll`] may have something.
    pub fn deadline(&self, frames: &Budget) -> Option<Instant> {
        let round = self.round?;
        let due = self.table.iter().filter(|known| known.unconfirmed != 0).map(|known| known.due).min();
        Some(due.map_or(round.started + OPEN, |due| due.max(frames.has_at(KEPT + 1))))
    }

    /// Who makes room: the oldest of this kind, or of all that are no gateways.
    fn oldest(&mut self, kind: Option<Kind>) -> Option<&mut Neighbour> {
        let makes_room = |known: &&mut Neighbour| kind.map_or(known.kind != Kind::Gateway, |kind| known.kind == kind);
        self.table.iter_mut().filter(makes_room).min_by(|one, other| one.worth().cmp(&other.worth()))
    }
}

impl Neighbour {
    /// The least is asked first: everybody once before anybody twice, but the gateways.
    fn turn(&self) -> (usize, Option<Instant>, Reverse<Instant>) {
        let pass = if self.kind == Kind::Gateway { 0 } else { self.passes };
        (pass * KINDS + self.kind as usize, self.asked_at, Reverse(self.seen_at))
    }

    /// The least makes room first.
    fn worth(&self) -> (bool, Instant) {
        (self.kind != Kind::Cached, self.seen_at)
    }

    fn is_given_up(&self, now: Instant) -> bool {
        self.passes > REPEATS.len() && self.due <= now
    }
}

/// The silent ones are asked again so long after the first time: as gratuitous ARP is repeated, and once soon, since a frame may
/// be lost.
const REPEATS: [Duration; 4] = [Duration::from_millis(200), Duration::from_millis(1_200), Duration::from_secs(3), LAST];
const LAST: Duration = Duration::from_secs(7);

/// Frames that questions leave: to contradict a claim, and to speak last when the fight is over, must not wait.
pub(crate) const KEPT: u64 = 2 * announce::MOST;

/// A neighbour that has not answered the last question by then is given up.
const PATIENCE: Duration = Duration::from_millis(200);

/// A round is open this long, even if all have confirmed, for neighbours that become known: the kernel is asked for its own after
/// the first announcement.
const OPEN: Duration = Duration::from_millis(100);

const KINDS: usize = Kind::Cached as usize + 1;
const MAX_GATEWAYS: usize = 8;

/// Clients of the address are more than servers that might be.
const MAX_MEMBERS: usize = 16;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    const fn host(number: u8) -> Host {
        (0, IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn number(address: IpAddr) -> u8 {
        let IpAddr::V4(address) = address else { panic!("{address}") };
        address.octets()[3]
    }

    /// The neighbours that are asked in a round at `now`, in order.
    fn asked(neighbours: &mut Neighbours, now: Instant) -> std::vec::Vec<u8> {
        neighbours.start(now);
        let mut frames = Budget::new(1_000, 1_000, now);
        std::iter::from_fn(|| neighbours.poll(now, &mut frames)).map(|ask| number(ask.neighbour)).collect()
    }

    #[test]
    fn a_full_table_forgets_the_neighbour_not_seen_for_longest_but_no_gateway() {
        let mut neighbours = Neighbours::default();
        neighbours.learn(at(0), host(1), None, Kind::Gateway, 1);
        for number in 2..=64 {
            neighbours.learn(at(number.into()), host(number), None, Kind::User, 1);
        }
        neighbours.learn(at(100), host(2), None, Kind::User, 1);
        neighbours.learn(at(101), host(65), None, Kind::User, 1);
        neighbours.learn(at(102), host(66), None, Kind::Cached, 1);
        let asked = asked(&mut neighbours, at(200));
        assert_eq!((asked.len(), &asked[..3]), (MAX, &[1, 65, 2][..]));
        assert!(!asked.contains(&3) && !asked.contains(&66));
    }

    #[test]
    fn the_host_that_only_the_kernel_knew_goes_first() {
        let mut neighbours = Neighbours::default();
        neighbours.learn(at(9), host(1), None, Kind::Cached, 1);
        for number in 2..=65 {
            neighbours.learn(at(number.into()), host(number), None, Kind::User, 1);
        }
        let asked = asked(&mut neighbours, at(200));
        assert!(!asked.contains(&1) && asked.len() == MAX);
    }

    #[test]
    fn gateways_and_members_that_come_and_go_do_not_fill_the_table() {
        let mut neighbours = Neighbours::default();
        for number in 0..100 {
            neighbours.learn(at(number.into()), host(number), None, Kind::Gateway, 1);
            neighbours.learn(at(number.into()), host(100 + number), None, Kind::Member, 1);
        }
        let asked = asked(&mut neighbours, at(200));
        assert_eq!(asked.len(), MAX_GATEWAYS + MAX_MEMBERS);
        assert!(asked.contains(&99) && asked.contains(&199), "the last ones stay: {asked:?}");
    }

    #[test]
    fn a_round_that_begins_early_comes_to_every_neighbour_in_turn() {
        let mut neighbours = Neighbours::default();
        for number in 1..=20 {
            neighbours.learn(at(number.into()), host(number), None, Kind::User, 1);
        }
        let mut frames = Budget::new(8, 10, at(1_000));
        let mut seen = std::collections::BTreeSet::new();
        for millis in (1_000..4_000).step_by(100) {
            neighbours.start(at(millis));
            while let Some(ask) = neighbours.poll(at(millis), &mut frames) {
                seen.insert(ask.neighbour);
            }
        }
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn an_answer_that_comes_when_the_next_round_has_begun_counts_in_it() {
        let mut neighbours = Neighbours::default();
        neighbours.learn(at(0), host(1), None, Kind::Gateway, 1);
        assert_eq!(asked(&mut neighbours, at(0)), [1]);
        neighbours.start(at(1));
        neighbours.hear(at(2), host(1), Some([2; 6]), 0, true);
        let coverage = neighbours.finish(at(200)).unwrap();
        assert_eq!((coverage.confirmed, coverage.asked), (1, 1));
    }

    #[test]
    fn every_address_that_a_neighbour_uses_is_confirmed_by_itself() {
        let mut neighbours = Neighbours::default();
        neighbours.learn(at(0), host(1), None, Kind::Gateway, 0b101);
        neighbours.start(at(0));
        let mut frames = Budget::new(8, 10, at(0));
        let indices = [(); 2].map(|()| neighbours.poll(at(0), &mut frames).unwrap().index);
        assert_eq!(indices, [0, 2]);
        neighbours.hear(at(1), host(1), Some([2; 6]), 0, true);
        neighbours.hear(at(1), host(1), Some([2; 6]), 1, true);
        let again = neighbours.poll(at(200), &mut frames).unwrap();
        assert_eq!((again.index, again.to), (2, Some([2; 6])));
        neighbours.hear(at(201), host(1), Some([2; 6]), 2, true);
        let coverage = Coverage { confirmed: 1, asked: 1, after: Duration::from_millis(201) };
        assert_eq!((neighbours.finish(at(201)), neighbours.finish(at(202))), (Some(coverage), None));
    }
}
