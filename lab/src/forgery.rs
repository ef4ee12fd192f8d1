//! The packets of an attacker that has heard everything and knows no key: each would move the address if it were
//! believed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ha::wire::{Context, Flags, Heartbeat, Kind, LEN, NodeId, Seal, State};

use crate::attacker::Heard;
use crate::datagram::{ATTACKER, ATTACKER_ADDRESS, Datagram};
use crate::frames::{self, Mac};
use crate::key::LabKey;
use crate::net::{SHARED, address_of};

/// A node that does not exist. A node that shows it among its peers has believed a forgery.
pub const STRANGER: Ipv4Addr = address_of(200);
/// The worthiness in forged heartbeats, which no node has.
pub const FORGED_WORTHINESS: u16 = 65_535;

/// The last packets of all nodes, from which it makes forgeries.
#[derive(Debug)]
pub struct Forger {
    owner: u8,
    owner_says: Heartbeat,
    others: Vec<Ipv4Addr>,
    heard: Vec<Heard>,
}

impl Forger {
    /// A forger that has heard these packets, of which the last few are enough.
    ///
    /// # Errors
    /// When it has not heard the owner and at least one other node.
    pub fn new(owner: u8, mut heard: Vec<Heard>) -> io::Result<Self> {
        heard.drain(..heard.len().saturating_sub(RECENT));
        let address = address_of(owner);
        let said = heard.iter().rfind(|heard| heard.from == address);
        let owner_says = said.and_then(|heard| Heartbeat::parse(&heard.bytes).ok());
        let mut others: Vec<_> = heard.iter().map(|heard| heard.from).filter(|from| *from != address).collect();
        others.sort_unstable();
        others.dedup();
        match owner_says {
            Some(owner_says) if !others.is_empty() => Ok(Self { owner, owner_says, others, heard }),
            _ => Err(io::Error::other("the attacker has not heard the owner and another node")),
        }
    }

    /// Every forgery by every way.
    pub fn everything(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for heartbeat in self.false_heartbeats() {
            for packet in signatures(&heartbeat) {
                frames.extend(self.by_every_way(source(&heartbeat), &packet));
            }
        }
        frames.extend(self.malformed());
        frames.extend(self.replayed());
        // Genuine packets that came by another way, or from another address.
        for heard in &self.heard {
            let straight = Datagram::to_group(heard.from, &heard.bytes);
            frames.push(Datagram { ttl: 254, ..straight }.emit());
            frames.push(Datagram { from: STRANGER, ..straight }.emit());
        }
        frames
    }

    /// Forgeries that are signed with one key, straight to the group.
    pub fn signed(&self, key: LabKey) -> Vec<Vec<u8>> {
        let seal = key.seal();
        self.false_heartbeats()
            .iter()
            .map(|heartbeat| Datagram::to_group(source(heartbeat), &seal.sign(heartbeat)).emit())
            .collect()
    }

    /// The right size, magic and group, and a wrong tag.
    pub fn forged(&self) -> Vec<Vec<u8>> {
        self.signed(FOREIGN)
    }

    /// The packets that it heard a moment ago.
    pub fn replayed(&self) -> Vec<Vec<u8>> {
        replayed(&self.heard)
    }

    /// Of every size, and of the right one with another magic.
    pub fn garbage(&self) -> Vec<Vec<u8>> {
        let sizes = (0..=1_400).step_by(50).flat_map(|size| [size, LEN]);
        let noise = |size: usize| (0..size).map(|at| (at * 37 + size).to_le_bytes()[0]).collect::<Vec<u8>>();
        let mut from = self.others.iter().chain([&STRANGER]).cycle();
        sizes.map(|size| Datagram::to_group(*from.next().expect("a cycle"), &noise(size)).emit()).collect()
    }

    /// Heartbeats that a node would act upon. Their sequence numbers are greater than any that a node will reach.
    fn false_heartbeats(&self) -> Vec<Heartbeat> {
        let owner = self.owner_says;
        let flags = |settled, released| {
            let awake = Flags::default().with(Flags::SEALED, true).with(Flags::READY, true);
            awake.with(Flags::SETTLED, settled).with(Flags::RELEASED, released)
        };
        let next = Heartbeat { kind: Kind::Heartbeat, seq: owner.seq + (1 << 40), following: None, ..owner };
        let gone = Heartbeat { flags: flags(true, true), ..next };
        let mut heartbeats = vec![
            Heartbeat { state: State::Shutdown, ..gone },
            Heartbeat { state: State::Shutdown, boot: !owner.boot, ..gone },
            Heartbeat { state: State::Standby, ..gone },
            Heartbeat { state: State::Unfit, ..gone },
            Heartbeat { worthiness: 0, ..next },
        ];
        heartbeats.extend(self.others.iter().map(|&other| {
            let following = Some(NodeId::from_v4(other));
            Heartbeat { state: State::Standby, following, ..gone } // a hand-over
        }));
        for sender in self.others.iter().copied().chain([STRANGER, address_of(self.owner)]) {
            let node = NodeId::from_v4(sender);
            let to_owner = Some(owner.node);
            let worthy =
                Heartbeat { node, worthiness: FORGED_WORTHINESS, boot: !owner.boot, flags: flags(true, false), ..next };
            heartbeats.extend([
                Heartbeat { state: State::Active, following: to_owner, ..worthy },
                Heartbeat { state: State::Active, following: Some(node), ..worthy },
                Heartbeat { state: State::Standby, kind: Kind::Claim, following: to_owner, ..worthy },
                Heartbeat { state: State::Standby, kind: Kind::Query, following: to_owner, ..worthy },
                Heartbeat { state: State::Active, worthiness: 1, following: Some(node), ..worthy },
            ]);
        }
        heartbeats
    }

