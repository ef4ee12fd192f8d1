//! Gratuitous ARP as the other end of the cable gets it.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::capture::{Capture, Frame, Monitor, seconds};
use crate::daemon::Daemon;
use crate::lan::{A, B, Lan, SHARED, SHARED_CIDR};
use crate::lines::PATIENCE;

tests![
    the_lan_is_told_in_both_forms_at_once_and_again_on_schedule,
    a_take_over_says_first_who_has_it_now_then_request_then_reply,
    every_address_is_announced,
    a_standby_asks_but_never_announces,
    a_new_hardware_address_is_announced,
    an_active_puts_a_removed_address_back_at_once_and_announces_it,
];

/// Requests and replies that name the shared address as the sender's; not the probes, whose sender is 0.0.0.0.
fn announcements(frames: &[Frame]) -> Vec<Frame> {
    let names = |frame: &&Frame| {
        let text = &frame.text;
        text.contains(&format!("who-has {SHARED} tell {SHARED}")) || text.contains(&format!("Reply {SHARED} is-at"))
    };
    frames.iter().filter(names).cloned().collect()
}

/// Hardware type to THA and TPA, by hand.
fn arp(operation: u8, sender: [u8; 6], target: [u8; 6]) -> Vec<u8> {
    let shared = [10, 0, 0, 100];
    [&[0, 1, 8, 0, 6, 4, 0, operation], &sender[..], &shared, &target, &shared].concat()
}

fn the_lan_is_told_in_both_forms_at_once_and_again_on_schedule() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let monitor = Monitor::start(&lan.a);
    // Alone, it announces each tolerance; with this one the schedule comes first.
    let daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR, "--tolerance", "4s", "--link-delay", "0s"]);
    daemon.says("active: ");
    let frames = capture.wait("eight frames", Duration::from_secs(20), |frames| {
        let frames = announcements(frames);
        (frames.len() >= 8).then_some(frames)
    });

    let mac = [2, 0, 0, 0, 0, 0x0b];
    for pair in frames.chunks(2) {
        let [request, reply] = pair else { panic!("a pair") };
        assert!(request.text.starts_with(&format!("{} > ff:ff:ff:ff:ff:ff, ethertype ARP", A.1)), "{request:?}");
        assert!(request.text.contains("Request who-has 10.0.0.100 tell 10.0.0.100"), "{request:?}");
        assert_eq!(request.bytes[14..42], arp(1, mac, [0; 6]), "{request:?}");
        assert!(reply.text.starts_with(&format!("{} > ff:ff:ff:ff:ff:ff, ethertype ARP", A.1)), "{reply:?}");
        assert!(reply.text.contains(&format!("Reply 10.0.0.100 is-at {}", A.1)), "{reply:?}");
        assert_eq!(reply.bytes[14..42], arp(2, mac, mac), "{reply:?}");
        assert!(reply.at - request.at < 0.1, "{pair:?}");
    }

    let came = monitor.wait("the address", SHARED_CIDR, PATIENCE, |events| events.first().map(|event| event.at));
    let first = frames[0].at;
    assert!(first - came < 0.05, "announced {} s after the address came", first - came);
    for (request, due) in frames.iter().step_by(2).zip([0.0, 1.2, 3.0, 7.0]) {
        let at = request.at - first;
        assert!((due - 0.1..due + 0.4).contains(&at), "a request {at} s after the first, due {due} s after it");
    }
    // Heartbeats go first: that the address is taken is said to nobody later than to the group.
    assert_eq!(daemon.count("active: "), 1, "{}", daemon.log());
}

