//! Where log lines go, and that nobody has to read them.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{Read, Write, pipe};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::capture::Monitor;
use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::{PATIENCE, Running, eventually};
use crate::program;
use crate::start::ha_after;

tests![
    a_syslog_daemon_may_come_late_and_go_and_another_one_come,
    syslog_lines_have_priority_name_and_number,
    a_reader_that_does_not_read_does_not_hold_it_up,
    a_reader_that_has_gone_does_not_end_it,
    a_terminal_with_room_for_half_a_line_does_not_hold_it_up,
    a_socket_that_nobody_reads_does_not_hold_it_up,
    lines_that_a_terminal_had_no_room_for_are_counted_and_said,
    a_full_disk_costs_lines_and_leaves_no_half_one,
    ten_thousand_signals_cost_no_worker_and_few_lines,
    a_panic_says_its_place_before_the_worker_ends,
    nothing_that_it_is_given_makes_a_second_line,
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
        "run --interface eth0 --address {SHARED_CIDR} --interval 100ms --tolerance 1.5s --fence off --no-realtime --syslog"
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
        "warning: syslog: connect to /dev/log: No such file or directory (os error 2); lines go to standard error until it can be",
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
            says(&format!("<30>ha[{}]: syslog: lines go to /dev/log from here on", daemon.pid()));
        } else {
            std::thread::sleep(std::time::Duration::from_millis(2_000)); // a beat
        }
        let lines = daemon.log();
        daemon.signal(Signal::USR1);
        says(&format!("<30>ha[{}]: status: active", daemon.worker()));
        daemon.signal(Signal::HUP);
        says(&format!("<28>ha[{}]: SIGHUP: there is no key-file", daemon.pid()));
        assert_eq!(daemon.log(), lines, "nothing goes elsewhere");
        // Not by closing it only: a process that another test has just forked may hold it for a moment.
        socket.shutdown(std::net::Shutdown::Both).unwrap();
        drop(socket);
        fs::remove_file(&path).unwrap();
        daemon.signal(Signal::USR1);
        daemon.says("status: active");
    }
    assert!(lan.a.has(SHARED_CIDR));
}

/// A daemon with this standard error takes the address, keeps it, and stops when told to.
fn serves(standard_error: impl Into<OwnedFd>) {
    let standard_error = standard_error.into();
    let ours = standard_error.try_clone().unwrap();
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    let mut running = Running(command.stderr(standard_error).spawn().unwrap());
    drop(command);
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    // SAFETY: a question about a descriptor that is open.
    let flags = unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags & libc::O_NONBLOCK, 0, "it is the shell's, too, and stays as it was");
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

/// A terminal whose reader has stopped: what it is read from, and what is written to.
struct Terminal {
    reader: File,
    writer: File,
    filler: File,
}

impl Terminal {
    /// With room for this number of bytes more, by and large.
    fn with_room_for(room: usize) -> Self {
        let capacity = Self::new().fill(usize::MAX);
        let terminal = Self::new();
        terminal.fill(capacity - room);
        terminal
    }

    fn new() -> Self {
        // SAFETY: constants, and a buffer of the length that is said.
        let (reader, name) = unsafe {
            let reader = OwnedFd::from_raw_fd(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC));
            let mut name = [0; 64];
            assert_eq!(libc::unlockpt(reader.as_raw_fd()), 0);
            assert_eq!(libc::ptsname_r(reader.as_raw_fd(), name.as_mut_ptr(), name.len()), 0);
            (reader, CStr::from_ptr(name.as_ptr()).to_str().unwrap().to_owned())
        };
        let open = |flags| File::options().write(true).custom_flags(libc::O_NOCTTY | flags).open(&name).unwrap();
        Self { reader: reader.into(), writer: open(0), filler: open(libc::O_NONBLOCK) }
    }

    /// As far as there is room; how many bytes that were.
    fn fill(&self, most: usize) -> usize {
        (0..most).find(|_| (&self.filler).write(b".").is_err()).unwrap_or(most)
    }

    /// All that waits there.
    fn read(&self) -> String {
        let mut text = Vec::new();
        while is_readable(&self.reader) {
            let mut some = [0; 4_096];
            let len = (&self.reader).read(&mut some).unwrap_or(0);
            text.extend_from_slice(&some[..len]);
            if len == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&text).replace('\r', "")
    }
}

fn is_readable(file: &File) -> bool {
    let mut waited = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, written during the call only.
    unsafe { libc::poll(&raw mut waited, 1, 100) > 0 && waited.revents & libc::POLLIN != 0 }
}

/// It says that it has room; for a whole line it has not.
fn a_terminal_with_room_for_half_a_line_does_not_hold_it_up() {
    for room in [5, 30] {
        let terminal = Terminal::with_room_for(room);
        serves(terminal.writer.try_clone().unwrap());
    }
}

fn a_socket_that_nobody_reads_does_not_hold_it_up() {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write(b".").is_ok() {}
    writer.set_nonblocking(false).unwrap();
    serves(writer);
    drop(reader);
}

