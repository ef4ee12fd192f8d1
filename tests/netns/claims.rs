//! ARP that says nothing of who has the address: of another VLAN, of nobody who answers, of a router that answers for everybody.

use std::thread::sleep;
use std::time::Duration;

use ha::wire::arp;
use rustix::process::Signal;

use crate::card::Card;
use crate::daemon::Daemon;
use crate::lan::{Lan, SHARED};

tests![arp_of_another_vlan_is_not_heard_and_a_priority_tag_makes_no_difference];

fn arp_of_another_vlan_is_not_heard_and_a_priority_tag_makes_no_difference() {
    let lan = Lan::new();
    let card = Card::of(&lan.b);
    let daemon = Daemon::fast(&lan.a, &[]);
    for _ in 0..10 {
        // While it listens, and while it has the address.
        card.send(&tagged(&claim(), 20));
        sleep(Duration::from_millis(100));
    }
    daemon.says("active: ");
    daemon.signal(Signal::USR1);
    daemon.says("status: 0 claims by others heard, 0 conflicts");
    card.send(&tagged(&claim(), 0));
    daemon.says("warning: 10.0.0.100 is claimed by 02:00:00:00:00:66");
    daemon.signal(Signal::USR1);
    daemon.says("status: 1 claims by others heard, 0 conflicts");
}

/// Somebody says to all that it has the address.
fn claim() -> Vec<u8> {
    arp::gratuitous_request([2, 0, 0, 0, 0, 0x66], SHARED.parse().unwrap()).to_vec()
}

/// The frame with an 802.1Q tag; with number 0 that is a priority only.
fn tagged(frame: &[u8], vlan: u8) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat()
}
