//! Packets that are genuine somewhere else: of another version, and of another group.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::capture::Capture;
use crate::daemon::{Daemon, FAST};
use crate::group::KeyFile;
use crate::lan::{B, Lan};
use crate::lines::PATIENCE;

tests![
    a_node_of_version_1_is_named_once_and_counted_and_one_of_another_group_is_not,
    packets_that_are_carried_to_another_group_of_the_same_key_move_nothing,
];

fn a_node_of_version_1_is_named_once_and_counted_and_one_of_another_group_is_not() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let socket = lan.b.socket(B.0, 255);
    let mut packet = [0; 93];
    for head in [*b"ha\x01\0\x02", *b"ha\x02\0\x01", *b"ha\x03\0\x01", *b"ha\x01\0\x01", *b"ha\x01\0\x01"] {
        packet[..5].copy_from_slice(&head);
        socket.send_to(&packet, "239.2.3.4:5555").unwrap();
    }
    daemon.says("warning: packet from 10.0.0.12 dropped: it speaks version 1 of the protocol: an older ha, ");
    sleep(Duration::from_millis(300));
    daemon.signal(Signal::USR1);
    daemon.says("status: 2 packets dropped: it speaks version 1 of the protocol: ");
    daemon.says("bytes of memory");
    assert_eq!((daemon.count("warning: packet"), daemon.count("packets dropped")), (1, 1), "{}", daemon.log());
}

/// Somebody without the key records what `b` says in its group, and says it in that of `a`, which has another port.
fn packets_that_are_carried_to_another_group_of_the_same_key_move_nothing() {
    let key = KeyFile::new("carried", "03");
    for key in [&[][..], &["--key-file", key.path()]] {
        let lan = Lan::new();
        let there = ["--address", "10.0.0.101/24", "--worthiness", "200"];
        let here = ["--address", "10.0.0.100/24", "--multicast", "239.2.3.4:6666"];
        let a = Daemon::start(&lan.a, &[FAST, &here, key].concat());
        let b = Daemon::start(&lan.b, &[FAST, &there, key].concat());
        a.says("active: ");
        b.says("active: ");
        let capture = Capture::start(&lan.a, "udp and dst port 5555");
        let socket = lan.b.socket(B.0, 255);
        let (mut carried, started) = (0, Instant::now());
        while started.elapsed() < Duration::from_secs(2) {
            let frames = capture.so_far();
            for frame in &frames[carried..] {
                socket.send_to(frame.heartbeat(), "239.2.3.4:6666").unwrap();
            }
            carried = frames.len();
            sleep(Duration::from_millis(5));
        }
        assert!(carried > 10, "{carried}");
        a.says_within("warning: packet from 10.0.0.12 dropped: it has a wrong tag", PATIENCE);
        assert_eq!((a.count("heard for the first time"), a.count("standby: ")), (0, 1), "{}", a.log());
        assert!(lan.a.has("10.0.0.100/24"));
    }
}
