//! What was found out, and how a person is told.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use ha::time::{Duration, Instant};
use ha::wire::Heartbeat;
use ha::wire::arp::{HexMac, Mac};

use crate::commands::Failure;
use crate::text::text;

/// An address, and what is known of it.
#[derive(Debug)]
pub struct Asked {
    /// Which.
    pub address: Ipv4Addr,
    /// When the last question went out.
    pub at: Option<Instant>,
    /// Who answers for it.
    pub answers: Vec<Answer>,
}

/// Who answers for an address.
#[derive(Debug)]
pub struct Answer {
    /// From where.
    pub mac: Mac,
    /// None if it is this machine, whose kernel does not answer itself.
    pub round_trip: Option<Duration>,
}

impl Asked {
    /// Nothing is known yet.
    pub fn new(address: Ipv4Addr) -> Self {
        Self { address, at: None, answers: Vec::new() }
    }

    /// A MAC counts once, by its first answer.
    pub fn hear(&mut self, mac: Mac, round_trip: Option<Duration>) {
        if self.answers.len() < MAX_ANSWERS && self.answers.iter().all(|answer| answer.mac != mac) {
            self.answers.push(Answer { mac, round_trip });
        }
    }
}

/// What a packet says, and whose it is; the later, the more it is worth.
#[derive(Debug)]
pub enum Said {
    /// It is in this version of the protocol, which is not ours.
    OtherVersion(u8),
    /// Its tag is wrong: anybody may have sent it.
    OtherKey,
    /// It is of another group.
    OtherGroup(Heartbeat),
    /// It is of this group.
    Member(Heartbeat),
}

impl Said {
    fn worth(&self) -> u8 {
        match self {
            Self::OtherVersion(_) => 0,
            Self::OtherKey => 1,
            Self::OtherGroup(_) => 2,
            Self::Member(_) => 3,
        }
    }
}

/// What each MAC said: the last of the best.
#[derive(Debug, Default)]
pub struct Speakers(Vec<(Mac, Said)>);

impl Speakers {
    /// This MAC said this.
    pub fn hear(&mut self, mac: Mac, said: Said) {
        match self.0.iter().position(|(speaker, _)| *speaker == mac) {
            Some(place) if said.worth() >= self.0[place].1.worth() => self.0[place].1 = said,
            None if self.0.len() < MAX_SPEAKERS => self.0.push((mac, said)),
            _ => {}
        }
    }

    /// What this MAC said.
    pub fn said_by(&self, mac: Mac) -> Option<&Said> {
        self.0.iter().find(|(speaker, _)| *speaker == mac).map(|(_, said)| said)
    }
}

impl fmt::Display for Said {
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

/// What came out.
#[derive(Debug)]
pub struct Found {
    /// Lines for a person, without the last line feed.
    pub text: String,
    /// Whether exactly one machine replies for each address.
    pub verdict: Result<(), Failure>,
}

/// Says it.
pub fn found(asked: &[Asked], speakers: &Speakers, multicast: SocketAddrV4) -> Found {
    let who = |answer: &Answer| {
        let here = if answer.round_trip.is_none() { "this machine, " } else { "" };
        match speakers.said_by(answer.mac) {
            Some(said) => text!("{here}{said}"),
            None => text!("{here}no node heard from it"),
        }
    };
    let answers = || asked.iter().flat_map(|asked| &asked.answers);
    let address_width = asked.iter().map(|asked| text!("{}", asked.address).len()).max().unwrap_or(0);
    let who_width = answers().map(|answer| who(answer).len()).max().unwrap_or(0);
    let mut text = String::new();
    // Writing to a string cannot fail.
    for Asked { address, answers, .. } in asked {
        for answer in answers {
            let (mac, who) = (HexMac(answer.mac), who(answer));
            let _ = match answer.round_trip {
                Some(span) => writeln!(text, "{address:address_width$}  {mac}  {who:who_width$}  {span}"),
                None => writeln!(text, "{address:address_width$}  {mac}  {who}"),
            };
        }
        let _ = match answers.len() {
            0 => writeln!(text, "{address:address_width$}  nobody answers"),
            1 => Ok(()),
            several => writeln!(text, "{address:address_width$}  {several} answers: conflict"),
        };
    }
    let lacks_a_reply = asked.iter().any(|asked| asked.answers.is_empty());
    if lacks_a_reply {
        let _ = write!(text, "nodes heard at {multicast}:");
        for (position, (_, said)) in speakers.0.iter().enumerate() {
            let _ = write!(text, "{} {said}", if position > 0 { "," } else { "" });
        }
        text.push_str(if speakers.0.is_empty() { " none\n" } else { "\n" });
    }
    if answers().any(|answer| answer.round_trip.is_some() && speakers.said_by(answer.mac).is_none()) {
        let _ = writeln!(text, "no node heard: a stranger, or a node whose multicast to {multicast} is filtered");
    }
    text.pop();
    let verdict = if asked.iter().any(|asked| asked.answers.len() > 1) {
        Err(Failure::SeveralReply)
    } else if lacks_a_reply {
        Err(Failure::NobodyReplies)
    } else {
        Ok(())
    };
    Found { text, verdict }
}

/// More for one address are not told apart.
const MAX_ANSWERS: usize = 16;

/// More MACs that speak are not remembered.
const MAX_SPEAKERS: usize = 256;
