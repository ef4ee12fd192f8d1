//! The chain of leases: what holds the address lets go of it when the link above dies, stalls, or is taken over.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::CpuSet;

use crate::capture::Capture;
use crate::daemon::{Daemon, FAST};
use crate::files::Folder;
use crate::lan::{Lan, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};
use crate::program;

tests![
    a_dead_worker_loses_the_address_and_a_peer_takes_it_at_once,
    a_stalled_worker_is_killed_before_its_peers_lose_patience,
    a_dead_worker_is_replaced_and_one_that_dies_again_and_again_later_and_later,
    a_dead_standby_says_that_it_is_gone,
    a_dead_keeper_takes_its_worker_along,
    a_dead_keeper_takes_a_stalled_worker_along,
    a_worker_in_an_endless_loop_is_killed_even_on_one_processor,
    a_thawed_keeper_does_not_announce_what_a_peer_has_taken,
    a_fresh_start_after_a_kill_removes_what_is_left_and_disturbs_nobody,
    both_run_before_ordinary_processes_with_locked_memory,
    what_the_system_does_not_permit_is_said_and_it_serves_all_the_same,
    the_worker_has_no_files_no_privileges_and_few_calls,
    the_keeper_has_few_privileges_unless_hooks_need_them,
    hooks_run_after_the_address_has_moved,
    a_hook_has_its_chance_again_when_the_address_was_put_back,
    a_hook_that_is_not_what_it_was_does_not_run,
    a_script_is_run_by_what_is_open_and_told_its_path,
    a_keeper_that_waits_for_the_last_hook_sleeps,
    without_a_link_both_sleep,
    before_active_holds_the_take_up_and_not_for_long,
    the_watchdog_is_fed_while_the_worker_lives_and_stopped_at_the_end,
];

/// Two nodes with fast timing, the first ACTIVE, the second ready.
fn two(lan: &Lan, more: &[&str]) -> (Daemon, Daemon) {
    two_with(lan, &[FAST, &["--address", SHARED_CIDR], more].concat())
}

/// The same with other times, and without a fence.
fn two_slow_without_fence(lan: &Lan, interval: &str, tolerance: &str) -> (Daemon, Daemon) {
    let times = ["--interval", interval, "--tolerance", tolerance, "--link-delay", "0s"];
    two_with(lan, &[&times[..], &["--address", SHARED_CIDR, "--fence", "off"]].concat())
}

fn two_with(lan: &Lan, options: &[&str]) -> (Daemon, Daemon) {
    let (a, b) = (Daemon::start(&lan.a, options), Daemon::start(&lan.b, options));
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(500)); // until it has listened for its tolerance
    (a, b)
}

fn a_dead_worker_loses_the_address_and_a_peer_takes_it_at_once() {
    for signal in [Signal::KILL, Signal::SEGV, Signal::ILL] {
        let lan = Lan::new();
        let (a, b) = two(&lan, &["--no-lease"]);
        let capture = Capture::start(&lan.b, "udp and src host 10.0.0.11");
        a.signal_worker(signal);
        b.says("active: 10.0.0.11 resigned (is shutdown)");
        a.says("error: worker dropped: it died; addresses released");
        assert!(lan.b.has(SHARED_CIDR) && !lan.a.has(SHARED_CIDR), "without any lease");
        let words =
            |state| move |frames: &[crate::capture::Frame]| frames.iter().filter(|it| it.state() == state).count();
        capture.wait("the resign packet", PATIENCE, |frames| (words(3)(frames) >= 3).then_some(()));
        a.says("standby: listening as 10.0.0.11");
        sleep(Duration::from_millis(300));
        assert_eq!(words(3)(&capture.so_far()), 3);
        assert_eq!(b.count("dropped"), 0, "said three times, heard once:\n{}", b.log());
    }
}

fn a_stalled_worker_is_killed_before_its_peers_lose_patience() {
    let lan = Lan::new();
    let (a, b) = two_slow_without_fence(&lan, "200ms", "1200ms");
    let stalled = SystemTime::now();
    a.signal_worker(Signal::STOP);
    let taken = b.says("active: 10.0.0.11 resigned (is shutdown)");
    let after = taken.duration_since(stalled).unwrap();
    assert!(after < Duration::from_millis(1_150), "after {after:?}");
    a.says("error: worker dropped: it stalled; addresses released");
    a.says("worker ended: signal 9; the next one starts in");
    a.says("standby: listening as 10.0.0.11");
}