    /// To the group, through a router, to the owner's card, and to its real address.
    fn by_every_way(&self, from: Ipv4Addr, packet: &[u8]) -> [Vec<u8>; 4] {
        let straight = Datagram::to_group(from, packet);
        let to_mac = Mac::of(self.owner);
        [
            straight,
            Datagram { ttl: 254, ..straight },
            Datagram { to_mac, ..straight },
            Datagram { to_mac, to: address_of(self.owner), ..straight },
        ]
        .map(|datagram| datagram.emit())
    }

    /// The owner's last packet: too short, too long, with nonsense in every field, and with single bits turned over.
    fn malformed(&self) -> Vec<Vec<u8>> {
        let genuine = &self.heard.iter().rfind(|heard| heard.from == address_of(self.owner)).expect("heard").bytes;
        let cut = [0, 1, 2, 3, 80, LEN - 1].map(|length| genuine[..length].to_vec());
        let padded = [1, 2, 107, 1_300].map(|more| [&genuine[..], &vec![0; more]].concat());
        let nonsense = (0..LEN).map(|at| {
            let mut packet = genuine.clone();
            packet[at] ^= 0xff;
            packet
        });
        let turned = (0..LEN * 8).step_by(5).map(|bit| {
            let mut packet = genuine.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            packet
        });
        let packets = cut.into_iter().chain(padded).chain(nonsense).chain(turned);
        packets.map(|packet| Datagram::to_group(address_of(self.owner), &packet).emit()).collect()
    }
}

/// The same frames to one MAC only, whatever address they are for.
pub fn aimed(frames: &[Vec<u8>], at: Mac) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| [&at.0, &frame[at.0.len()..]].concat()).collect()
}

/// Packets as they were, from the addresses from which they came.
pub fn replayed(heard: &[Heard]) -> Vec<Vec<u8>> {
    heard.iter().map(|heard| Datagram::to_group(heard.from, &heard.bytes).emit()).collect()
}

/// "Who has the shared address?", asked by the attacker from its own address.
pub fn question() -> Vec<u8> {
    let mut frame = frames::who_has(SHARED);
    frame[6..12].copy_from_slice(&ATTACKER.0);
    frame[22..28].copy_from_slice(&ATTACKER.0);
    frame[28..32].copy_from_slice(&ATTACKER_ADDRESS.octets());
    frame.to_vec()
}

/// Signed with another key, with the public constant, with no tag, and with one wrong bit in the tag.
fn signatures(heartbeat: &Heartbeat) -> [[u8; LEN]; 4] {
    let foreign = FOREIGN.seal().sign(heartbeat);
    let (mut bare, mut off) = (foreign, foreign);
    bare[LEN - TAG..].fill(0);
    off[LEN - 1] ^= 1;
    [foreign, Seal::public(Context::of_group(7)).sign(heartbeat), bare, off]
}

fn source(heartbeat: &Heartbeat) -> Ipv4Addr {
    let IpAddr::V4(address) = heartbeat.node.address() else { panic!("the lab has IPv4 alone: {heartbeat:?}") };
    address
}

/// Enough to have heard each node.
const RECENT: usize = 32;
const TAG: usize = 16;
const FOREIGN: LabKey = LabKey(0xee);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagram;

    fn heard(node: u8, key: LabKey) -> Heard {
        let plain = Heartbeat::plain(NodeId::from_v4(address_of(node)));
        let said = Heartbeat { group: 7, state: State::Active, seq: 9, ..plain };
        Heard { from: address_of(node), bytes: key.seal().sign(&said).to_vec() }
    }

    #[test]
    fn of_all_that_is_sent_nothing_new_is_signed_with_the_key() {
        let key = LabKey(1);
        let genuine = [heard(1, key), heard(2, key), heard(3, key)];
        let forger = Forger::new(1, genuine.to_vec()).unwrap();
        let frames = forger.everything();
        let mut right = 0;
        for frame in &frames {
            let (from, bytes) = datagram::read(frame).unwrap();
            if key.has_signed(bytes) {
                right += 1;
                assert!(genuine.iter().any(|heard| heard.bytes == bytes), "from {from}");
            }
        }
        assert_eq!(right, 3 * 3, "as they were, with another TTL, and from elsewhere");
        assert!(frames.len() > 500, "{}", frames.len());
        assert!(forger.signed(key).iter().all(|frame| key.has_signed(datagram::read(frame).unwrap().1)));
    }

    #[test]
    fn nothing_can_be_forged_without_having_heard_the_owner() {
        assert!(Forger::new(1, vec![heard(2, LabKey(1)), heard(3, LabKey(1))]).is_err());
        assert!(Forger::new(1, vec![heard(1, LabKey(1))]).is_err());
    }
}
