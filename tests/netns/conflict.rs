//! Somebody else has the address, or says so.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use ha::wire::arp;
use rustix::process::Signal;

use crate::capture::{Capture, Frame, seconds};
use crate::card::Card;
use crate::daemon::Daemon;
use crate::lan::{B, Lan, SHARED, SHARED_CIDR};
use crate::lines::PATIENCE;

tests![
    a_stranger_that_claims_the_address_is_named_and_contradicted_at_once,
    an_address_that_is_in_use_is_left_alone_until_it_is_not_or_taken_if_told_so,
];

fn a_stranger_that_claims_the_address_is_named_and_contradicted_at_once() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b");
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--tolerance", "3s"]);
    daemon.says("active: ");
    // Between the announcements of the schedule.
    sleep(Duration::from_millis(1_800));
    let card = Card::of(&lan.b);
    // Probes that ask whether somebody has it do not count.
    let announcements = |frames: &[Frame]| frames.iter().filter(|frame| !frame.text.contains("tell 0.0.0.0")).count();
    let before = announcements(&capture.so_far());
    let claimed = SystemTime::now();
    card.send(&arp::gratuitous_request([2, 0, 0, 0, 0, 0x66], SHARED.parse().unwrap()));
    daemon.says(
        "warning: conflict: 02:00:00:00:00:66 (no node that is known) says that it has 10.0.0.100: announced again",
    );
    let answer = capture.wait("an answer", PATIENCE, |frames| {
        frames.iter().filter(|frame| !frame.text.contains("tell 0.0.0.0")).nth(before).map(|frame| frame.at)
    });
    assert!(answer - seconds(claimed) < 0.05, "after {} s", answer - seconds(claimed));
    for _ in 0..20 {
        card.send(&arp::gratuitous_reply([2, 0, 0, 0, 0, 0x66], SHARED.parse().unwrap()));
        sleep(Duration::from_millis(20));
    }
    daemon.signal(Signal::USR1);
    daemon.says("status: 21 conflicts heard");
    assert!(announcements(&capture.so_far()) <= before + 2, "once a second: {:?}", capture.so_far());
    assert_eq!(daemon.count("conflict: "), 1, "{}", daemon.log());
}

fn an_address_that_is_in_use_is_left_alone_until_it_is_not_or_taken_if_told_so() {
    for (option, says) in [
        ("hold", "which is not heard: not taken (on-conflict hold)"),
        ("take", "taken all the same (on-conflict take)"),
    ] {
        let lan = Lan::new();
        lan.b.ip(&format!("address add {SHARED_CIDR} dev eth0"));
        let daemon = Daemon::fast(&lan.a, &["--on-conflict", option]);
        daemon.says(&format!("warning: 10.0.0.100 is in use by {} (no node that is known), ", B.1));
        assert_eq!(daemon.count(says), 1, "{}", daemon.log());
        if option == "hold" {
            sleep(Duration::from_secs(1));
            assert!(!lan.a.has(SHARED_CIDR));
            lan.b.ip(&format!("address del {SHARED_CIDR} dev eth0"));
        }
        daemon.says("active: ");
        assert!(lan.a.has(SHARED_CIDR));
    }
}
