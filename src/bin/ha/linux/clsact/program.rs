//! The program of a fence, which looks at each frame that leaves, as the rules of nftables do (netfilter/ruleset.rs).
//!
//! The fence is a number: the time, in nanoseconds since boot, until when it is open. A heartbeat of an ACTIVE puts it ahead, any
//! other state makes it zero. Numbers of the kernel are those of Linux 5.8, from which on programs of any license may ask the time.

use std::net::SocketAddrV4;

use ha::config::{Cidr, MAX_ADDRESSES};
use ha::fence::{ACTIVE, EVERY, FENCED};
use ha::time::Duration;
use ha::wire::heartbeat::{GROUP_AT, SECOND_FLAGS_AT, STATE_AT};
use ha::wire::{Kind, LEN};

use crate::linux::ebpf::{
    BYTE, DOUBLE, HALF, JEQ, JNE, Label, Number, Program, R0, R1, R2, R3, R4, R6, R7, R8, STACK, Slot, Text, WORD,
};

/// What is to be fenced, and by which heartbeats.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The addresses.
    pub shared: &'a [Cidr],
    /// Where heartbeats go.
    pub multicast: SocketAddrV4,
    /// Of which group.
    pub group: u8,
    /// Whose socket sends them, if that can be said.
    pub uid: Option<u32>,
    /// How long a heartbeat keeps the way open.
    pub timeout: Duration,
}

/// Writes it for this plan.
pub fn write(plan: &Plan<'_>, open_until: &Number) -> Fence {
    static TEXT: Fence = text();
    let mut program = TEXT;
    program.fill_map(MAP, open_until);
    for number in 0..MAX_ADDRESSES {
        let slot = Slot(FIRST_ADDRESS + number);
        match plan.shared.get(number).and_then(Cidr::v4) {
            Some(address) => program.fill(slot, u32::from_ne_bytes(address.octets())),
            None => program.leave_out(slot),
        }
    }
    program.fill(MULTICAST, u32::from_ne_bytes(plan.multicast.ip().octets()));
    let [[p, q], [l, m]] = [plan.multicast.port(), UDP_LEN].map(u16::to_be_bytes);
    program.fill(PORT_AND_LEN, u32::from_ne_bytes([p, q, l, m]));
    program.fill(NUMBER_OF_GROUP, plan.group.into());
    match plan.uid {
        Some(uid) => program.fill(USER, uid),
        None => program.leave_out(USER),
    }
    program.fill_wide(TIMEOUT, plan.timeout.as_micros() * 1_000);
    program
}

/// The text of it.
const fn text() -> Fence {
    let mut text = Text::new();
    text.copy(FRAME, R1);
    text.address_of(OPEN_UNTIL, MAP);
    text.set(R2, ETHERTYPE as i32);
    read(&mut text, IPV4_END - ETHERTYPE, HEAD + ETHERTYPE);
    text.load(HALF, R8, STACK, HEAD + ETHERTYPE);
    text.load(WORD, R2, STACK, HEAD + IPV4_SOURCE);
    text.jump_if(JEQ, R8, half(IPV4), ADDRESS);
    text.jump_if(JNE, R8, half(ARP), PASS);
    text.set(R2, ARP_SPA as i32);
    read(&mut text, 4, SENDER);
    text.load(WORD, R2, STACK, SENDER);
    text.label(ADDRESS);
    let mut number = 0;
    while number < MAX_ADDRESSES {
        text.slot(Slot(FIRST_ADDRESS + number));
        text.jump_if(JEQ, R2, 0, GATE);
        number += 1;
    }
    text.jump_if(JNE, R8, half(IPV4), PASS);
    write_heartbeat(&mut text);
    text.label(GATE);
    text.call(TIME_SINCE_BOOT);
    text.load(DOUBLE, R1, OPEN_UNTIL, 0);
    text.jump_if_greater(R1, R0, PASS);
    text.exit(TC_ACT_SHOT);
    text.label(CLOSE);
    text.store_zero(OPEN_UNTIL);
    text.label(PASS);
    text.exit(TC_ACT_UNSPEC);
    text.finish()
}

/// What an IPv4 packet does that is from no shared address.
const fn write_heartbeat(text: &mut Text<LEN_OF_TEXT, SLOTS>) {
    text.load(WORD, R2, STACK, HEAD + IPV4_DESTINATION);
    text.slot(MULTICAST);
    text.jump_if(JNE, R2, 0, PASS);
    text.load(BYTE, R2, STACK, HEAD + IPV4_PROTOCOL);
    text.jump_if(JNE, R2, UDP, PASS);
    // Only the first fragment of a packet has the header of UDP.
    text.load(HALF, R2, STACK, HEAD + IPV4_FRAGMENT);
    text.and(R2, half([0x1f, 0xff]).cast_signed());
    text.jump_if(JNE, R2, 0, PASS);
    // The header of IPv4 may have options: it says of how many words it is.
    text.load(BYTE, R2, STACK, HEAD + IPV4_VERSION_AND_LEN);
    text.and(R2, 0x0f);
    text.shift_left(R2, 2);
    text.add(R2, (IPV4_VERSION_AND_LEN + UDP_PORT) as i32);
    read(text, PACKET + PACKET_READ - UDP_PORT, DATAGRAM + UDP_PORT);
    text.load(WORD, R2, STACK, DATAGRAM + UDP_PORT);
    text.slot(PORT_AND_LEN);
    text.jump_if(JNE, R2, 0, PASS);
    compare(text, 0, EVERY[0], PASS);
    compare(text, 1, EVERY[1], PASS);
    compare(text, 2, EVERY[2], PASS);
    text.load(BYTE, R2, STACK, DATAGRAM + PACKET + GROUP);
    text.slot(NUMBER_OF_GROUP);
    text.jump_if(JNE, R2, 0, PASS);
    text.copy(R1, FRAME);
    text.call(USER_OF_SOCKET);
    text.slot(USER);
    text.jump_if(JNE, R0, 0, PASS);
    compare(text, STATE, ACTIVE, CLOSE);
    compare(text, KIND, Kind::Heartbeat as u8, PASS);
    compare(text, SECOND_FLAGS, FENCED, PASS);
    text.call(TIME_SINCE_BOOT);
    text.set_wide(R1, TIMEOUT);
    text.add_register(R0, R1);
    text.store(OPEN_UNTIL, R0);
    text.jump(PASS);
}

