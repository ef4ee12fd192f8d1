//! Where log lines go, and that nobody has to read them.

use std::fs;
use std::io::{PipeWriter, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::daemon::{Daemon, FAST};
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::{PATIENCE, Running, eventually};
use crate::program;
use crate::start::ha_after;

tests![
    a_syslog_daemon_may_come_late_and_go_and_another_one_come,
    syslog_lines_have_priority_name_and_number,
    a_reader_that_does_not_read_does_not_hold_it_up,
    a_reader_that_has_gone_does_not_end_it,
    at_level_off_it_says_nothing,
];

/// A directory, gone when this value is.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ha-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn syslog_lines_have_priority_name_and_number() {
    let lan = Lan::unjoined();
    let directory = Directory::new("syslog");
    let path = directory.0.join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::lines::PATIENCE)).unwrap();
    let before = format!("mount -t tmpfs none /dev; ln -s '{}' /dev/log", path.display());
    let arguments = format!(
        "run --interface eth0 --address {SHARED_CIDR} --interval 100ms --tolerance 1.5s --no-realtime --syslog"
    );
    let daemon = Daemon::spawn(ha_after(&lan.a, &before, &arguments));
    let line_with = |text: &str| loop {
        let mut buffer = [0; 1_000];
        let len = socket.recv(&mut buffer).expect("a line");
        let line = String::from_utf8(buffer[..len].to_vec()).unwrap();
        if line.contains(text) {
            break line;
        }
    };
    // Daemon is facility 3; warning and information are severities 4 and 6.
    let keeper = format!("ha[{}]", daemon.pid());
    let warning = line_with("]: tolerance 1.5s is below 2s");
    assert!(warning.starts_with(&format!("<28>{keeper}: ")), "{warning}");
    let information = line_with("]: unfit: interface");
    assert!(information.starts_with(&format!("<30>{keeper}: ")), "{information}");
    lan.join();
    let of_worker = line_with("]: standby: listening");
    assert!(of_worker.starts_with(&format!("<30>ha[{}]: ", daemon.worker())), "{of_worker}");
    assert_eq!(daemon.log(), "", "nothing goes elsewhere");
}

/// Neither the address nor a line waits for a syslog daemon; both processes find it when it is there.
fn a_syslog_daemon_may_come_late_and_go_and_another_one_come() {
    let lan = Lan::new();
    let directory = Directory::new("late");
    let path = directory.0.join("log");
    let before = format!("mount -t tmpfs none /dev; ln -s '{}' /dev/log", path.display());
    let arguments = format!("run --interface eth0 --address {SHARED_CIDR} {} --syslog", FAST.join(" "));
    let daemon = Daemon::spawn(ha_after(&lan.a, &before, &arguments));
    daemon.says(
        "warning: syslog to /dev/log: No such file or directory (os error 2); to standard error until that can be",
    );
    daemon.says("active: ");
    for time in 1..=2 {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let says = |text: &str| {
            let mut buffer = [0; 1_000];
            while !String::from_utf8_lossy(&buffer).contains(text) {
                buffer.fill(0);
                let _ = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{time}, {text}: {error}"));
            }
        };
        if time == 1 {
            says(&format!("<30>ha[{}]: syslog to /dev/log from here on", daemon.pid()));
        } else {
            std::thread::sleep(std::time::Duration::from_millis(300)); // several beats
        }
        let lines = daemon.log();
        daemon.signal(Signal::USR1);
        says(&format!("<30>ha[{}]: status: active", daemon.worker()));
        daemon.signal(Signal::HUP);
        says(&format!("<28>ha[{}]: SIGHUP: there is no key-file", daemon.pid()));
        assert_eq!(daemon.log(), lines, "nothing goes elsewhere");
        drop(socket);
        fs::remove_file(&path).unwrap();
        daemon.signal(Signal::USR1);
        daemon.says("status: active");
    }
    assert!(lan.a.has(SHARED_CIDR));
}

/// A daemon with this standard error takes the address, keeps it, and stops when told to.
fn serves(standard_error: PipeWriter) {
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    let mut running = Running(command.stderr(standard_error).spawn().unwrap());
    drop(command);
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, Signal::USR1).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500)); // longer than its lease
    assert!(lan.a.has(SHARED_CIDR));
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    eventually("it has stopped", PATIENCE, || running.0.try_wait().unwrap().is_some());
    assert!(running.0.wait().unwrap().success());
}

fn a_reader_that_does_not_read_does_not_hold_it_up() {
    let (_reader, mut writer) = pipe().unwrap();
    // SAFETY: a question about a descriptor that is open.
    let capacity = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
    writer.write_all(&vec![b'.'; usize::try_from(capacity).unwrap()]).unwrap();
    serves(writer);
}

fn a_reader_that_has_gone_does_not_end_it() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    serves(writer);
}

fn at_level_off_it_says_nothing() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--log-level", "off"]);
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.log(), "");
}
