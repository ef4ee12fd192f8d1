//! What a node makes of ARP or ND in which another host says that it has the address (rule 9).
//!
//! Anybody can shout. So what nobody asked for makes an ACTIVE announce again, since caches heard it as well, and makes
//! another node ask by a probe; only an answer to a probe of its own counts as an owner. Nor does every answer: a router may
//! answer for all addresses (see [`crate::proxies`]).

use core::net::IpAddr;

use super::active::Active;
use super::io::{Output, Outputs, push};
use super::lan::is_neighbourly;
use super::leave::{Leave, Then};
use super::probing::SHORTEST_PROBE_INTERVAL;
use super::station::Station;
use super::{Node, Note, Reason, Role};
use crate::neighbours::{Host, KEPT};
use crate::proxies::Reply;
use crate::time::Instant;
use crate::wire::Resolution;
use crate::wire::arp::Mac;

impl Node {
    /// A message that names one of the addresses, or answers a probe: a host claims one, uses it, or answers a question.
    ///
    /// A probe for one of them is no conflict: STANDBYs send it too, and the kernel that has the address answers it.
    pub(super) fn hear_resolution(&mut self, now: Instant, said: Resolution, out: &mut Outputs) {
        let Self { station, role, .. } = self;
        let Resolution { link, is_reply, mac, from, to, .. } = said;
        if mac.is_some() && mac == station.mac(link) {
            return;
        }
        if station.index_of(link, from).is_some() {
            // One that moves no cache is no conflict.
            if let Some(mac) = mac
                && let Some(leave) = self.hear_conflict(now, mac, said, out)
            {
                self.release(now, leave, out);
            }
        } else if let Some(index) = station.index_of(link, to).filter(|_| is_neighbourly(from)) {
            station.lan.neighbours.hear(now, (link, from), mac, index, is_reply);
            if let Role::Active(active) = role {
                active.announce(station, now, out);
            }
        } else if said.answers_probe()
            && let Some(mac) = mac
            && station.hear_decoy(now, mac, (link, from), out)
            && let Role::Standby(standby) = role
            && standby.probing.forget_answers_of(mac)
        {
            standby.decide_at(now);
        }
    }

    /// Another host says that it has the address. Returns why this node gives it up, if it does.
    fn hear_conflict(&mut self, now: Instant, mac: Mac, said: Resolution, out: &mut Outputs) -> Option<Leave> {
        let Self { station, role, .. } = self;
        let host = (said.link, said.from);
        let is_answer = station.lan.is_answer(now, &said);
        if is_answer && !station.lan.proxies.answered(now, mac) {
            return None;
        }
        station.lan.last_conflict = Some((mac, now));
        match role {
            Role::Standby(standby) if is_answer => {
                if standby.probing.enter_answer(station, now, mac, host) {
                    station.examine(now, mac, host, out);
                }
                None
            }
            Role::Standby(standby) => {
                standby.probing.doubt_silence(station, now);
                None
            }
            Role::Taking(taking) if taking.may_yield_until.is_some_and(|until| now < until) => {
                if is_answer {
                    return Some(collided(mac));
                }
                station.ask_who_else(now, host, out);
                None
            }
            Role::Active(active) => active.hear_conflict(station, now, mac, said, is_answer, out),
            Role::Unfit { .. } | Role::Taking(_) | Role::Releasing(_) | Role::Shutdown => None,
        }
    }
}

impl Active {
    fn hear_conflict(
        &mut self,
        station: &mut Station,
        now: Instant,
        mac: Mac,
        said: Resolution,
        is_answer: bool,
        out: &mut Outputs,
    ) -> Option<Leave> {
        let host = (said.link, said.from);
        // Rule 9: two that do not hear each other took the address in the same moment. The lower hardware address keeps it.
        let may_yield = self.may_yield_until.is_some_and(|until| now < until);
        if may_yield && is_answer && station.mac(said.link).is_none_or(|mine| mine >= mac) {
            return Some(collided(mac));
        }
        station.counters.conflicts += 1;
        let is_owner = match is_answer {
            true => station.examine(now, mac, host, out),
            false => said.is_to_all || station.is_owner(now, mac, host, out),
        };
        if is_owner {
            self.contradict(station, now, mac, said.from, out);
        }
        if may_yield && !is_answer {
            station.ask_who_else(now, host, out);
        }
        None
    }

    /// Reports the host that says it has the address, and tells the LAN again.
    fn contradict(&mut self, station: &mut Station, now: Instant, mac: Mac, address: IpAddr, out: &mut Outputs) {
        let verdict = station.lan.defence.claimed(now, mac);
        if verdict.is_news {
            let (member, is_answered) = (station.lan.member(mac, &station.peers), verdict.announce_at.is_some());
            push(out, Output::Note(Note::Conflict { mac, member, address, is_answered }));
        }
        if station.peers.active(now).is_some() {
            // It goes on until it hears us; the last word comes when it lets go.
            self.announce_soon(station, now, out);
        } else if let Some(at) = verdict.announce_at {
            self.announce_from(station, at);
            self.announce(station, now, out);
        }
    }
}

impl Station {
    /// Asks whether the host that says it has the address, which this node has taken blindly, really has it.
    fn ask_who_else(&mut self, now: Instant, host: Host, out: &mut Outputs) {
        let is_due = self.lan.probed_at.is_none_or(|at| now >= at + SHORTEST_PROBE_INTERVAL);
        if is_due && self.lan.frames.spend(1, now) {
            self.lan.probe(now, host, out);
        }
    }

    /// True if this host, which has replied to our announcement and to no other host, has the address. Probes find that out.
    fn is_owner(&mut self, now: Instant, mac: Mac, host: Host, out: &mut Outputs) -> bool {
        match self.lan.proxies.replied(now, mac) {
            Reply::Owner => return true,
            Reply::Ask if self.lan.frames.spend_but(KEPT, 1, now) => {
                self.lan.proxies.probed(now, mac);
                self.lan.probe(now, host, out);
            }
            Reply::NewProxy => self.report_proxy(mac, out),
            Reply::Ask | Reply::Nothing => {}
        }
        false
    }
}

/// Two hosts took the address in the same moment, and this one gives way.
fn collided(mac: Mac) -> Leave {
    (Then::Listen { link_up: None }, Reason::Collided { mac })
}
