//! What questions to an overdue ACTIVE are worth under random loss.

use ha_sim::plan::{Net, Plan};
use ha_sim::play::play;
use ha_sim::settings::Settings;
use ha_sim::trace::Trace;

/// Moves of the address, and packets, while three nodes with the daemon's defaults lose this many packets in a million.
fn moves(loss_ppm: u32, settings: Settings, hours: u64) -> (u64, u64) {
    let mut plan = Plan::plain(3, 60 * hours);
    plan.net = Net { loss_ppm, ..plan.net };
    for node in &mut plan.nodes {
        node.settings = Settings { worthiness: node.settings.worthiness, ..settings };
    }
    let (outcome, _) = play(&plan, Trace::default());
    assert_eq!(outcome.violation, None);
    (outcome.moves, outcome.packets)
}

#[test]
fn suspicion_makes_spurious_moves_fifty_times_rarer_and_more() {
    for (loss_ppm, hours) in [(100_000, 24), (200_000, 12), (300_000, 12)] {
        let suspicion = Settings { suspicion: true, ..Settings::unasking() };
        let (without, packets_without) = moves(loss_ppm, Settings::unasking(), hours);
        let (with, packets_with) = moves(loss_ppm, suspicion, hours);
        println!(
            "{} % lost: {without} moves in {hours} h without, {with} with; packets {packets_without}, {packets_with}",
            loss_ppm / 10_000
        );
        // The first take-over is none too many.
        assert!(without > 50 && (with - 1) * 50 <= without, "{loss_ppm} ppm: {with} of {without}");
        assert!(packets_with * 4 < packets_without * 5, "{loss_ppm} ppm: {packets_with} packets, {packets_without}");
    }
}
