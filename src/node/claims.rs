//! What a node makes of ARP in which somebody else says that it has the address.
//!
//! Anybody can shout. So a claim that nobody asked for makes an ACTIVE announce again, since caches heard it as well, and makes
//! another node ask by a probe; only an answer to a probe of our own counts as an owner. Nor does every answer: a router may
//! answer for everybody (see [`crate::proxies`]).

use core::net::Ipv4Addr;

use super::io::{Output, Outputs, push};
use super::probing::SHORTEST_PROBE_INTERVAL;
use super::telling::is_neighbourly;
use super::{Node, Note, Reason, Role, Then};
use crate::hash::hash;
use crate::neighbours::KEPT;
use crate::proxies::{Evidence, Reply, Suspicion};
use crate::time::{Duration, Instant};
use crate::wire::arp::{Arp, Mac};

impl Node {
    /// An ARP packet that names one of the addresses, or answers a probe: somebody claims one, uses it, or answers a question.
    pub(super) fn hear_arp(&mut self, now: Instant, arp: Arp, out: &mut Outputs) {
        if Some(arp.mac) == self.mac {
            return;
        }
        if self.index_of(arp.from).is_some() {
            self.claimed(now, arp, out);
        } else if let Some(index) = self.index_of(arp.to).filter(|_| is_neighbourly(arp.from)) {
            self.neighbours.hear(now, arp.from, arp.mac, index, arp.is_reply);
            if matches!(self.role, Role::Active) {
                self.announce(now, out);
            }
        } else if arp.answers_probe() {
            self.hear_decoy(now, arp, out);
        }
    }

    /// Somebody else says that it has the address.
    fn claimed(&mut self, now: Instant, arp: Arp, out: &mut Outputs) {
        let Arp { mac, from: address, .. } = arp;
        let is_answer = arp.answers_probe() && self.probed_at.is_some_and(|at| now < at + ANSWERED_WITHIN);
        if is_answer && !self.proxies.answered(now, mac) {
            return;
        }
        self.claimant = Some((mac, now));
        let may_yield = self.may_yield_until.is_some_and(|until| now < until);
        match self.role {
            Role::Standby { .. } if is_answer => {
                if self.answered(now, mac, address) {
                    self.examine(now, mac, address, out);
                }
            }
            Role::Standby { .. } => self.doubt_silence(now),
            Role::Taking { .. } | Role::Active if may_yield && is_answer && self.gives_way_to(mac) => {
                self.release(now, Then::Listen { link_up: None }, Reason::Collided { mac }, out);
            }
            Role::Taking { .. } if may_yield => self.ask_who_else(now, address, out),
            Role::Active => {
                self.counters.claims += 1;
                let is_owner = match is_answer {
                    true => self.examine(now, mac, address, out),
                    false => arp.is_to_all || self.is_owner(now, mac, address, out),
                };
                if is_owner {
                    self.contradict(now, mac, address, out);
                }
                if may_yield && !is_answer {
                    self.ask_who_else(now, address, out);
                }
            }
            Role::Unfit | Role::Taking { .. } | Role::Releasing { .. } | Role::Shutdown => {}
        }
    }

    /// Says whose the address is, and tells the LAN again.
    fn contradict(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, out: &mut Outputs) {
        let verdict = self.defence.claimed(now, mac);
        if verdict.is_news {
            let (member, is_answered) = (self.member(mac), verdict.announce_at.is_some());
            push(out, Output::Note(Note::Claimed { mac, member, address, is_answered }));
        }
        if self.peers.active(now).is_some() {
            // It goes on claiming until it hears us; the last word comes when it lets go.
            self.announce_soon(now, out);
        } else if let Some(at) = verdict.announce_at {
            self.announce_from(at);
            self.announce(now, out);
        }
    }

    /// Two that do not hear each other may take the address in the same moment, each before the other's announcement. Whoever has
    /// not announced it yet gives way, or has the higher hardware address. Later nobody does.
    fn gives_way_to(&self, mac: Mac) -> bool {
        let is_first = matches!(self.role, Role::Active) && self.mac.is_some_and(|mine| mine < mac);
        !is_first
    }

