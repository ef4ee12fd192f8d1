//! A rule of nftables: steps that the kernel takes with each frame, one after the other, until one of them does not hold.
//!
//! A step loads something into the register, or compares what is there, or acts. There is one register here: each rule needs one
//! thing at a time.

use linux_raw_sys::netlink as nl;

use super::Tables;

/// What the kernel does with a frame.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Loads what it knows of the frame.
    Meta(u32),
    /// Loads bytes of the frame.
    Payload(Base, u32, u32),
    /// Keeps of what was loaded the bits that are set in these four bytes.
    Mask([u8; 4]),
    /// Goes on if these bytes were loaded.
    Is(&'a [u8]),
    /// Goes on if others were.
    IsNot(&'a [u8]),
    /// Goes on if what was loaded is in this set.
    IsIn(&'a str),
    /// Goes on if it is not.
    IsNotIn(&'a str),
    /// Adds what was loaded to this set for so many milliseconds, anew if it is there.
    Renew(&'a str, u64),
    /// Removes what was loaded from this set.
    Remove(&'a str),
    /// Ends here: the frame leaves.
    Accept,
    /// Ends here: the frame does not leave, and who sent it is told ENOBUFS.
    Drop,
}

/// Where an offset begins.
#[derive(Debug, Clone, Copy)]
pub enum Base {
    /// At the header of IPv4, or of ARP.
    Network = 1,
    /// At that of UDP, wherever it is.
    Transport = 2,
}

/// Keys of [`Step::Meta`] (enum nft_meta_keys).
pub const PROTOCOL: u32 = 1;
pub const SKUID: u32 = 10;
pub const L4PROTO: u32 = 16;

impl Tables {
    /// Adds a rule to a chain, with a comment for those who list it.
    pub(super) fn rule(&mut self, names: (&str, &str), comment: &str, steps: &[&[Step<'_>]], ack: u32) {
        let start = self.begin(NEWRULE, nl::NLM_F_CREATE | nl::NLM_F_APPEND | ack);
        self.text(RULE_TABLE, names.0);
        self.text(RULE_CHAIN, names.1);
        let list = self.requests.begin_list(RULE_EXPRESSIONS);
        for step in steps.iter().copied().flatten() {
            self.step(step);
        }
        self.requests.end_list(list);
        self.comment(RULE_USERDATA, comment);
        self.requests.end(start);
    }

    /// A comment as `nft` writes and lists it.
    pub(super) fn comment(&mut self, kind: u16, comment: &str) {
        let len = u8::try_from(comment.len() + 1).expect("comments are short");
        self.requests.attribute(kind, &[&[COMMENT, len], comment.as_bytes(), &[0]]);
    }

    fn step(&mut self, step: &Step<'_>) {
        let element = self.requests.begin_list(LIST_ELEM);
        self.text(EXPR_NAME, step.expression());
        let data = self.requests.begin_list(EXPR_DATA);
        match *step {
            Step::Meta(key) => {
                self.number(META_DREG, REGISTER);
                self.number(META_KEY, key);
            }
            Step::Payload(base, offset, len) => {
                self.number(PAYLOAD_DREG, REGISTER);
                self.number(PAYLOAD_BASE, base as u32);
                self.number(PAYLOAD_OFFSET, offset);
                self.number(PAYLOAD_LEN, len);
            }
            Step::Mask(mask) => {
                self.number(BITWISE_SREG, REGISTER);
                self.number(BITWISE_DREG, REGISTER);
                self.number(BITWISE_LEN, 4);
                self.value(BITWISE_MASK, &mask);
                self.value(BITWISE_XOR, &[0; 4]);
            }
            Step::Is(bytes) => self.compare(CMP_EQ, bytes),
            Step::IsNot(bytes) => self.compare(CMP_NEQ, bytes),
            Step::IsIn(set) => self.look_up(set, 0),
            Step::IsNotIn(set) => self.look_up(set, LOOKUP_F_INV),
            Step::Renew(set, timeout_ms) => {
                self.change_set(set, DYNSET_UPDATE);
                self.requests.attribute(DYNSET_TIMEOUT, &[&timeout_ms.to_be_bytes()]);
            }
            Step::Remove(set) => self.change_set(set, DYNSET_DELETE),
            Step::Accept => self.verdict(NF_ACCEPT),
            Step::Drop => self.verdict(NF_DROP),
        }
        self.requests.end_list(data);
        self.requests.end_list(element);
    }

    fn compare(&mut self, operation: u32, bytes: &[u8]) {
        self.number(CMP_SREG, REGISTER);
        self.number(CMP_OP, operation);
        self.value(CMP_DATA, bytes);
    }

    fn look_up(&mut self, set: &str, flags: u32) {
        self.text(LOOKUP_SET, set);
        self.number(LOOKUP_SREG, REGISTER);
        self.number(LOOKUP_FLAGS, flags);
    }

    fn change_set(&mut self, set: &str, operation: u32) {
        self.text(DYNSET_SET_NAME, set);
        self.number(DYNSET_OP, operation);
        self.number(DYNSET_SREG_KEY, REGISTER);
    }

    fn verdict(&mut self, code: u32) {
        self.number(IMMEDIATE_DREG, REGISTER_OF_VERDICT);
        let data = self.requests.begin_list(IMMEDIATE_DATA);
        let verdict = self.requests.begin_list(DATA_VERDICT);
        self.number(VERDICT_CODE, code);
        self.requests.end_list(verdict);
        self.requests.end_list(data);
    }

    /// An attribute that holds bytes as the kernel compares and looks them up.
    pub(super) fn value(&mut self, kind: u16, bytes: &[u8]) {
        let list = self.requests.begin_list(kind);
        self.requests.attribute(DATA_VALUE, &[bytes]);
        self.requests.end_list(list);
    }
}

impl Step<'_> {
    /// What nftables calls it.
    fn expression(self) -> &'static str {
        match self {
            Self::Meta(_) => "meta",
            Self::Payload(..) => "payload",
            Self::Mask(_) => "bitwise",
            Self::Is(_) | Self::IsNot(_) => "cmp",
            Self::IsIn(_) | Self::IsNotIn(_) => "lookup",
            Self::Renew(..) | Self::Remove(_) => "dynset",
            Self::Accept | Self::Drop => "immediate",
        }
    }
}

const NEWRULE: u16 = 6;

/// enum nft_registers: one with room for 16 bytes, and that of the verdict.
const REGISTER: u32 = 1;
const REGISTER_OF_VERDICT: u32 = 0;

/// enum nft_rule_attributes.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;

/// enum nft_list_attributes, nft_expr_attributes.
pub const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;

/// enum nft_meta_attributes, nft_payload_attributes.
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;

/// enum nft_bitwise_attributes.
const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LEN: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;

/// enum nft_cmp_attributes, nft_cmp_ops.
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

/// enum nft_lookup_attributes, nft_lookup_flags.
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_FLAGS: u16 = 5;
const LOOKUP_F_INV: u32 = 1;

/// enum nft_dynset_attributes, nft_dynset_ops; the last one since Linux 5.4.
const DYNSET_SET_NAME: u16 = 1;
const DYNSET_OP: u16 = 3;
const DYNSET_SREG_KEY: u16 = 4;
const DYNSET_TIMEOUT: u16 = 6;
const DYNSET_UPDATE: u32 = 1;
const DYNSET_DELETE: u32 = 2;

/// enum nft_immediate_attributes, nft_data_attributes, nft_verdict_attributes.
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// Kind of what user space keeps with a table or a rule: text, with a NUL (libnftnl).
const COMMENT: u8 = 0;