fn a_dead_worker_is_replaced_and_one_that_dies_again_and_again_later_and_later() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("standby: ");
    for least_ms in [0, 400, 800] {
        let killed = daemon.worker();
        let before = SystemTime::now();
        daemon.signal_worker(Signal::KILL);
        daemon.says("worker ended: signal 9; the next one starts in ");
        let replaced = daemon.says("standby: ").duration_since(before).unwrap();
        assert!(replaced >= Duration::from_millis(least_ms), "{replaced:?}");
        assert_ne!(daemon.worker(), killed);
    }
    daemon.says("active: ");
}

fn a_dead_standby_says_that_it_is_gone() {
    let lan = Lan::new();
    let (a, b) = two(&lan, &[]);
    let capture = Capture::start(&lan.a, "udp and src host 10.0.0.12");
    b.signal_worker(Signal::KILL);
    capture.wait("the resign packet", PATIENCE, |frames| frames.iter().any(|frame| frame.state() == 3).then_some(()));
    assert!(lan.a.has(SHARED_CIDR) && a.count("active: ") == 1, "nothing moved");
}

fn a_dead_keeper_takes_its_worker_along() {
    let lan = Lan::new();
    let (mut a, b) = two_slow_without_fence(&lan, "200ms", "2s");
    let worker = a.worker();
    a.signal(Signal::KILL);
    let _ = a.exit();
    eventually("the worker's end", Duration::from_secs(1), || {
        // Who inherits it may be in no hurry to bury it.
        !Path::new(&format!("/proc/{worker}/status")).exists() || status(worker, "State").starts_with('Z')
    });
    b.says("active: 10.0.0.11 silent for");
    assert!(!lan.a.has(SHARED_CIDR), "the kernel was first");
}

/// One that cannot notice it by itself.
fn a_dead_keeper_takes_a_stalled_worker_along() {
    let lan = Lan::new();
    let mut daemon = Daemon::start(&lan.a, &["--address", SHARED_CIDR]);
    daemon.says("standby: ");
    let worker = daemon.worker();
    daemon.signal_worker(Signal::STOP);
    daemon.signal(Signal::KILL);
    let _ = daemon.exit();
    // As soon as it runs, before it does anything else.
    kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::CONT).unwrap();
    eventually("the worker's end", Duration::from_secs(1), || {
        !Path::new(&format!("/proc/{worker}/status")).exists() || status(worker, "State").starts_with('Z')
    });
}

/// It never sleeps again, and as a real-time process it gives way to those only that come before it.
fn a_worker_in_an_endless_loop_is_killed_even_on_one_processor() {
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR, "--link-delay", "0s"]);
    // It has its processor to itself until the keeper loses patience: not so long that workers of other tests do not show up.
    command.args(["--interval", "20ms", "--tolerance", "100ms"]);
    let one = rustix::thread::sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| one.is_set(cpu)).expect("we run on one");
    let confine = move || {
        let mut set = CpuSet::new();
        set.set(first);
        Ok(rustix::thread::sched_setaffinity(None, &set)?)
    };
    // SAFETY: a system call on plain values.
    unsafe { command.pre_exec(confine) };
    let daemon = Daemon::spawn(command);
    daemon.says("active: ");
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    loop_for_ever(daemon.worker());
    daemon.says("error: worker dropped: it stalled; addresses released");
    daemon.says("active: ");
}

/// Puts a jump to itself where the process comes back from the system call in which it waits.
fn loop_for_ever(pid: u32) {
    let memory = File::options().write(true).open(format!("/proc/{pid}/mem")).unwrap();
    let mut counter = None;
    eventually("it waits", PATIENCE, || {
        // The number of the call, its arguments, the stack, and the instruction (proc(5)); or that it runs.
        let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        counter = text.trim().rsplit_once(" 0x").and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok());
        counter.is_some()
    });
    memory.write_all_at(&[0xeb, 0xfe], counter.expect("it waits")).unwrap();
}

