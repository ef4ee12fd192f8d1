//! Asks the LAN by ARP and neighbour discovery who replies for the shared addresses, and listens meanwhile which node speaks from
//! which MAC.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use ha::budget::Budget;
use ha::config::{Cidr, has_v6};
use ha::time::Duration;
use ha::wire::arp::{Arp, Mac};
use ha::wire::heartbeat::Defect;
use ha::wire::heartbeat::MAGIC;
use ha::wire::{Heartbeat, LEN, Resolution, Seal, mapped};
use rustix::io;
use rustix::net::RecvFlags;

use super::found::{Asked, Found, Reply, Speaker, Speakers, summarize};
use crate::linux;
use crate::linux::bpf::{BPF_LD_B_ABS, BPF_LD_H_ABS, BPF_LD_W_ABS, Program};
use crate::linux::netlink::{Interface, Requests};
use crate::linux::packet::{self, Sender};
use crate::linux::poll::Watch;
use crate::linux::{clock, icmp6, udp};
use crate::settings::Question;
use crate::text::{Refusal, Text, text};

/// Sends ARP probes, and hears replies and heartbeats.
pub struct Asker {
    interface: Text,
    multicast: SocketAddr,
    group: u8,
    arp: Sender,
    /// Hears ARP replies to probes.
    replies: OwnedFd,
    /// Hears NAs, if it asks for an address of IPv6.
    advertisements: Option<icmp6::Listener>,
    /// Hears packets of any group with their MACs, also those that this machine sends.
    packets: OwnedFd,
    /// Keeps this machine a member of the multicast group.
    _member: OwnedFd,
    asked: Vec<Asked>,
    speakers: Speakers,
}

impl Asker {
    /// Opens what it needs on the interface.
    ///
    /// # Errors
    /// One line that names what is missing. No probe was sent.
    pub fn open(question: &Question) -> Result<Self, Refusal> {
        let name = question.interface;
        let looked = Requests::open().and_then(|mut requests| Ok((requests.interface(name)?, requests)));
        let (interface, requests) = looked.map_err(|error| text!("look at {name}: {error}"))?;
        match interface {
            None => Err(text!("interface {name}: does not exist; expected one of this machine")),
            Some(Interface { mac: NO_MAC, .. }) => {
                Err(text!("interface {name}: has no hardware address; expected an Ethernet"))
            }
            Some(Interface { is_running: false, .. }) => {
                Err(text!("interface {name}: down or without a carrier; expected one that is up"))
            }
            Some(interface) => Self::listen(question, interface, requests)
                .map_err(|error| text!("ask on {name}: {error}; expected root or CAP_NET_RAW")),
        }
    }

    fn listen(question: &Question, own: Interface, mut requests: Requests) -> io::Result<Self> {
        let index = own.index;
        let &Question { interface, shared, multicast, ref config, .. } = question;
        let arp = Sender::open()?;
        arp.bind(index)?;
        let open = |ethertype, program: &Program| {
            // Without a protocol the socket hears nothing before the filter is in place.
            let socket = packet::open(0, 0)?;
            linux::bpf::attach_filter(socket.as_fd(), program)?;
            linux::packet::bind_packet(socket.as_fd(), index, ethertype)?;
            io::Result::Ok(socket)
        };
        let mut asked: Vec<_> = config.addresses().iter().map(|cidr| Asked::new(cidr.address)).collect();
        // An alias is no interface of its own.
        let device = shared.map_or(Ok(None), |name| requests.interface(name)).unwrap_or_default();
        for Interface { index, mac, .. } in [own].into_iter().chain(device) {
            requests.addresses(index, &mut |own| {
                if let Some(asked) = asked.iter_mut().find(|asked| asked.address == own.cidr.address) {
                    asked.hear(mac, None);
                }
            })?;
        }
        let advertisements = match requests.name(index)? {
            Some(name) if has_v6(config.addresses()) => {
                Some(icmp6::Listener::open(name, index, config.addresses())?.into())
            }
            _ => None,
        };
        Ok(Self {
            interface,
            multicast,
            group: config.group(),
            arp,
            advertisements,
            replies: open(ETH_P_ARP, &replies(config.addresses()))?,
            packets: open(ETH_P_ALL, &packets_to(multicast))?,
            _member: udp::join(index, multicast.ip())?,
            asked,
            speakers: Speakers::default(),
        })
    }

