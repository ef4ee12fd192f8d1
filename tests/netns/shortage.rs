//! What the kernel refuses for lack of memory, descriptors or processes: said once, tried again, and nothing ends by it.
//!
//! Where a refusal cannot be had otherwise the tracer makes it, as an answer of the kernel to the keeper.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::daemon::Daemon;
use crate::files::Folder;
use crate::lan::{Lan, SHARED_CIDR, path};
use crate::lines::{PATIENCE, Running, eventually};

tests![
    without_room_for_a_process_the_next_worker_is_tried_again,
    without_room_for_a_descriptor_the_next_worker_is_tried_again,
    what_cannot_get_better_ends_the_daemon_and_the_address,
    a_hook_without_room_for_a_process_runs_later,
    an_address_that_cannot_be_renewed_is_lost_and_comes_back,
    an_address_that_cannot_be_removed_goes_later,
    sockets_that_cannot_be_opened_are_tried_again,
];

/// As long as it lives the process is refused something, as strace(1) describes it.
struct Refusing {
    tracer: Running,
    pid: u32,
}

impl Refusing {
    fn of(pid: u32, what: &str) -> Self {
        let mut command = Command::new("strace");
        command.env("PATH", path()).args(["-q", "-o", "/dev/null", "-e", &format!("inject={what}")]);
        command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let tracer = Running(command.spawn().unwrap());
        let refusing = Self { tracer, pid };
        eventually("it is traced", PATIENCE, || refusing.is_traced());
        refusing
    }

    fn is_traced(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status.contains("TracerPid:") && !status.contains("TracerPid:\t0")
    }

    fn end(mut self) {
        let _ = kill_process(Pid::from_child(&self.tracer.0), Signal::INT); // the process may have ended, and it with it
        let _ = self.tracer.0.wait();
    }
}

/// The keeper may open this number of descriptors from now on.
fn limit_descriptors(daemon: &Daemon, soft: u64) -> Rlimit {
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(1024) }).unwrap();
    assert!(before.current != Some(soft));
    before
}

fn without_room_for_a_process_the_next_worker_is_tried_again() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let refusing = Refusing::of(daemon.pid(), "clone:error=EAGAIN");
    daemon.signal_worker(Signal::KILL);
    daemon.says("warning: start worker: fork: Resource temporarily unavailable (os error 11); tried again");
    assert!(!lan.a.has(SHARED_CIDR));
    sleep(Duration::from_secs(2));
    refusing.end();
    daemon.says("start worker: done this time");
    daemon.says("active: ");
    assert_eq!(daemon.count("warning: start worker: "), 1, "{}", daemon.log());
}

fn without_room_for_a_descriptor_the_next_worker_is_tried_again() {
    let lan = Lan::new();
    for soft in [6, 1] {
        // With one it cannot even wait for several at once.
        let mut daemon = Daemon::fast(&lan.a, &[]);
        daemon.says("active: ");
        limit_descriptors(&daemon, soft);
        daemon.signal_worker(Signal::KILL);
        daemon.says("(os error 24); tried again");
        assert!(!lan.a.has(SHARED_CIDR));
        sleep(Duration::from_secs(2));
        limit_descriptors(&daemon, 100);
        daemon.says("start worker: done this time");
        daemon.says("active: ");
        assert_eq!(daemon.count("warning: start worker: "), 1, "{}", daemon.log());
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
    }
}

fn what_cannot_get_better_ends_the_daemon_and_the_address() {
    let lan = Lan::new();
    let mut daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let refusing = Refusing::of(daemon.pid(), "clone:error=ENOSYS");
    daemon.signal_worker(Signal::KILL);
    daemon.says("ha: start worker: fork: Function not implemented");
    assert_eq!(daemon.exit().code(), Some(1));
    assert!(!lan.a.has(SHARED_CIDR));
    refusing.end();
}

fn a_hook_without_room_for_a_process_runs_later() {
    let lan = Lan::new();
    let scripts = Folder::new("shortage");
    let hook = scripts.script("told", "echo \"told $HA_STATE\" >&2");
    let daemon = Daemon::fast(&lan.a, &["--on-unfit", &hook]);
    daemon.says("active: ");
    let refusing = Refusing::of(daemon.pid(), "clone:error=EAGAIN");
    lan.a.ip("link set eth0 down");
    daemon
        .says(&format!("warning: on-unfit: start {hook}: Resource temporarily unavailable (os error 11); tried again"));
    sleep(Duration::from_secs(1));
    refusing.end();
    daemon.says(&format!("on-unfit: start {hook}: done this time"));
    daemon.says("told unfit");
    assert_eq!(daemon.count("warning: on-unfit: start"), 1, "{}", daemon.log());
}

fn an_address_that_cannot_be_renewed_is_lost_and_comes_back() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let worker = daemon.worker();
    // The kernel's replies.
    let refusing = Refusing::of(daemon.pid(), "recvfrom:error=ENOBUFS");
    daemon.says("error: renew 10.0.0.100/24 on eth0:1: No buffer space available");
    sleep(Duration::from_secs(2));
    assert!(!lan.a.has(SHARED_CIDR), "nobody can hold it");
    refusing.end();
    daemon.says("active: ");
    assert!(lan.a.has(SHARED_CIDR));
    assert_eq!(daemon.worker(), worker);
    assert_eq!(daemon.count("error: renew "), 1, "{}", daemon.log());
    assert!(daemon.count("error: remove ") <= 1, "{}", daemon.log());
}

fn an_address_that_cannot_be_removed_goes_later() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--no-lease", "--worthiness", "1"]);
    daemon.says("active: ");
    // Nothing goes out at all: the worker is not told anything either, so that the next one cannot be there by then.
    let refusing = Refusing::of(daemon.pid(), "sendto,clone:error=ENOBUFS");
    daemon.says("error: remove 10.0.0.100/24 on eth0:1: No buffer space available (os error 105); tried again");
    daemon.says("worker dropped: news cannot be sent to it; addresses released");
    sleep(Duration::from_secs(1));
    assert!(lan.a.has(SHARED_CIDR), "there is no lease that would end");
    refusing.end();
    daemon.says("remove 10.0.0.100/24 on eth0:1: done this time");
    daemon.says("active: ");
    assert_eq!(daemon.count("error: remove "), 1, "{}", daemon.log());
}

fn sockets_that_cannot_be_opened_are_tried_again() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    lan.a.ip("link set eth0 down");
    daemon.says("unfit: ");
    let refusing = Refusing::of(daemon.pid(), "socket:error=ENOMEM");
    lan.a.ip("link set eth0 up");
    daemon.says("(os error 12); tried again");
    sleep(Duration::from_secs(2));
    refusing.end();
    daemon.says("open sockets on eth0: done this time");
    daemon.says("active: ");
    assert_eq!(daemon.count("warning: open sockets on"), 1, "{}", daemon.log());
}
