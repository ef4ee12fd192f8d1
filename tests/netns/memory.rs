//! Memory: what is allocated after the start is given back, whatever happens.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, SHARED_CIDR};

tests![nothing_is_allocated_by_what_happens_after_the_start];

fn nothing_is_allocated_by_what_happens_after_the_start() {
    let lan = Lan::new();
    let folder = Folder::new("memory");
    let four_keys = ["ab".repeat(32), "cd".repeat(32), "ef".repeat(32), "01".repeat(32)].join("\n");
    let key = folder.write("key", &four_keys, 0o600);
    let others: Vec<String> = (101..116).map(|host| format!("10.77.0.{host}/24")).collect();
    let hook = format!("/bin/true{}", " word".repeat(19));
    let mut options = [FAST, &["--address", SHARED_CIDR, "--key-file", &key]].concat();
    options.extend(others.iter().flat_map(|cidr| ["--address", cidr]));
    for option in ["--on-active", "--on-standby", "--on-unfit", "--on-shutdown", "--before-active"] {
        options.extend([option, &hook]);
    }
    let daemon = Daemon::start(&lan.a, &options);
    daemon.says("active: ");
    let before = allocated(&daemon);
    assert!(before.iter().all(|&bytes| bytes < 128 * 1024), "for the largest configuration: {before:?}");

    lan.a.ip("link set eth0 down");
    daemon.says("unfit: ");
    lan.a.ip("link set eth0 up");
    daemon.says("active: ");
    daemon.signal(Signal::HUP);
    daemon.says("keys read again");
    fs::remove_file(&key).unwrap();
    sleep(Duration::from_millis(200)); // until the process that read them is taken leave of
    daemon.signal(Signal::HUP);
    daemon.says("No such file or directory");
    folder.write("key", &four_keys, 0o600);
    daemon.signal_worker(Signal::KILL);
    daemon.says("worker ended: signal 9");
    daemon.says("active: ");
    assert_eq!(allocated(&daemon), before, "{}", daemon.log());
    fs::remove_file(&key).unwrap();
}

/// Bytes, of keeper and worker, as they say themselves.
fn allocated(daemon: &Daemon) -> [usize; 2] {
    daemon.signal(Signal::USR1);
    ["the keeper has ", "the worker has "].map(|who| {
        daemon.says(who);
        let log = daemon.log();
        let (_, rest) = log.rsplit_once(who).expect("it was waited for");
        rest.split_once(" bytes").expect("a number of them").0.parse().unwrap()
    })
}
