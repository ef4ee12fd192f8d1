//! Whether an interface can have the shared addresses: hosts find each other there by ARP, and the server has another address
//! there beside the shared ones.
//!
//! The daemon must not remove an address that it did not add, least of all the only one by which an administrator reaches the
//! server. An address that a killed daemon has left there looks the same except for its lease. The kernel removes it soon, so
//! it does not count as an obstacle.

use ha::config::{Cidr, Config, NotHost};
use ha::node::Unfit;
use rustix::io;

use crate::linux::netlink::{Interface, Kind, Requests};
use crate::settings::Settings;
use crate::text::{Refusal, Text, text};

/// An interface with its addresses.
#[derive(Debug)]
pub struct Place {
    /// The interface.
    pub interface: Interface,
    /// The server's own address: the first that is not a shared one.
    pub own: Option<Cidr>,
    /// A shared address that is there without a lease, if the server has no address of its own there.
    only: Option<Cidr>,
    /// A shared address that is the network or broadcast address of an own one, and that own one.
    edge: Option<(Cidr, Cidr, NotHost)>,
}

impl Place {
    /// Asks the kernel for the addresses of `interface`.
    pub fn of(interface: Interface, config: &Config, requests: &mut Requests) -> io::Result<Self> {
        let shared = config.addresses();
        let lease_s = config.lease().map_or(0, |lease| lease.secs());
        let mut place = Self { interface, own: None, only: None, edge: None };
        requests.addresses(interface.index, &mut |there, valid_s| {
            if shared.iter().any(|cidr| cidr.address == there.address) {
                place.only = place.only.or(Some(there).filter(|_| valid_s > lease_s));
            } else if !there.address.is_loopback() {
                place.own = place.own.or(Some(there));
                place.edge = place.edge.or_else(|| edge(shared, there));
            }
        })?;
        place.only = place.only.filter(|_| place.own.is_none());
        Ok(place)
    }

    /// Why the interface must not have the addresses. `is_ours` says that this daemon has added the shared ones.
    pub fn unfit(&self, is_ours: bool) -> Option<Unfit> {
        if self.interface.kind != Kind::Lan {
            Some(Unfit::NoArp)
        } else if self.only.is_some() && !is_ours {
            Some(Unfit::OnlyAddress)
        } else if self.edge.is_some() {
            Some(Unfit::NotHost)
        } else {
            None
        }
    }

    fn refusal(&self, name: Text) -> Option<Refusal> {
        if let Some(refusal) = kind_refusal(name, self.interface.kind) {
            return Some(refusal);
        }
        if let Some(only) = self.only {
            let expected = "expected another address of its own there";
            return Some(text!("address {only}: {name} has no other one, and must not lose it; {expected}"));
        }
        let (shared, own, why) = self.edge?;
        Some(text!("address {shared}: {why} for {name}, which has {own}; expected a host's"))
    }
}

/// Why the interfaces that exist now cannot have the addresses, in a line. `None` also where the kernel does not tell. Changes
/// nothing, and needs no privileges.
pub fn obstacle(settings: &Settings, requests: &mut Requests) -> Option<Refusal> {
    let &Settings { interface: name, device, ref config, .. } = settings;
    let interface = requests.interface(name).ok().flatten();
    let place = interface.and_then(|interface| Place::of(interface, config, requests).ok());
    let own = place.and_then(|place| place.refusal(name));
    own.or_else(|| device.and_then(|name| kind_refusal(name, requests.interface(name).ok()??.kind)))
}

fn kind_refusal(name: Text, kind: Kind) -> Option<Refusal> {
    let why = match kind {
        Kind::Lan => return None,
        Kind::Loopback => "nobody else is on a loopback",
        Kind::PointToPoint => "it leads to one host only",
        Kind::NoArp => "it does no ARP",
    };
    Some(text!("interface {name}: {why}; expected one with ARP, such as an Ethernet"))
}

/// The first of `shared` that is the network or the broadcast address where `own` is.
fn edge(shared: &[Cidr], own: Cidr) -> Option<(Cidr, Cidr, NotHost)> {
    shared.iter().find_map(|&cidr| match Cidr::new(cidr.address, own.prefix).check() {
        Err(why @ (NotHost::Network | NotHost::Broadcast)) if own.contains(cidr.address) => Some((cidr, own, why)),
        Err(_) | Ok(()) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_last_address_of_an_own_network_are_refused_with_any_prefix() {
        let cidr = |text: &str| {
            let (address, prefix) = text.split_once('/').unwrap();
            Cidr::new(address.parse().unwrap(), prefix.parse().unwrap())
        };
        for (shared, own, expected) in [
            ("192.0.2.255/32", "192.0.2.11/24", Some(NotHost::Broadcast)),
            ("192.0.2.0/16", "192.0.2.11/24", Some(NotHost::Network)),
            ("192.0.2.127/24", "192.0.2.11/25", Some(NotHost::Broadcast)),
            ("192.0.2.100/32", "192.0.2.11/24", None),
            ("192.0.3.255/16", "192.0.2.11/24", None),
            ("192.0.2.12/32", "192.0.2.13/31", None),
            ("192.0.2.12/24", "192.0.2.11/32", None),
        ] {
            let found = edge(&[cidr(shared)], cidr(own)).map(|(_, _, why)| why);
            assert_eq!(found, expected, "{shared} beside {own}");
        }
    }
}
