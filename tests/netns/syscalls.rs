//! What the daemon asks of the kernel: little, and nothing at rest that costs memory.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::capture::seconds;
use crate::daemon::Daemon;
use crate::lan::{Lan, Namespace, SHARED_CIDR};
use crate::program;

tests![
    at_rest_each_heartbeat_costs_few_calls_and_no_memory,
    a_leftover_is_removed_before_anything_is_sent,
    the_address_is_gone_before_it_is_said_and_leased_once_before_it_is_claimed,
    a_confined_worker_needs_every_call_that_it_may_make,
    a_watchdog_device_is_asked_when_it_fires,
];

/// Patient enough for a daemon whose every call costs two changes of process.
const SLOW: &[&str] = &["--interval", "500ms", "--tolerance", "3s", "--link-delay", "0s"];

/// A traced daemon; its traces, one for each process, are removed with it.
pub struct Traced {
    pub daemon: Daemon,
    folder: PathBuf,
}

impl Traced {
    pub fn start(host: &Namespace, name: &str, options: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("ha-{}-{name}.strace", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut command = host.command("strace");
        // -D: the process that was started is the daemon, and strace the other one.
        command.args(["-D", "-ff", "-q", "-ttt", "-s", "200", "-o"]).arg(folder.join("trace")).arg(program());
        command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR]).args(SLOW).args(options);
        Self { daemon: Daemon::spawn(command), folder }
    }

    /// Ends it; only then its traces are complete.
    pub fn end(&mut self) {
        self.daemon.signal(rustix::process::Signal::TERM);
        assert!(self.daemon.exit().success());
        sleep(Duration::from_millis(200));
    }

    /// All calls of the keeper, or of the worker.
    pub fn calls(&self, who: Who) -> Vec<Call> {
        let keeper = format!("trace.{}", self.daemon.pid());
        let files = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let of_keeper = |file: &PathBuf| file.ends_with(&keeper);
        let file = files.into_iter().find(|file| of_keeper(file) == (who == Who::Keeper)).expect("it was traced");
        fs::read_to_string(file).unwrap().lines().filter_map(Call::read).collect()
    }

    /// Those of both, by time.
    fn all_calls(&self) -> Vec<Call> {
        let mut calls = [self.calls(Who::Keeper), self.calls(Who::Worker)].concat();
        calls.sort_by(|a, b| a.at.total_cmp(&b.at));
        calls
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Keeper,
    Worker,
}

/// A system call.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: f64,
    pub text: String,
}

impl Call {
    /// `1700000000.123456 recvmsg(7, {...}) = 96`
    fn read(line: &str) -> Option<Self> {
        let (at, text) = line.split_once(' ')?;
        Some(Self { at: at.parse().ok()?, text: text.to_owned() })
    }

    pub fn name(&self) -> &str {
        self.text.split('(').next().expect("there is a first part")
    }

    fn is_wait(&self) -> bool {
        ["poll", "ppoll"].contains(&self.name())
    }

    /// A heartbeat left.
    fn is_sent(&self) -> bool {
        self.text.starts_with("sendto(") && self.text.contains("239.2.3.4") && self.text.ends_with(" = 96")
    }

    /// A heartbeat came.
    fn is_heard(&self) -> bool {
        self.text.starts_with("recvmsg(") && self.text.ends_with(" = 96")
    }

    pub fn is_add(&self) -> bool {
        self.text.starts_with("sendto(") && self.text.contains("RTM_NEWADDR")
    }

    pub fn is_delete(&self) -> bool {
        self.text.starts_with("sendto(") && self.text.contains("RTM_DELADDR")
    }
}

