//! Whether an interface can have the shared addresses: hosts find each other there by ARP, and the server has another address
//! there beside the shared ones.
//!
//! The daemon must not remove an address that it did not add, least of all the only one by which an administrator reaches the
//! server. An address that a killed daemon has left there looks the same except for its lease. The kernel removes it soon, so
//! it does not count as an obstacle.

use std::net::IpAddr;

use ha::config::{Cidr, NotHost};
use ha::node::Unfit;
use ha::wire::NodeId;
use rustix::io;

use crate::linux::netlink::{Address, Interface, Kind, Requests};
use crate::settings::Settings;
use crate::settings::values::{LINK_LOCAL, scope};
use crate::text::{Refusal, Text, text};

/// An interface with its addresses.
#[derive(Debug)]
pub struct Place {
    /// The interface.
    pub interface: Interface,
    /// The server's own address, from which it sends heartbeats: one that is not a shared one, of those that reach the group. Of IPv4
    /// the first, which the kernel keeps first; of IPv6, where a new one comes before the others, the lowest that is there to stay.
    /// Or why there is none.
    pub own: Result<Cidr, Unfit>,
    /// What else is there, and what stays.
    pub others: Others,
    /// A shared address that is the network or broadcast address of an own one, and that own one.
    edge: Option<(Cidr, Cidr, NotHost)>,
}

/// Which addresses of its own a server has on an interface, and which shared ones are there without a lease; by [`Reach`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Others {
    own: [bool; 3],
    lasting: [Option<Cidr>; 3],
    /// One of its own is good for heartbeats.
    speaks: bool,
}

/// From where an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    V4,
    /// By IPv6, on this link.
    Link,
    /// By IPv6, from farther.
    Global,
}

impl Reach {
    const ALL: [Self; 3] = [Self::V4, Self::Link, Self::Global];

    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(address) if address.is_unicast_link_local() => Self::Link,
            IpAddr::V6(_) => Self::Global,
        }
    }
}

impl Others {
    /// An administrator reaches the server by another address than one with this reach. Every interface has a link-local one, and many
    /// get one of IPv6 by themselves: that is not enough.
    fn spare(&self, reach: Reach) -> bool {
        let [has_v4, has_link, has_global] = self.own;
        match reach {
            Reach::V4 => has_v4,
            Reach::Link => has_v4 || has_link || has_global,
            Reach::Global => has_v4 || has_global,
        }
    }

    /// A shared address that is there without a lease, if the server has no address of its own there.
    fn only(&self) -> Option<Cidr> {
        Reach::ALL.into_iter().find(|&reach| !self.spare(reach)).and_then(|reach| self.lasting[reach as usize])
    }

    /// This address may be removed, whoever has added it. Without one of its own of IPv4 a server leaves those of IPv4 alone, but for
    /// one with a lease if its heartbeats go by IPv6: else it is unfit anyway.
    pub fn allow_removal(&self, shared: IpAddr) -> bool {
        let reach = Reach::of(shared);
        self.spare(reach) || (reach != Reach::V4 || self.speaks) && self.lasting[reach as usize].is_none()
    }
}

impl Place {
    /// Asks the kernel for the addresses of `interface`, which is this link. Only by the first link a server has to be reached.
    pub fn of(link: u8, interface: Interface, settings: &Settings, requests: &mut Requests) -> io::Result<Self> {
        let shared = settings.config.on_link(link);
        let lease_s = settings.config.lease().map_or(0, |lease| lease.secs());
        let group = settings.daemon.multicast().ip();
        let own = Err(if group.is_ipv4() { Unfit::NoAddress } else { Unfit::NoAddressV6 });
        let mut place = Self { interface, own, others: Others::default(), edge: None };
        let mut best = None;
        requests.addresses(interface.index, &mut |address| {
            let Address { cidr, valid_s, is_tentative, is_duplicate, is_passing, .. } = address;
            let reach = Reach::of(cidr.address) as usize;
            let is_good = reaches(cidr.address, group);
            if shared.iter().any(|shared| cidr.address == shared.address) {
                let lasting = &mut place.others.lasting[reach];
                *lasting = lasting.or(Some(cidr).filter(|_| valid_s > lease_s && link == 0));
            } else if is_tentative && is_good {
                place.own = place.own.or(Err(if is_duplicate { Unfit::Duplicate } else { Unfit::Tentative }));
            } else if !cidr.address.is_loopback() && !is_tentative {
                place.others.own[reach] = true;
                let rank = (is_passing, NodeId::new(cidr.address));
                if is_good && best.is_none_or(|best| group.is_ipv6() && rank < best) {
                    best = Some(rank);
                    place.own = Ok(cidr);
                }
                place.edge = place.edge.or_else(|| edge(&shared, cidr));
            }
        })?;
        place.others.speaks = place.own.is_ok();
        Ok(place)
    }