    /// Asks whether whoever has just claimed the address, which we have taken blindly, has it.
    fn ask_who_else(&mut self, now: Instant, address: Ipv4Addr, out: &mut Outputs) {
        let is_due = self.probed_at.is_none_or(|at| now >= at + SHORTEST_PROBE_INTERVAL);
        if is_due && self.frames.spend(1, now) {
            self.probe(now, address, out);
        }
    }

    /// True if this one, which has replied to our announcement and to nobody else, has the address. That is found out by probes.
    fn is_owner(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, out: &mut Outputs) -> bool {
        match self.proxies.replied(now, mac) {
            Reply::Owner => return true,
            Reply::Ask if self.frames.spend_but(KEPT, 1, now) => {
                self.proxies.probed(now, mac);
                self.probe(now, address, out);
            }
            Reply::NewProxy => self.name_proxy(mac, out),
            Reply::Ask | Reply::Nothing => {}
        }
        false
    }

    /// Asks for a decoy, if this one, which has answered a probe, may answer for everybody. True if it does not.
    fn examine(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, out: &mut Outputs) -> bool {
        let again = match self.proxies.examine(now, mac) {
            Suspicion::Cleared => return true,
            Suspicion::Open => return false,
            Suspicion::Ask(again) => again,
        };
        let Some(decoy) = again.or_else(|| self.draw_decoy(address)) else {
            self.proxies.clear(now);
            return true;
        };
        if self.frames.spend(1, now) {
            self.proxies.asked(now, decoy);
            push(out, Output::Probe(decoy));
        }
        false
    }

    /// Somebody has answered for an address that we do not care for.
    fn hear_decoy(&mut self, now: Instant, arp: Arp, out: &mut Outputs) {
        let Arp { mac, from: decoy, .. } = arp;
        match self.proxies.answered_for(now, mac, decoy) {
            Evidence::None => {}
            Evidence::AskNext => {
                // Of the same network as the address.
                self.examine(now, mac, decoy, out);
            }
            Evidence::Proxy { is_news } => {
                self.forget_answer_of(now, mac);
                if is_news {
                    self.name_proxy(mac, out);
                }
            }
        }
    }

    fn name_proxy(&self, mac: Mac, out: &mut Outputs) {
        push(out, Output::Note(Note::Proxy { mac, member: self.member(mac) }));
    }

    /// An address of the same network as `address` that is nobody's in particular, unless the network is too small to have such.
    pub(super) fn draw_decoy(&mut self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let me = self.id?.to_v4();
        let hosts = |prefix: u8| u32::MAX.checked_shr(prefix.max(LARGEST).into()).unwrap_or(0);
        let is_of_ours = |mask: u32| address.to_bits() & !mask == me.to_bits() & !mask;
        let own = Some(hosts(self.prefix)).filter(|&mask| is_of_ours(mask));
        let configured = self.config.addresses().iter().map(|cidr| hosts(cidr.prefix)).max();
        let mask = own.or(configured).filter(|&mask| mask >= FEWEST)?;
        (0..DRAWS).find_map(|_| {
            self.decoys += 1;
            let [a, b, c, d, ..] = hash(&[&self.boot.to_le_bytes(), &self.decoys.to_le_bytes()]);
            let host = u32::from_le_bytes([a, b, c, d]) & mask;
            let drawn = Ipv4Addr::from_bits(address.to_bits() & !mask | host);
            let is_free = drawn != me && self.index_of(drawn).is_none() && is_neighbourly(drawn);
            // Neither the network nor its broadcast.
            Some(drawn).filter(|_| is_free && host != 0 && host != mask)
        })
    }
}

/// An answer to a probe comes within this, or is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Networks are not larger, and have eight addresses to draw from.
const LARGEST: u8 = 8;
const FEWEST: u32 = 7;
const DRAWS: u32 = 8;
