//! What a group costs each of its nodes: the core alone, timed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ha::config::MAX_LINKS;
use ha::node::{Input, Link, Node};
use ha::time;
use ha::wire::{Context, Flags, Heartbeat, LEN, NodeId, Seal, State};

use crate::settings::Settings;

/// Microseconds of CPU that the core of a STANDBY needs each second in a group of this size.
pub fn micros_per_second(nodes: u16) -> f64 {
    let id = |n: u16| {
        let [high, low] = n.to_be_bytes();
        NodeId::from_v4(Ipv4Addr::new(10, 9, high, low))
    };
    let at = |second: u64| time::Instant::from_micros(second * 1_000_000);
    let config = Settings::default().config().expect("the defaults work");
    let mut voice = Heartbeat {
        flags: Flags::SETTLED.with(Flags::READY, true),
        following: Some(id(1)),
        addresses: config.addresses_hash(),
        ..Heartbeat::plain(id(1))
    };
    let mut node = Node::new(config, Seal::public(Context::of_group(1)), 1, at(0));
    let _ = node
        .handle(at(0), Input::Link(Link::Up { node: id(nodes), prefix: 24, macs: [[2; 6]; MAX_LINKS], already: true }));
    let mut spent = Duration::ZERO;
    for second in 1..=WARM_UP + SECONDS {
        let packets: Vec<(NodeId, [u8; LEN])> = (1..nodes)
            .map(|n| {
                voice.node = id(n);
                voice.seq = second;
                voice.state = if n == 1 { State::Active } else { State::Standby };
                (voice.node, Seal::public(Context::of_group(1)).sign(&voice))
            })
            .collect();
        let start = Instant::now();
        for (from, bytes) in &packets {
            let _ = node.handle(at(second), Input::Heard { at: at(second), from: *from, ttl: 255, bytes });
        }
        // The ACTIVE's wakes the daemon, which reads the others then.
        let _ = node.handle(at(second), Input::Tick);
        let _ = node.deadline();
        if second > WARM_UP {
            spent += start.elapsed();
        }
    }
    assert_eq!(node.state(), State::Standby, "it hears an ACTIVE");
    let believed = node.peers().iter().filter(|peer| peer.said.seq == WARM_UP + SECONDS).count();
    assert_eq!(believed, usize::from(nodes) - 1, "every packet is believed");
    spent.as_secs_f64() * 1e6 / SECONDS as f64
}

const WARM_UP: u64 = 10;

const SECONDS: u64 = 200;