fn at_rest_each_heartbeat_costs_few_calls_and_no_memory() {
    let lan = Lan::new();
    let a = Traced::start(&lan.a, "active", &[]);
    let b = Traced::start(&lan.b, "standby", &[]);
    a.daemon.says("active: ");
    b.daemon.says("10.0.0.11 heard for the first time");
    sleep(Duration::from_millis(7_500)); // the last repeat of the announcement is behind it
    let from = seconds(SystemTime::now());
    sleep(Duration::from_secs(5));
    let to = seconds(SystemTime::now());
    for (traced, times_active) in [(&a, 1), (&b, 0)] {
        assert_eq!(traced.daemon.count("active: "), times_active, "{}", traced.daemon.log());
    }
    for (mut traced, state) in [(a, "active"), (b, "standby")] {
        traced.end();
        for who in [Who::Worker, Who::Keeper] {
            let calls: Vec<_> = traced.calls(who).into_iter().filter(|call| (from..to).contains(&call.at)).collect();
            needs_nothing_but_the_network(&format!("{state} {who:?}"), &calls);
            if who == Who::Worker {
                is_frugal(state, &calls);
            } else {
                // It waits, reads a beat, asks the kernel, hears its answer, answers, and finds no other beat.
                let beats = count(&calls, Call::is_wait);
                assert!(calls.len() <= 6 * beats, "{state}: {} calls for {beats} beats:{}", calls.len(), show(&calls));
            }
        }
    }
}

