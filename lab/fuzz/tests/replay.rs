//! What is kept in `corpus/`, and what proptest invents.

use std::fs;
use std::path::Path;

use ha::wire::Kind;
use ha::wire::heartbeat::Defect;
use ha_fuzz::Found;
use ha_fuzz::script::{MAX_STEPS, STEP_LEN, Step, Verb};
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

    /// All others are refused before anything is written or signed.
    #[test]
    fn no_fields_that_make_sense_are_a_genuine_packet(
        (kind, group, state) in (0..5_u8, 1..=u8::MAX, 0..4_u8),
        flags_release_and_worthiness in any::<[u8; 6]>(),
        nodes in any::<[[u8; 16]; 2]>(),
        boot_and_seq in any::<[u8; 16]>(),
        (interval, longer) in (1..u32::MAX / 2, 1..u32::MAX / 2),
        addresses_nonce_and_tag in any::<[u8; 28]>(),
    ) {
        let [node, following] = nodes;
        let (interval, hold) = (interval.to_le_bytes(), (interval + longer).to_le_bytes());
        let start = [b'h', b'a', 2, kind, group, state];
        let fields: [&[u8]; 8] = [
            &start, &flags_release_and_worthiness, &node, &following, &boot_and_seq, &interval, &hold,
            &addresses_nonce_and_tag,
        ];
        prop_assert!(matches!(ha_fuzz::packet(&fields.concat()), Found::Heartbeat(_)));
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

#[test]
fn every_packet_of_the_corpus_is_read_and_together_they_are_all_that_a_packet_can_be() {
    let found: Vec<Found> = kept("packet").iter().map(|bytes| ha_fuzz::packet(bytes)).collect();
    let kinds = [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response].map(Found::Heartbeat);
    let defects =
        [Defect::Size, Defect::Foreign, Defect::Version(1), Defect::Version(3), Defect::Malformed].map(Found::Neither);
    let wanted = kinds.into_iter().chain(defects).chain([Found::Arp, Found::Nd]);
    let missing: Vec<Found> = wanted.filter(|wanted| !found.contains(wanted)).collect();
    assert_eq!(missing, []);
}

#[test]
fn every_story_of_the_corpus_is_played_to_its_end_and_together_they_have_every_verb() {
    let mut verbs = Vec::new();
    for bytes in kept("node") {
        let steps: Vec<Step> =
            bytes.chunks_exact(STEP_LEN).skip(1).map(|step| Step::parse(step.try_into().unwrap())).collect();
        let reached = ha_fuzz::node(&bytes);
        assert_eq!(reached.steps, steps.len().min(MAX_STEPS));
        verbs.extend(steps.iter().map(|step| step.verb));
    }
    let missing: Vec<Verb> = Verb::ALL.into_iter().filter(|verb| !verbs.contains(verb)).collect();
    assert_eq!(missing, []);
}

#[test]
fn the_corpus_is_what_the_encoder_writes() {
    for seed in seeds() {
        let kept = fs::read(corpus().join(seed.target).join(&seed.name)).ok();
        assert!(kept == Some(seed.bytes), "{}/{} is old: cargo run -p ha-fuzz --example seeds", seed.target, seed.name);
    }
}

#[test]
fn the_stories_get_somewhere() {
    let told = |name: &str| {
        let seed = seeds().into_iter().find(|seed| seed.name == name).unwrap();
        ha_fuzz::node(&seed.bytes)
    };
    assert!(told("alone").taken > 0);
    assert!(told("owner-dies").believed > 10 && told("owner-dies").taken > 0);
    assert!(told("handed-over").released > 0);
    assert!(told("two-owners").released > 0);
    assert!(told("attacked-standby").refused > 300 && told("attacked-standby").believed > 10);
    assert!(told("attacked-active").taken > 0);
    assert!(told("recorded").asked > 5);
}

/// All files for this target: the seeds, and what is kept because it broke something once.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(corpus().join(target)).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> =
        files.inspect(|file| println!("{}", file.display())).map(|file| fs::read(file).unwrap()).collect();
    let seeds = seeds().into_iter().filter(|seed| seed.target == target).count();
    assert!(seeds > 0 && kept.len() >= seeds, "{} files for {target}, with {seeds} seeds among them", kept.len());
    kept
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}
