//! The daemon on a LAN of its own: network namespaces, looked at from outside by `ip`, `tcpdump` and `strace`.
//!
//! Every test has its namespaces to itself, so all run at the same time. A namespace lives as long as its descriptor is
//! open: even a test that is killed leaves nothing behind. A user who is not root becomes root in a user namespace, where that
//! is permitted. A test that cannot run here is counted as ignored, with the reason; with `REFUSE_SKIPS` it fails.

use std::fs;
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Completion, Trial};

use fence::Form;

/// The tests of a module, with their names; a second list where some need more, or are given something.
macro_rules! tests {
    ($list:ident: $($name:ident),+ $(,)?) => {
        pub const $list: &[crate::Test] = &[$((stringify!($name), $name)),+];
    };
    ($list:ident($given:ty): $($name:ident),+ $(,)?) => {
        pub const $list: &[(&str, fn($given))] = &[$((stringify!($name), $name)),+];
    };
    ($($name:ident),+ $(,)?) => {
        tests![TESTS: $($name),+];
    };
}

mod acceptance;
mod acceptance_nd;
mod address;
mod announcement;
mod bare;
mod capture;
mod card;
mod chain;
mod claims;
mod conflict;
mod daemon;
mod device;
mod entropy;
mod fence;
mod files;
mod group;
mod heartbeat;
mod hostile;
mod inherited;
mod interfaces;
mod lan;
mod lease;
mod lines;
mod link;
mod lock;
mod log;
mod memory;
mod migration;
mod neighbours;
mod own;
mod promotion;
mod readme;
mod router;
mod secret;
mod shortage;
mod signals;
mod six;
mod six_daemon;
mod six_fence;
mod six_heartbeat;
mod six_sockets;
mod start;
mod syscalls;
mod who;
mod wire;

/// The program's own code. What the daemon does not ask of the kernel yet is tested without a daemon.
#[allow(dead_code, unused_imports, unused_macros, unfulfilled_lint_expectations, reason = "the program uses the rest")]
#[path = "../../src/bin/ha"]
mod wings {
    pub mod linux;
}
use wings::linux;

