//! nftables by nfnetlink (linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h): a table of the family netdev, which sees
//! every frame that leaves by an interface.
//!
//! What changes a table goes to the kernel in one batch, and it does all of it or nothing. What a fence consists of is in
//! ruleset.rs, and how its rules become bytes in rule.rs. Numbers are big-endian, but for those of a header.

use ha::hash::hash;
use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::{SocketFlags, netlink};

use super::netlink::message::Attributes;
use super::netlink::{Changes, Message, Requests, open_for};

mod rule;
mod ruleset;

pub use ruleset::Ruleset;

/// Loads, looks at and deletes tables. A table that it has loaded belongs to its socket, if the kernel knows such a thing.
#[derive(Debug)]
pub struct Tables {
    requests: Requests,
    flags: u32,
}

/// The first bytes of SHA-256 over all that the kernel says of a chain: others if anything was changed.
pub type Digest = [u8; 8];

/// Whose table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// There is none of that name.
    Nobody,
    /// One of this program's.
    Us,
    /// One of another program's.
    Other,
}

impl Tables {
    /// Opens the socket. It does not wait: the kernel has answered when a message was sent.
    pub fn open() -> io::Result<Self> {
        let socket = open_for(Some(netlink::NETFILTER), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, 0)?;
        Ok(Self { requests: Requests::by(socket, MOST_SENT, MOST_HEARD)?, flags: OWNED })
    }

    /// Finds out whether the kernel would load `ruleset`, of which there is no table: sends all of it without the end of the
    /// batch, so that the kernel undoes what it has done. From then on tables are loaded as far as this kernel can.
    pub fn try_out(&mut self, ruleset: &Ruleset<'_>) -> Result<(), Errno> {
        let outcome = self.try_with(OWNED, ruleset);
        // Before Linux 6.9 a table is either everybody's or gone with its owner.
        if let Err(Errno::OPNOTSUPP | Errno::INVAL) = outcome {
            return self.try_with(0, ruleset);
        }
        outcome
    }

    fn try_with(&mut self, flags: u32, ruleset: &Ruleset<'_>) -> Result<(), Errno> {
        self.flags = flags;
        self.begin_batch();
        ruleset.write(self);
        self.requests.exchange(&mut |_, _| ())
    }

    /// Loads `ruleset` in place of a table of that name. No frame passes in between.
    pub fn load(&mut self, ruleset: &Ruleset<'_>) -> Result<(), Errno> {
        self.begin_batch();
        self.delete_if_there(ruleset.table, 0);
        ruleset.write(self);
        self.end_batch()
    }

    /// Deletes the table with all that is in it, if there is one.
    pub fn delete(&mut self, table: &str) -> Result<(), Errno> {
        self.begin_batch();
        self.delete_if_there(table, nl::NLM_F_ACK);
        self.end_batch()
    }

    /// What is not there cannot be deleted, so it is made first.
    fn delete_if_there(&mut self, table: &str, ack: u32) {
        for (kind, flags) in [(NEWTABLE, nl::NLM_F_CREATE), (DELTABLE, ack)] {
            let start = self.begin(kind, flags);
            self.text(TABLE_NAME, table);
            self.requests.end(start);
        }
    }

    /// Whose the table is: ours has a comment of ours.
    pub fn owner(&mut self, table: &str) -> Result<Owner, Errno> {
        let mut owner = Owner::Other;
        let outcome = self.get(GETTABLE, &[(TABLE_NAME, table)], &mut |attributes| {
            if Attributes(attributes).any(|(kind, value)| kind == TABLE_USERDATA && ruleset::is_ours(value)) {
                owner = Owner::Us;
            }
        });
        match outcome {
            Ok(()) => Ok(owner),
            Err(Errno::NOENT) => Ok(Owner::Nobody),
            Err(errno) => Err(errno),
        }
    }