fn needs_nothing_but_the_network(who: &str, calls: &[Call]) {
    let expected = ["poll", "ppoll", "sendto", "recvfrom", "recvmsg"];
    let is_vdso = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        .is_ok_and(|name| ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"].contains(&name.trim()));
    let strange: Vec<_> = calls
        .iter()
        .filter(|call| !expected.contains(&call.name()) && (is_vdso || call.name() != "clock_gettime"))
        .cloned()
        .collect();
    assert!(strange.is_empty(), "{who}: neither memory nor files nor the time:{}", show(&strange));
}

fn is_frugal(state: &str, calls: &[Call]) {
    let (sent, heard) = (count(calls, Call::is_sent), count(calls, Call::is_heard));
    assert!((8..=12).contains(&sent) && (8..=12).contains(&heard), "{state}: {sent} sent, {heard} heard in 5 s");
    // From one wait to the next: why it woke up, and what that cost. The first and the last one may be incomplete.
    let wake_ups: Vec<_> = calls.split_inclusive(Call::is_wait).collect();
    let mut in_vain = 0;
    for &wake_up in &wake_ups[1..wake_ups.len() - 1] {
        let (sent, heard) = (count(wake_up, Call::is_sent), count(wake_up, Call::is_heard));
        in_vain += usize::from(sent + heard == 0);
        // It waited, and found no more in both sockets of the group; a beat that is acknowledged goes before a packet.
        let most = 3 + 3 * sent + heard;
        assert!(
            wake_up.len() <= most,
            "{state}: more than {most} calls for {sent} sent, {heard} heard:{}",
            show(wake_up)
        );
    }
    assert!(in_vain <= 2, "{state}: woke up {in_vain} times for nothing:{}", show(calls));
}

pub fn count(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> usize {
    calls.iter().filter(|&call| is_it(call)).count()
}

fn a_leftover_is_removed_before_anything_is_sent() {
    let lan = Lan::new();
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0"));
    let mut traced = Traced::start(&lan.a, "leftover", &["--worthiness", "0"]);
    traced.daemon.says("standby: ");
    traced.end();
    let calls = traced.all_calls();
    let asserted = calls.iter().position(|call| call.is_delete() && call.text.contains("if_nametoindex(\"eth0\")"));
    let sent = calls.iter().position(Call::is_sent).expect("was waited for");
    assert!(asserted.is_some_and(|asserted| asserted < sent), "{}", show(&calls));
}

fn the_address_is_gone_before_it_is_said_and_leased_once_before_it_is_claimed() {
    let lan = Lan::new();
    // With a fence the resign goes first, and not each heartbeat needs a lease: see fence.rs.
    let mut traced = Traced::start(&lan.a, "order", &["--fence", "off"]);
    traced.daemon.says("active: ");
    sleep(Duration::from_millis(500));
    traced.end();
    let calls = traced.all_calls();
    let added = calls.iter().position(Call::is_add).expect("it was active");
    let later = calls[added..].iter().position(Call::is_delete).expect("it was asked to stop");
    let deleted = added + later;
    // The packet that tells of the take, and perhaps one that was due at the same time.
    let told = added + calls[added..].iter().position(|call| call.text.contains("active: ")).expect("it said so");
    assert_eq!(count(&calls[added..told], Call::is_add), 1, "added more than once:{}", show(&calls[added..told]));
    assert!(calls[added..told].iter().any(Call::is_sent), "{}", show(&calls[added..told]));
    let mut renewals = 0;
    for call in &calls[told..deleted] {
        renewals += usize::from(call.is_add());
        if call.is_sent() {
            assert_eq!(std::mem::take(&mut renewals), 1, "not one for each heartbeat:{}", show(&calls[told..]));
        }
    }
    assert_eq!(count(&calls[deleted..], Call::is_sent), 3, "{}", show(&calls[deleted..]));
    // What a removal of its own leads to, it looks at as at any other one.
    let is_told = |call: &Call| call.text.starts_with("recvfrom(") && call.text.contains("RTM_DELADDR");
    assert!(calls[deleted..].iter().any(is_told), "{}", show(&calls[deleted..]));
}

/// The list of `src/bin/ha/sandbox.rs`, both ways: who makes another call is ended, and what is never made should not be allowed.
fn a_confined_worker_needs_every_call_that_it_may_make() {
    let lan = Lan::new();
    let other = Daemon::start(&lan.b, &[SLOW, &["--address", SHARED_CIDR, "--worthiness", "1"]].concat());
    other.says("active: ");
    // It hears by ARP who has the address, and is handed it.
    let mut traced = Traced::start(&lan.a, "confined", &[]);
    traced.daemon.says("active: ");
    // The link goes and comes back; then it is held up while it waits.
    lan.a.ip("link set eth0 down");
    traced.daemon.says("unfit: ");
    lan.a.ip("link set eth0 up");
    traced.daemon.says("standby: listening");
    traced.daemon.signal_worker(rustix::process::Signal::STOP);
    traced.daemon.signal_worker(rustix::process::Signal::CONT);
    sleep(Duration::from_secs(1));
    traced.end();
    let calls = traced.calls(Who::Worker);
    let confined = calls.iter().position(|call| call.text.contains("PR_SET_SECCOMP")).expect("it is confined");
    // Some processors have calls without an address, too.
    let with_address = |name| match name {
        "send" => "sendto",
        "recv" => "recvfrom",
        name => name,
    };
    let mut made: Vec<_> = calls[confined + 1..]
        .iter()
        .map(Call::name)
        .filter(|name| !name.starts_with(['+', '-']))
        .map(with_address)
        .collect();
    made.sort_unstable();
    made.dedup();
    // std looks before it closes, in a build with assertions; most kernels have a faster clock.
    made.retain(|name| !["fcntl", "clock_gettime"].contains(name));
    assert_eq!(made, ["close", "exit_group", "ppoll", "recvfrom", "recvmsg", "sendto", "write"]);
}

/// The tracer answers in the place of a device that few machines have; it knows the request by its number.
fn a_watchdog_device_is_asked_when_it_fires() {
    let lan = Lan::unjoined();
    for (timeout_s, said) in [(10i32, "fires after 10s, fed every 1.5s"), (1, "fires after 1s, which is too soon")] {
        let trace = std::env::temp_dir().join(format!("ha-{}-{timeout_s}.ioctl", std::process::id()));
        let digits: String = timeout_s.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = lan.a.command("strace");
        command.args(["-D", "-q", "-e", "trace=ioctl", "-e"]);
        command.arg(format!("inject=ioctl:retval=0:poke_exit=@arg3={digits}")).arg("-o").arg(&trace).arg(program());
        command.args(["run", "--interface", "eth0", "--address", SHARED_CIDR, "--watchdog", "/dev/null"]);
        let mut daemon = Daemon::spawn(command);
        daemon.says(&format!("watchdog /dev/null: {said}"));
        daemon.says("waiting for eth0");
        daemon.signal(rustix::process::Signal::TERM);
        assert!(daemon.exit().success());
        sleep(Duration::from_millis(200));
        let asked = fs::read_to_string(&trace).unwrap();
        let _ = fs::remove_file(&trace);
        assert!(asked.contains(&format!("WDIOC_GETTIMEOUT, [{timeout_s}]")), "{asked}");
    }
}

/// A call per line, cut.
pub fn show(calls: &[Call]) -> String {
    calls.iter().fold(String::new(), |text, call| text + &format!("\n{:.6} {:.150}", call.at, call.text))
}
