//! ARP that says nothing of who has the address: of another VLAN, of nobody who answers, of a router that answers for everybody.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use ha::wire::arp;
use rustix::process::Signal;

use crate::card::Card;
use crate::daemon::Daemon;
use crate::lan::{B, Lan, SHARED, SHARED_CIDR};

tests![
    arp_of_another_vlan_is_not_heard_and_a_priority_tag_makes_no_difference,
    whoever_shouts_does_not_hold_a_take_over_up,
    a_linux_router_that_answers_for_others_is_named_once_and_not_contradicted,
    a_box_that_answers_every_probe_is_named_once_and_holds_nobody_up,
];

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
    daemon.says("status: 0 conflicts heard, address 0 times in use");
    card.send(&tagged(&claim(), 0));
    daemon.says("warning: conflict: 02:00:00:00:00:06");
    daemon.signal(Signal::USR1);
    daemon.says("status: 1 conflicts heard, address 0 times in use");
}

fn whoever_shouts_does_not_hold_a_take_over_up() {
    let lan = Lan::new();
    let card = Card::of(&lan.b);
    let daemon = Daemon::fast(&lan.a, &[]);
    for _ in 0..60 {
        card.send(&claim());
        sleep(Duration::from_millis(50));
    }
    assert!(lan.a.has(SHARED_CIDR), "{}", daemon.log());
    assert_eq!(daemon.count("standby: "), 1, "{}", daemon.log());
}

/// Linux with `proxy_arp` and another way to the address, measured: it leaves probes alone, and answers requests, gratuitous ones
/// too, to the asker alone, after up to 0.8 s.
fn a_linux_router_that_answers_for_others_is_named_once_and_not_contradicted() {
    let lan = Lan::new();
    lan.b.ip("link add out type veth peer name far");
    lan.b.ip("link set out up");
    lan.b.ip("link set far up");
    lan.b.ip("route add 10.0.0.96/27 dev out");
    lan.b.inside(|| {
        let switches =
            [("all/forwarding", "1"), ("eth0/proxy_arp", "1"), ("all/rp_filter", "0"), ("eth0/rp_filter", "0")];
        for (name, value) in switches {
            fs::write(format!("/proc/sys/net/ipv4/conf/{name}"), value).unwrap();
        }
    });
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let line =
        format!("warning: {} (no node that is known) answers for addresses that it does not have (proxy ARP)", B.1);
    daemon.says_within(&line, Duration::from_secs(30));
    sleep(Duration::from_secs(5));
    assert_eq!((daemon.count("proxy ARP"), daemon.count("conflict: ")), (1, 0), "{}", daemon.log());
}

/// Firewalls that translate addresses do so, and switches that keep hosts of one network apart.
fn a_box_that_answers_every_probe_is_named_once_and_holds_nobody_up() {
    let lan = Lan::new();
    let card = Card::of(&lan.b);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                while let Some(frame) = card.next() {
                    if frame[21] == 1 {
                        card.send(&answer(&frame));
                    }
                }
                sleep(Duration::from_millis(1));
            }
        });
        let daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("does not have (proxy ARP): its replies do not count");
        daemon.says("active: ");
        sleep(Duration::from_secs(5));
        assert_eq!((daemon.count("proxy ARP"), daemon.count("conflict: ")), (1, 0), "{}", daemon.log());
        assert_eq!(daemon.count("standby: "), 1, "{}", daemon.log());
    });
}

/// Ends a thread, whatever becomes of the test.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// To the one who asks alone: what you ask for is here.
fn answer(request: &[u8]) -> Vec<u8> {
    let mac = [2, 0, 0, 0, 0, 0x77];
    let (asker, spa, tpa) = (&request[22..28], &request[28..32], &request[38..42]);
    [asker, &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &mac, tpa, asker, spa].concat()
}

/// Somebody says to all that it has the address. Its MAC is lower than the node's, as that of a node would be that has taken the
/// address at the same time, and keeps it.
fn claim() -> Vec<u8> {
    arp::gratuitous_request([2, 0, 0, 0, 0, 6], SHARED.parse().unwrap()).to_vec()
}

/// The frame with an 802.1Q tag; with number 0 that is a priority only.
fn tagged(frame: &[u8], vlan: u8) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat()
}