/// It was frozen when its worker wanted the first announcement repeated, which waits for it.
fn a_thawed_keeper_does_not_announce_what_a_peer_has_taken() {
    let lan = Lan::new();
    let options = ["--link-delay", "0s", "--address", SHARED_CIDR];
    let (a, b) = (Daemon::start(&lan.a, &options), Daemon::start(&lan.b, &options));
    a.says("active: ");
    sleep(Duration::from_millis(1_080)); // after the next heartbeat, before the repeat
    a.signal(Signal::STOP);
    b.says("active: 10.0.0.11 silent for");
    let capture = Capture::start(&lan.b, "arp and ether src 02:00:00:00:00:0b and arp[14:4] == 0x0a000064");
    a.signal(Signal::CONT);
    a.says("standby: did not run for");
    sleep(Duration::from_millis(500));
    assert!(capture.so_far().is_empty(), "{:?}", capture.so_far());
}

fn a_fresh_start_after_a_kill_removes_what_is_left_and_disturbs_nobody() {
    let lan = Lan::new();
    let (b, mut a) =
        (Daemon::fast(&lan.b, &["--sticky", "--on-conflict", "take"]), Daemon::fast(&lan.a, &["--no-lease"]));
    a.says("active: ");
    b.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(500));
    a.signal(Signal::KILL);
    let _ = a.exit();
    b.says("active: ");
    assert!(lan.a.has(SHARED_CIDR), "without a lease it stays");
    let a = Daemon::fast(&lan.a, &[]);
    a.says("warning: 10.0.0.100/24 was up though this node is not active: removed");
    assert!(!lan.a.has(SHARED_CIDR));
    sleep(Duration::from_secs(1));
    assert_eq!((a.count("address up"), b.count("address down")), (0, 0), "{}\n{}", a.log(), b.log());
}

/// Lines of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn both_run_before_ordinary_processes_with_locked_memory() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &["--log-level", "debug"]);
    daemon.says("active: ");
    let (keeper, worker) = (daemon.pid(), daemon.worker());
    if daemon.count("not scheduled before ordinary processes") == 0 {
        // proc(5): SCHED_FIFO is 1. Who watches comes before who is watched.
        assert_eq!((scheduling(keeper), scheduling(worker)), ((50, 1), (49, 1)));
    }
    if daemon.count("memory is not locked") == 0 {
        for pid in [keeper, worker] {
            assert_ne!(status(pid, "VmLck"), "0 kB");
        }
    }
    let score = |pid| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().to_owned();
    if daemon.count("out-of-memory score -900 is not set: ") == 0 {
        assert_eq!(score(keeper), "-900");
    }
    assert_eq!(score(worker), "0");
    let ordinary = Daemon::fast(&lan.b, &["--no-realtime"]);
    ordinary.says("standby: ");
    for pid in [ordinary.pid(), ordinary.worker()] {
        assert_eq!((scheduling(pid), status(pid, "VmLck").as_str()), ((0, 0), "0 kB"));
    }
}

/// Real-time priority and policy.
fn scheduling(pid: u32) -> (u32, u32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    (fields[37].parse().unwrap(), fields[38].parse().unwrap())
}

fn what_the_system_does_not_permit_is_said_and_it_serves_all_the_same() {
    let lan = Lan::new();
    let mut command = lan.a.command(&program());
    command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(FAST);
    // SAFETY: system calls on plain values and on locals.
    unsafe { command.pre_exec(forbid) };
    let daemon = Daemon::spawn(command);
    daemon.says("active: ");
    for reason in [
        "memory is not locked: ",
        "not scheduled before ordinary processes: ",
        "out-of-memory score -900 is not set: ",
        "warning: not confined: empty root directory: ",
        "warning: not confined: system calls: ",
    ] {
        assert_eq!(daemon.count(reason), 1, "{reason}\n{}", daemon.log());
    }
    let worker = daemon.worker();
    assert_eq!((status(worker, "CapEff").as_str(), status(worker, "NoNewPrivs").as_str()), ("0000000000000000", "1"));
    assert!(lan.a.has(SHARED_CIDR));
}

