//! What the queue does. The children are real, tiny scripts; the time is the test's own.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time;

use rustix::process::PidfdFlags;

use super::*;
use crate::linux::poll::Watch;
use crate::settings::trusted::tests::Directory;
use crate::text::Text;

/// Time starts here.
const START: Instant = Instant::from_micros(1_000_000_000);

/// Waits for the end of the process that this is a pidfd of; false if it does not come.
fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut watch = Watch::<1>::default();
    let place = watch.add(pidfd);
    watch.wait(Some(Duration::from_secs(10))).unwrap();
    watch.is_ready(place)
}

fn after_ms(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

/// Scripts in a directory, the file that they write to, and the queue that runs them.
struct Stage {
    directory: Directory,
    hooks: Hooks,
    /// A child of another test holds what this one has open for writing until it calls execve, and a program that is
    /// open for writing cannot be executed.
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// A queue with these hooks: option and script.
    fn new(scripts: &[(Text, &str)]) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Lines::start();
        let directory = Directory::new("hooks");
        let out = directory.path("out");
        let options = scripts.iter().map(|&(option, body)| {
            let path = directory.path(option);
            let head = if body.starts_with("#!") { "" } else { "#!/bin/sh\n" };
            fs::write(&path, format!("{head}{}\n", body.replace("$OUT", out.to_str().unwrap()))).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            (option, text!("{} word -x", path.display()))
        });
        let fixed = [
            ("interface", "none0"),
            ("address", "192.0.2.1/24"),
            ("address", "198.51.100.1/32"),
            ("group", "7"),
            ("worthiness", "42"),
        ];
        let settings =
            Settings::load(Some("/dev/null"), &fixed.into_iter().chain(options).collect::<Vec<_>>()).unwrap();
        let hooks = Hooks { state: State::Standby, ..Hooks::new(&settings) };
        Self { directory, hooks, _alone: alone }
    }

    fn change(&mut self, from: State, to: State, now: Instant) {
        self.hooks.run(&Change { from, to, reason: &"a test", peer: None }, now);
    }

    /// Waits until the running child has ended and advances the queue.
    fn wait(&mut self, now: Instant) -> bool {
        assert!(has_ended(self.hooks.fd().expect("a hook runs")), "it has not ended");
        self.hooks.advance(now)
    }

    /// Waits until nothing is left to run.
    fn finish(&mut self, now: Instant) {
        while !self.hooks.is_idle() {
            let _ = self.wait(now);
        }
    }

    /// What the scripts wrote; waits for a first line.
    fn out(&self) -> String {
        let give_up = time::Instant::now() + time::Duration::from_secs(10);
        loop {
            match fs::read_to_string(self.directory.path("out")) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => assert!(time::Instant::now() < give_up, "nothing was written"),
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(child) = &mut self.hooks.running {
            child.kill();
            let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// The log lines of each thread, that is, of each test.
struct Lines;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Lines {
    fn start() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Lines).unwrap();
            log::set_max_level(log::LevelFilter::Info);
        });
        LINES.take();
    }

    fn take() -> Vec<String> {
        LINES.take()
    }
}

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

#[test]
fn each_state_runs_its_hook_with_the_arguments_of_keepalived() {
    let script = "echo \"$HA_PREVIOUS-$HA_STATE: $*\" >>$OUT";
    let mut stage = Stage::new(&[
        ("on-active", script),
        ("on-standby", script),
        ("on-unfit", script),
        ("on-shutdown", script),
        ("before-active", script),
    ]);
    stage.change(State::Unfit, State::Standby, START);
    stage.finish(START);
    assert!(stage.hooks.run_before_active(START));
    stage.finish(START);
    stage.change(State::Standby, State::Active, START);
    stage.finish(START);
    stage.change(State::Active, State::Unfit, START);
    stage.finish(START);
    stage.change(State::Unfit, State::Shutdown, START);
    stage.finish(START);
    assert_eq!(
        stage.out(),
        "unfit-standby: word -x INSTANCE 7 BACKUP 42\nstandby-active: word -x INSTANCE 7 MASTER 42\n\
         standby-active: word -x INSTANCE 7 MASTER 42\nactive-unfit: word -x INSTANCE 7 FAULT 42\n\
         unfit-shutdown: word -x INSTANCE 7 STOP 42\n"
    );
}

