//! Routine words: read late, they count from when they arrived.

use super::*;

/// A STANDBY that follows the node on the bench.
fn peer() -> Voice {
    let mut peer = Voice::less();
    peer.0.following = Some(ME);
    peer
}

/// Reads now what arrived at `millis`.
fn read(bench: &mut Bench, packet: &[u8; LEN], millis: u64) -> String {
    let from = Heartbeat::parse(packet).unwrap().node;
    bench.give(Input::Heard { at: at(millis), from, ttl: 255, bytes: packet })
}

/// An ACTIVE that needs two, and has heard a peer each second until 9 s.
fn with_quorum() -> (Bench, Voice) {
    let (mut bench, mut peer) = (Bench::up(|params| params.quorum = 2), peer());
    for second in 0..10 {
        bench.run_until(second * 1_000);
        bench.hear(&peer.says(State::Standby));
    }
    assert_eq!(bench.node.state(), State::Active);
    (bench, peer)
}

#[test]
fn a_vote_counts_from_the_arrival_of_the_packet_however_late_it_is_read() {
    let (mut bench, mut peer) = with_quorum();
    bench.run_until(11_400);
    read(&mut bench, &peer.says(State::Standby), 10_000);
    // Tolerance 3.5 s, less an interval and a twentieth.
    assert!(!bench.run_until(12_449).concat().contains("release"));
    assert!(bench.run_until(12_450).concat().contains("release"));
}

#[test]
fn what_arrives_in_time_to_come_arrives_now() {
    let (mut bench, mut peer) = with_quorum();
    read(&mut bench, &peer.says(State::Standby), 20_000);
    assert_eq!(bench.node.peers().get(peer.0.node).unwrap().heard_at, bench.now);
}

#[test]
fn of_two_packets_of_a_peer_it_is_alive_from_the_later_arrival_on() {
    let (mut bench, mut peer) = with_quorum();
    read(&mut bench, &peer.says(State::Standby), 8_500);
    let known = bench.node.peers().get(peer.0.node).unwrap();
    assert_eq!((known.said.seq, known.heard_at), (peer.0.seq, at(9_000)));
}
