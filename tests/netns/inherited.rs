//! What the one who starts the daemon leaves to it: it works all the same, and its hooks get it back.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    signals_that_were_ignored_or_blocked_do_what_they_should,
    a_timer_that_goes_on_ends_nothing,
    limits_that_may_be_raised_are_raised_and_hooks_have_them_as_they_were,
    limits_that_may_not_be_raised_are_named_in_one_line,
    without_descriptors_for_the_standard_ones_it_makes_room_for_them,
    no_umask_hampers_the_daemon_and_hooks_have_it_as_it_was,
    worker_and_hook_have_the_out_of_memory_score_that_was_inherited,
    children_of_others_are_taken_leave_of,
    as_the_first_process_of_a_container_it_reaps_all_and_leaves_when_told,
];

/// `ha run` on `eth0` of `host` with these options, by a shell that does `before`.
fn after(host: &Namespace, before: &str, options: &[&str]) -> Command {
    let mut command = host.command("bash");
    command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), &program()]);
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST).args(options);
    command
}

/// A line of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
}

/// Soft and hard.
fn limits(pid: u32, name: &str) -> [String; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| words.next().unwrap())
}

fn ended_children(pid: u32) -> usize {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let state = |child: &str| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    children.split_whitespace().filter(|child| state(child).contains(") Z ")).count()
}

fn signals_that_were_ignored_or_blocked_do_what_they_should() {
    let lan = Lan::new();
    for how in [libc::SIG_BLOCK, -1] {
        let mut command = after(&lan.a, "", &[]);
        let prepare = move || {
            // SAFETY: system calls on locals; the set is filled before it is read.
            unsafe {
                if how == libc::SIG_BLOCK {
                    let mut all = std::mem::zeroed();
                    libc::sigfillset(&raw mut all);
                    libc::sigprocmask(how, &raw const all, std::ptr::null_mut());
                } else {
                    for signal in 1..=64 {
                        libc::signal(signal, libc::SIG_IGN);
                    }
                }
            }
            Ok(())
        };
        // SAFETY: it neither allocates nor takes a lock.
        unsafe { command.pre_exec(prepare) };
        let mut daemon = Daemon::spawn(command);
        daemon.says("active: ");
        assert_eq!(status(daemon.pid(), "SigIgn"), "0000000000000000");
        daemon.signal_worker(Signal::KILL);
        daemon.says("worker ended: signal 9");
        daemon.says("active: ");
        let ticks = |daemon: &Daemon| -> u64 {
            let text = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
            text.split_whitespace().skip(13).take(2).map(|word| word.parse::<u64>().unwrap()).sum()
        };
        let before = ticks(&daemon);
        sleep(Duration::from_millis(500));
        assert!(ticks(&daemon) - before < 20, "it does not go round in circles");
        daemon.signal(Signal::TERM);
        assert!(daemon.exit().success());
        assert!(!lan.a.has(SHARED_CIDR));
    }
}

fn a_timer_that_goes_on_ends_nothing() {
    let lan = Lan::new();
    let mut command = after(&lan.a, "", &[]);
    let prepare = || {
        let soon = libc::timeval { tv_sec: 0, tv_usec: 600_000 };
        let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
        // SAFETY: the kernel reads a local during the call only.
        unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const once, 0usize) };
        Ok(())
    };
    // SAFETY: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
    let daemon = Daemon::spawn(command);
    daemon.says("active: ");
    sleep(Duration::from_secs(1));
    daemon.signal(Signal::USR1);
    daemon.says("status: active");
}

fn limits_that_may_be_raised_are_raised_and_hooks_have_them_as_they_were() {
    let lan = Lan::new();
    let scripts = Folder::new("limits");
    // Too few descriptors, a log that is longer already than a file may be, no time, no room to grow.
    let log = scripts.script("log", "");
    let before = format!("exec 2>>{log}; ulimit -S -n 10; ulimit -S -f 0; ulimit -S -t 1; ulimit -S -s 64");
    let mut daemon = Daemon::spawn(after(&lan.a, &before, &[]));
    eventually("it is active", PATIENCE, || scripts.read("log").contains("active: "));
    for name in ["Max open files", "Max file size", "Max cpu time", "Max stack size"] {
        for pid in [daemon.pid(), daemon.worker()] {
            let [soft, hard] = limits(pid, name);
            assert_eq!(soft, hard, "{name} of {pid}");
        }
    }
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    let told = "echo \"told $(ulimit -S -n) $(ulimit -S -f) $(ulimit -S -t) $(ulimit -S -s)\" >&2";
    let hook = scripts.script("hook", &format!("exec bash -c '{told}'"));
    let before = "ulimit -S -n 20; ulimit -S -f 3; ulimit -S -t 7; ulimit -S -s 640";
    let daemon = Daemon::spawn(after(&lan.a, before, &["--on-active", &hook]));
    daemon.says("active: ");
    daemon.says("told 20 3 7 640");
    assert_eq!(daemon.count("limits too low"), 0, "{}", daemon.log());
}