#[test]
fn the_environment_is_these_nine_variables() {
    let mut stage =
        Stage::new(&[("on-active", "#!/usr/bin/env -S sh -c 'tr \"\\\\0\" \"\\\\n\" </proc/self/environ >$OUT'")]);
    let peer = Some(NodeId::from_v4(std::net::Ipv4Addr::new(10, 0, 0, 12)));
    let reason: &dyn fmt::Display = &"10.0.0.12 silent for 3.5s";
    stage.hooks.run(&Change { from: State::Standby, to: State::Active, reason, peer }, START);
    stage.finish(START);
    let out = stage.out();
    let mut lines: Vec<_> = out.lines().filter(|line| !line.starts_with("_=") && !line.starts_with("PWD=")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "HA_ADDRESSES=192.0.2.1/24 198.51.100.1/32",
            "HA_GROUP=7",
            "HA_INTERFACE=none0",
            "HA_PEER=10.0.0.12",
            "HA_PREVIOUS=standby",
            "HA_REASON=10.0.0.12 silent for 3.5s",
            &format!("HA_SCRIPT={}", stage.directory.path("on-active").display()),
            "HA_STATE=active",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

/// What the child inherits: nothing of a daemon that blocks signals, ignores SIGPIPE and runs before all others.
#[test]
fn a_child_is_an_ordinary_process_with_a_session_of_its_own() {
    let mut stage = Stage::new(&[(
        "on-active",
        "exec 9>$OUT\n\
         files=$(ls /proc/$$/fd)\n\
         set -- $(cat /proc/$$/stat)\n\
         echo group $(($5 - $$)) session $(($6 - $$)) >&9\n\
         echo priority ${18} nice ${19} policy ${41} >&9\n\
         grep -E '^SigIgn|^VmLck' /proc/$$/status >&9\n\
         echo files $files in $(readlink /proc/$$/fd/0) oom $(cat /proc/$$/oom_score_adj) >&9\n\
         [ $(readlink /proc/$$/fd/1) = $(readlink /proc/$$/fd/2) ] && echo same >&9",
    )]);
    // A descriptor that the program which started the daemon forgot to close.
    let leak = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 100).unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    // Only root may; for others the child would be ordinary anyway.
    let _ = linux::process::set_realtime(1);
    stage.change(State::Standby, State::Active, START);
    stage.finish(START);
    drop(leak);
    let out = stage.out();
    let said: Vec<String> = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in ["group 0 session 0", "priority 20 nice 0 policy 0", "VmLck: 0 kB", "same"] {
        assert!(said.iter().any(|line| line == expected), "no {expected} in {out}");
    }
    let files = said.iter().find(|line| line.starts_with("files")).unwrap();
    let files = files.strip_suffix(" in /dev/null oom 0").unwrap_or_else(|| panic!("{out}"));
    // Beside the three the shell has some of its own.
    assert!(files.split(' ').skip(1).all(|fd| fd.parse::<u32>().unwrap() < 100), "{out}");
    // The C library keeps 32, 33 and 34 for itself, whatever they were when it started.
    let ignored = said.iter().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn: ")?, 16).ok());
    assert_eq!(ignored.map(|signals| signals & !(0b111 << 31)), Some(0), "{out}");
}

/// Told by awk, since many a shell unblocks all signals when it starts.
#[test]
fn no_signal_is_blocked_in_a_child() {
    let script = "#!/usr/bin/awk -f\n\
                  BEGIN { while ((getline line <\"/proc/self/status\") > 0) if (line ~ /^SigBlk/) print line >\"$OUT\" }";
    let mut stage = Stage::new(&[("on-active", script)]);
    let _signals = linux::signals::signal_fd(&[libc::SIGTERM, libc::SIGUSR1]).unwrap();
    stage.change(State::Standby, State::Active, START);
    stage.finish(START);
    assert_eq!(stage.out(), "SigBlk:\t0000000000000000\n");
}

#[test]
fn one_runs_at_a_time_and_the_newest_state_wins() {
    let script = "echo $HA_STATE >>$OUT";
    let slow = "until [ -e $OUT.go ]; do sleep 0.01; done\necho $HA_STATE >>$OUT";
    let mut stage = Stage::new(&[("on-unfit", slow), ("on-active", script), ("on-standby", script)]);
    stage.change(State::Active, State::Unfit, START);
    stage.change(State::Unfit, State::Standby, START);
    stage.change(State::Standby, State::Active, START);
    stage.change(State::Active, State::Standby, START);
    assert!(!stage.hooks.advance(START), "not ended");
    fs::write(stage.directory.path("out.go"), "").unwrap();
    stage.finish(START);
    assert_eq!(stage.out(), "unfit\nstandby\n");
    assert_eq!(
        Lines::take(),
        ["INFO on-standby not run: overtaken by on-active", "INFO on-active not run: overtaken by on-standby"]
    );
}

#[test]
fn a_state_without_a_hook_overtakes_too() {
    let mut stage = Stage::new(&[("on-active", "sleep 0.1")]);
    stage.change(State::Standby, State::Active, START);
    stage.change(State::Active, State::Standby, START);
    stage.change(State::Standby, State::Active, START);
    stage.change(State::Active, State::Unfit, START);
    stage.wait(START);
    assert!(stage.hooks.is_idle() && stage.hooks.fd().is_none() && stage.hooks.deadline().is_none());
    assert_eq!(Lines::take(), ["INFO on-active not run: overtaken by on-unfit"]);
}

#[test]
fn what_lasts_too_long_is_killed_with_its_group_and_the_next_runs() {
    let mut stage =
        Stage::new(&[("on-active", "sleep 600 & echo $! >$OUT\nwait"), ("on-standby", "echo standby >>$OUT")]);
    stage.change(State::Standby, State::Active, START);
    let grandchild: i32 = stage.out().trim().parse().unwrap();
    let grandchild = rustix::process::pidfd_open(Pid::from_raw(grandchild).unwrap(), PidfdFlags::empty()).unwrap();
    stage.change(State::Active, State::Standby, START);
    assert_eq!(stage.hooks.deadline(), Some(after_ms(10_000)));
    assert!(!stage.hooks.advance(after_ms(9_999)));
    assert!(Lines::take().is_empty());
    assert!(!stage.hooks.advance(after_ms(10_000)));
    assert_eq!(Lines::take(), ["WARN on-active killed: not done after 10s"]);
    stage.finish(after_ms(10_001));
    assert!(stage.out().ends_with("\nstandby\n"));
    assert!(has_ended(grandchild.as_fd()), "the sleep of the group");
    assert!(Lines::take().is_empty(), "its end is logged once");
}

/// Maybe before it has made a process group of its own.
#[test]
fn a_child_can_be_killed_as_soon_as_it_is_started() {
    let mut stage = Stage::new(&[("on-active", "sleep 600")]);
    for _ in 0..50 {
        stage.change(State::Standby, State::Active, START);
        let _ = stage.hooks.advance(after_ms(10_000));
        stage.finish(after_ms(10_000));
        assert_eq!(Lines::take(), ["WARN on-active killed: not done after 10s"]);
    }
}

#[test]
fn a_stopped_child_dies_and_what_it_left_in_time_lives() {
    let mut stage = Stage::new(&[("on-active", "kill -STOP $$"), ("on-standby", "sleep 0.3 & echo $! >$OUT")]);
    stage.change(State::Standby, State::Active, START);
    let _ = stage.hooks.advance(after_ms(20_000));
    assert_eq!(stage.hooks.deadline(), None, "nothing is left to do but to wait for its end");
    stage.finish(after_ms(20_000));
    stage.change(State::Active, State::Standby, after_ms(20_000));
    stage.finish(after_ms(20_000));
    let left: i32 = stage.out().trim().parse().unwrap();
    assert!(rustix::process::test_kill_process(Pid::from_raw(left).unwrap()).is_ok());
}

#[test]
fn failures_are_one_warning_each() {
    for (script, warning) in [
        ("exit 3", Some("WARN on-active: exit status 3 after 5ms")),
        ("kill -TERM $$", Some("WARN on-active: ended by signal 15 after 5ms")),
        ("#!/nonexistent/sh", Some("WARN on-active: exit status 127: the program or its interpreter does not exist")),
        ("#!", Some("WARN on-active: exit status 126: the program cannot be executed")),
        ("exit 0", None),
    ] {
        let mut stage = Stage::new(&[("on-active", script)]);
        stage.change(State::Standby, State::Active, START);
        stage.finish(after_ms(5));
        assert_eq!(Lines::take(), Vec::from_iter(warning), "{script}");
    }
}

#[test]
fn before_active_holds_a_take_up_until_it_is_done() {
    let mut stage = Stage::new(&[("before-active", "echo $HA_STATE >$OUT")]);
    assert!(stage.hooks.run_before_active(START));
    assert_eq!(stage.hooks.deadline(), Some(after_ms(200)));
    assert!(stage.wait(after_ms(12)));
    assert_eq!(Lines::take(), ["INFO before-active done after 12ms"]);
    assert!(!stage.hooks.advance(after_ms(300)), "once");
    assert_eq!(stage.out(), "active\n");
}

#[test]
fn before_active_holds_a_take_up_for_200_ms_at_most() {
    let mut stage = Stage::new(&[("before-active", "sleep 600"), ("on-active", "echo active >$OUT")]);
    assert!(stage.hooks.run_before_active(START));
    assert!(!stage.hooks.advance(after_ms(199)));
    assert!(stage.hooks.advance(after_ms(200)));
    assert_eq!(Lines::take(), ["WARN before-active killed: not done after 200ms"]);
    stage.change(State::Standby, State::Active, after_ms(201));
    stage.finish(after_ms(202));
    assert_eq!(stage.out(), "active\n");
}

#[test]
fn a_failure_of_before_active_lets_the_take_go_on() {
    for script in ["exit 1", "#!/nonexistent/sh", "kill -KILL $$"] {
        let mut stage = Stage::new(&[("before-active", script)]);
        assert!(stage.hooks.run_before_active(START));
        assert!(stage.wait(after_ms(1)), "{script}");
        assert_eq!(Lines::take().len(), 1, "{script}");
    }
}

#[test]
fn without_before_active_a_take_does_not_wait() {
    let mut stage = Stage::new(&[("on-active", "exit 0")]);
    assert!(!stage.hooks.run_before_active(START));
    assert!(stage.hooks.is_idle() && stage.hooks.deadline().is_none());
}

#[test]
fn before_active_waits_for_its_turn_within_its_200_ms() {
    let script = "until [ -e $OUT.go ]; do sleep 0.01; done\necho $HA_STATE >>$OUT";
    let mut stage = Stage::new(&[("on-standby", script), ("before-active", script)]);
    stage.change(State::Unfit, State::Standby, START);
    assert!(stage.hooks.run_before_active(after_ms(1)));
    assert!(stage.hooks.advance(after_ms(201)), "on-standby still runs");
    let line = "WARN before-active not run: what ran before it has not ended within 200ms";
    assert_eq!(Lines::take(), [line]);
    assert!(stage.hooks.run_before_active(after_ms(300)), "again");
    fs::write(stage.directory.path("out.go"), "").unwrap();
    assert!(!stage.wait(after_ms(301)), "its turn");
    assert!(stage.wait(after_ms(302)));
    assert_eq!(stage.out(), "standby\nactive\n");
}

/// The core has changed its mind; the keeper hears that the wait is over and finds no take to go on with.
#[test]
fn a_change_overtakes_before_active_and_the_wait_still_ends() {
    let mut stage = Stage::new(&[("on-standby", "sleep 600"), ("before-active", "exit 0"), ("on-unfit", "exit 0")]);
    stage.change(State::Unfit, State::Standby, START);
    assert!(stage.hooks.run_before_active(START));
    stage.change(State::Standby, State::Unfit, after_ms(1));
    assert!(stage.hooks.advance(after_ms(2)));
    assert_eq!(Lines::take(), ["INFO before-active not run: overtaken by on-unfit"]);
}

/// With `--nocapture` it says how long the keeper stands still for a hook.
#[test]
fn starting_a_hook_does_not_stall() {
    let mut stage = Stage::new(&[("on-active", "exit 0")]);
    let mut times: Vec<_> = (0..100)
        .map(|_| {
            let begun = time::Instant::now();
            stage.change(State::Standby, State::Active, START);
            let taken = begun.elapsed();
            stage.finish(START);
            taken
        })
        .collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    eprintln!("start of a hook: median {median:?}, at most {:?}", times[times.len() - 1]);
    assert!(median < time::Duration::from_millis(5), "{times:?}");
}

#[test]
fn an_address_that_is_put_back_all_the_time_runs_a_hook_as_often_as_the_core_reports_it() {
    let mut repeated_at = None;
    let times = (0..600).filter(|&tenths| record_repeat(&mut repeated_at, START + Duration::from_millis(tenths * 100)));
    assert_eq!(times.count(), 7, "in a minute");
    let mut repeated_at = None;
    assert!((0..100).all(|round| record_repeat(&mut repeated_at, START + Duration::from_secs(round * 10))));
}
