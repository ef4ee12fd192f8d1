//! Who on the LAN uses the addresses, and whether they know where these are.
//!
//! A broadcast is a notice on the wall: nobody knows who has read it. So whoever took the address also asks each neighbour
//! that uses it an ordinary question, "who has NEIGHBOUR, tell SHARED": the neighbour enters the sender, whatever it knew before,
//! and its reply says that it did. The silent ones are asked again. Every node keeps the table, since everybody hears who asks
//! for the address, and who has it next will need it.

use core::cmp::Reverse;
use core::net::Ipv4Addr;

use heapless::Vec;

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

/// Why somebody is a neighbour; the first kinds are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A router: everybody behind it depends on it.
    Gateway,
    /// A node of the group.
    Member,
    /// It has asked for an address, or answered a question from one.
    User,
    /// The kernel knew it when the address was taken.
    Cached,
}

/// A question: "who has `neighbour`, tell the address with this index".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Which shared address.
    pub index: u8,
    /// Who is asked.
    pub neighbour: Ipv4Addr,
    /// Where it is, so that others need not listen; to all if that is not known, or did not help.
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
    address: Ipv4Addr,
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
    /// Somebody uses the addresses whose bits are set in `uses`. A full table forgets whoever was not seen for longest, but no
    /// gateway, and nobody for one that the kernel knew.
    pub fn learn(&mut self, now: Instant, address: Ipv4Addr, mac: Option<Mac>, kind: Kind, uses: u16) {
        if let Some(known) = self.table.iter_mut().find(|known| known.address == address) {
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
        if self.table.iter().filter(|known| known.kind == kind).count() >= most {
            return;
        }
        let asks = self.round.is_some() && kind != Kind::User;
        let unconfirmed = if asks { uses } else { 0 };
        let new = Neighbour {
            address,
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
        if let Err(new) = self.table.push(new)
            && kind != Kind::Cached
            && let Some(oldest) = self.oldest()
        {
            *oldest = new;
        }
    }

    /// A host said by ARP that it uses the address with this index; `is_reply`: it answers a question from that address.
    pub fn hear(&mut self, now: Instant, address: Ipv4Addr, mac: Mac, index: u8, is_reply: bool) {
        let bit = 1 << index;
        self.learn(now, address, Some(mac), Kind::User, bit);
        let Some(round) = &mut self.round else { return };
        let asked = self.table.iter_mut().find(|known| known.address == address && known.asked_at.is_some());
        if let Some(asked) = asked.filter(|asked| is_reply && asked.unconfirmed & bit != 0) {
            asked.unconfirmed &= !bit;
            asked.pending &= !bit;
            if asked.unconfirmed == 0 {
                round.coverage.confirmed += 1;
                round.coverage.after = now.since(round.started);
            }
        }
    }

    /// Who has this hardware address.
    pub fn named(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.table.iter().find(|known| known.mac == Some(mac)).map(|known| known.address)
    }

    /// Asks everybody from `at` on. Whom the round before did not come to goes first.
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
        // Everybody once before anybody twice, but the gateways.
        let next = next.min_by_key(|known| {
            let is_behind = known.kind != Kind::Gateway;
            (is_behind, if is_behind { known.passes } else { 0 }, known.kind, known.asked_at, Reverse(known.seen_at))
        })?;
        if !frames.spend(1, now) {
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
        let is_to_all = next.passes % 2 == 1;
        if next.pending == 0 {
            let after = REPEATS.get(next.passes).copied().unwrap_or(LAST + PATIENCE);
            next.passes += 1;
            next.due = next.asked_at.unwrap_or(now) + after;
        }
        Some(Ask { index: u8::try_from(index).ok()?, neighbour: next.address, to: next.mac.filter(|_| !is_to_all) })
    }

    /// What came of the round, once, when everybody has confirmed or was given up; none if nobody was asked.
    pub fn finish(&mut self) -> Option<Coverage> {
        if self.table.iter().any(|known| known.unconfirmed != 0) {
            return None;
        }
        self.round.take().map(|round| round.coverage).filter(|coverage| coverage.asked > 0)
    }

    /// When [`Self::poll`] may have something.
    pub fn deadline(&self, frames: &Budget) -> Option<Instant> {
        self.round?;
        let due = self.table.iter().filter(|known| known.unconfirmed != 0).map(|known| known.due).min()?;
        Some(due.max(frames.has_at(1)))
    }

    fn oldest(&mut self) -> Option<&mut Neighbour> {
        let others = self.table.iter_mut().filter(|known| known.kind != Kind::Gateway);
        others.min_by_key(|known| (known.kind != Kind::Cached, known.seen_at))
    }
}

impl Neighbour {
    fn is_given_up(&self, now: Instant) -> bool {
        self.passes > REPEATS.len() && self.due <= now
    }
}

/// The silent ones are asked again so long after the first time: as gratuitous ARP is repeated, and once soon, since a frame may
/// be lost.
const REPEATS: [Duration; 4] = [Duration::from_millis(200), Duration::from_millis(1_200), Duration::from_secs(3), LAST];
const LAST: Duration = Duration::from_secs(7);

/// Whoever has not answered the last question by then is given up.
const PATIENCE: Duration = Duration::from_millis(200);

const MAX_GATEWAYS: usize = 8;

/// Clients of the address are more than servers that might be.
const MAX_MEMBERS: usize = 16;
