//! The LAN comes to rest after trouble, stays at rest without it, and a single trouble costs no more than it must.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Rule, Status, Violation, blame, span};
use crate::bounds::Bounds;
use crate::time::{FOREVER, Us};

/// What disturbs the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A node can host from now on.
    Joins(usize),
    /// A node has to stop, or its kernel refuses the address: it says so before it goes.
    Leaves(usize),
    /// A node falls silent without a word.
    Silent(usize),
    /// Another program removes the address.
    Robbed(usize),
    /// The hardware address changes.
    Rehoused(usize),
    /// Anything else: only the rest after it is looked at.
    Other,
}

/// Since when there is no trouble, and what the last one may cost.
#[derive(Debug, Default)]
pub struct Rest {
    last_trouble: Us,
    settled_at: Us,
    /// All was well when it was looked at, and nothing happened since.
    is_calm: bool,
    /// The one trouble since the last calm.
    episode: Option<Episode>,
    /// Where the client believes each address to be. For one that is missing it would ask the LAN.
    cached: BTreeMap<IpAddr, u64>,
    owner: Option<usize>,
    vacant_since: Option<Us>,
    /// An announcement was lost then, or not sent.
    unheard_at: Option<Us>,
    /// Until then an owner has contradicted others as often as it may.
    given_up_until: Us,
    /// Moves since the start, for the statistics.
    pub moves: u64,
    /// Longest that the address still moved after the last trouble, for the statistics.
    pub longest_unrest: Us,
}

/// What one trouble alone may cost.
#[derive(Debug, Clone, Copy)]
struct Episode {
    trouble: Trouble,
    began: Us,
    moves: u32,
    moves_allowed: u32,
    gap_allowed: Us,
    /// By then a fit node has the address.
    owned_due: Us,
    /// By then the client knows where.
    cache_due: Us,
}

impl Rest {
    /// Something happened.
    pub fn trouble(&mut self, now: Us, trouble: Trouble, all: &[Status], bounds: &Bounds) {
        self.episode = if self.is_calm { self.begin(now, trouble, all, bounds) } else { None };
        self.is_calm = false;
        self.last_trouble = now;
        self.settled_at = now + bounds.settle;
    }

    /// The client did not hear an announcement; it learns from the next one.
    pub fn unheard(&mut self, now: Us) {
        self.unheard_at = Some(now);
    }

    /// An owner has contradicted other hosts ten times within a minute, and leaves it at that for the rest of it (RFC 5227 2.4).
    pub fn given_up(&mut self, now: Us) {
        self.given_up_until = now + MINUTE;
        self.unheard(now);
    }

    /// A stranger says that it has the address.
    pub fn claimed(&mut self, now: Us) {
        if now < self.given_up_until {
            self.unheard(now);
        }
    }

    /// The client enters where this address is.
    pub fn learnt(&mut self, now: Us, address: IpAddr, mac: u64, all: &[Status], out: &mut Option<Violation>) {
        self.cached.insert(address, mac);
        // Of two addresses it learns one after the other.
        let is_right = all.iter().any(|status| status.is_owner && status.mac == mac);
        if self.is_known(all) {
            self.unheard_at = None;
        } else if self.is_calm && !is_right {
            blame(out, Rule::Cache, now, || "at rest the client learns a wrong hardware address".to_owned());
        }
    }

    /// A node got the address or lost it.
    pub fn changed(&mut self, now: Us, node: usize, all: &[Status], bounds: &Bounds, out: &mut Option<Violation>) {
        self.longest_unrest = self.longest_unrest.max(now.saturating_sub(self.last_trouble));
        if self.is_calm {
            let verb = if all[node].is_owner { "gets" } else { "loses" };
            let text = || format!("{node} {verb} the address {} after the last trouble", span(self.last_trouble, now));
            blame(out, Rule::Quiet, now, text);
        }
        if all[node].is_owner {
            self.gained(now, node, bounds, out);
        } else if let Some(other) = all.iter().position(|status| status.is_owner) {
            if self.owner == Some(node) {
                self.owner = Some(other);
            }
        } else {
            self.vacant_since = Some(now);
            if let Some(episode) = &mut self.episode {
                episode.owned_due = episode.owned_due.min(now.saturating_add(episode.gap_allowed));
            }
        }
    }

    /// True if the client has an entry for this address.
    pub fn has_entry(&self, address: IpAddr) -> bool {
        self.cached.contains_key(&address)
    }

    /// True if there has been no trouble for long.
    pub fn is_calm(&self) -> bool {
        self.is_calm
    }

    /// When to look next.
    pub fn due(&self) -> Us {
        let episode = self.episode.map_or(FOREVER, |episode| episode.owned_due.min(episode.cache_due));
        if self.is_calm { FOREVER } else { self.settled_at.min(episode) }
    }

    /// Looks.
    pub fn look(&mut self, now: Us, all: &[Status], bounds: &Bounds, out: &mut Option<Violation>) {
        if let Some(episode) = &mut self.episode {
            if episode.owned_due < now {
                episode.owned_due = FOREVER;
                if !all.iter().any(|status| status.is_owner && status.is_fit) {
                    let Episode { trouble, began, .. } = *episode;
                    blame(out, Rule::Gap, now, || {
                        format!("no fit node has the address {} after {trouble:?}", span(began, now))
                    });
                }
            }
            if episode.cache_due < now {
                episode.cache_due = FOREVER;
                let Episode { trouble, began, .. } = *episode;
                if !self.is_known_or_excused(now, all, bounds) {
                    blame(out, Rule::Cache, now, || {
                        format!("the client does not know the owner {} after {trouble:?}", span(began, now))
                    });
                }
            }
        }
        if !self.is_calm && self.settled_at < now {
            if all.iter().any(|status| status.is_doubtful) {
                self.settled_at = now + bounds.settle;
                return;
            }
            self.is_calm = true;
            self.episode = None;
            self.settle(now, all, bounds, out);
        }
    }

