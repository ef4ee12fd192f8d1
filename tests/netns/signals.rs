//! What a person or an init system tells the daemon, and is told.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::capture::Capture;
use crate::daemon::{Daemon, FAST};
use crate::group::KeyFile;
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::PATIENCE;
use crate::program;

tests![
    sigterm_removes_the_address_and_says_so_three_times,
    sigint_does_the_same,
    a_standby_says_that_it_leaves,
    sigusr1_logs_the_status,
    sighup_without_a_key_does_no_harm,
    the_last_sighup_counts_though_nothing_else_happens,
    a_sighup_during_the_reading_for_an_earlier_one_is_not_lost,
    keys_that_others_can_replace_are_not_taken_nor_is_a_fifo_waited_for,
    a_service_manager_hears_of_the_worker_s_life,
];

fn sigterm_removes_the_address_and_says_so_three_times() {
    leaves_by(Signal::TERM);
}

fn sigint_does_the_same() {
    leaves_by(Signal::INT);
}

fn leaves_by(signal: Signal) {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "udp");
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(signal);
    let status = daemon.exit();
    assert_eq!(status.code(), Some(0), "{}", daemon.whole_log());
    assert!(!lan.a.has(SHARED_CIDR));
    let last = capture.wait("three packets", PATIENCE, |frames| {
        let last: Vec<_> = frames.iter().filter(|frame| frame.state() == 3).cloned().collect();
        (last.len() == 3).then_some(last)
    });
    let span = last[2].at - last[0].at;
    assert!((0.003..0.1).contains(&span), "a few milliseconds apart, all in {span} s");
    std::thread::sleep(Duration::from_millis(200));
    let after = capture.so_far().iter().skip_while(|frame| frame.state() != 3).count();
    assert_eq!(after, 3, "nothing follows");
    assert!(daemon.whole_log().contains("shutdown: asked to stop, address down after"), "{}", daemon.whole_log());
}

fn a_standby_says_that_it_leaves() {
    let lan = Lan::new();
    let capture = Capture::start(&lan.b, "udp");
    let mut daemon = Daemon::fast(&lan.a, &["--worthiness", "0"]);
    daemon.says("standby: ");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    capture.wait("three packets", PATIENCE, |frames| {
        (frames.iter().filter(|frame| frame.state() == 3).count() == 3).then_some(())
    });
}

fn sigusr1_logs_the_status() {
    let lan = Lan::new();
    let a = Daemon::fast(&lan.a, &[]);
    let b = Daemon::fast(&lan.b, &["--worthiness", "7"]);
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(200)); // until it has heard that as well
    b.signal(Signal::USR1);
    b.says("status: standby for 10.0.0.100/24");
    b.says("status: 10.0.0.11 active worthiness 100");
    b.says("status: last conflict with 02:00:00:00:00:0b, ");
    a.signal(Signal::USR1);
    a.says("status: active for 10.0.0.100/24");
    a.says("status: 10.0.0.12 standby worthiness 7");
}

fn sighup_without_a_key_does_no_harm() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    daemon.signal(Signal::HUP);
    daemon.says("warning: SIGHUP: there is no key-file");
    daemon.signal(Signal::USR1);
    daemon.says("status: active");
    assert!(lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.count("standby: "), 1, "{}", daemon.log());
}

/// With an interval that wakes nobody up in between.
const SLOW: [&str; 6] = ["--interval", "10s", "--tolerance", "35s", "--address", SHARED_CIDR];

fn the_last_sighup_counts_though_nothing_else_happens() {
    let lan = Lan::new();
    let key = KeyFile::new("hups", "01");
    let daemon = Daemon::start(&lan.a, &[&SLOW[..], &["--key-file", key.path()]].concat());
    daemon.says("standby: ");
    for keys in [2, 1, 3, 1] {
        key.replace(&format!("{}\n", "02".repeat(32)).repeat(keys));
        daemon.signal(Signal::HUP);
        daemon.says_within(&format!("keys read again: the first of {keys} signs"), Duration::from_secs(3));
    }
    key.replace("02");
    daemon.signal(Signal::HUP);
    daemon.says_within("the keys stay as they were", Duration::from_secs(3));
    assert_eq!(daemon.count("still being read"), 0, "{}", daemon.log());
}

/// A process that reads a key file with a relative name asks first where it is, which takes a second here.
fn a_sighup_during_the_reading_for_an_earlier_one_is_not_lost() {
    let lan = Lan::new();
    let key = KeyFile::new("slow", "01");
    let mut command = lan.a.command("strace");
    command.args(["-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=getcwd"]);
    command.args(["-e", "inject=getcwd:delay_enter=1000000"]).arg(program());
    command.args(["run", "--interface", "eth0", "--key-file", "key"]).args(SLOW);
    command.current_dir(std::path::Path::new(key.path()).parent().unwrap());
    let daemon = Daemon::spawn(command);
    daemon.says("standby: ");
    daemon.signal(Signal::HUP);
    sleep(Duration::from_millis(300));
    for _ in 0..3 {
        daemon.signal(Signal::HUP);
        daemon.says("SIGHUP: key is still being read; it will be read once more then");
    }
    daemon.says("keys read again: the first of 1 signs");
    daemon.says_within("keys read again: the first of 1 signs", Duration::from_secs(5));
    sleep(Duration::from_millis(1_500));
    assert_eq!(daemon.count("keys read again"), 2, "once for all that came meanwhile:\n{}", daemon.log());
}

fn keys_that_others_can_replace_are_not_taken_nor_is_a_fifo_waited_for() {
    let lan = Lan::new();
    let key = KeyFile::new("fifo", "01");
    let daemon = Daemon::fast(&lan.a, &["--key-file", key.path()]);
    daemon.says("active: ");
    let place = std::path::Path::new(key.path()).parent().unwrap();
    let open = |mode| std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
    key.replace(&"02".repeat(32));
    daemon.signal(Signal::HUP);
    daemon.says("keys read again");
    open(0o1777);
    daemon.signal(Signal::HUP);
    daemon.says(&format!("error: key-file {} has mode 1777 and owner 0: expected no write", place.display()));
    open(0o755);
    std::fs::remove_file(key.path()).unwrap();
    assert!(std::process::Command::new("mkfifo").args(["-m", "600", key.path()]).status().unwrap().success());
    daemon.signal(Signal::HUP);
    daemon.says(&format!("error: key-file {} has mode 0600 and owner 0: expected a file as", key.path()));
    assert_eq!((daemon.count("active: "), daemon.count("the keys stay as they were")), (1, 2), "{}", daemon.log());
}

/// sd_notify(3).
fn a_service_manager_hears_of_the_worker_s_life() {
    let lan = Lan::new();
    let path = std::env::temp_dir().join(format!("ha-manager-{}", std::process::id()));
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = || {
        let mut buffer = [0; 64];
        let len = manager.recv(&mut buffer).expect("it is told in time");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let mut daemon = Daemon::spawn(command);
    assert_eq!(hears(), "READY=1");
    std::fs::remove_file(&path).unwrap();
    assert_eq!([hears(), hears(), hears()], ["WATCHDOG=1"; 3]);
    daemon.signal(Signal::TERM);
    let last = std::iter::repeat_with(hears).find(|what| what != "WATCHDOG=1").unwrap();
    assert_eq!(last, "STOPPING=1");
    assert!(daemon.exit().success());
}
