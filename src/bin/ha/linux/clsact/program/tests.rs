use ha::fence::{Effect, effect};
use ha::wire::{self, Context, Flags, Heartbeat, NodeId, Seal};

use super::*;
use crate::linux::ebpf::machine::Machine;

const SHARED: [[u8; 4]; 3] = [[192, 0, 2, 1], [192, 0, 2, 2], [255, 255, 255, 254]];
const OWN: [u8; 4] = [192, 0, 2, 10];
const GROUP: [u8; 4] = [239, 2, 3, 4];
const NOW_NS: u64 = 0x1_2345_6789_abcd;
const LONG: Duration = Duration::from_secs(3_600);

fn ethernet(kind: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&[0xee; 12][..], &kind, body].concat()
}

fn arp(sender: [u8; 4]) -> Vec<u8> {
    let body = [&[0, 1, 8, 0, 6, 4, 0, 2][..], &[0xee; 6], &sender, &[0xee; 6], &SHARED[0]].concat();
    ethernet(ARP, &body)
}

fn ipv4(protocol: u8, fragment: u16, from: [u8; 4], to: [u8; 4], options: &[u8], body: &[u8]) -> Vec<u8> {
    let [high, low] = fragment.to_be_bytes();
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let header = [0x40 | words, 0, 0, 0, 0, 0, high, low, 1, protocol, 0, 0];
    ethernet(IPV4, &[&header[..], &from, &to, options, body].concat())
}

fn udp(port: u16, packet: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + packet.len()).unwrap();
    [&[0x15, 0xb3], &port.to_be_bytes()[..], &len.to_be_bytes(), &[0, 0], packet].concat()
}

fn heartbeat(packet: &[u8]) -> Vec<u8> {
    ipv4(17, 0, OWN, GROUP, &[], &udp(5555, packet))
}

fn packet(kind: Kind, state: wire::State, flags: Flags) -> [u8; LEN] {
    let said = Heartbeat { kind, state, flags, ..Heartbeat::plain(NodeId::from_v4(OWN.into())) };
    Seal::public(Context::of_group(said.group)).sign(&said)
}

fn opening() -> [u8; LEN] {
    packet(Kind::Heartbeat, wire::State::Active, Flags::default().with(Flags::FENCED, true))
}

fn program(uid: Option<u32>) -> Fence {
    let shared = SHARED.map(|address| Cidr::new(address.into(), 24));
    let multicast = "239.2.3.4:5555".parse().unwrap();
    write(&Plan { shared: &shared, multicast, group: 1, uid, timeout: LONG }, &Number::of_tests())
}

/// What it says of a frame, and what becomes of a fence that is open for one more nanosecond.
fn outcome(program: &Fence, frame: &[u8]) -> (i32, Effect) {
    let mut machine = Machine { frame, uid: 7, now_ns: NOW_NS, number: NOW_NS + 1 };
    let said = machine.run(program);
    let opened = NOW_NS + LONG.as_micros() * 1_000;
    let effect = match machine.number {
        0 => Effect::Closes,
        number if number == opened => Effect::Opens,
        number if number == NOW_NS + 1 => Effect::None,
        other => panic!("{other}"),
    };
    (said, effect)
}

#[test]
fn it_does_with_every_packet_of_the_group_what_the_core_says() {
    let program = program(Some(7));
    for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response] {
        for state in [wire::State::Standby, wire::State::Active, wire::State::Unfit, wire::State::Shutdown] {
            for is_fenced in [false, true] {
                let packet = packet(kind, state, Flags::default().with(Flags::FENCED, is_fenced));
                let expected = (TC_ACT_UNSPEC, effect(&packet));
                assert_eq!(outcome(&program, &heartbeat(&packet)), expected, "{kind} {state} {is_fenced}");
            }
        }
    }
}