/// A name that claims something, and the proof.
type Test = (&'static str, fn());

fn main() {
    let mut arguments = Arguments::from_args();
    // Nearly all of their time the tests wait.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let obstacle = obstacle();
    if let Some(why) = &obstacle {
        eprintln!("netns: all tests are skipped: {why}");
    }
    let may_skip = std::env::var_os("REFUSE_SKIPS").is_none();
    let modules: [(_, &'static [&'static str], _); _] = [
        ("lease", &["ip"], lease::TESTS),
        ("memory", &["ip"], memory::TESTS),
        ("syscalls", &["ip", "strace"], syscalls::TESTS),
        ("chain", &["ip", "tcpdump"], chain::TESTS),
        ("hostile", &["ip", "tcpdump", "strace"], hostile::TESTS),
        ("announcement", &["ip", "tcpdump"], announcement::TESTS),
        ("neighbours", &["ip", "tcpdump"], neighbours::TESTS),
        ("conflict", &["ip", "tcpdump"], conflict::TESTS),
        ("claims", &["ip"], claims::TESTS),
        ("acceptance", &["ip"], acceptance::TESTS),
        ("acceptance_nd", &["ip"], acceptance_nd::TESTS),
        ("address", &["ip"], address::TESTS),
        ("promotion", &["ip", "strace"], promotion::TESTS),
        ("readme", &["ip"], readme::TESTS),
        ("router", &["ip"], router::TESTS),
        ("router", &["ip", "nft", EGRESS_HOOK], router::BY_NFTABLES),
        ("router", &["ip", "strace"], router::TRACED),
        ("router", &["ip", "tc", CLSACT], router::BY_CLSACT),
        ("heartbeat", &["ip", "tcpdump"], heartbeat::TESTS),
        ("device", &["ip", "tcpdump"], device::TESTS),
        ("fence", &["ip", "nft", EGRESS_HOOK], fence::OF_NFTABLES),
        ("fence", &["ip", "tc", "nft", EGRESS_HOOK, CLSACT], fence::OF_CLSACT),
        ("link", &["ip", "tcpdump"], link::TESTS),
        ("six", &["ip"], six::TESTS),
        ("six_sockets", &["ip"], six_sockets::TESTS),
        ("six_daemon", &["ip"], six_daemon::TESTS),
        ("six_fence", &["ip", "nft", EGRESS_HOOK], six_fence::TESTS),
        ("six_heartbeat", &["ip", EGRESS_HOOK], six_heartbeat::TESTS),
        ("own", &["ip"], own::TESTS),
        ("group", &["ip"], group::TESTS),
        ("signals", &["ip", "tcpdump", "strace"], signals::TESTS),
        ("start", &["ip", "unshare"], start::TESTS),
        ("lock", &["ip"], lock::TESTS),
        ("lock", &["ip", OTHER_USERS], lock::OF_USERS),
        ("shortage", &["ip", "strace"], shortage::TESTS),
        ("inherited", &["ip", "bash", "unshare"], inherited::TESTS),
        ("bare", &["ip", "unshare"], bare::TESTS),
        ("entropy", &["ip", "tcpdump", "strace"], entropy::TESTS),
        ("interfaces", &["ip", "unshare"], interfaces::TESTS),
        ("migration", &["ip"], migration::TESTS),
        ("log", &["ip", "unshare", "strace"], log::TESTS),
        ("who", &["ip", "nft", "tcpdump", "unshare"], who::TESTS),
        ("secret", &["ip"], secret::TESTS),
        ("wire", &["ip", "tcpdump"], wire::TESTS),
    ];
    // Each with either form, under two names.
    let forms: [(_, &'static [&'static str]); 2] =
        [(Form::Nftables, &["ip", "nft", EGRESS_HOOK]), (Form::Clsact, &["ip", "tc", CLSACT])];
    let of_both: [(&'static [&'static str], _); 4] = [
        (&[], fence::OF_BOTH),
        (&["tcpdump"], fence::CAPTURED),
        (&["strace"], fence::TRACED),
        (&[OTHER_USERS], fence::OF_USERS),
    ];

    let mut trials = Vec::new();
    let mut add = |name: String, obstacle: Option<String>, test: Box<dyn FnOnce() + Send>| {
        trials.push(Trial::ignorable_test(name, move || {
            match obstacle {
                Some(why) if may_skip => return Ok(Completion::ignored_with(why)),
                Some(why) => return Err(why.into()),
                None => test(),
            }
            Ok(Completion::Completed)
        }));
    };
    for (module, tools, tests) in modules {
        let obstacle = obstacle.clone().or_else(|| missing(tools));
        for &(name, test) in tests {
            add(format!("{module}::{name}"), obstacle.clone(), Box::new(test));
        }
    }
    for (form, tools) in forms {
        for (more, tests) in of_both {
            let obstacle = obstacle.clone().or_else(|| missing(&[tools, more].concat()));
            for &(name, test) in tests {
                add(format!("fence::{name}::{}", form.name()), obstacle.clone(), Box::new(move || test(form)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Why there can be no namespaces.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root()
        && let Err(error) = lan::become_root()
    {
        return Some(format!("not root, and no user namespace: {error}"));
    }
    lan::Namespace::new().err().map(|error| format!("no permission to create network namespaces: {error}"))
}

/// Which of the tools cannot be used here.
fn missing(tools: &[&str]) -> Option<String> {
    // Nobody becomes another user in a user namespace like ours, and tcpdump cannot give up root's groups.
    let has_users = fs::read_to_string("/proc/self/setgroups").is_ok_and(|may| may.trim() == "allow");
    if let Some(tool) = tools.iter().find(|tool| [OTHER_USERS, "tcpdump"].contains(tool)).filter(|_| !has_users) {
        return Some(format!("the real root only has {tool}"));
    }
    for (tool, form) in [(EGRESS_HOOK, Form::Nftables), (CLSACT, Form::Clsact)] {
        if let Some(why) = tools.contains(&tool).then(|| form.obstacle()).flatten() {
            return Some(why);
        }
    }
    let is_missing = |tool: &&&str| {
        // All that counts is whether it can be started.
        let mut command = Command::new(tool);
        command.env("PATH", lan::path()).arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_err()
    };
    let is_tool = |tool: &&&str| ![OTHER_USERS, EGRESS_HOOK, CLSACT].contains(*tool);
    let missing: Vec<_> = tools.iter().filter(is_tool).filter(is_missing).copied().collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// Stands among the tools for users other than root.
const OTHER_USERS: &str = "other users";

/// And for a kernel that has one, or the other.
const EGRESS_HOOK: &str = "an egress hook";
const CLSACT: &str = "programs at clsact";

/// What is tested: the program of this build, or the one that `HA_PROGRAM` names, such as the static binary.
fn program() -> String {
    let path = std::env::var("HA_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ha").to_owned());
    fs::canonicalize(&path).map_or(path, |path| path.display().to_string())
}
