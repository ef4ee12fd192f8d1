//! ARP and Neighbour Discovery on the LAN: announcements, questions, and the answers of kernels and of the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha::neighbours::Ask;
use ha::wire::arp::Mac;
use ha::wire::{NodeId, Resolution, nd};

use super::{Event, Fate, World};
use crate::checkers::rest::Trouble;
use crate::lan::Damage;
use crate::machine::{KnownLink, Process};
use crate::time::Us;
use crate::trace::Mark;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Who has this address?
    Probe(IpAddr),
    /// Who are you? The shared address is at `mac`.
    Directed {
        /// The shared address.
        address: IpAddr,
        /// Where it is.
        mac: u64,
        /// Only the one that is asked hears it.
        is_to_one: bool,
    },
}

/// How the client hears where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// By a frame to all: an NA moves an entry, and makes none where there is none. Gratuitous ARP does neither more nor less, but
    /// the client, which uses the IPv4 address all the time, has an entry for that.
    Announced,
    /// By a question from the address: it has to enter who asks.
    Asked,
}

impl World {
    /// The shared addresses, as this node is configured.
    pub(super) fn shared(&self, node: usize) -> &'static [IpAddr] {
        self.machines[node].settings.families.addresses()
    }

    /// The client hears that `address` is at `mac`.
    pub(super) fn client_hears(&mut self, address: IpAddr, mac: u64, news: News) {
        let enters = news == News::Asked || address.is_ipv4() || self.checks.rest.has_entry(address);
        if enters {
            self.trace.line(self.now, None, Mark::Client, || format!("client learns {mac:#x} for {address}"));
            self.checks.rest.learnt(self.now, address, mac, &self.checks.all, &mut self.checks.violation);
        }
    }

    /// Gratuitous ARP, or an NA, to the client and to all machines.
    pub(super) fn announce(&mut self, node: usize, process: &Process, index: u8) {
        self.check_address(node, process);
        self.trace.line(self.now, Some(node), Mark::Note, || "announces the address".to_owned());
        let mac = self.machines[node].mac;
        let address = self.shared(node)[usize::from(index)];
        let client = self.lan.client();
        match self.carry_own(node, client) {
            Some(after) if after <= self.checks.bounds.delay => {
                self.at(self.now + after, Event::Learn { address, mac, news: News::Announced });
            }
            _ => {
                self.checks.rest.unheard(self.now);
                self.trouble(Trouble::Other);
            }
        }
        let said = announced(address, mac);
        for other in (0..self.machines.len()).filter(|&other| other != node) {
            if let Some(after) = self.carry_own(node, other) {
                self.at(self.now + after, Event::Arp { node: other, said });
            }
        }
        self.router_replies(node, address, address);
    }

    /// A directed request.
    pub(super) fn ask(&mut self, node: usize, process: &Process, ask: &Ask) {
        self.check_address(node, process);
        let member = self.machines.iter().position(|machine| machine.id == NodeId::new(ask.neighbour));
        let target = member.unwrap_or(self.lan.client());
        let address = self.shared(node)[usize::from(ask.index)];
        let what = Question::Directed { address, mac: self.machines[node].mac, is_to_one: ask.to.is_some() };
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
            self.router_replies(node, address, Ipv4Addr::UNSPECIFIED.into());
        }
    }

    /// A router that answers for every address by ARP does so after a while.
    fn router_replies(&mut self, to: usize, from: IpAddr, to_whom: IpAddr) {
        if self.has_router && from.is_ipv4() {
            let mac = Some(mac_bytes(ROUTER));
            let said = Resolution { link: 0, is_reply: true, mac, from, to: to_whom, is_to_all: false };
            let after = self.luck.below(self.checks.bounds.delay.max(2));
            self.at(self.now + after, Event::Arp { node: to, said });
        }
    }

    /// A stranger says that it has the addresses; all machines hear it at once.
    pub(super) fn claim(&mut self) {
        self.checks.rest.claimed(self.now);
        for &address in self.shared(0) {
            self.client_hears(address, STRANGER, News::Announced);
            for node in 0..self.machines.len() {
                self.arp_arrives(node, announced(address, STRANGER));
            }
        }
    }

    /// A question arrives: kernels answer it whether a daemon runs or not.
    pub(super) fn answer(&mut self, target: usize, asker: usize, what: Question) {
        let said = match what {
            Question::Directed { address, mac, is_to_one } => {
                let (own_mac, from) = if target == self.lan.client() {
                    self.client_hears(address, mac, News::Asked);
                    let Resolution { mac, from, .. } = client_asks(address);
                    (mac, from)
                } else if self.machines[target].has_carrier() {
                    (Some(mac_bytes(self.machines[target].mac)), self.machines[target].id.address())
                } else {
                    return;
                };
                // The reply to an NS by unicast has no TLLA.
                let mac = own_mac.filter(|_| address.is_ipv4() || !is_to_one);
                Resolution { link: 0, is_reply: true, mac, from, to: address, is_to_all: false }
            }
            Question::Probe(address) if self.machines[target].is_owner() && self.shared(target).contains(&address) => {
                let mac = self.machines[target].mac;
                if address.is_ipv6() {
                    return self.advertise(target, address, mac);
                }
                let to = Ipv4Addr::UNSPECIFIED.into();
                Resolution { link: 0, is_reply: true, mac: Some(mac_bytes(mac)), from: address, to, is_to_all: false }
            }
            Question::Probe(_) => return,
        };
        if let Some(after) = self.carry_arp(target, asker) {
            self.at(self.now + after, Event::Arp { node: asker, said });
        }
    }

    /// By IPv6 the answer to a probe goes to all, since the asker has no address.
    fn advertise(&mut self, owner: usize, address: IpAddr, mac: u64) {
        for other in (0..self.machines.len()).filter(|&other| other != owner) {
            if let Some(after) = self.carry_arp(owner, other) {
                self.at(self.now + after, Event::Arp { node: other, said: announced(address, mac) });
            }
        }
        if let Some(after) = self.carry_arp(owner, self.lan.client()) {
            self.at(self.now + after, Event::Learn { address, mac, news: News::Announced });
        }
    }

    /// ARP or ND comes to a machine.
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
pub fn client_asks(address: IpAddr) -> Resolution {
    let from = if address.is_ipv4() { CLIENT } else { CLIENT_6 };
    Resolution { link: 0, is_reply: false, mac: Some([2, 0, 0, 0, 0, 1]), from, to: address, is_to_all: true }
}

/// A host says to all that it has the address: by gratuitous ARP, or by an NA.
fn announced(address: IpAddr, mac: u64) -> Resolution {
    let to = if address.is_ipv4() { address } else { nd::ALL_NODES.into() };
    Resolution { link: 0, is_reply: address.is_ipv6(), mac: Some(mac_bytes(mac)), from: address, to, is_to_all: true }
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
const CLIENT_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xc));

/// Frames that the daemon's socket for ARP has room for.
const ARP_ROOM: usize = 64;