/// Reads `len` bytes of the frame from the offset in R2 on, to `to` on the stack; a frame that has no such bytes passes.
const fn read(text: &mut Text<LEN_OF_TEXT, SLOTS>, len: i16, to: i16) {
    text.copy(R1, FRAME);
    text.copy(R3, STACK);
    text.add(R3, to as i32);
    text.set(R4, len as i32);
    text.call(LOAD_BYTES);
    text.jump_if(JNE, R0, 0, PASS);
}

/// Goes on at `otherwise` unless the byte at this offset of the packet is this one.
const fn compare(text: &mut Text<LEN_OF_TEXT, SLOTS>, at: i16, byte: u8, otherwise: Label) {
    text.load(BYTE, R2, STACK, DATAGRAM + PACKET + at);
    text.jump_if(JNE, R2, byte as u32, otherwise);
}

/// Two bytes as they are loaded.
const fn half(bytes: [u8; 2]) -> u32 {
    u16::from_ne_bytes(bytes) as u32
}

/// A program of this kind.
pub type Fence = Program<LEN_OF_TEXT, SLOTS>;
const LEN_OF_TEXT: usize = 89;

/// Where it goes on: the sender's address is in R2; it is a shared one; this node says that it is not ACTIVE; the frame leaves, as
/// far as this program goes.
const ADDRESS: Label = Label(0);
const GATE: Label = Label(1);
const CLOSE: Label = Label(2);
const PASS: Label = Label(3);

/// What is known at the start only. Without a user, and for addresses that there are not, nothing is compared.
const MAP: Slot = Slot(0);
const MULTICAST: Slot = Slot(1);
const PORT_AND_LEN: Slot = Slot(2);
const NUMBER_OF_GROUP: Slot = Slot(3);
const USER: Slot = Slot(4);
const TIMEOUT: [Slot; 2] = [Slot(5), Slot(6)];
const FIRST_ADDRESS: usize = 7;
const SLOTS: usize = FIRST_ADDRESS + MAX_ADDRESSES;

/// What is kept all the while: the frame (struct __sk_buff), and where the time is until when the fence is open.
const FRAME: u8 = R6;
const OPEN_UNTIL: u8 = R7;

/// Where fields are in an Ethernet frame with IPv4 or ARP (RFC 791, RFC 826), and behind the header of IPv4 (RFC 768).
const ETHERTYPE: i16 = 12;
const IPV4_VERSION_AND_LEN: i16 = 14;
const IPV4_FRAGMENT: i16 = 20;
const IPV4_PROTOCOL: i16 = 23;
const IPV4_SOURCE: i16 = 26;
const IPV4_DESTINATION: i16 = 30;
const IPV4_END: i16 = 34;
const ARP_SPA: i16 = 28;
const UDP_PORT: i16 = 2;
const PACKET: i16 = 8;
const PACKET_READ: i16 = 8;
const KIND: i16 = 3;
const GROUP: i16 = 4;
const STATE: i16 = 5;
const SECOND_FLAGS: i16 = 7;
const _: () = assert!(KIND as usize == EVERY.len() && GROUP_AT == GROUP as usize);
const _: () = assert!(STATE_AT == STATE as usize && SECOND_FLAGS_AT == SECOND_FLAGS as usize);

/// Where the stack would have the first byte of the frame, and that of UDP's header, if they were read: so that each field that
/// is loaded is aligned. The sender of ARP is between them.
const HEAD: i16 = -38;
const SENDER: i16 = -32;
const DATAGRAM: i16 = -50;
const _: () = assert!((HEAD + IPV4_SOURCE) % 4 == 0 && (DATAGRAM + UDP_PORT) % 4 == 0);
const _: () =
    assert!(HEAD + IPV4_END <= 0 && SENDER + 4 <= HEAD + ETHERTYPE && DATAGRAM + PACKET + PACKET_READ <= SENDER);

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const UDP: u32 = 17;
/// Of a packet, with the header of UDP.
const UDP_LEN: u16 = 104;
const _: () = assert!(UDP_LEN as usize == LEN + PACKET as usize);

/// Functions of the kernel: bpf_skb_load_bytes, bpf_get_socket_uid, bpf_ktime_get_boot_ns.
const LOAD_BYTES: i32 = 26;
const USER_OF_SOCKET: i32 = 47;
const TIME_SINCE_BOOT: i32 = 125;

/// Ends here: the frame does not leave, and who sent it is told ENOBUFS.
const TC_ACT_SHOT: i32 = 2;
/// The next program decides; without one the frame leaves.
const TC_ACT_UNSPEC: i32 = -1;

#[cfg(test)]
mod tests;