    /// Asks for `timeout` at most, and no longer than it takes to know which node each reply is from. With a `seal`, only packets
    /// whose tag is right name a node.
    ///
    /// # Errors
    /// One line: a question could not be sent.
    pub fn ask(mut self, seal: Option<&Seal>, timeout: Duration) -> Result<Found, Refusal> {
        let count = self.asked.len();
        let all = ROUNDS * count;
        let start = clock::now();
        let mut frames = Budget::new(AT_ONCE, PER_S.into(), start);
        let mut sent = 0;
        loop {
            let now = clock::now();
            let passed = now.since(start);
            let is_over = sent == all && passed >= replied_to(all, count) && self.is_all_known();
            if is_over || passed >= timeout {
                return Ok(summarize(&self.asked, &self.speakers, self.multicast));
            }
            // After a stall of this machine, overdue probes go out at the same pace.
            while sent < all && due(sent, count) <= passed && frames.spend(1, now) {
                self.probe(sent % count)?;
                sent += 1;
            }
            let next = match sent < all {
                true => (start + due(sent, count)).max(frames.has_at(1)),
                false => start + replied_to(all, count),
            };
            let limit = if next > now { next.min(start + timeout) } else { start + timeout };
            self.wait(limit.since(now)).map_err(|error| text!("wait for replies: {error}"))?;
            self.hear_replies();
            self.hear_packets(seal);
        }
    }

    fn probe(&mut self, position: usize) -> Result<(), Refusal> {
        let asked = &mut self.asked[position];
        asked.at = Some(clock::now());
        let sent = self.arp.probe(asked.address);
        sent.map_err(|error| text!("ask for {} on {}: {error}", asked.address, self.interface))
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        let mut watch = Watch::<3>::default();
        watch.add(self.replies.as_fd());
        if let Some(advertisements) = &self.advertisements {
            watch.add(advertisements.as_fd());
        }
        watch.add(self.packets.as_fd());
        watch.wait(Some(limit))
    }

    fn hear_replies(&mut self) {
        let mut frame = [0; 64];
        for _ in 0..MAX_HEARD_AT_ONCE {
            let Some(len) = receive(&self.replies, &mut frame) else { break };
            if let Some(Arp { mac, from, .. }) = Arp::parse(&frame[..len]) {
                self.hear_reply(from.into(), mac);
            }
        }
        for _ in 0..MAX_HEARD_AT_ONCE {
            let Some(said) = self.advertisements.as_ref().and_then(icmp6::Listener::next) else { break };
            if let Resolution { is_reply: true, mac: Some(mac), from, .. } = said {
                self.hear_reply(from, mac);
            }
        }
    }

    fn hear_reply(&mut self, address: IpAddr, mac: Mac) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.address == address)
            && let Some(at) = asked.at
        {
            asked.hear(mac, Some(clock::now().since(at)));
        }
    }

    fn hear_packets(&mut self, seal: Option<&Seal>) {
        let mut frame = [0; HEADERS_V6 + LEN];
        let headers = headers(self.multicast);
        for _ in 0..MAX_HEARD_AT_ONCE {
            let Some(len) = receive(&self.packets, &mut frame) else { return };
            let Some((&[_, _, _, _, _, _, a, b, c, d, e, f, ..], packet)) = frame[..len].split_at_checked(headers)
            else {
                continue;
            };
            let is_genuine = |seal: &Seal| packet.try_into().is_ok_and(|packet| seal.is_genuine(packet));
            let speaker = match Heartbeat::parse(packet) {
                Ok(heartbeat) if heartbeat.group != self.group => Speaker::OtherGroup(heartbeat),
                Ok(heartbeat) if seal.is_none_or(is_genuine) => Speaker::Member(heartbeat),
                Ok(_) => Speaker::OtherKey,
                Err(Defect::Version(version)) => Speaker::OtherVersion(version),
                Err(Defect::Size | Defect::Foreign | Defect::Malformed) => continue,
            };
            self.speakers.hear([a, b, c, d, e, f], speaker);
        }
    }

    /// There is a reply for each address, and each reply comes from a member of the group.
    fn is_all_known(&self) -> bool {
        let is_member =
            |reply: &Reply| self.speakers.at(reply.mac).is_some_and(|speaker| matches!(speaker, Speaker::Member(_)));
        self.asked.iter().all(|asked| !asked.replies.is_empty() && asked.replies.iter().all(is_member))
    }
}

/// When the probe with this number may go out: in rounds, and never faster than a switch permits.
fn due(number: usize, addresses: usize) -> Duration {
    let times =
        |span: Duration, count: usize| span.saturating_mul(u32::try_from(count).expect("there are few addresses"));
    let after_the_first = times(Duration::from_secs(1), number + 1) / PER_S;
    let at_once = Duration::from_secs(AT_ONCE) / PER_S;
    times(ROUND, number / addresses).max(after_the_first.saturating_sub(at_once))
}

/// How long it takes to probe each address once and to hear the replies.
pub fn one_round(addresses: usize) -> Duration {
    replied_to(addresses, addresses)
}

/// The same for all rounds.
pub fn all_rounds(addresses: usize) -> Duration {
    replied_to(ROUNDS * addresses, addresses)
}

/// When the replies to this number of probes have come.
fn replied_to(probes: usize, addresses: usize) -> Duration {
    due(probes - 1, addresses) + REPLIES_WITHIN
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    let (_, len) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
    Some(len.min(buffer.len()))
}

