//! Two nodes on one LAN.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};

tests![
    the_lowest_address_wins_a_cold_start_and_the_other_one_takes_over_from_the_dead,
    a_node_that_stops_resigns_and_the_other_one_takes_the_address_at_once,
    a_more_worthy_newcomer_is_handed_the_address,
    a_sticky_node_keeps_the_address,
    a_node_that_is_not_worthy_never_hosts,
    of_nodes_with_different_keys_one_has_the_address,
    keys_are_rolled_over_by_sighup_and_a_bad_file_changes_nothing,
    nodes_with_the_same_key_are_one_group,
    groups_with_different_numbers_do_not_see_each_other,
    a_node_with_other_addresses_is_named,
    a_peer_that_dies_is_named_once_and_once_more_when_it_is_back,
];

fn the_lowest_address_wins_a_cold_start_and_the_other_one_takes_over_from_the_dead() {
    let lan = Lan::new();
    // What the lease alone does.
    let alone = ["--fence", "off"];
    let (b, a) = (Daemon::fast(&lan.b, &alone), Daemon::fast(&lan.a, &alone));
    a.says("10.0.0.12 heard for the first time");
    a.says("active: ");
    sleep(Duration::from_secs(1));
    assert_eq!(b.count("active: "), 0, "{}", b.log());
    assert!(lan.a.has(SHARED_CIDR) && !lan.b.has(SHARED_CIDR));
    let killed = SystemTime::now();
    a.signal(Signal::KILL);
    let taken = b.says("active: 10.0.0.11 silent for");
    let after = taken.duration_since(killed).unwrap();
    // The kernel of the dead one answers for the address until its lease of 1 s ends.
    assert!(after >= Duration::from_millis(800) && after < Duration::from_millis(2_700), "took over after {after:?}");
    assert!(!lan.a.has(SHARED_CIDR), "never two");
    assert!(lan.b.has(SHARED_CIDR));
}

fn a_node_that_stops_resigns_and_the_other_one_takes_the_address_at_once() {
    let lan = Lan::new();
    let (mut a, b) = (Daemon::fast(&lan.a, &[]), Daemon::fast(&lan.b, &[]));
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(500)); // until it has listened for its tolerance
    let told = SystemTime::now();
    a.signal(Signal::TERM);
    let taken = b.says("active: 10.0.0.11 resigned (is shutdown)");
    let after = taken.duration_since(told).unwrap();
    assert!(after < Duration::from_millis(200), "took over after {after:?}");
    assert!(a.exit().success());
    assert!(!lan.a.has(SHARED_CIDR) && lan.b.has(SHARED_CIDR));
}

fn a_more_worthy_newcomer_is_handed_the_address() {
    let lan = Lan::new();
    let b = Daemon::fast(&lan.b, &[]);
    b.says("active: ");
    let a = Daemon::fast(&lan.a, &["--worthiness", "200"]);
    let started = a.says("standby: ");
    b.says("standby: 10.0.0.11 is more worthy and claimed the address");
    let taken = a.says("active: 10.0.0.12 handed over");
    let settled = taken.duration_since(started).unwrap();
    assert!(settled >= Duration::from_millis(300), "it claimed before it was settled: {settled:?}");
    assert!(lan.a.has(SHARED_CIDR) && !lan.b.has(SHARED_CIDR));
    sleep(Duration::from_millis(500));
    assert_eq!((a.count("active: "), b.count("active: ")), (1, 1), "one move:\n{}\n{}", a.log(), b.log());
}

fn a_sticky_node_keeps_the_address() {
    let lan = Lan::new();
    let b = Daemon::fast(&lan.b, &["--sticky"]);
    b.says("active: ");
    let a = Daemon::fast(&lan.a, &["--worthiness", "200", "--preempt-delay", "0s"]);
    a.says("10.0.0.12 heard for the first time");
    sleep(Duration::from_secs(1));
    assert_eq!((a.count("active: "), b.count("standby: ")), (0, 1), "{}\n{}", a.log(), b.log());
    assert!(lan.b.has(SHARED_CIDR) && !lan.a.has(SHARED_CIDR));
}

fn a_node_that_is_not_worthy_never_hosts() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    sleep(Duration::from_secs(1));
    assert_eq!(daemon.count("active: "), 0, "{}", daemon.log());
    assert!(!lan.a.has(SHARED_CIDR));
}

/// A file with a key, gone when this value is.
pub struct KeyFile {
    folder: Folder,
    path: String,
}