/// Takes from this process and its children the permission for all but addresses, ARP and another user, and makes the
/// kernel look like one without seccomp filters.
fn forbid() -> std::io::Result<()> {
    let done = |done: libc::c_int| if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) };
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let number = u32::try_from(libc::SYS_prctl).expect("a small number");
    let option = u32::try_from(libc::PR_SET_SECCOMP).expect("a small number");
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EINVAL.cast_unsigned();
    let load = |offset| (0x20, 0, 0, offset);
    let mut program = [
        load(0),
        (0x15, 0, 3, number),
        load(if cfg!(target_endian = "little") { 16 } else { 20 }),
        (0x15, 0, 1, option),
        (0x06, 0, 0, refusal),
        (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let filter = libc::sock_fprog { len: 6, filter: program.as_mut_ptr() };
    // SAFETY: the kernel reads the locals during the calls only.
    unsafe {
        for limit in [libc::RLIMIT_RTPRIO, libc::RLIMIT_MEMLOCK] {
            done(libc::setrlimit(limit, &raw const none))?;
        }
        done(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter))?;
        for capability in [CAP_SYS_CHROOT, CAP_IPC_LOCK, CAP_SYS_NICE, CAP_SYS_RESOURCE] {
            done(libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0))?;
        }
    }
    Ok(())
}

const CAP_IPC_LOCK: libc::c_ulong = 14;
const CAP_SYS_CHROOT: libc::c_ulong = 18;
const CAP_SYS_NICE: libc::c_ulong = 23;
const CAP_SYS_RESOURCE: libc::c_ulong = 24;

