//! What the replies and the packets show, and how it is printed.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use ha::time::{Duration, Instant};
use ha::wire::Heartbeat;
use ha::wire::arp::{HexMac, Mac};

use crate::commands::Failure;
use crate::text::{Endpoint, text};

/// An address and the replies for it.
#[derive(Debug)]
pub struct Asked {
    /// The address.
    pub address: IpAddr,
    /// When the last question went out.
    pub at: Option<Instant>,
    /// The replies, one for each MAC.
    pub replies: Vec<Reply>,
}

/// A machine that replies for an address.
#[derive(Debug)]
pub struct Reply {
    /// Its MAC.
    pub mac: Mac,
    /// None for this machine, whose kernel does not reply to itself.
    pub round_trip: Option<Duration>,
}

impl Asked {
    /// An address without a reply yet.
    pub fn new(address: IpAddr) -> Self {
        Self { address, at: None, replies: Vec::new() }
    }

    /// Adds a reply. Only the first one of a MAC counts.
    pub fn hear(&mut self, mac: Mac, round_trip: Option<Duration>) {
        if self.replies.len() < MAX_REPLIES && self.replies.iter().all(|reply| reply.mac != mac) {
            self.replies.push(Reply { mac, round_trip });
        }
    }
}

/// What a packet shows of its sender, from the least to the most.
#[derive(Debug)]
pub enum Speaker {
    /// It uses this version of the protocol, which we do not read.
    OtherVersion(u8),
    /// The tag is wrong: any host may have sent the packet.
    OtherKey,
    /// It belongs to another group.
    OtherGroup(Heartbeat),
    /// It belongs to this group.
    Member(Heartbeat),
}

impl Speaker {
    /// How much is known.
    fn rank(&self) -> u8 {
        match self {
            Self::OtherVersion(_) => 0,
            Self::OtherKey => 1,
            Self::OtherGroup(_) => 2,
            Self::Member(_) => 3,
        }
    }
}

/// Who speaks from each MAC: the latest of the packets that show most.
#[derive(Debug, Default)]
pub struct Speakers(Vec<(Mac, Speaker)>);

impl Speakers {
    /// Remembers the sender of a packet from this MAC.
    pub fn hear(&mut self, mac: Mac, speaker: Speaker) {
        match self.0.iter().position(|&(known, _)| known == mac) {
            Some(place) if speaker.rank() >= self.0[place].1.rank() => self.0[place].1 = speaker,
            None if self.0.len() < MAX_SPEAKERS => self.0.push((mac, speaker)),
            _ => {}
        }
    }

    /// Who speaks from this MAC.
    pub fn at(&self, mac: Mac) -> Option<&Speaker> {
        self.0.iter().find(|&&(known, _)| known == mac).map(|(_, speaker)| speaker)
    }
}

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(Heartbeat { node, state, worthiness, .. }) => {
                write!(f, "{node} {state} worthiness {worthiness}")
            }
            Self::OtherGroup(Heartbeat { node, group, .. }) => write!(f, "{node} of another group: {group}"),
            Self::OtherKey => f.write_str("a node with another key"),
            Self::OtherVersion(version) => write!(f, "a node that speaks version {version} of the protocol"),
        }
    }
}

/// The result of asking.
#[derive(Debug)]
pub struct Found {
    /// Lines for a person, without the last line feed.
    pub text: String,
    /// Whether exactly one machine replies for each address.
    pub verdict: Result<(), Failure>,
}

/// Makes lines of it: an address and a MAC with the node that speaks from it, in columns.
pub fn summarize(asked: &[Asked], speakers: &Speakers, multicast: SocketAddr) -> Found {
    let who = |reply: &Reply| {
        let here = if reply.round_trip.is_none() { "this machine, " } else { "" };
        match speakers.at(reply.mac) {
            Some(speaker) => text!("{here}{speaker}"),
            None => text!("{here}no node heard from it"),
        }
    };
    let replies = || asked.iter().flat_map(|asked| &asked.replies);
    let address_width = asked.iter().map(|asked| text!("{}", asked.address).len()).max().unwrap_or(0);
    let who_width = replies().map(|reply| who(reply).len()).max().unwrap_or(0);
    let mut text = String::new();
    // Writing to a string cannot fail.
    for Asked { address, replies, .. } in asked {
        for reply in replies {
            let (mac, who) = (HexMac(reply.mac), who(reply));
            let _ = match reply.round_trip {
                Some(span) => writeln!(text, "{address:address_width$}  {mac}  {who:who_width$}  {span}"),
                None => writeln!(text, "{address:address_width$}  {mac}  {who}"),
            };
        }
        let _ = match replies.len() {
            0 => writeln!(text, "{address:address_width$}  nobody answers"),
            1 => Ok(()),
            several => writeln!(text, "{address:address_width$}  {several} answers: conflict"),
        };
    }
    let lacks_a_reply = asked.iter().any(|asked| asked.replies.is_empty());
    if lacks_a_reply {
        let _ = write!(text, "nodes heard at {}:", Endpoint(multicast));
        for (position, (_, speaker)) in speakers.0.iter().enumerate() {
            let _ = write!(text, "{} {speaker}", if position > 0 { "," } else { "" });
        }
        text.push_str(if speakers.0.is_empty() { " none\n" } else { "\n" });
    }
    if replies().any(|reply| reply.round_trip.is_some() && speakers.at(reply.mac).is_none()) {
        let group = Endpoint(multicast);
        let _ = writeln!(text, "no node heard: a stranger, or a node whose multicast to {group} is filtered");
    }
    text.pop();
    let verdict = if asked.iter().any(|asked| asked.replies.len() > 1) {
        Err(Failure::SeveralReply)
    } else if lacks_a_reply {
        Err(Failure::NobodyReplies)
    } else {
        Ok(())
    };
    Found { text, verdict }
}

/// Further replies for one address are not counted.
const MAX_REPLIES: usize = 16;

/// Further MACs that speak are not remembered.
const MAX_SPEAKERS: usize = 256;
