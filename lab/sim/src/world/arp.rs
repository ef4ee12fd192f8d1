//! ARP on the LAN: announcements, questions, and the answers of kernels and of the client.

use std::net::{IpAddr, Ipv4Addr};

use ha::neighbours::Ask;
use ha::wire::arp::Mac;
use ha::wire::{NodeId, Resolution};

use super::{Event, Fate, World};
use crate::checkers::rest::Trouble;
use crate::lan::Damage;
use crate::machine::{KnownLink, Process};
use crate::settings::SHARED;
use crate::time::Us;
use crate::trace::Mark;

/// A question by ARP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Who has this address?
    Probe(IpAddr),
    /// Who are you? The shared address is at `mac`.
    Directed {
        /// Where.
        mac: u64,
    },
}

impl World {
    /// The client enters the hardware address of the shared address.
    pub(super) fn client_learns(&mut self, mac: u64) {
        self.trace.line(self.now, None, Mark::Client, || format!("client learns {mac:#x}"));
        self.checks.rest.learnt(self.now, mac, &self.checks.all, &mut self.checks.violation);
    }

    /// Gratuitous ARP, to the client and to all machines.
    pub(super) fn announce(&mut self, node: usize, process: &Process) {
        self.check_address(node, process);
        self.trace.line(self.now, Some(node), Mark::Note, || "announces the address".to_owned());
        let mac = self.machines[node].mac;
        let client = self.lan.client();
        match self.carry_own(node, client) {
            Some(after) if after <= self.checks.bounds.delay => self.at(self.now + after, Event::Learn { mac }),
            _ => {
                self.checks.rest.unheard(self.now);
                self.trouble(Trouble::Other);
            }
        }
        let said = announced(mac_bytes(mac));
        for other in (0..self.machines.len()).filter(|&other| other != node) {
            if let Some(after) = self.carry_own(node, other) {
                self.at(self.now + after, Event::Arp { node: other, said });
            }
        }
        self.router_replies(node, SHARED, SHARED);
    }

    /// A directed request.
    pub(super) fn ask(&mut self, node: usize, process: &Process, ask: &Ask) {
        self.check_address(node, process);
        let member = self.machines.iter().position(|machine| machine.id == NodeId::new(ask.neighbour));
        let target = member.unwrap_or(self.lan.client());
        let what = Question::Directed { mac: self.machines[node].mac };
        self.trace.line(self.now, Some(node), Mark::Note, || format!("asks {} from the address", ask.neighbour));
        self.put(target, node, what);
    }

    /// Asks all machines who has this address.
    pub(super) fn probe(&mut self, node: usize, address: IpAddr) {
        self.trace.line(self.now, Some(node), Mark::Note, || format!("asks who has {address}"));
        for other in (0..self.machines.len()).filter(|&other| other != node) {
            self.put(other, node, Question::Probe(address));
        }
        if !self.is_inspected {
            self.router_replies(node, address, NOBODY);
        }
    }

    /// A router that answers for every address does so after a while.
    fn router_replies(&mut self, to: usize, from: IpAddr, to_whom: IpAddr) {
        if self.has_router {
            let mac = Some(mac_bytes(ROUTER));
            let said = Resolution { is_reply: true, mac, from, to: to_whom, is_to_all: false };
            let after = self.luck.below(self.checks.bounds.delay.max(2));
            self.at(self.now + after, Event::Arp { node: to, said });
        }
    }

    /// A stranger says that it has the address; all machines hear it at once.
    pub(super) fn claim(&mut self) {
        self.client_learns(STRANGER);
        let said = announced(mac_bytes(STRANGER));
        for node in 0..self.machines.len() {
            self.arp_arrives(node, said);
        }
    }

    /// A question arrives: kernels answer it whether a daemon runs or not.
    pub(super) fn answer(&mut self, target: usize, asker: usize, what: Question) {
        let said = match what {
            Question::Directed { mac } if target == self.lan.client() => {
                self.client_learns(mac);
                Resolution { is_reply: true, is_to_all: false, ..client_asks() }
            }
            Question::Directed { .. } => {
                let machine = &self.machines[target];
                if !machine.has_carrier() {
                    return;
                }
                let mac = Some(mac_bytes(machine.mac));
                Resolution { is_reply: true, mac, from: machine.id.address(), to: SHARED, is_to_all: false }
            }
            Question::Probe(SHARED) if self.machines[target].is_owner() => {
                let mac = Some(mac_bytes(self.machines[target].mac));
                Resolution { is_reply: true, mac, from: SHARED, to: NOBODY, is_to_all: false }
            }
            Question::Probe(_) => return,
        };
        if let Some(after) = self.carry_arp(target, asker) {
            self.at(self.now + after, Event::Arp { node: asker, said });
        }
    }

    /// ARP comes to a machine.
    pub(super) fn arp_arrives(&mut self, node: usize, said: Resolution) {
        let machine = &mut self.machines[node];
        let is_plugged = machine.has_carrier();
        let Some(process) =
            machine.process.as_deref_mut().filter(|process| is_plugged && process.link == KnownLink::Up)
        else {
            return;
        };
        if process.arps.len() < ARP_ROOM {
            process.arps.push_back(said);
        }
        if machine.freezes == 0 {
            self.wake_soon(node);
        }
    }

    fn put(&mut self, target: usize, asker: usize, what: Question) {
        let is_probe = matches!(what, Question::Probe(_));
        if self.is_inspected && is_probe {
            return;
        }
        let carried = if is_probe { self.carry_arp(asker, target) } else { self.carry_own(asker, target) };
        if let Some(after) = carried {
            self.at(self.now + after, Event::Asked { target, asker, what });
        }
    }

    /// How long a frame takes, if it gets there and is intact.
    fn carry_arp(&mut self, from: usize, to: usize) -> Option<Us> {
        let is_plugged = self.machines.get(from).is_none_or(|machine| machine.unplugs == 0);
        match self.lan.carry(from, to) {
            Fate::Arrives { after, damage: Damage::None, .. } if is_plugged => Some(after),
            Fate::Arrives { .. } | Fate::Lost => None,
        }
    }

    /// The same for a frame from the address, which a fence may stop.
    fn carry_own(&mut self, from: usize, to: usize) -> Option<Us> {
        let carried = self.carry_arp(from, to);
        carried.filter(|_| self.machines[from].kernel.is_passable())
    }

    fn check_address(&mut self, node: usize, process: &Process) {
        let machine = &self.machines[node];
        let has_address = machine.kernel.has || machine.is_removal_news || !process.orders.is_empty();
        self.checks.duties.announced(self.now, node, has_address, &mut self.checks.violation);
    }
}

/// The client wants to know where the address is.
pub fn client_asks() -> Resolution {
    Resolution { is_reply: false, mac: Some([2, 0, 0, 0, 0, 1]), from: CLIENT, to: SHARED, is_to_all: true }
}

/// A host says to all that it has the address.
fn announced(mac: Mac) -> Resolution {
    Resolution { is_reply: false, mac: Some(mac), from: SHARED, to: SHARED, is_to_all: true }
}

/// A hardware address as it is on the wire.
pub fn mac_bytes(mac: u64) -> Mac {
    let [.., a, b, c, d, e, f] = mac.to_be_bytes();
    [a, b, c, d, e, f]
}

const STRANGER: u64 = 0xbad;

/// The hardware address of a router that answers for every address.
pub const ROUTER: u64 = 0xdead;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 254, 1));

/// Who asks by a probe.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Frames that the daemon's socket for ARP has room for.
const ARP_ROOM: usize = 64;