    fn gained(&mut self, now: Us, node: usize, bounds: &Bounds, out: &mut Option<Violation>) {
        let is_move = self.owner != Some(node);
        self.moves += u64::from(is_move);
        let gap = self.vacant_since.take().map(|since| now.saturating_sub(since));
        self.owner = Some(node);
        let Some(episode) = &mut self.episode else { return };
        episode.moves += u32::from(is_move);
        episode.cache_due = now + FIRST_REPEAT + 4 * (bounds.delay + bounds.local);
        let Episode { trouble, began, moves, moves_allowed, gap_allowed, .. } = *episode;
        if moves > moves_allowed {
            blame(out, Rule::Moves, now, || format!("move {moves} to {node}, {} after {trouble:?}", span(began, now)));
        }
        if let Some(gap) = gap.filter(|&gap| gap > gap_allowed) {
            blame(out, Rule::Gap, now, || format!("nobody had the address for {} after {trouble:?}", span(0, gap)));
        } else if gap_allowed < FOREVER {
            episode.owned_due = FOREVER;
        }
    }

    /// At rest: one owner, the right one, and the client knows it.
    fn settle(&mut self, now: Us, all: &[Status], bounds: &Bounds, out: &mut Option<Violation>) {
        let owners: Vec<usize> = (0..all.len()).filter(|&node| all[node].is_owner && !all[node].is_stray).collect();
        let alive = all.iter().filter(|status| status.can_talk).count();
        let has_quorum = bounds.quorum.is_none_or(|quorum| alive >= quorum);
        let best = (0..all.len()).filter(|&node| all[node].is_fit && has_quorum).max_by_key(|&node| all[node].rank);
        let is_well = match (owners.as_slice(), best) {
            ([], None) => true,
            (&[owner], Some(best)) => all[owner].is_fit && (owner == best || all[owner].is_sticky),
            _ => false,
        };
        let has_stray = all.iter().any(|status| status.is_owner && status.is_stray);
        if !is_well {
            let text = || format!("{owners:?} have the address, {best:?} should");
            blame(out, Rule::Rest, now, text);
        } else if best.is_some() && !has_stray && !self.is_known_or_excused(now, all, bounds) {
            blame(out, Rule::Cache, now, || "at rest the client has a wrong hardware address".to_owned());
        }
    }

    fn is_known_or_excused(&self, now: Us, all: &[Status], bounds: &Bounds) -> bool {
        // Without an entry it would ask.
        let has_none = self.cached.is_empty() && !bounds.client_has_entry;
        has_none || self.unheard_at.is_some_and(|at| now < at + ANNOUNCE_INTERVAL) || self.is_known(all)
    }

    fn is_known(&self, all: &[Status]) -> bool {
        let is_right = |status: &Status| self.cached.values().all(|&mac| mac == status.mac);
        !self.cached.is_empty() && all.iter().any(|status| status.is_owner && is_right(status))
    }

    fn begin(&self, now: Us, trouble: Trouble, all: &[Status], bounds: &Bounds) -> Option<Episode> {
        let is_owner = |node: usize| all[node].is_owner;
        let others = |node: usize| (0..all.len()).any(|other| other != node && all[other].is_fit);
        let owners = all.iter().filter(|status| status.is_owner).count();
        if owners > 1 || bounds.quorum.is_some() {
            return None; // an address that no daemon looks after; a fault that may cost the quorum
        }
        let mut episode = Episode {
            trouble,
            began: now,
            moves: 0,
            moves_allowed: 0,
            gap_allowed: if owners > 0 { bounds.planned } else { FOREVER },
            owned_due: FOREVER,
            cache_due: FOREVER,
        };
        match trouble {
            Trouble::Joins(_) => episode.moves_allowed = 1,
            Trouble::Leaves(node) | Trouble::Silent(node) if is_owner(node) => {
                episode.moves_allowed = 1;
                if !others(node) {
                    episode.gap_allowed = FOREVER;
                } else if matches!(trouble, Trouble::Silent(_)) {
                    episode.gap_allowed = bounds.silence;
                    episode.owned_due =
                        now + if all[node].is_fenced { bounds.successor_of_fenced } else { bounds.successor };
                }
            }
            Trouble::Rehoused(node) if is_owner(node) => {
                episode.cache_due = now + FIRST_REPEAT + 4 * (bounds.delay + bounds.local);
            }
            Trouble::Leaves(_) | Trouble::Silent(_) | Trouble::Robbed(_) | Trouble::Rehoused(_) => {}
            Trouble::Other => return None,
        }
        Some(episode)
    }
}

/// The default, on a clock that may be slow.
const ANNOUNCE_INTERVAL: Us = 60_100_000;

/// That of RFC 5227, by any clock.
const MINUTE: Us = 60_100_000;

/// The first announcement may overtake the loser's last one; the next comes 1.2 s later, on a clock that may be slow.
const FIRST_REPEAT: Us = 1_202_000;