    /// Why the interface must not have the addresses. `is_ours` says that this daemon has added the shared ones.
    pub fn unfit(&self, is_ours: bool) -> Option<Unfit> {
        if self.interface.kind != Kind::Lan {
            Some(Unfit::NoArp)
        } else if self.others.only().is_some() && !is_ours {
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
        if let Some(only) = self.others.only() {
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
    let of_links = (0..).zip(&settings.links).find_map(|(link, name)| {
        let interface = requests.interface(name).ok()??;
        Place::of(link, interface, settings, requests).ok()?.refusal(name)
    });
    of_links.or_else(|| settings.device.and_then(|name| kind_refusal(name, requests.interface(name).ok()??.kind)))
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

/// Whether a packet to `group` has such a source: one to a group of the link alone has one that is known there alone (RFC 4291
/// sections 2.7 and 2.5.6), so that all nodes are known by addresses of one kind.
fn reaches(own: IpAddr, group: IpAddr) -> bool {
    match (own, group) {
        (IpAddr::V4(_), IpAddr::V4(_)) => true,
        (IpAddr::V6(own), IpAddr::V6(group)) => own.is_unicast_link_local() == (scope(group) == LINK_LOCAL),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
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
    fn the_source_of_a_packet_reaches_as_far_as_its_group() {
        for (own, group, expected) in [
            ("192.0.2.11", "239.2.3.4", true),
            ("2001:db8::11", "239.2.3.4", false),
            ("192.0.2.11", "ff12::6861", false),
            ("fe80::11", "ff12::6861", true),
            ("2001:db8::11", "ff12::6861", false),
            ("fe80::11", "ff15::6861", false),
            ("2001:db8::11", "ff15::6861", true),
            ("fe80::11", "ff02::6861", true),
        ] {
            assert_eq!(reaches(own.parse().unwrap(), group.parse().unwrap()), expected, "{own} to {group}");
        }
    }

    #[test]
    fn what_is_left_goes_unless_it_is_the_only_address_by_which_a_server_is_reached() {
        let shared = ["10.0.0.100", "fe80::100", "2001:db8::100"].map(|text| Cidr::new(text.parse().unwrap(), 24));
        let own = |addresses: &[&str]| {
            let mut others = Others::default();
            addresses.iter().for_each(|own| others.own[Reach::of(own.parse().unwrap()) as usize] = true);
            others
        };
        for (mut others, goes, goes_if_lasting) in [
            (own(&[]), [false, true, true], [false; 3]),
            (own(&["10.0.0.11"]), [true; 3], [true; 3]),
            (own(&["fe80::11"]), [false, true, true], [false, true, false]),
            (own(&["2001:db8::11"]), [false, true, true], [false, true, true]),
            (own(&["10.0.0.11", "fe80::11", "fd00::11"]), [true; 3], [true; 3]),
        ] {
            assert_eq!(shared.map(|shared| others.allow_removal(shared.address)), goes, "{others:?}");
            assert_eq!(others.only(), None);
            others.lasting = shared.map(Some);
            assert_eq!(shared.map(|shared| others.allow_removal(shared.address)), goes_if_lasting, "{others:?}");
            let only = goes_if_lasting.iter().position(|goes| !goes).map(|position| shared[position]);
            assert_eq!(others.only(), only);
        }
        // One whose heartbeats go by IPv6.
        let mut others = Others { speaks: true, ..own(&["fe80::11"]) };
        assert!(others.allow_removal(shared[0].address));
        others.lasting = shared.map(Some);
        assert!(!others.allow_removal(shared[0].address));
    }

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
