//! A fixed set of runs holds every rule, and the same seed plays the same run.

use ha_sim::batch::Batch;
use ha_sim::draw;
use ha_sim::play::play;
use ha_sim::svg;
use ha_sim::trace::{Line, Trace};

#[test]
fn a_fixed_set_of_seeds_holds_every_rule() {
    let batch = Batch { seed: 20, clusters: 120, minutes: 3, limit: None, failures: usize::MAX, has_digest: false };
    let report = batch.run();
    assert_eq!(report.clusters, batch.clusters);
    for (seed, outcome, _) in &report.failures {
        println!("ha-sim replay {seed} --minutes 3 --shrink: {:?}", outcome.violation);
    }
    assert!(report.failures.is_empty(), "see the seeds above");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let (_, lines) = play(&draw::plan(seed, 1), Trace::on());
        lines.iter().map(Line::to_string).collect::<Vec<_>>()
    };
    for seed in 0..12 {
        let first = trace(seed);
        assert!(first.len() > 50, "seed {seed}: {} lines", first.len());
        assert_eq!(first, trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

#[test]
fn the_digest_of_stories_is_the_same_for_the_same_stories_only() {
    let digest = |seed| {
        let batch = Batch { seed, clusters: 4, minutes: 1, limit: None, failures: 1, has_digest: true };
        batch.run().digest
    };
    assert_eq!(digest(5), digest(5));
    assert_ne!(digest(5), digest(6));
}

#[test]
fn a_traced_run_is_the_run_without_a_trace() {
    for seed in 0..12 {
        let plan = draw::plan(seed, 1);
        let (traced, _) = play(&plan, Trace::on());
        let (silent, lines) = play(&plan, Trace::default());
        assert!(lines.is_empty());
        assert_eq!((traced.packets, traced.moves, traced.violation), (silent.packets, silent.moves, silent.violation));
    }
}

#[test]
fn the_picture_has_a_lane_for_each_node_and_ends_as_a_picture_does() {
    let plan = draw::plan(3, 1);
    let (outcome, lines) = play(&plan, Trace::on());
    let picture = svg::draw(&plan, &lines, outcome.lasted);
    for node in 0..plan.nodes.len() {
        assert!(picture.contains(&format!(">node {node}<")), "{picture}");
    }
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
}