fn lines_that_a_terminal_had_no_room_for_are_counted_and_said() {
    let lan = Lan::new();
    let terminal = Terminal::with_room_for(30);
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    let mut running = Running(command.stderr(terminal.writer.try_clone().unwrap()).spawn().unwrap());
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    let mut text = terminal.read();
    let pid = rustix::process::Pid::from_child(&running.0);
    eventually("lost lines are counted", PATIENCE, || {
        text += &terminal.read();
        text.contains("lines lost: ")
    });
    rustix::process::kill_process(pid, Signal::USR1).unwrap();
    eventually("lines come through", PATIENCE, || {
        text += &terminal.read();
        text.contains("bytes of memory allocated\nstatus: active")
    });
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    eventually("it has stopped", PATIENCE, || running.0.try_wait().unwrap().is_some());
    // Perhaps one that was cut by the end of the room; then how many are lost, from the beginning of a line.
    let notice = text.lines().find(|line| line.contains("lines lost: ")).unwrap();
    let count =
        notice.strip_prefix("warning: ").and_then(|line| line.strip_suffix(" lines lost: the log was not read"));
    assert!(count.is_some_and(|count| (2..20).contains(&count.parse::<u32>().unwrap())), "{text}");
}

fn a_full_disk_costs_lines_and_leaves_no_half_one() {
    let lan = Lan::new();
    // Two pages, the second one taken by something else, and behind the first line 70 bytes are left of the first.
    let before = "mount -t tmpfs -o size=8k none /mnt; head -c 4000 /dev/zero >/mnt/other; \
                  head -c 3986 /dev/zero | tr '\\0' . >/mnt/log; echo >>/mnt/log";
    let arguments = format!("run --interface eth0 --address {SHARED_CIDR} --fence off {} 2>>/mnt/log", FAST.join(" "));
    let mut daemon = Daemon::spawn(ha_after(&lan.a, before, &arguments));
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    let root = format!("/proc/{}/root/mnt", daemon.pid());
    let text = || fs::read_to_string(format!("{root}/log")).unwrap();
    assert_eq!(text().len(), 4_096, "the disk is full");
    fs::remove_file(format!("{root}/other")).unwrap();
    eventually("lost lines are counted", PATIENCE, || text().contains("lines lost: the log was not read\n"));
    let said = text();
    let lines: Vec<_> = said.lines().skip(2).collect();
    let whole = "warning: tolerance 350ms is below 2s: the kernel's lease ends too late to fence";
    assert!(whole.starts_with(lines[0]) && lines[0].len() == 70, "{lines:?}");
    let count =
        lines[1].strip_prefix("warning: ").and_then(|line| line.strip_suffix(" lines lost: the log was not read"));
    assert!(count.is_some_and(|count| (3..20).contains(&count.parse::<u32>().unwrap())), "{lines:?}");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
}

fn ten_thousand_signals_cost_no_worker_and_few_lines() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let (worker, before) = (daemon.worker(), daemon.count(""));
    let monitor = Monitor::start(&lan.a);
    for _ in 0..5_000 {
        daemon.signal(Signal::USR1);
        daemon.signal(Signal::HUP);
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
    // What is important is said all the same.
    lan.a.ip("link set eth0 down");
    daemon.says("unfit: interface is down");
    assert_eq!(daemon.worker(), worker, "{}", daemon.log());
    // Once, and not before: the link is down.
    let deleted = || monitor.events(SHARED_CIDR).iter().filter(|event| event.is_deleted).count();
    eventually("the address is gone", PATIENCE, || deleted() > 0);
    assert_eq!(deleted(), 1, "{}", daemon.log());
    let (status, hangups) = (daemon.count("status: "), daemon.count("SIGHUP: "));
    assert!((1..=60).contains(&status) && (1..=60).contains(&hangups), "{status} {hangups}");
    assert!(daemon.count("") - before < 200, "{}", daemon.log());
    assert_eq!(daemon.count("worker "), daemon.count("the worker has "), "{}", daemon.log());
}

/// The tracer answers in the place of the disk that the file had more bytes than there is room for.
fn a_panic_says_its_place_before_the_worker_ends() {
    let lan = Lan::new();
    let folder = Folder::new("panic");
    let key = folder.write("key", &"ab".repeat(32), 0o600);
    let daemon = Daemon::fast(&lan.a, &["--key-file", &key]);
    daemon.says("active: ");
    let mut tracer = Command::new("strace");
    tracer.args([
        "-f",
        "-q",
        "-o",
        "/dev/null",
        "-e",
        "inject=read:retval=5000",
        "-p",
        &daemon.pid().to_string(),
        "-P",
    ]);
    let tracer = Running(tracer.arg(&key).stderr(Stdio::null()).spawn().unwrap());
    let status = || fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    eventually("it is traced", PATIENCE, || !status().contains("\nTracerPid:\t0\n"));
    daemon.signal_worker(Signal::KILL);
    daemon.says("worker ended: signal 9");
    daemon.says("error: panic at ");
    daemon.says("error: worker dropped: it died; addresses released");
    daemon.says("warning: worker ended: exit status 101");
    let log = daemon.log();
    if !log.contains("panic at +0x") {
        assert!(log.contains("panic at src/bin/ha/settings/keys.rs:"), "{log}");
        assert!(log.contains("range end index 5000 out of range for slice of length 2048"), "{log}");
    }
    drop(tracer);
    daemon.says("active: ");
}

fn nothing_that_it_is_given_makes_a_second_line() {
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    command.env("NOTIFY_SOCKET", "/x\nerror: forged\x1b[2J\u{9b}2J\r\u{2028}");
    let daemon = Daemon::spawn(command);
    daemon.says("warning: NOTIFY_SOCKET /x?error: forged?[2J?2J??: No such file");
    daemon.says("active: ");
    assert_eq!(daemon.count("forged"), 1, "{}", daemon.log());
}

fn at_level_off_it_says_nothing() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--log-level", "off"]);
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.log(), "");
}