#[test]
fn a_packet_of_another_group_place_user_or_form_does_nothing() {
    let closing = packet(Kind::Heartbeat, wire::State::Shutdown, Flags::default());
    for packet in [opening(), closing] {
        let does_nothing = |what: &str, frame: Vec<u8>| {
            assert_eq!(outcome(&program(Some(7)), &frame), (TC_ACT_UNSPEC, Effect::None), "{what}");
        };
        let good = udp(5555, &packet);
        does_nothing("another port", heartbeat_in(17, 0, GROUP, &udp(5556, &packet)));
        does_nothing("another address", heartbeat_in(17, 0, [239, 2, 3, 5], &good));
        does_nothing("another protocol", heartbeat_in(6, 0, GROUP, &good));
        does_nothing("a later fragment", heartbeat_in(17, 1, GROUP, &good));
        does_nothing("the last fragment", heartbeat_in(17, 0x1000, GROUP, &good));
        does_nothing("too long", heartbeat(&[&packet[..], &[0]].concat()));
        does_nothing("too short", heartbeat(&packet[..LEN - 1]));
        for at in [0, 1, 2, GROUP_AT] {
            let mut other = packet;
            other[at] ^= 0x80;
            does_nothing(&format!("another byte {at}"), heartbeat(&other));
        }
        assert_eq!(outcome(&program(Some(8)), &heartbeat(&packet)), (TC_ACT_UNSPEC, Effect::None), "another user");
        for options in [&[][..], &[1; 4], &[1; 40]] {
            let frame = ipv4(17, 0x4000, OWN, GROUP, options, &good);
            let expected = (TC_ACT_UNSPEC, effect(&packet));
            assert_eq!(outcome(&program(Some(7)), &frame), expected, "{} bytes of options", options.len());
            assert_eq!(outcome(&program(None), &frame), expected, "any user may");
        }
    }
}

fn heartbeat_in(protocol: u8, fragment: u16, to: [u8; 4], datagram: &[u8]) -> Vec<u8> {
    ipv4(protocol, fragment, OWN, to, &[], datagram)
}

#[test]
fn frames_from_a_shared_address_leave_until_the_time_has_come() {
    let program = program(None);
    let at = |frame: &[u8], number| {
        let mut machine = Machine { frame, uid: 0, now_ns: NOW_NS, number };
        let said = machine.run(&program);
        assert_eq!(machine.number, number);
        said
    };
    for address in SHARED {
        // From a shared address it is no heartbeat of this node.
        let told = ipv4(17, 0, address, GROUP, &[], &udp(5555, &opening()));
        for frame in
            [arp(address), ipv4(1, 0, address, OWN, &[], &[8]), ipv4(6, 0x2000, address, OWN, &[1; 4], &[]), told]
        {
            for (number, expected) in [
                (0, TC_ACT_SHOT),
                (NOW_NS - 1, TC_ACT_SHOT),
                (NOW_NS, TC_ACT_SHOT),
                (NOW_NS + 1, TC_ACT_UNSPEC),
                (u64::MAX, TC_ACT_UNSPEC),
            ] {
                assert_eq!(at(&frame, number), expected, "{frame:x?} at {number}");
            }
        }
    }
    let ipv6 = ethernet([0x86, 0xdd], &[&[0x60, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4], &SHARED[0], &[0; 24]].concat());
    for frame in [arp(OWN), arp([0; 4]), ipv4(1, 0, OWN, SHARED[0], &[], &[8]), ipv6] {
        assert_eq!(at(&frame, 0), TC_ACT_UNSPEC, "{frame:x?}");
    }
}

#[test]
fn a_frame_that_ends_before_what_is_looked_at_passes_and_does_nothing() {
    let program = program(None);
    for (frame, enough) in
        [(heartbeat(&opening()), 14 + 20 + 8 + 8), (arp(SHARED[0]), 34), (ipv4(17, 0, SHARED[0], OWN, &[], &[]), 34)]
    {
        let whole = outcome(&program, &frame);
        for len in 0..frame.len() {
            let expected = if len < enough { (TC_ACT_UNSPEC, Effect::None) } else { whole };
            assert_eq!(outcome(&program, &frame[..len]), expected, "{len}");
        }
    }
}