fn the_worker_has_no_files_no_privileges_and_few_calls() {
    let lan = Lan::new();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("active: ");
    let worker = daemon.worker();
    assert_eq!(daemon.count("not confined"), 0, "{}", daemon.log());
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(worker, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(worker, "Groups"), "");
    let nobody = status(worker, "Uid");
    assert!(nobody.split(' ').all(|uid| uid != "0"), "{nobody}");
    assert_eq!((status(worker, "NoNewPrivs").as_str(), status(worker, "Seccomp").as_str()), ("1", "2"));
    let root = fs::read_link(format!("/proc/{worker}/root")).unwrap();
    assert!(root.to_string_lossy().ends_with("(deleted)"), "{root:?}");
    let files: Vec<_> = fs::read_dir(format!("/proc/{worker}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    // Its channel and the group by two sockets each, ARP, and standard error.
    assert_eq!(files.iter().filter(|file| file.starts_with("socket:")).count(), 5, "{files:?}");
    assert_eq!(files.len(), 6, "{files:?}");
    for parent in ["/run", "/tmp"] {
        let names = fs::read_dir(parent).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy() == format!(".ha-{worker}")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn the_keeper_has_few_privileges_unless_hooks_need_them() {
    let lan = Lan::new();
    let scripts = Folder::new("privileges");
    let hook = scripts.script("hook", "exit 0");
    let without = Daemon::fast(&lan.a, &[]);
    let with = Daemon::fast(&lan.b, &["--on-unfit", &hook]);
    without.says("standby: ");
    with.says("standby: ");
    let bits = |pid, set: &str| u64::from_str_radix(&status(pid, set), 16).unwrap().count_ones();
    assert!(bits(without.pid(), "CapEff") <= 8 && bits(with.pid(), "CapEff") <= 8);
    assert!(bits(without.pid(), "CapBnd") <= 8 && bits(with.pid(), "CapBnd") >= 8);
    assert_eq!((status(without.pid(), "NoNewPrivs"), status(with.pid(), "NoNewPrivs")), ("1".into(), "0".into()));
}

fn hooks_run_after_the_address_has_moved() {
    let lan = Lan::new();
    let scripts = Folder::new("moved");
    let diary = scripts.path("diary");
    let hook = scripts.script(
        "hook",
        &format!(
            "has=no; ip -o address show dev eth0 | grep -q 10.0.0.100/24 && has=yes\n\
             echo \"$* $HA_PREVIOUS>$HA_STATE has=$has $HA_INTERFACE $HA_ADDRESSES peer=$HA_PEER: $HA_REASON\" >>{}",
            diary.display()
        ),
    );
    let mut daemon = Daemon::fast(
        &lan.a,
        &["--on-active", &hook, "--on-standby", &hook, "--on-shutdown", &hook, "--on-unfit", &hook],
    );
    daemon.says("active: ");
    eventually("two runs", PATIENCE, || scripts.read("diary").lines().count() == 2);
    daemon.signal_worker(Signal::KILL);
    eventually("what the death brings", PATIENCE, || scripts.read("diary").contains("worker died"));
    eventually("the address again", PATIENCE, || daemon.count("active: ") == 2);
    eventually("its hook", PATIENCE, || scripts.read("diary").matches("standby>active").count() == 2);
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success(), "it waits for the last hook");
    let said = scripts.read("diary");
    for expected in [
        "INSTANCE 1 BACKUP 100 unfit>standby has=no eth0 10.0.0.100/24 peer=: listening as 10.0.0.11",
        "INSTANCE 1 MASTER 100 standby>active has=yes eth0 10.0.0.100/24 peer=: no active node heard for 350ms",
        "INSTANCE 1 FAULT 100 active>unfit has=no eth0 10.0.0.100/24 peer=: worker died",
        "INSTANCE 1 STOP 100 active>shutdown has=no eth0 10.0.0.100/24 peer=: asked to stop",
    ] {
        assert!(said.lines().any(|line| line == expected), "no line `{expected}` in:\n{said}");
    }
}

/// The kernel removes the routes that hang on an address with it, and putting it back does not bring them back.
fn a_hook_has_its_chance_again_when_the_address_was_put_back() {
    let lan = Lan::new();
    let scripts = Folder::new("again");
    let text = format!(
        "ip route replace 203.0.113.0/24 dev eth0 src 10.0.0.100\n\
         echo \"$* $HA_PREVIOUS>$HA_STATE $HA_REASON\" >>{}",
        scripts.path("diary").display()
    );
    let hook = scripts.script("hook", &text);
    let daemon = Daemon::fast(&lan.a, &["--on-active", &hook, "--on-standby", &hook]);
    daemon.says("active: ");
    let has_route = || lan.a.ip("route show 203.0.113.0/24").contains("10.0.0.100");
    let runs = || scripts.read("diary").lines().filter(|line| *line == AGAIN).count();
    eventually("the route", PATIENCE, has_route);
    let first = Instant::now();
    lan.a.ip(&format!("address del {SHARED_CIDR} dev eth0"));
    daemon.says("warning: address was removed from outside: put back");
    eventually("its hook", PATIENCE, || runs() == 1);
    eventually("the route again", PATIENCE, has_route);
    for _ in 0..3 {
        lan.a.ip(&format!("address del {SHARED_CIDR} dev eth0"));
        daemon.says("warning: address was removed from outside: put back");
        eventually("the address", PATIENCE, || lan.a.has(SHARED_CIDR));
    }
    assert_eq!(runs(), 1, "not each time");
    eventually("its hook", Duration::from_secs(15), || runs() == 2);
    assert!(first.elapsed() > Duration::from_millis(9_900), "after {:?}", first.elapsed());
    eventually("the route again", PATIENCE, has_route);
    assert_eq!(daemon.count("active: "), 1, "{}", daemon.log());
}

const AGAIN: &str = "INSTANCE 1 MASTER 100 active>active address was removed from outside: put back";

fn a_hook_that_is_not_what_it_was_does_not_run() {
    let lan = Lan::new();
    let scripts = Folder::new("replaced");
    let hook = scripts.script("hook", &format!("echo $HA_STATE >>{}", scripts.path("diary").display()));
    let daemon = Daemon::fast(&lan.a, &["--on-unfit", &hook, "--on-standby", &hook]);
    daemon.says("active: ");
    let place = scripts.path("");
    let place = place.display().to_string();
    let place = place.trim_end_matches('/');
    let run_and_say = |what: &str| {
        lan.a.ip("link set eth0 down");
        daemon.says(&format!("warning: on-unfit not run: {what}"));
        daemon.says("warning: on-unfit: exit status 126");
        assert!(!scripts.read("diary").contains("unfit"), "{what}");
    };
    let recover = || {
        lan.a.ip("link set eth0 up");
        daemon.says("standby: ");
    };
    eventually("two runs", PATIENCE, || scripts.read("diary").ends_with("standby\n"));

    scripts.mode("", 0o1777);
    run_and_say(&format!("{place} has mode 1777 and owner 0: expected no write permission for group and others"));
    recover();
    scripts.mode("", 0o755);

    let planted = scripts.script("planted", &format!("echo planted >>{}", scripts.path("diary").display()));
    std::os::unix::fs::chown(&planted, Some(65_534), None).unwrap();
    fs::rename(&planted, &hook).unwrap();
    run_and_say(&format!("{hook} has mode 0755 and owner 65534: expected owner root"));
    recover();

    fs::remove_file(&hook).unwrap();
    let made = std::process::Command::new("mkfifo").args(["-m", "700", &hook]).status().unwrap();
    assert!(made.success());
    run_and_say(&format!("{hook} has mode 0700 and owner 0: expected an executable file"));
    assert!(!scripts.read("diary").contains("planted"), "{}", daemon.log());
    assert_eq!(daemon.count(" killed: "), 0, "nothing hangs:\n{}", daemon.log());
}

fn a_script_is_run_by_what_is_open_and_told_its_path() {
    let lan = Lan::new();
    let scripts = Folder::new("open");
    let hook = scripts.script("hook", &format!("echo \"$0 $HA_SCRIPT\" >{}", scripts.path("said").display()));
    let daemon = Daemon::fast(&lan.a, &["--on-standby", &hook]);
    daemon.says("standby: ");
    eventually("its run", PATIENCE, || scripts.read("said").ends_with('\n'));
    let said = scripts.read("said");
    assert!(said.starts_with("/proc/self/fd/") && said.ends_with(&format!(" {hook}\n")), "{said}");
}

fn a_keeper_that_waits_for_the_last_hook_sleeps() {
    let lan = Lan::new();
    let scripts = Folder::new("last");
    let hook = scripts.script("hook", "exec sleep 1");
    let mut daemon = Daemon::fast(&lan.a, &["--on-shutdown", &hook]);
    daemon.says("active: ");
    daemon.signal(Signal::TERM);
    daemon.says("shutdown: ");
    sleeps(daemon.pid());
    assert!(daemon.exit().success());
}

fn without_a_link_both_sleep() {
    let lan = Lan::unjoined();
    let daemon = Daemon::fast(&lan.a, &[]);
    daemon.says("waiting for eth0");
    sleeps(daemon.pid());
    sleeps(daemon.worker());
}

fn sleeps(pid: u32) {
    sleep(Duration::from_millis(100));
    let before = ticks(pid);
    sleep(Duration::from_millis(500));
    let spent = ticks(pid) - before;
    assert!(spent <= 10, "{spent} of 50 ticks of a processor");
}

/// Processor time that a process has used, in hundredths of a second (proc(5): utime and stime).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn before_active_holds_the_take_up_and_not_for_long() {
    for (seconds, least_ms, most_ms) in [("0.1", 100, 200), ("5", 200, 400)] {
        let lan = Lan::new();
        let scripts = Folder::new(&format!("before-{seconds}"));
        let hook = scripts.script("hook", &format!("exec sleep {seconds}"));
        let daemon = Daemon::fast(&lan.a, &["--before-active", &hook]);
        daemon.says("active: ");
        let log = daemon.log();
        let took = log.split("address up after ").nth(1).and_then(|rest| rest.split("ms").next()).unwrap();
        let took: f64 = took.parse().unwrap();
        assert!(took >= f64::from(least_ms) && took < f64::from(most_ms), "{took} ms:\n{log}");
        assert!(lan.a.has(SHARED_CIDR));
    }
}

fn the_watchdog_is_fed_while_the_worker_lives_and_stopped_at_the_end() {
    let lan = Lan::new();
    let scripts = Folder::new("watchdog");
    let device = scripts.script("device", "");
    let options = ["--watchdog", &device, "--interval", "100ms", "--tolerance", "1s", "--address", SHARED_CIDR];
    let mut daemon = Daemon::start(&lan.a, &options);
    daemon.says("active: ");
    let meals = || scripts.read("device").matches('.').count();
    let before = meals();
    sleep(Duration::from_millis(2_000));
    assert!(meals() >= before + 2, "{before} and 2 s later {}", meals());
    daemon.signal_worker(Signal::STOP);
    sleep(Duration::from_millis(100));
    let before = meals();
    sleep(Duration::from_millis(1_200));
    assert_eq!(meals(), before, "a worker that has stalled is not well");
    daemon.says("error: worker dropped: it stalled");
    daemon.says("active: ");
    daemon.signal(Signal::TERM);
    assert!(daemon.exit().success());
    assert!(scripts.read("device").ends_with('V'), "{}", scripts.read("device"));
}
