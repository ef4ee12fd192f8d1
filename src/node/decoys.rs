//! Does a host that answers for the address answer for all? It is asked for decoys (see [`crate::proxies`]).

use core::net::{IpAddr, Ipv4Addr};

use super::Note;
use super::io::{Output, Outputs, push};
use super::lan::is_neighbourly;
use super::station::Station;
use crate::config::Cidr;
use crate::hash::hash;
use crate::neighbours::Host;
use crate::proxies::{Evidence, Suspicion};
use crate::time::Instant;
use crate::wire::arp::Mac;

impl Station {
    /// Asks for a decoy, if this host, which has answered a probe, may answer for everybody. True if it does not.
    pub(super) fn examine(&mut self, now: Instant, mac: Mac, (link, address): Host, out: &mut Outputs) -> bool {
        let again = match self.lan.proxies.examine(now, mac) {
            Suspicion::Cleared => return true,
            Suspicion::Open => return false,
            Suspicion::Ask(again) => again,
        };
        let Some(decoy) = again.or_else(|| self.draw_decoy(address)) else {
            self.lan.proxies.clear(now);
            return true;
        };
        if self.lan.frames.spend(1, now) {
            self.lan.proxies.asked(now, decoy);
            push(out, Output::Probe { link, address: decoy });
        }
        false
    }

    /// A host has answered for an address that is none of ours. True if it answers for everybody: its answers do not count.
    pub(super) fn hear_decoy(&mut self, now: Instant, mac: Mac, decoy: Host, out: &mut Outputs) -> bool {
        match self.lan.proxies.answered_for(now, mac, decoy.1) {
            Evidence::None => false,
            Evidence::AskNext => {
                // Of the same network as the address.
                self.examine(now, mac, decoy, out);
                false
            }
            Evidence::Proxy { is_news } => {
                if is_news {
                    self.report_proxy(mac, out);
                }
                true
            }
        }
    }

    pub(super) fn report_proxy(&self, mac: Mac, out: &mut Outputs) {
        push(out, Output::Note(Note::Proxy { mac, member: self.lan.member(mac, &self.peers) }));
    }

    /// An address of the same network as `address`, drawn at random, unless the network is too small to have decoys.
    ///
    /// IPv6 needs none: beside a router that answered each probe no host could have an address (RFC 4862 section 5.4), and an NA of a
    /// proxy has no O (RFC 4861 section 7.2.8), so that it does not count at all.
    pub(super) fn draw_decoy(&mut self, address: IpAddr) -> Option<IpAddr> {
        let IpAddr::V4(address) = address else { return None };
        let interface = self.interface?;
        let own = Cidr::new(interface.node.address(), interface.prefix.max(LARGEST));
        let hosts = |cidr: Cidr| u32::MAX.checked_shr(cidr.prefix.max(LARGEST).into()).unwrap_or(0);
        let configured = self.config.addresses().iter().filter(|cidr| cidr.address.is_ipv4());
        let configured = configured.map(|&cidr| hosts(cidr)).max();
        let own_mask = Some(hosts(own)).filter(|_| own.contains(address.into()));
        let mask = own_mask.or(configured).filter(|&mask| mask >= FEWEST)?;
        (0..DRAWS).find_map(|_| {
            self.lan.decoys += 1;
            let [a, b, c, d, ..] = hash(&[&self.voice.boot.to_le_bytes(), &self.lan.decoys.to_le_bytes()]);
            let host = u32::from_le_bytes([a, b, c, d]) & mask;
            let drawn = Ipv4Addr::from_bits(address.to_bits() & !mask | host).into();
            let is_free = drawn != own.address
                && self.config.addresses().iter().all(|cidr| cidr.address != drawn)
                && is_neighbourly(drawn);
            // Neither the network nor its broadcast.
            Some(drawn).filter(|_| is_free && host != 0 && host != mask)
        })
    }
}

/// Decoys are drawn from no more than this part of a network, and from no smaller network than one with eight addresses.
const LARGEST: u8 = 8;
const FEWEST: u32 = 7;
const DRAWS: u32 = 8;