fn limits_that_may_not_be_raised_are_named_in_one_line() {
    let lan = Lan::new();
    let daemon = Daemon::spawn(after(&lan.a, "ulimit -n 40; ulimit -t 1000", &[]));
    daemon.says(
        "warning: limits too low: 40 open files, expected at least 64; 1000 seconds of CPU time, expected no limit",
    );
    daemon.says("active: ");
    drop(daemon);
    // So low that nothing goes: in a line, and nothing is touched.
    let mut daemon = Daemon::spawn(after(&lan.a, "ulimit -n 5", &[]));
    daemon.says("warning: limits too low: 5 open files, expected at least 64");
    daemon.says("(os error 24)");
    assert_eq!(daemon.exit().code(), Some(1));
}

fn without_descriptors_for_the_standard_ones_it_makes_room_for_them() {
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    let prepare = || {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(2), ..limit })?;
        for number in 0..3 {
            // SAFETY: nobody uses them until the program starts, which is to find them closed.
            unsafe { libc::close(number) };
        }
        Ok(())
    };
    // SAFETY: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
    let daemon = Daemon::spawn(command);
    eventually("it has the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    for number in 0..3 {
        let what = fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid())).unwrap();
        assert_eq!(what.to_str(), Some("/dev/null"), "{number}");
    }
}

fn no_umask_hampers_the_daemon_and_hooks_have_it_as_it_was() {
    let lan = Lan::new();
    let scripts = Folder::new("umask");
    let hook = scripts.script("told", "echo \"told $(umask)\" >&2");
    let daemon = Daemon::spawn(after(&lan.a, "umask 777", &["--on-active", &hook]));
    daemon.says("active: ");
    daemon.says("told 0777");
    assert_eq!(status(daemon.pid(), "Umask"), "0077");
    assert_eq!(daemon.count("not confined"), 0, "{}", daemon.log());
}

fn worker_and_hook_have_the_out_of_memory_score_that_was_inherited() {
    let lan = Lan::new();
    let scripts = Folder::new("score");
    let hook = scripts.script("told", "read -r score </proc/self/oom_score_adj; echo \"told $score\" >&2");
    let before = "echo 333 >/proc/self/oom_score_adj";
    let daemon = Daemon::spawn(after(&lan.a, before, &["--on-active", &hook]));
    daemon.says("active: ");
    daemon.says("told 333");
    let score = |pid| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score(daemon.worker()).trim(), "333");
    let refused = daemon.count("out-of-memory score -900 is not set: Permission denied");
    assert_eq!(score(daemon.pid()).trim(), if refused == 0 { "-900" } else { "333" });
}

fn children_of_others_are_taken_leave_of() {
    let lan = Lan::new();
    let daemon = Daemon::spawn(after(&lan.a, "sleep 0.1 & sleep 1 & sleep 1.2 &", &[]));
    daemon.says("active: ");
    eventually("only the worker is left", PATIENCE, || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
        children.split_whitespace().count() == 1
    });
    daemon.signal_worker(Signal::KILL);
    daemon.says("worker ended: signal 9");
}

fn as_the_first_process_of_a_container_it_reaps_all_and_leaves_when_told() {
    let lan = Lan::new();
    let scripts = Folder::new("first");
    let hook = scripts.script("orphans", "for n in 1 2 3 4 5; do (sleep 0.$n &); done; exit 7");
    let mut command = lan.a.command("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST).args(["--on-active", &hook]);
    let mut daemon = Daemon::spawn(command);
    daemon.says("active: ");
    daemon.says("warning: on-active: exit status 7"); // its own status was not taken from it
    let keeper = daemon.worker(); // the only child of what was started
    sleep(Duration::from_millis(900));
    assert_eq!(ended_children(keeper), 0);
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let worker = children.split_whitespace().next().expect("there is one").parse().unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    daemon.says("worker ended: signal 9");
    daemon.says("active: ");
    kill_process(Pid::from_raw(keeper.cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(daemon.exit().success());
    assert!(!lan.a.has(SHARED_CIDR));
}
