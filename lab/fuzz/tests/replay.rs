//! What is kept in `corpus/`, and what proptest invents.

use std::fs;
use std::path::Path;

use ha_fuzz::Reached;
use ha_fuzz::script::{STEP_LEN, Step, Verb};
use ha_fuzz::seeds::seeds;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let verb = prop_oneof![
        20 => Just(Verb::Due),
        5 => Just(Verb::Tick),
        8 => Just(Verb::Shell),
        16 => Just(Verb::Says),
        6 => Just(Verb::Answers),
        4 => Just(Verb::Plays),
        8 => Just(Verb::Forges),
        4 => Just(Verb::Damages),
        1 => prop::sample::select(&Verb::ALL[..]),
    ];
    (verb, any::<[u8; 3]>()).prop_map(|(verb, [a, b, c])| Step { verb, a, b, c })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_a_genuine_packet(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        ha_fuzz::packet(&bytes);
    }

    #[test]
    fn no_fields_are_a_genuine_packet(fields in any::<[u8; 32]>(), rest in any::<[u8; 32]>(), tag in any::<[u8; 29]>()) {
        let mut bytes = [&b"ha\x02"[..], &fields, &rest, &tag].concat();
        (bytes[3], bytes[5]) = (bytes[3] % 6, bytes[5] % 5);
        ha_fuzz::packet(&bytes);
    }

    #[test]
    fn no_bytes_break_a_promise_of_a_node(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        ha_fuzz::node(&bytes);
    }

    #[test]
    fn no_story_breaks_a_promise_of_a_node(
        circumstances in any::<[u8; STEP_LEN]>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let bytes: Vec<u8> = [circumstances].into_iter().chain(steps.into_iter().map(Step::emit)).flatten().collect();
        ha_fuzz::node(&bytes);
    }
}

/// Those that are kept because they broke something once are replayed too.
#[test]
fn the_corpus_breaks_nothing() {
    let node = |bytes: &[u8]| {
        let _ = ha_fuzz::node(bytes);
    };
    for (target, play) in [("packet", ha_fuzz::packet as fn(&[u8])), ("node", node)] {
        for entry in fs::read_dir(corpus().join(target)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            play(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn the_corpus_is_what_the_encoder_writes() {
    for seed in seeds() {
        let kept = fs::read(corpus().join(seed.target).join(&seed.name)).unwrap_or_default();
        assert!(kept == seed.bytes, "{}/{} is old: cargo run -p ha-fuzz --example seeds", seed.target, seed.name);
    }
}

#[test]
fn the_stories_get_somewhere() {
    let told = |name: &str| {
        let seed = seeds().into_iter().find(|seed| seed.name == name).unwrap();
        ha_fuzz::node(&seed.bytes)
    };
    let all: Vec<(String, Reached)> = seeds()
        .into_iter()
        .filter(|seed| seed.target == "node")
        .map(|seed| (seed.name, ha_fuzz::node(&seed.bytes)))
        .collect();
    for (name, reached) in &all {
        println!("{name}: {reached:?}");
        assert!(reached.was_compared, "{name}");
    }
    assert!(told("alone").taken > 0);
    assert!(told("owner-dies").believed > 10 && told("owner-dies").taken > 0);
    assert!(told("handed-over").released > 0);
    assert!(told("two-owners").released > 0);
    assert!(told("attacked-standby").refused > 300 && told("attacked-standby").believed > 10);
    assert!(told("attacked-active").taken > 0);
    assert!(told("recorded").asked > 5);
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}