    /// What the kernel says of the chain in this table: its hook, its interfaces, how many rules; none if it is not there.
    pub fn chain(&mut self, table: &str) -> Result<Option<Digest>, Errno> {
        let mut digest = None;
        let names = [(CHAIN_TABLE, table), (CHAIN_NAME, ruleset::CHAIN)];
        match self.get(GETCHAIN, &names, &mut |attributes| digest = Some(hash(&[attributes]))) {
            Ok(()) => Ok(digest),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Asks for one thing, and calls `each` with the attributes of the answer.
    fn get(&mut self, kind: u16, names: &[(u16, &str)], each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        self.requests.clear();
        let start = self.begin(kind, nl::NLM_F_ACK);
        for &(kind, name) in names {
            self.text(kind, name);
        }
        self.requests.end(start);
        self.requests.exchange(&mut |_, body| each(body.get(NFGENMSG_LEN..).unwrap_or_default()))
    }

    fn begin_batch(&mut self) {
        self.requests.clear();
        let start = self.requests.begin(BATCH_BEGIN, 0);
        self.requests.put(&BATCH_OF_NFTABLES);
        self.requests.end(start);
    }

    /// Ends the batch and sends it. Of its messages the last one asks for an acknowledgement.
    fn end_batch(&mut self) -> Result<(), Errno> {
        let start = self.requests.header(BATCH_END, 0);
        self.requests.put(&BATCH_OF_NFTABLES);
        self.requests.end(start);
        self.requests.exchange(&mut |_, _| ())
    }

    /// Starts a message; returns where it starts.
    fn begin(&mut self, kind: u16, flags: u32) -> usize {
        let start = self.requests.begin(NFTABLES | kind, flags);
        self.requests.put(&[NETDEV, 0, 0, 0]);
        start
    }

    fn number(&mut self, kind: u16, number: u32) {
        self.requests.attribute(kind, &[&number.to_be_bytes()]);
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.requests.attribute(kind, &[text.as_bytes(), &[0]]);
    }
}

/// Hears what is changed in nftables, by whatever program.
pub fn changes() -> io::Result<Changes> {
    Changes::open(Some(netlink::NETFILTER), GROUP_OF_NFTABLES)
}

/// Whether a change is one of the table called `table`, or of what is in it: the first attribute of each kind is that name.
pub fn is_about(message: Message<'_>, table: &str) -> bool {
    let Some((header, attributes)) = message.body.split_first_chunk::<NFGENMSG_LEN>() else { return false };
    let is_name = |value: &[u8]| value.strip_suffix(&[0]) == Some(table.as_bytes());
    message.kind & 0xff00 == NFTABLES
        && header[0] == NETDEV
        && Attributes(attributes).any(|(kind, value)| kind == TABLE_NAME && is_name(value))
}

/// Bytes of the longest batch: for 16 addresses of both families on two interfaces, one with a name of 127 characters.
const MOST_SENT: usize = 7 * 1024;

/// Of the longest answer: a rule that was refused, with the reason.
const MOST_HEARD: usize = 2 * 1024;

/// NFNL_SUBSYS_NFTABLES, in the upper byte of a message's kind.
const NFTABLES: u16 = 10 << 8;
/// NFNLGRP_NFTABLES, as a bit.
const GROUP_OF_NFTABLES: u32 = 1 << (7 - 1);
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// struct nfgenmsg: a family, a version, and what is special to the subsystem.
const NFGENMSG_LEN: usize = 4;
/// NFPROTO_NETDEV.
const NETDEV: u8 = 5;
const BATCH_OF_NFTABLES: [u8; NFGENMSG_LEN] = [0, 0, 0, 10];

/// enum nf_tables_msg_types.
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const GETCHAIN: u16 = 4;

/// enum nft_table_attributes.
const TABLE_NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;

/// enum nft_chain_attributes.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// NFT_TABLE_F_OWNER and NFT_TABLE_F_PERSIST: no other program may change the table while this one lives, and it stays when this
/// one dies. Never the first without the second: the table would be gone in the very case that it is for.
const OWNED: u32 = 2 | 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netlink::message::Messages;

    /// A message as the kernel sends it.
    fn change(kind: u16, family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 7];
        for (kind, value) in attributes {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    fn is_heard(bytes: &[u8]) -> bool {
        Messages(bytes).any(|message| is_about(message, "ha-1-eth0"))
    }

    #[test]
    fn changes_of_the_table_are_told_from_those_of_others() {
        let ours: &[u8] = b"ha-1-eth0\0";
        for kind in [NFTABLES, NFTABLES | 2, NFTABLES | 5, NFTABLES | 8, NFTABLES | 14] {
            assert!(is_heard(&change(kind, NETDEV, &[(1, ours), (2, b"egress\0")])), "{kind}");
        }
        for (kind, family, name) in [
            (NFTABLES, NETDEV, &b"ha-1-eth01\0"[..]),
            (NFTABLES, NETDEV, b"ha-1-eth0"),
            (NFTABLES, 2, ours),
            (1 << 8, NETDEV, ours),
        ] {
            assert!(!is_heard(&change(kind, family, &[(1, name)])), "{kind} {family} {name:?}");
        }
        let generation = change(NFTABLES | 15, 0, &[(1, &[0, 0, 0, 9])]);
        let both = [
            &change(NFTABLES | 2, 2, &[(1, b"filter\0")])[..],
            &change(NFTABLES | 2, NETDEV, &[(1, ours)]),
            &generation,
        ];
        assert!(is_heard(&both.concat()), "behind that of another family");
        assert!(!is_heard(&generation));
    }

    #[test]
    fn no_length_in_a_message_leads_beyond_its_end() {
        let whole = change(NFTABLES | 2, NETDEV, &[(1, b"ha-1-eth0\0"), (2, b"egress\0")]);
        for at in 0..whole.len() {
            for value in [0, 3, 5, 255] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                for cut in 0..=bytes.len() {
                    let _ = is_heard(&bytes[..cut]);
                }
            }
        }
    }
}
