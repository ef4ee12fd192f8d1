//! What a packet costs: a flood makes a node do this, and no more, for each of them.
//!
//! A tag is an HMAC: of the key's two blocks the state is kept, so there are two blocks for the packet with its padding, and
//! one for the outer hash. `three blocks` is that share alone.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{Criterion, criterion_group, criterion_main};
use ha::wire::{Context, Heartbeat, Key, LEN, NodeId, Seal, State};
use sha2::block_api::compress256;

fn packet(seal: &Seal) -> [u8; LEN] {
    let node = NodeId::from_v4(Ipv4Addr::new(192, 0, 2, 10));
    seal.sign(&Heartbeat { state: State::Active, following: Some(node), ..Heartbeat::plain(node) })
}

fn mac(criterion: &mut Criterion) {
    let mut seals = vec![("key", Seal::keyed(&[key(1)], Context::of_group(1)))];
    seals.push(("four keys", Seal::keyed(&[2, 3, 4, 1].map(key), Context::of_group(1))));
    let genuine = packet(&seals[0].1);
    let mut forged = genuine;
    forged[LEN - 1] ^= 1;

    criterion.bench_function("parse", |bench| bench.iter(|| Heartbeat::parse(black_box(&genuine))));
    for (name, seal) in &seals {
        criterion
            .bench_function(&format!("check, {name}"), |bench| bench.iter(|| seal.is_genuine(black_box(&genuine))));
    }
    let seal = &seals[0].1;
    criterion.bench_function("check, forged", |bench| bench.iter(|| seal.is_genuine(black_box(&forged))));
    criterion.bench_function("parse and check", |bench| {
        bench.iter(|| Heartbeat::parse(black_box(&genuine)).is_ok() && seal.is_genuine(black_box(&genuine)));
    });
    criterion.bench_function("sign", |bench| {
        let said = Heartbeat::parse(&genuine).expect("it was signed a moment ago");
        bench.iter(|| seal.sign(black_box(&said)));
    });
    criterion.bench_function("three blocks", |bench| {
        let mut state = [0x6a09_e667; 8];
        bench.iter(|| {
            compress256(&mut state, black_box(&[[0; 64]; 2]));
            compress256(&mut state, black_box(&[[0; 64]; 1]));
        });
    });
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; Key::LEN])
}

criterion_group!(benches, mac);
criterion_main!(benches);