/// As tcpdump shows them, frame by frame as they come, on the host that had the address before.
fn a_take_over_says_first_who_has_it_now_then_request_then_reply() {
    let lan = Lan::new();
    let b = Daemon::fast(&lan.b, &["--worthiness", "1"]);
    b.says("standby: ");
    let a = Daemon::fast(&lan.a, &["--worthiness", "2"]);
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    let capture = Capture::start(&lan.a, &format!("ether src {} and (arp or udp)", B.1));
    a.signal(Signal::KILL);
    // Until there were two rounds of announcements.
    let frames = capture
        .wait("four announcements", PATIENCE, |frames| (announcements(frames).len() >= 4).then(|| frames.to_vec()));

    let is_told = |frame: &Frame| frame.is_heartbeat() && frame.state() == 1;
    let told = frames.iter().position(is_told).expect("the group is told");
    let from_shared = |frame: &&Frame| frame.is_arp() && frame.bytes[28..32] == [10, 0, 0, 100];
    let said: Vec<_> = frames.iter().filter(from_shared).collect();
    let before: Vec<_> = frames[..told].iter().filter(from_shared).collect();
    assert!(before.is_empty(), "before the group was told: {before:?}");

    let everybody = format!("{} > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42:", B.1);
    let ethernet = "Ethernet (len 6), IPv4 (len 4),";
    let request = format!("{everybody} {ethernet} Request who-has 10.0.0.100 tell 10.0.0.100, length 28");
    let reply = format!("{everybody} {ethernet} Reply 10.0.0.100 is-at {}, length 28", B.1);
    assert_eq!([&said[0].text, &said[1].text], [&request, &reply], "{said:?}");
    assert!(said[1].at - frames[told].at < 0.05, "{frames:?}");
    // Besides, neighbours may be asked, each by an ordinary request.
    for frame in &said[2..] {
        let is_directed = frame.text.contains(&format!("{ethernet} Request who-has 10.0.0."))
            && frame.text.ends_with(" tell 10.0.0.100, length 28")
            && frame.bytes[22..28] == [2, 0, 0, 0, 0, 0x0c]
            && frame.bytes[32..38] == [0; 6];
        assert!(is_directed || frame.text == request || frame.text == reply, "{frame:?}");
    }
}

fn every_address_is_announced() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let daemon = Daemon::fast(&lan.a, &["--address", "192.168.7.1/24", "--address", "172.16.0.1/32"]);
    daemon.says("active: ");
    for address in [SHARED, "192.168.7.1", "172.16.0.1"] {
        let forms = [format!("who-has {address} tell {address}"), format!("Reply {address} is-at {}", A.1)];
        capture.wait(&format!("both forms for {address}"), PATIENCE, |frames| {
            forms.iter().all(|form| frames.iter().any(|frame| frame.text.contains(form))).then_some(())
        });
    }
}

fn a_standby_asks_but_never_announces() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("standby: ");
    lan.b.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    capture.wait("the question", PATIENCE, |frames| {
        frames.iter().any(|frame| frame.text.contains("Request who-has 10.0.0.100 tell 0.0.0.0")).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    let announced = announcements(&capture.so_far());
    assert!(announced.is_empty(), "{announced:?}");
}

fn a_new_hardware_address_is_announced() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "arp");
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip("link set eth0 address 02:00:00:00:00:99");
    let mac = [2, 0, 0, 0, 0, 0x99];
    capture.wait("both forms with the new MAC", PATIENCE, |frames| {
        let has = |operation, target| {
            let bytes = arp(operation, mac, target);
            let is_it = |frame: &Frame| frame.bytes[6..12] == mac && frame.bytes[14..42] == bytes;
            frames.iter().any(is_it)
        };
        (has(1, [0; 6]) && has(2, mac)).then_some(())
    });
    daemon.says("hardware address of eth0 changed");
    assert!(lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.count("unfit"), 0, "{}", daemon.log());
}

fn an_active_puts_a_removed_address_back_at_once_and_announces_it() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.a);
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b");
    // The next heartbeat, which would renew the address anyway, is far away.
    let options = ["--address", SHARED_CIDR, "--interval", "1s", "--tolerance", "3s"];
    let daemon = Daemon::start(&lan.a, &options);
    daemon.says("active: ");
    let mut took = Vec::new();
    for _ in 0..3 {
        let asked = SystemTime::now();
        lan.a.ip(&format!("address del {SHARED_CIDR} dev eth0"));
        let gone = monitor.deleted(SHARED_CIDR, asked, PATIENCE);
        let back = monitor.wait("its return", SHARED_CIDR, PATIENCE, |events| {
            let gone = events.iter().rposition(|event| event.is_deleted)?;
            events.get(gone + 1).map(|event| event.at)
        });
        let announced = capture.wait("its announcement", PATIENCE, |frames| {
            let announces = |text: &str| text.contains("who-has 10.0.0.100 tell 10.0.0.100");
            frames.iter().find(|frame| frame.at >= seconds(asked) && announces(&frame.text)).map(|frame| frame.at)
        });
        daemon.says("warning: address was removed from outside: put back");
        took.push((back - gone, announced - gone));
    }
    // The machine may stall now and then, but not each time.
    let best = |span: fn(&(f64, f64)) -> f64| took.iter().map(span).fold(f64::INFINITY, f64::min);
    assert!(best(|took| took.0) < 0.05 && best(|took| took.1) < 0.05, "back and announced after {took:?} s");
}
