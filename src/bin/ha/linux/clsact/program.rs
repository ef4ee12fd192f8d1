//! The program of a fence, which looks at each frame that leaves, as the rules of nftables do (netfilter/ruleset.rs).
//!
//! The fence is a number: the time, in nanoseconds since boot, until when it is open. A heartbeat of an ACTIVE puts it ahead, any
//! other state makes it zero. Numbers of the kernel are those of Linux 5.8, from which on programs of any license may ask the time.

use std::net::SocketAddrV4;

use ha::config::Cidr;
use ha::fence::{ACTIVE, EVERY, FENCED};
use ha::time::Duration;
use ha::wire::heartbeat::{GROUP_AT, SECOND_FLAGS_AT, STATE_AT};
use ha::wire::{Kind, LEN};

use crate::linux::ebpf::{BYTE, DOUBLE, HALF, JEQ, JNE, Number, Program, R0, R1, R2, R3, R4, R6, R7, R8, STACK, WORD};

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

/// Where it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The sender's address is in R2.
    Address,
    /// The frame is from a shared address.
    Gate,
    /// A packet says that this node is not ACTIVE.
    Close,
    /// The frame leaves, as far as this program goes.
    Pass,
}
use Label::{Address, Close, Gate, Pass};

/// Writes it.
pub fn write(plan: &Plan<'_>, open_until: &Number) -> Program<Label> {
    let mut program = Program::new();
    program.copy(FRAME, R1);
    program.address_of(OPEN_UNTIL, open_until);
    program.set(R2, ETHERTYPE.into());
    read(&mut program, IPV4_END - ETHERTYPE, HEAD + ETHERTYPE);
    program.load(HALF, R8, STACK, HEAD + ETHERTYPE);
    program.load(WORD, R2, STACK, HEAD + IPV4_SOURCE);
    program.jump_if(JEQ, R8, half(IPV4), Address);
    program.jump_if(JNE, R8, half(ARP), Pass);
    program.set(R2, ARP_SPA.into());
    read(&mut program, 4, SENDER);
    program.load(WORD, R2, STACK, SENDER);
    program.label(Address);
    for cidr in plan.shared {
        program.jump_if(JEQ, R2, u32::from_ne_bytes(cidr.address.octets()), Gate);
    }
    program.jump_if(JNE, R8, half(IPV4), Pass);
    write_heartbeat(&mut program, plan);
    program.label(Gate);
    program.call(TIME_SINCE_BOOT);
    program.load(DOUBLE, R1, OPEN_UNTIL, 0);
    program.jump_if_greater(R1, R0, Pass);
    program.exit(TC_ACT_SHOT);
    program.label(Close);
    program.store_zero(OPEN_UNTIL);
    program.label(Pass);
    program.exit(TC_ACT_UNSPEC);
    program
}

/// What an IPv4 packet does that is from no shared address.
fn write_heartbeat(program: &mut Program<Label>, plan: &Plan<'_>) {
    program.load(WORD, R2, STACK, HEAD + IPV4_DESTINATION);
    program.jump_if(JNE, R2, u32::from_ne_bytes(plan.multicast.ip().octets()), Pass);
    program.load(BYTE, R2, STACK, HEAD + IPV4_PROTOCOL);
    program.jump_if(JNE, R2, UDP, Pass);
    // Only the first fragment of a packet has the header of UDP.
    program.load(HALF, R2, STACK, HEAD + IPV4_FRAGMENT);
    program.and(R2, half([0x1f, 0xff]).cast_signed());
    program.jump_if(JNE, R2, 0, Pass);
    // The header of IPv4 may have options: it says of how many words it is.
    program.load(BYTE, R2, STACK, HEAD + IPV4_VERSION_AND_LEN);
    program.and(R2, 0x0f);
    program.shift_left(R2, 2);
    program.add(R2, (IPV4_VERSION_AND_LEN + UDP_PORT).into());
    read(program, PACKET + PACKET_READ - UDP_PORT, DATAGRAM + UDP_PORT);
    let [[p, q], [l, m]] = [plan.multicast.port(), UDP_LEN].map(u16::to_be_bytes);
    program.load(WORD, R2, STACK, DATAGRAM + UDP_PORT);
    program.jump_if(JNE, R2, u32::from_ne_bytes([p, q, l, m]), Pass);
    for (at, byte) in EVERY.into_iter().enumerate() {
        compare(program, at, byte, Pass);
    }
    compare(program, GROUP_AT, plan.group, Pass);
    if let Some(uid) = plan.uid {
        program.copy(R1, FRAME);
        program.call(USER_OF_SOCKET);
        program.jump_if(JNE, R0, uid, Pass);
    }
    compare(program, STATE_AT, ACTIVE, Close);
    compare(program, KIND_AT, Kind::Heartbeat as u8, Pass);
    compare(program, SECOND_FLAGS_AT, FENCED, Pass);
    program.call(TIME_SINCE_BOOT);
    program.set_wide(R1, plan.timeout.as_micros() * 1_000);
    program.add_register(R0, R1);
    program.store(OPEN_UNTIL, R0);
    program.jump(Pass);
}

/// Reads `len` bytes of the frame from the offset in R2 on, to `to` on the stack; a frame that has no such bytes passes.
fn read(program: &mut Program<Label>, len: i16, to: i16) {
    program.copy(R1, FRAME);
    program.copy(R3, STACK);
    program.add(R3, to.into());
    program.set(R4, len.into());
    program.call(LOAD_BYTES);
    program.jump_if(JNE, R0, 0, Pass);
}

/// Goes on at `otherwise` unless the byte of the packet is this one.
fn compare(program: &mut Program<Label>, at: usize, byte: u8, otherwise: Label) {
    program.load(BYTE, R2, STACK, DATAGRAM + PACKET + i16::try_from(at).expect("packets are short"));
    program.jump_if(JNE, R2, byte.into(), otherwise);
}

/// Two bytes as they are loaded.
fn half(bytes: [u8; 2]) -> u32 {
    u16::from_ne_bytes(bytes).into()
}

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
const KIND_AT: usize = EVERY.len();

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