impl KeyFile {
    /// With one key: these two digits all over.
    pub fn new(name: &str, digits: &str) -> Self {
        let folder = Folder::new(name);
        let path = folder.write("key", &digits.repeat(32), 0o600);
        Self { folder, path }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Puts something else in its place, as `mv` does.
    pub fn replace(&self, content: &str) {
        let new = self.folder.write("new", content, 0o600);
        fs::rename(new, &self.path).unwrap();
    }
}

fn of_nodes_with_different_keys_one_has_the_address() {
    let lan = Lan::new();
    let keys = (KeyFile::new("one", "01"), KeyFile::new("two", "02"));
    let a = Daemon::fast(&lan.a, &["--key-file", keys.0.path()]);
    a.says("active: no active node heard for");
    let b = Daemon::fast(&lan.b, &["--key-file", keys.1.path()]);
    a.says("warning: packet from 10.0.0.12 dropped: it has a wrong tag (another key?)");
    b.says("warning: packet from 10.0.0.11 dropped: it has a wrong tag (another key?)");
    b.says("not taken (on-conflict hold); packets with a wrong tag are: another key?");
    sleep(Duration::from_secs(2));
    assert_eq!((b.count("active: "), b.count("dropped"), b.count("not taken")), (0, 1, 1), "{}", b.log());
    assert_eq!((a.count("standby: "), a.count("dropped")), (1, 1), "{}", a.log());
    drop(a);
    b.says("active: no active node heard for");
}

fn keys_are_rolled_over_by_sighup_and_a_bad_file_changes_nothing() {
    let lan = Lan::new();
    let (old, new) = ("01".repeat(32), "02".repeat(32));
    let keys = [KeyFile::new("roll-a", "01"), KeyFile::new("roll-b", "01")];
    let a = Daemon::fast(&lan.a, &["--key-file", keys[0].path()]);
    let b = Daemon::fast(&lan.b, &["--key-file", keys[1].path()]);
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    for (round, content) in [format!("{old}\n{new}\n"), format!("{new}\n{old}\n"), new].into_iter().enumerate() {
        for (node, key) in [(&a, &keys[0]), (&b, &keys[1])] {
            fs::write(key.path(), &content).unwrap();
            node.signal(Signal::HUP);
            eventually("the keys are read", PATIENCE, || node.count("keys read again: ") == round + 1);
        }
        sleep(Duration::from_millis(500));
    }
    fs::write(keys[1].path(), "03").unwrap();
    b.signal(Signal::HUP);
    b.says("2 characters: expected 64 hexadecimal digits, as `ha keygen` prints; the keys stay as they were");
    sleep(Duration::from_millis(500));
    assert_eq!((a.count("dropped"), b.count("dropped")), (0, 0), "{}\n{}", a.log(), b.log());
    assert_eq!((a.count("active: "), b.count("active: ")), (1, 0), "{}\n{}", a.log(), b.log());
}

fn nodes_with_the_same_key_are_one_group() {
    let lan = Lan::new();
    let key = KeyFile::new("same", "a5");
    let a = Daemon::fast(&lan.a, &["--key-file", key.path()]);
    let b = Daemon::fast(&lan.b, &["--key-file", key.path()]);
    a.says("10.0.0.12 heard for the first time");
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(700));
    assert_eq!((b.count("active: "), a.count("dropped"), b.count("dropped")), (0, 0, 0), "{}\n{}", a.log(), b.log());
    a.signal(Signal::USR1);
    a.says("flags settled,sealed,ready release ");
}

fn groups_with_different_numbers_do_not_see_each_other() {
    let lan = Lan::new();
    let a = Daemon::fast(&lan.a, &["--group", "1"]);
    let other = ["--address", "10.0.0.200/24", "--group", "2"];
    let b = Daemon::start(&lan.b, &[FAST, &other].concat());
    a.says("active: ");
    b.says("active: ");
    sleep(Duration::from_millis(500));
    for (node, peer) in [(&a, "10.0.0.12"), (&b, "10.0.0.11")] {
        node.signal(Signal::USR1);
        node.says("status: active");
        assert_eq!(node.count(peer), 0, "{}", node.log());
    }
}

fn a_node_with_other_addresses_is_named() {
    let lan = Lan::new();
    let a = Daemon::fast(&lan.a, &[]);
    let b = Daemon::start(&lan.b, &[FAST, &["--address", "10.0.0.200/24"]].concat());
    a.says("warning: 10.0.0.12 has other shared addresses than this node");
    b.says("warning: 10.0.0.11 has other shared addresses than this node");
    a.says_within("active: ", PATIENCE);
    sleep(Duration::from_millis(500));
    assert_eq!(a.count("other shared addresses"), 1, "{}", a.log());
}

fn a_peer_that_dies_is_named_once_and_once_more_when_it_is_back() {
    let lan = Lan::new();
    let (a, b) = (Daemon::fast(&lan.a, &[]), Daemon::fast(&lan.b, &[]));
    a.says("10.0.0.12 heard for the first time");
    // Both at once: of two that die one after the other the second one says so.
    b.signal_worker(Signal::STOP);
    b.signal(Signal::KILL);
    a.says("warning: 10.0.0.12 is not heard any more, for ");
    a.says("warning: no other node is heard any more: is this node cut off?");
    sleep(Duration::from_secs(1));
    let b = Daemon::fast(&lan.b, &[]);
    a.says("10.0.0.12 is heard again, after ");
    sleep(Duration::from_secs(1));
    b.signal(Signal::TERM);
    sleep(Duration::from_secs(1));
    assert_eq!((a.count("is not heard any more"), a.count("is heard again")), (1, 1), "{}", a.log());
}