/// Keeps replies for one of `addresses` (SPA) to this host, which asked without an address (TPA 0). A
/// frame with the tag of a VLAN is for another interface.
fn replies(addresses: &[Cidr]) -> Program {
    let mut program = Program::new();
    linux::bpf::require(&mut program, BPF_LD_W_ABS, packet::SKF_AD_PKTTYPE, packet::PACKET_HOST);
    linux::bpf::require(&mut program, BPF_LD_H_ABS, 20, 2);
    linux::bpf::require(&mut program, BPF_LD_W_ABS, 38, 0);
    linux::bpf::answer_any(&mut program, 28, &packet::words(addresses), [0, u32::MAX]);
    program
}

/// Keeps packets of ha to `group`, of which it looks at the last four bytes: untagged, IPv4 without options or IPv6 without other
/// headers, UDP that no router has passed on.
fn packets_to(group: SocketAddr) -> Program {
    let headers = u32::try_from(headers(group)).expect("headers are small");
    let [.., a, b, c, d] = mapped(group.ip()).octets();
    let mut program = Program::new();
    for &(load, offset, value) in if group.is_ipv4() { &IN_IPV4 } else { &IN_IPV6 } {
        linux::bpf::require(&mut program, load, offset, value);
    }
    for (load, offset, value) in [
        (BPF_LD_W_ABS, headers - 12, u32::from_be_bytes([a, b, c, d])),
        (BPF_LD_H_ABS, headers - 6, group.port().into()),
        (BPF_LD_H_ABS, headers, u16::from_be_bytes(MAGIC).into()),
    ] {
        linux::bpf::require(&mut program, load, offset, value);
    }
    udp::keep_versions(&mut program, headers);
    program
}

/// Bytes before a packet to `group`: Ethernet, IP and UDP.
fn headers(group: SocketAddr) -> usize {
    if group.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 }
}

/// A probe or its reply may be lost, so each address is probed several times.
const ROUNDS: usize = 3;

/// From one round to the next, if there are few addresses.
const ROUND: Duration = Duration::from_millis(200);

/// A machine that is alive replies in time; usually it takes less than a millisecond.
const REPLIES_WITHIN: Duration = Duration::from_millis(100);

/// Frames at once after a rest, and each second in the long run: switches shut a port at 15.
const AT_ONCE: u64 = 8;
const PER_S: u32 = 10;

/// Frames to read before looking at the clock again.
const MAX_HEARD_AT_ONCE: usize = 64;

/// Of a tunnel, or of the loopback interface.
const NO_MAC: Mac = [0; 6];

const HEADERS_V4: usize = 14 + 20 + 8;
const HEADERS_V6: usize = 14 + 40 + 8;

const ETH_P_ARP: u16 = 0x0806;
/// With it a socket hears what this machine sends, too, and what a VLAN on top of the interface gets, without its tag.
const ETH_P_ALL: u16 = 0x0003;
/// Where a filter finds whether there was a tag (linux/filter.h).
const SKF_AD_VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;
/// What has to be where: no tag; EtherType; IPv4 without options; TTL or hop limit 255 (RFC 5082), and the number of UDP beside it.
const IN_IPV4: [(u16, u32, u32); 4] = [
    (BPF_LD_W_ABS, SKF_AD_VLAN_TAG_PRESENT, 0),
    (BPF_LD_H_ABS, 12, 0x0800),
    (BPF_LD_B_ABS, 14, 0x45),
    (BPF_LD_H_ABS, 22, 0xff11),
];
const IN_IPV6: [(u16, u32, u32); 4] = [
    (BPF_LD_W_ABS, SKF_AD_VLAN_TAG_PRESENT, 0),
    (BPF_LD_H_ABS, 12, 0x86dd),
    (BPF_LD_B_ABS, 20, 0x11),
    (BPF_LD_B_ABS, 21, 0xff),
];

#[cfg(test)]
mod tests {
    use ha::config::MAX_ADDRESSES;

    use super::*;

    #[test]
    fn probes_are_due_in_three_rounds_and_no_sooner_than_the_budget_permits() {
        let millis = |addresses| {
            let times = (0..ROUNDS * addresses).map(move |number| due(number, addresses).as_micros() / 1_000);
            times.collect::<Vec<_>>()
        };
        assert_eq!(millis(1), [0, 200, 400]);
        assert_eq!(millis(4), [0, 0, 0, 0, 200, 200, 200, 200, 400, 400, 400, 400]);
        for addresses in 1..=MAX_ADDRESSES {
            let start = clock::now();
            let mut frames = Budget::new(AT_ONCE, PER_S.into(), start);
            for (number, at) in millis(addresses).into_iter().enumerate() {
                let has_one = frames.spend(1, start + Duration::from_millis(at));
                assert!(has_one, "probe {number} for {addresses} addresses, after {at} ms");
            }
        }
    }
}
