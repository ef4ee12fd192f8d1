//! The command line: what is refused, in which words, and what the commands print. Nothing here needs privileges.
//!
//! The interface is one that no machine has: what is accepted by mistake waits for it, changes nothing, and is ended.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs the program with these arguments.
fn ha<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    finish(&mut command(arguments))
}

/// Runs a command that says little. One that does not end by itself, such as a daemon that should have refused to start,
/// is ended.
fn finish(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        sleep(Duration::from_millis(1));
    }
    child.wait_with_output().unwrap()
}

fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ha"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The one line of a refusal without its `ha: `; an error says what is not as it should be.
fn refusal(output: &Output) -> Result<String, String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) {
        return Err(format!("{}: {said:?}", output.status));
    }
    if !output.stdout.is_empty() {
        return Err(format!("says on standard output: {:?}", String::from_utf8_lossy(&output.stdout)));
    }
    let line = said.strip_prefix("ha: ").and_then(|line| line.strip_suffix('\n'));
    match line {
        Some(line) if !line.contains(|c: char| c.is_control()) => Ok(line.to_owned()),
        _ => Err(format!("not one line: {said:?}")),
    }
}

/// What went wrong, one line per case.
#[derive(Default)]
struct Complaints(String);

impl Complaints {
    /// The refusal names all `parts`.
    fn expect_refusal(&mut self, case: &str, output: &Output, parts: &[&str]) {
        match refusal(output) {
            Ok(line) => {
                for part in parts.iter().filter(|&part| !line.contains(part)) {
                    self.0 += &format!("\n{case}: no `{part}` in: {line:.300}");
                }
            }
            Err(what) => self.0 += &format!("\n{case}: {what}"),
        }
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "{}", self.0);
    }
}

/// A directory for one test, gone when this value is.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        // Below one that nobody else can write, which /tmp is not: there are keys and hooks in it.
        let parents = ["/run", "/var/lib", concat!(env!("CARGO_MANIFEST_DIR"), "/target")];
        let mut paths = parents.map(|parent| Path::new(parent).join(format!("ha-cli-{}-{name}", std::process::id())));
        let path = paths.iter_mut().find(|path| fs::create_dir(path).is_ok()).expect("a place to write to");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(std::mem::take(path))
    }

    /// A file with this content and mode; returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        text(&path)
    }

    /// A file that does not exist.
    fn missing(&self) -> String {
        text(&self.0.join("missing"))
    }

    /// A configuration without a line, so that no file of this machine is read.
    fn empty(&self) -> String {
        self.file("empty.conf", "", 0o644)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary directories have plain names").to_owned()
}

/// Option, value, and what the refusal has to say besides the two.
const REFUSED: &[(&str, &str, &str)] = &[
    ("interface", "", "expected the name of an interface, such as eth0"),
    ("interface", "lo", "nobody else is on the loopback; expected the name of an interface, such as eth0"),
    (
        "interface",
        "a-name-of-128-characters-which-is-one-more-than-the-kernel-takes-for-an-alternative-name-of-an-interface-and-so-it-is-of-no-use-",
        "expected at most 15 characters, or 127 of an alternative name",
    ),
    ("interface", "\u{201c}eth0\u{201d}", "expected the name of an interface"),
    ("interface", "none0:1", "expected the name of an interface"),
    ("interface", "eth 0", "expected the name of an interface"),
    ("interface", "../none0", "expected the name of an interface"),
    ("interface", "ethö", "expected the name of an interface"),
    ("address", "", "expected a host's address with its prefix, such as 192.168.1.100/24 or 2001:db8::100/64"),
    ("address", "192.0.2.1", "expected a host's address with its prefix"),
    ("address", "192.0.2.1/", "expected a host's address with its prefix"),
    ("address", "192.0.2.1/33", "a prefix has 1 to 32 bits; expected a host's address with its prefix"),
    ("address", "192.0.2.1/-1", "expected a host's address with its prefix"),
    ("address", "192.0.2.1/24/24", "expected a host's address with its prefix"),
    ("address", "192.0.2.0/24", "it is the address of the network itself; expected a host's address with its prefix"),
    ("address", "192.0.2.255/24", "it is a broadcast address; expected a host's address with its prefix"),
    ("address", "192.0.2.256/24", "expected a host's address with its prefix"),
    ("address", "192.0.2.1/0", "a prefix has 1 to 32 bits; expected a host's address with its prefix"),
    (
        "address",
        "0.0.0.0/24",
        "it stands for a host that has no address yet; expected a host's address with its prefix",
    ),
    ("address", "127.0.0.1/8", "it is a loopback address; expected a host's address with its prefix"),
    ("address", "239.2.3.4/24", "it is a multicast address; expected a host's address with its prefix"),
    ("address", "2001:db8::1/129", "a prefix has 1 to 128 bits; expected a host's address with its prefix"),
    ("address", "2001:db8::1", "expected a host's address with its prefix"),
    ("address", "2001:db8::/64", "it is the address of the network itself; expected a host's address with its prefix"),
    ("address", "ff02::1/64", "it is a multicast address; expected a host's address with its prefix"),
    ("address", "::1/128", "it is a loopback address; expected a host's address with its prefix"),
    ("address", "::ffff:192.0.2.1/120", "it stands for an IPv4 address; expected a host's address with its prefix"),
    ("address", "fe80::1%eth0/64", "expected a host's address with its prefix"),
    ("address", "example.org/24", "expected a host's address with its prefix"),
    ("shared", "", "expected an alias of the interface, such as none0:1, or another device, such as eth1"),
    ("shared", "lo", "expected an alias of the interface, such as none0:1, or another device, such as eth1"),
    ("shared", "../eth1", "expected an alias of the interface, such as none0:1, or another device, such as eth1"),
    ("shared", "eth1:1", "expected an alias of the interface, such as none0:1"),
    ("shared", "none0", "expected an alias of the interface, such as none0:1"),
    ("shared", "none0:", "expected an alias of the interface, such as none0:1"),
    ("shared", "none0:a b", "expected an alias of the interface, such as none0:1"),
    ("shared", "none0:label-of-24-characters", "expected an alias of the interface, such as none0:1"),
    ("group", "0", "expected a number from 1 to 255"),
    ("group", "256", "expected a number from 1 to 255"),
    ("group", "-1", "expected a number from 1 to 255"),
    ("group", "one", "expected a number from 1 to 255"),
    ("quorum", "256", "expected a number of nodes from 0 to 255"),
    ("quorum", "half", "expected a number of nodes from 0 to 255"),
    ("user", "nobody-of-that-name", "expected a name in /etc/passwd that is not root's, such as nobody"),
    ("user", "root", "expected a name in /etc/passwd that is not root's"),
    ("user", "", "expected a name in /etc/passwd that is not root's"),
    ("multicast", "239.2.3.4", "expected a multicast address and a port, such as 239.2.3.4:5555"),
    ("multicast", "239.2.3.4:0", "expected a multicast address and a port"),
    ("multicast", "239.2.3.4:65536", "expected a multicast address and a port"),
    ("multicast", "192.0.2.1:5555", "expected a multicast address and a port"),
    ("multicast", "[ff12::6861]:0", "expected a multicast address and a port"),
    ("multicast", "[ff12::6861:5555", "expected a multicast address and a port"),
    ("multicast", "[239.2.3.4]:5555", "expected a multicast address and a port"),
    ("multicast", "[ff12::6861]5555", "expected a multicast address and a port"),
    ("multicast", "[ff12::6861%2]:5555", "expected a multicast address and a port"),
    ("multicast", "ff12::6861:5555", "expected a multicast address and a port"),
    ("multicast", "[fe80::6861]:5555", "expected a multicast address and a port"),
    ("multicast", "[ff11::6861]:5555", "such as 239.2.3.4:5555 or [ff12::6861]:5555"),
    ("multicast", "[ff10::6861]:5555", "expected a multicast address and a port"),
    ("multicast", "[::ffff:239.2.3.4]:5555", "expected a multicast address and a port"),
    ("worthiness", "-1", "expected a number from 0 to 65535"),
    ("worthiness", "65536", "expected a number from 0 to 65535"),
    ("worthiness", "high", "expected a number from 0 to 65535"),
    ("interval", "1", "expected a time such as 1s, 350ms or 3.5s"),
    ("interval", "1m", "expected a time such as 1s"),
    ("interval", "-1s", "expected a time such as 1s"),
    ("interval", "fast", "expected a time such as 1s"),
    ("interval", "99999999999999999999s", "expected a time such as 1s"),
    ("interval", "0s", "expected 1ms to 3600s"),
    ("interval", "999us", "expected 1ms to 3600s"),
    ("interval", "3601s", "expected 1ms to 3600s"),
    ("tolerance", "1s", "expected more than the interval (1s) and at most 3600s"),
    ("tolerance", "999ms", "expected more than the interval (1s) and at most 3600s"),
    ("tolerance", "2.9s", "expected at least 3s for an interval of 1s, or no-lease"),
    ("tolerance", "3601s", "expected more than the interval (1s) and at most 3600s"),
    ("tolerance", "3.5", "expected a time such as 1s"),
    ("preempt-delay", "soon", "expected a time such as 1s"),
    ("preempt-delay", "3601s", "expected at most 3600s"),
    ("link-delay", "10", "expected a time such as 1s"),
    ("link-delay", "3601s", "expected at most 3600s"),
    ("announce-interval", "60", "expected a time such as 1s"),
    ("announce-interval", "4.9s", "expected 5s to 3600s"),
    ("announce-interval", "3601s", "expected at most 3600s"),
    ("announce-rate", "fast", "expected a number of frames a second from 1 to 1000"),
    ("announce-rate", "0", "expected 1 to 1000 frames a second"),
    ("on-conflict", "fight", "expected take or hold"),
    ("on-active", "", "expected the absolute path of a program"),
    ("on-active", "hook.sh", "expected the absolute path of a program"),
    ("on-standby", "./hook.sh", "expected the absolute path of a program"),
    ("on-unfit", "/dev/null", "expected"),
    (
        "on-shutdown",
        "/nonexistent/hook -x",
        "/nonexistent: No such file or directory (os error 2); expected an executable",
    ),
    ("before-active", "/usr/bin", "expected an executable file, not a directory"),
    (
        "before-active",
        "/usr/bin/env 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
        "expected at most 19 arguments",
    ),
    ("child-timeout", "0s", "expected 1ms to 3600s"),
    ("child-timeout", "3601s", "expected 1ms to 3600s"),
    ("child-timeout", "10", "expected a time such as 1s"),
    ("watchdog", "", "expected a watchdog device, such as /dev/watchdog"),
    ("watchdog", "/", "expected a watchdog device, such as /dev/watchdog"),
    ("watchdog", "/nonexistent", "No such file or directory (os error 2); expected a watchdog device"),
    ("fence", "yes", "expected auto, off or required"),
    ("fence", "", "expected auto, off or required"),
    ("log-level", "loud", "expected off, error, warn, info, debug or trace"),
];

#[test]
fn every_bad_option_is_refused_in_one_line_that_names_it_and_what_would_be_accepted() {
    let directory = Directory::new("options");
    let empty = directory.empty();
    let mut complaints = Complaints::default();
    for &(name, value, expected) in REFUSED {
        let option = format!("--{name}");
        let mut arguments = vec!["run", "--config", &empty];
        for (needed, good) in [("--interface", "none0"), ("--address", "192.0.2.1/24")] {
            if needed != option {
                arguments.extend([needed, good]);
            }
        }
        arguments.extend([option.as_str(), value]);
        let output = ha(&arguments);
        // A time is said in its usual unit: 999us as 0.999ms.
        let value = if value == "999us" { "0.999ms" } else { value };
        complaints.expect_refusal(&format!("{option} {value}"), &output, &[name, value, expected]);
    }
}

#[test]
fn every_bad_line_of_the_file_is_refused_with_its_number_too() {
    let directory = Directory::new("lines");
    let mut complaints = Complaints::default();
    for &(name, value, expected) in REFUSED {
        let needed: String = [("interface", "none0"), ("address", "192.0.2.1/24")]
            .iter()
            .filter(|&&(needed, _)| needed != name)
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let file = directory.file("bad.conf", format!("{needed}# the bad one\n{name} = {value}\n"), 0o644);
        let value = if value == "999us" { "0.999ms" } else { value };
        for command in ["check", "run"] {
            let output = ha(&[command, "--config", &file]);
            complaints.expect_refusal(&format!("{command}: {name} = {value}"), &output, &[name, value, expected]);
        }
    }
    let good = "interface = none0\naddress = 192.0.2.1/24\n";
    for (line, expected) in [
        ("bogus = 1", "unknown option; `ha run --help` lists them"),
        ("Group = 1", "unknown option"),
        ("--group = 1", "unknown option"),
        ("config = other.conf", "unknown option"),
        ("sticky", "expected `name = value`"),
        ("sticky yes", "expected `name = value`"),
        ("= 1", "unknown option"),
        ("sticky = maybe", "expected yes or no"),
        ("sticky =", "expected yes or no"),
        ("no-lease = true", "expected yes or no"),
        ("no-realtime = 1", "expected yes or no"),
        ("syslog = on", "expected yes or no"),
        ("interface = eth1", "line 1 says none0; expected each option once"),
        ("user = \"nobody", "expected the same quote at the end of the value"),
        ("user = nobody'", "expected quotes around the whole value, or none"),
        ("user = \"no\" body", "expected quotes around the whole value, or none"),
        ("on-active = /bin/true 'a b'", "expected quotes around the whole value, or none"),
    ] {
        let file = directory.file("bad.conf", format!("{good}\n{line}\n"), 0o644);
        let output = ha(&["check", "--config", &file]);
        complaints.expect_refusal(line, &output, &[&format!("{file}:4: {line}: "), expected]);
    }
}

#[test]
fn a_word_that_is_wrong_is_refused_in_one_line() {
    let mut complaints = Complaints::default();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["no command", "expected run, who, check, keygen or decode", "ha --help"]),
        (&["bogus"], &["bogus", "ha --help"]),
        (&["--bogus"], &["--bogus", "ha --help"]),
        (&["run", "--bogus"], &["--bogus", "--help"]),
        (&["run", "--bogus", "1"], &["--bogus", "--help"]),
        (&["run", "-i", "none0"], &["-i", "--help"]),
        (&["run", "--interface=none0"], &["--interface=none0", "--help"]),
        (&["run", "none0"], &["none0", "--help"]),
        (&["run", "--interface"], &["--interface", "value", "--help"]),
        (&["run", "--sticky", "yes"], &["yes", "--help"]),
        (&["run", "--interface", "none0", "--interface", "eth1"], &["--interface", "eth1", "duplicate", "--help"]),
        (&["run", "--group", "1", "--group", "1"], &["--group", "duplicate", "--help"]),
        (&["run", "--sticky", "--sticky"], &["--sticky", "duplicate", "expected once"]),
        (&["check", "--group", "1", "--group", "1"], &["--group", "duplicate", "--help"]),
        (&["who", "--bogus"], &["--bogus", "--help"]),
        (&["who", "--group", "1"], &["--group", "--help"]),
        (&["who", "192.0.2.1"], &["192.0.2.1", "--help"]),
        (&["who", "--timeout", "1s", "--timeout", "1s"], &["--timeout", "duplicate", "--help"]),
        (&["check", "--bogus"], &["--bogus", "--help"]),
        (&["check", "ha.conf"], &["ha.conf", "--help"]),
        (&["check", "--config"], &["--config", "value", "--help"]),
        (&["keygen", "64"], &["64", "--help"]),
        (&["decode"], &["hex", "--help"]),
        (&["decode", "00", "00"], &["00", "--help"]),
        (&["decode", "--bogus", "00"], &["--bogus", "--help"]),
    ];
    for (arguments, parts) in cases {
        complaints.expect_refusal(&arguments.join(" "), &ha(arguments), parts);
    }
}

#[test]
fn what_is_printed_is_as_many_lines_as_it_says_whatever_a_name_holds() {
    let directory = Directory::new("printed");
    let name = "good\u{1b}[2J\u{9b}\r.conf";
    let file = directory.file(name, "interface = none0\naddress = 192.0.2.1/24\n", 0o644);
    let output = ha(&["check", "--config", &file]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("good\u{fffd}[2J\u{fffd}\u{fffd}.conf is good: "), "{said:?}");
    assert!(said.ends_with('\n') && !said.trim_end_matches('\n').contains(|c: char| c.is_control()), "{said:?}");
}

#[test]
fn a_refusal_is_one_line_whatever_the_value_holds() {
    let directory = Directory::new("control");
    let empty = directory.empty();
    let mut complaints = Complaints::default();
    for value in ["1\n2", "1\r2", "\u{1b}[31m", "a\tb", "\u{7f}", "\u{85}"] {
        for option in
            ["--interface", "--address", "--group", "--interval", "--shared", "--config", "--key-file", "--bogus"]
        {
            let mut arguments = vec!["run"];
            for (name, good) in [("--config", empty.as_str()), ("--interface", "none0"), ("--address", "192.0.2.1/24")]
            {
                if name != option {
                    arguments.extend([name, good]);
                }
            }
            arguments.extend([option, value]);
            complaints.expect_refusal(&format!("{option} {value:?}"), &ha(&arguments), &[]);
        }
        complaints.expect_refusal(&format!("{value:?}"), &ha(&[value]), &[]);
        complaints.expect_refusal(&format!("decode {value:?}"), &ha(&["decode", value]), &[]);
        let file = directory.file("control.conf", format!("group = {value}\n"), 0o644);
        complaints.expect_refusal(&format!("group = {value:?}"), &ha(&["check", "--config", &file]), &[]);
    }
    let not_unicode = OsStr::from_bytes(b"eth\xff");
    let arguments = [OsStr::new("run"), OsStr::new("--interface"), not_unicode];
    complaints.expect_refusal("eth\\xff", &ha(&arguments), &["interface", "expected the name of an interface"]);
    complaints.expect_refusal("long", &ha(&["run", "--group", &"9".repeat(10_000)]), &["group", "expected"]);
}

#[test]
fn what_is_missing_is_named() {
    let directory = Directory::new("needed");
    let empty = directory.empty();
    let mut complaints = Complaints::default();
    let only_address = ha(&["run", "--config", &empty, "--address", "192.0.2.1/24"]);
    complaints.expect_refusal("no interface", &only_address, &["interface is missing", "expected", "such as eth0"]);
    let only_interface = ha(&["run", "--config", &empty, "--interface", "none0"]);
    complaints.expect_refusal(
        "no address",
        &only_interface,
        &["address is missing", "expected", "such as 192.168.1.100/24"],
    );
    complaints.expect_refusal("neither", &ha(&["check", "--config", &empty]), &["is missing", "expected"]);
}

#[test]
fn who_refuses_what_nobody_can_be_asked() {
    let directory = Directory::new("who");
    let empty = directory.empty();
    let who = |options: &[&str]| ha(&[&["who", "--config", &empty], options].concat());
    let mut complaints = Complaints::default();
    complaints.expect_refusal("nothing", &who(&[]), &["interface is missing", "such as eth0"]);
    complaints.expect_refusal("no address", &who(&["--interface", "none0"]), &["address is missing", "expected"]);
    for (name, value, expected) in [
        ("interface", "none0:1", "expected the name of an interface"),
        ("address", "192.0.2.0/24", "expected a host's IPv4 address"),
        ("address", "192.0.2.1/", "expected a host's IPv4 address"),
        ("address", "239.2.3.4", "it is a multicast address; expected a host's IPv4 address, such as 192.168.1.100"),
        ("address", "example.org", "expected a host's IPv4 address"),
        ("timeout", "1", "expected a time such as 1s"),
        ("timeout", "99ms", "expected 100ms to 3600s"),
        ("timeout", "3601s", "expected 100ms to 3600s"),
    ] {
        let option = format!("--{name}");
        let mut options = Vec::new();
        for (needed, good) in [("--interface", "none0"), ("--address", "192.0.2.1")] {
            if needed != option {
                options.extend([needed, good]);
            }
        }
        options.extend([option.as_str(), value]);
        complaints.expect_refusal(&format!("{option} {value}"), &who(&options), &[name, value, expected]);
    }
    let addresses: Vec<String> = (1..=17).map(|host| format!("192.0.2.{host}")).collect();
    let options: Vec<&str> = addresses.iter().flat_map(|address| ["--address", address]).collect();
    let many = [&["--interface", "none0", "--timeout", "899ms"], &options[..32]].concat();
    complaints.expect_refusal(
        "too short for 16",
        &who(&many),
        &["--timeout 899ms", "expected 900ms", "to ask for 16 addresses"],
    );
    let many = [&["--interface", "none0"], &options[..]].concat();
    complaints.expect_refusal("17", &who(&many), &["--address 192.0.2.17", "expected at most 16 addresses"]);
    let twice = ["--interface", "none0", "--address", "192.0.2.1", "--address", "192.0.2.1/24"];
    complaints.expect_refusal("twice", &who(&twice), &["192.0.2.1/24", "twice"]);
    let bad = directory.file("bad.conf", "bogus = 1\n", 0o644);
    complaints.expect_refusal("file", &ha(&["who", "--config", &bad]), &["bad.conf:1: bogus = 1: unknown option"]);
    complaints.expect_refusal("no file", &ha(&["who", "--config", &directory.missing()]), &["config ", "No such file"]);
}

#[test]
fn who_needs_an_interface_of_this_machine() {
    let directory = Directory::new("who-interface");
    let file = directory.file("who.conf", "interface = none0\naddress = 192.0.2.1\nshared = eth7:1\n", 0o644);
    let output = ha(&["who", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "ha: interface none0: does not exist; expected one of this machine\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn addresses_are_at_most_sixteen_and_none_twice() {
    let directory = Directory::new("addresses");
    let empty = directory.empty();
    let mut complaints = Complaints::default();
    let run = ["run", "--config", &empty, "--interface", "none0"];
    let addresses: Vec<String> = (1..=17).map(|host| format!("192.0.2.{host}/24")).collect();
    let options: Vec<&str> = addresses.iter().flat_map(|cidr| ["--address", cidr]).collect();
    let too_many = ha(&[&run[..], &options].concat());
    complaints.expect_refusal("17", &too_many, &["--address 192.0.2.17/24", "expected at most 16 addresses"]);
    for twice in ["192.0.2.1/24", "192.0.2.1/32"] {
        let output = ha(&[&run[..], &["--address", "192.0.2.1/24", "--address", twice]].concat());
        complaints.expect_refusal("twice", &output, &["address", twice, "twice", "expected"]);
    }
    let file =
        directory.file("twice.conf", "interface = none0\naddress = 192.0.2.1/24\naddress = 192.0.2.1/24\n", 0o644);
    complaints.expect_refusal(
        "twice",
        &ha(&["check", "--config", &file]),
        &["address 192.0.2.1/24", "twice", "expected"],
    );
}

#[test]
fn options_that_do_not_fit_together_are_refused_wherever_they_stand() {
    let directory = Directory::new("together");
    let mut complaints = Complaints::default();
    let good = "interface = none0\naddress = 192.0.2.1/24\n";
    let file = directory.file("slow.conf", format!("{good}interval = 5s\ntolerance = 20s\nshared = none0:1\n"), 0o644);
    let output = ha(&["run", "--config", &file, "--tolerance", "5s"]);
    complaints.expect_refusal("tolerance", &output, &["tolerance 5s", "expected more than the interval (5s)"]);
    let output = ha(&["run", "--config", &file, "--interface", "none1"]);
    complaints.expect_refusal(
        "alias of another",
        &output,
        &["shared none0:1", "expected an alias of the interface", "none1:1"],
    );
}

#[test]
fn what_an_editor_or_a_web_page_adds_is_understood_or_seen() {
    let directory = Directory::new("foreign");
    let mut complaints = Complaints::default();
    let check = |text: &str| ha(&["check", "--config", &directory.file("foreign.conf", text, 0o644)]);
    let plain = "interface = none0\r\naddress = '192.0.2.1/24'\r\n";
    for text in [format!("\u{feff}{plain}"), plain.replace("none0", "\"none0\" # the \"uplink\"")] {
        let output = check(&text);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("is good: 192.0.2.1/24 on none0 as none0:1,"), "{text:?}: {said}{output:?}");
    }
    for (line, seen) in [
        ("group\u{a0}= 1", ":3: group\\u{a0}= 1: unknown option"),
        ("group =\u{a0}1", ":3: group =\\u{a0}1: expected a number"),
        ("\u{feff}group = 1", ":3: \\u{feff}group = 1: unknown option"),
        ("user = \u{200b}nobody", ":3: user = \\u{200b}nobody: expected a name"),
        ("key-file = \u{201c}/etc/ha.key\u{201d}", "/\u{201c}: No such file or directory"),
    ] {
        complaints.expect_refusal(line, &check(&format!("{plain}{line}\n")), &[seen]);
    }
    let json = check("\u{feff}{}");
    complaints.expect_refusal("the original's", &json, &["this is for ha 0.0.17"]);
}

#[test]
fn check_takes_the_options_of_run_and_names_what_they_override() {
    let directory = Directory::new("override");
    let config = "interface = none0\naddress = 192.0.2.1/24\naddress = 192.0.2.2/24\n\nworthiness = 50\nsticky = no\n";
    let file = directory.file("ha.conf", config, 0o644);
    let check = |options: &[&str]| {
        let output = ha(&[&["check", "--config", &file], options].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{options:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check(&[]).lines().count(), 1);
    let said = check(&["--group", "7"]);
    assert!(
        said.starts_with(&format!("{file} with these options is good: 192.0.2.1/24 192.0.2.2/24 on none0")),
        "{said}"
    );
    assert!(said.contains("group 7 at") && said.lines().count() == 1, "{said}");
    let said = check(&["--worthiness", "200", "--address", "192.0.2.3/24", "--sticky"]);
    assert!(said.contains("is good: 192.0.2.3/24 on none0") && said.contains("worthiness 200"), "{said}");
    let notes: Vec<_> = said.lines().skip(1).collect();
    let expected = [
        format!("note: --address overrides address = 192.0.2.1/24 ({file}:2)"),
        format!("note: --address overrides address = 192.0.2.2/24 ({file}:3)"),
        format!("note: --worthiness overrides worthiness = 50 ({file}:5)"),
        format!("note: --sticky overrides sticky = no ({file}:6)"),
    ];
    assert_eq!(notes, expected);
    let long = check(&["--interface", "uplink-to-the-switch"]);
    assert!(long.contains("on uplink-to-the-switch as its alias :1, group"), "{long}");
    assert!(
        long.contains("\nnote: uplink-to-the-switch has 20 characters: the kernel's own names have 15 at most"),
        "{long}"
    );
    let help = String::from_utf8(ha(&["check", "--help"]).stdout).unwrap();
    assert!(help.starts_with("Usage: ha check [--config <file>] [<options of run>]\n"), "{help}");
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_refused() {
    let directory = Directory::new("unreadable");
    let mut complaints = Complaints::default();
    let binary = directory.file("binary.conf", [0xff, 0xfe, 0, 1], 0o644);
    for (file, what) in
        [(directory.missing(), "No such file"), (text(&directory.0), "Is a directory"), (binary, "UTF-8")]
    {
        for command in ["run", "check"] {
            let output = ha(&[command, "--config", &file]);
            complaints.expect_refusal(command, &output, &["config", &file, what, "expected"]);
        }
    }
}

#[test]
fn a_key_file_must_have_keys_and_one_reader() {
    let directory = Directory::new("keys");
    let mut complaints = Complaints::default();
    let digits = "0123456789abcdef".repeat(4);
    let empty = directory.empty();
    let run = ["run", "--config", &empty, "--interface", "none0", "--address", "192.0.2.1/24", "--key-file"];
    let with_key = |file: &str| {
        let config = format!("interface = none0\naddress = 192.0.2.1/24\nkey-file = {file}\n");
        let config = directory.file("key.conf", config, 0o644);
        [
            ha(&[&run[..], &[file]].concat()),
            ha(&["check", "--config", &config]),
            ha(&["decode", "--key-file", file, "00"]),
        ]
    };
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o777] {
        let file = directory.file("open.key", &digits, mode);
        let expected = ["key-file", &file, &format!("{mode:03o}"), "expected 600"];
        for output in with_key(&file) {
            complaints.expect_refusal(&format!("mode {mode:o}"), &output, &expected);
        }
    }
    for (content, count) in [
        (String::new(), "no key"),
        (format!("{digits}\n").repeat(5), "one key too many"),
        (digits[1..].to_owned(), "63 characters"),
        (format!("{digits}0"), "65 characters"),
        (format!("{digits}{digits}"), "128 characters"),
        (digits.replace('f', "g"), "64 characters"),
        (format!("0x{}", &digits[2..]), "64 characters"),
        (digits.replace("01", "0 "), "64 characters"),
    ] {
        let file = directory.file("bad.key", &content, 0o600);
        for output in with_key(&file) {
            let expected = ["key-file", &file, count, "expected"];
            complaints.expect_refusal(&content, &output, &expected);
        }
    }
    let binary = directory.file("binary.key", [0xff; 32], 0o600);
    for (file, what) in [(directory.missing(), "No such file"), (binary, "")] {
        for output in with_key(&file) {
            complaints.expect_refusal(&file, &output, &["key-file", &file, what, "expected"]);
        }
    }
    for mode in [0o600, 0o400] {
        let file = directory.file("good.key", format!(" {}\n", digits.to_uppercase()), mode);
        let config = format!("interface = none0\naddress = 192.0.2.1/24\nkey-file = {file}\n");
        let check = ha(&["check", "--config", &directory.file("key.conf", config, 0o644)]);
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success() && said.contains("a secret key"), "{said}");
    }
}

#[test]
fn a_hook_that_others_can_change_is_refused_with_the_culprit() {
    let directory = Directory::new("hooks");
    let mut complaints = Complaints::default();
    let good = "interface = none0\naddress = 192.0.2.1/24\n";
    let check = |hook: &str| {
        let config = directory.file("hooks.conf", format!("{good}on-active = {hook} --now\n"), 0o644);
        ha(&["check", "--config", &config])
    };
    let open = |mode| fs::set_permissions(&directory.0, fs::Permissions::from_mode(mode)).unwrap();
    open(0o755);
    for mode in [0o775, 0o757, 0o777] {
        let hook = directory.file("open.sh", "#!/bin/sh\n", mode);
        let culprit = format!("{hook} has mode {mode:04o} and owner ");
        complaints.expect_refusal(&hook, &check(&hook), &[":3: on-active = ", &culprit, "expected", "`chmod go-w`"]);
        let run = ["run", "--interface", "none0", "--address", "192.0.2.1/24", "--on-active", &hook];
        complaints.expect_refusal("run", &ha(&run), &[&format!("--on-active {hook}: "), &culprit, "`chmod go-w`"]);
    }
    let hook = directory.file("hook.sh", "#!/bin/sh\n", 0o644);
    complaints.expect_refusal("not executable", &check(&hook), &[&hook, "mode 0644", "expected an executable file"]);
    let hook = directory.file("hook.sh", "#!/bin/sh\n", 0o755);
    assert!(check(&hook).status.success());
    // What nobody has changed yet in a sticky directory may be another file when it is run.
    for mode in [0o777, 0o1777] {
        open(mode);
        let culprit = format!("{} has mode {mode:04o} and owner ", text(&directory.0));
        complaints.expect_refusal("its directory", &check(&hook), &[&hook, &culprit, "expected"]);
    }
}

#[test]
fn a_key_file_or_a_configuration_that_others_can_change_is_refused() {
    let directory = Directory::new("theirs");
    let mut complaints = Complaints::default();
    let key = directory.file("ha.key", "0a".repeat(32), 0o600);
    let good = format!("interface = none0\naddress = 192.0.2.1/24\nkey-file = {key}\n");
    for mode in [0o664, 0o646] {
        let config = directory.file("theirs.conf", &good, mode);
        let culprit = format!("config {config} has mode {mode:04o} and owner ");
        for command in ["run", "check", "who"] {
            complaints.expect_refusal(command, &ha(&[command, "--config", &config]), &[&culprit, "`chmod go-w`"]);
        }
    }
    let config = directory.file("ours.conf", &good, 0o644);
    for mode in [0o777, 0o1777] {
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(mode)).unwrap();
        let culprit = format!("key-file {} has mode {mode:04o} and owner ", text(&directory.0));
        complaints.expect_refusal("its directory", &ha(&["check", "--config", &config]), &[&culprit, "`chmod go-w`"]);
    }
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(ha(&["check", "--config", &config]).status.success());
    let nearby = directory.file("nearby.conf", good.replace(&key, "ha.key"), 0o644);
    let mut check = command(&["check", "--config", &nearby]);
    assert!(check.current_dir(&directory.0).stdout(Stdio::null()).status().unwrap().success(), "a relative path");
    for what in ["/dev/null", "/dev/tty", &text(&directory.0)] {
        let config = directory.file("device.conf", good.replace(&key, what), 0o644);
        complaints.expect_refusal(what, &ha(&["check", "--config", &config]), &["key-file ", what, "expected"]);
    }
}

#[test]
fn a_required_fence_needs_a_timing_that_some_kernel_can_keep() {
    let fast = ["--interface", "none0", "--address", "192.0.2.1/24", "--no-lease", "--interval", "10ms"];
    let mut complaints = Complaints::default();
    for command in ["check", "run"] {
        let output =
            ha(&[&[command, "--config", "/dev/null"], &fast[..], &["--tolerance", "23ms", "--fence", "required"]]
                .concat());
        let expected = "tolerance 23ms: expected at least 24ms for an interval of 10ms with fence = required";
        complaints.expect_refusal(command, &output, &[expected]);
    }
    let output = ha(&[&["check", "--config", "/dev/null"], &fast[..], &["--tolerance", "23ms"]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("no fence (interval and tolerance are too short for"), "{said}");
}

/// What `ha check` says but for the fence, which depends on the machine and on who asks.
fn without_fence(said: &str) -> String {
    let (before, rest) = said.split_once(", lease").expect("it says a lease");
    let (before, fence) = before.split_once("tolerance 3.5s, ").expect("it says a tolerance");
    let is_reason = fence.starts_with("no fence (") && fence.ends_with(')');
    assert!(
        is_reason
            || fence.starts_with("fence 2.4") && (fence.ends_with("s (nftables)") || fence.ends_with("s (clsact)")),
        "{fence}"
    );
    format!("{before}tolerance 3.5s, lease{rest}")
}

#[test]
fn check_says_what_a_good_file_means() {
    let directory = Directory::new("good");
    let small = directory.file("small.conf", "interface=none0\naddress=192.0.2.1/24\n", 0o644);
    let output = ha(&["check", "--config", &small]);
    let expected = format!(
        "{small} is good: 192.0.2.1/24 on none0 as none0:1, group 1 at 239.2.3.4:5555, worthiness 100, interval 1s, tolerance \
         3.5s, lease 2s, no key\n"
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), without_fence(&said)), (Some(0), expected));
    assert!(output.stderr.is_empty());

    let all = "# two servers\n\n interface = eth1 # the second\n\taddress=192.0.2.1/24\naddress = 198.51.100.1/32\r\n\
               shared = eth1:vip\ngroup = 255\nmulticast = 224.0.0.250:1\nworthiness = 0\ninterval = 10ms\ntolerance = 0.035s\n\
               preempt-delay = 0s\nlink-delay = 30s\nannounce-interval = 5s\nsticky = yes\nno-lease = yes\nno-realtime = no\n\
               log-level = debug\nsyslog = no\nfence = off";
    let all = directory.file("all.conf", all, 0o600);
    let output = ha(&["check", "--config", &all]);
    let expected = format!(
        "{all} is good: 192.0.2.1/24 198.51.100.1/32 on eth1 as eth1:vip, group 255 at 224.0.0.250:1, worthiness 0, interval \
         10ms, tolerance 35ms, no fence, no lease, no key\n"
    );
    assert_eq!(
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout)),
        ("".into(), expected.into())
    );
}

#[test]
fn heartbeats_may_go_over_ipv6() {
    let directory = Directory::new("six");
    for (group, shown) in [
        ("[ff12::6861]:5555", "[ff12::6861]:5555"),
        ("[FF15:0::6861]:1", "[ff15::6861]:1"),
        ("[ff02::1]:9", "[ff02::1]:9"),
    ] {
        let lines = format!("interface = none0\naddress = 192.0.2.1/24\nmulticast = {group}\n");
        let output = ha(&["check", "--config", &directory.file("six.conf", lines, 0o644)]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!(", group 1 at {shown}, ")), "{said}");
    }
}

#[test]
fn a_whole_device_can_have_the_addresses() {
    let directory = Directory::new("device");
    let file = directory.file("device.conf", "interface = none0\naddress = 192.0.2.1/24\nshared = none1\n", 0o644);
    let output = ha(&["check", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stdout);
    let expected =
        format!("{file} is good: 192.0.2.1/24 on none1, which is up only then, real address on none0, group 1 ");
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn an_interface_with_a_long_name_goes_without_an_alias() {
    let directory = Directory::new("long");
    for (interface, label) in [("enp0s31f6dev", "enp0s31f6dev:1"), ("enp0s31f6device", "enp0s31f6device")] {
        let file = directory.file("long.conf", format!("interface = {interface}\naddress = 192.0.2.1/24\n"), 0o644);
        let output = ha(&["check", "--config", &file]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!(" on {interface} as {label}, ")), "{said}");
    }
}

#[test]
fn help_of_every_command_lists_its_options() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--help"], &["run", "who", "check", "keygen", "decode", "--version"]),
        (
            &["run", "--help"],
            &[
                "--config",
                "SIGTERM",
                "SIGUSR1",
                "name = value",
                "ha run --interface eth0 --address 192.168.1.100/24",
                "3.5s",
                "239.2.3.4:5555",
            ],
        ),
        (
            &["who", "--help"],
            &[
                "--config",
                "/etc/ha.conf",
                "--interface",
                "--address",
                "--timeout",
                "ha who --interface eth0 --address 192.168.1.100",
                "1 The system refused",
                "2 The command line",
                "3 Nobody answers",
                "4 Several answer",
            ],
        ),
        (&["check", "--help"], &["--config", "/etc/ha.conf"]),
        (&["keygen", "--help"], &["32 random bytes"]),
        (&["decode", "--help"], &["--key-file", "hex", "standard input"]),
    ];
    for (arguments, parts) in cases {
        let output = ha(arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
        for part in *parts {
            assert!(said.contains(part), "{arguments:?}: no {part} in:\n{said}");
        }
    }
}

/// The options in the usage line of a command, each with what it takes: `group n`, `sticky`.
fn usage(command: &str) -> Vec<String> {
    let help = String::from_utf8(ha(&[command, "--help"]).stdout).unwrap();
    let words = help.lines().next().unwrap().split("--").skip(1);
    let options = words.map(|option| option.split(']').next().unwrap().replace(['<', '>'], "").replace("...", ""));
    options.map(|option| option.trim().replace('|', " | ")).collect()
}

/// The manual page explains every option that a command's usage lists, with the same word for its value, and no other.
#[test]
fn the_manual_page_knows_the_same_options() {
    let mut listed: Vec<String> = ["run", "who", "decode"].iter().flat_map(|command| usage(command)).collect();
    listed.retain(|option| !option.starts_with("options of run"));
    let page = include_str!("../dist/ha.8");
    let options = page.split("Fl -").skip(1).filter_map(|rest| rest.lines().next());
    let explained: Vec<String> =
        options.map(|line| line.replace("Ar ", "").trim_end_matches([',', ' ', '.']).into()).collect();
    for option in &listed {
        assert!(explained.contains(option), "dist/ha.8 lacks {option}: {explained:?}");
    }
    let is_known =
        |name: &str| ["version", "help"].contains(&name) || listed.iter().any(|option| first(option) == name);
    for option in explained.iter().map(|option| first(option)).filter(|name| !name.is_empty()) {
        assert!(is_known(option), "dist/ha.8 explains {option}, which no command takes");
    }
}

/// The manual page gives the same defaults as the help.
#[test]
fn the_manual_page_gives_the_same_defaults() {
    let page = include_str!("../dist/ha.8");
    let help = String::from_utf8(ha(&["run", "--help"]).stdout).unwrap();
    let mut compared = 0;
    for option in help.split("\n  --").skip(1) {
        let option = option.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((_, default)) = option.split_once("(default: ") else { continue };
        let default = default.split([',', ')']).next().unwrap();
        // A default in several words is said in others.
        if !default.contains(' ') {
            let entry = page.split(".It Fl -").find(|entry| first(entry) == first(&option)).unwrap();
            assert!(entry.contains(&format!("The default is {default}")), "{default} in:\n{entry}");
            compared += 1;
        }
    }
    assert!(compared >= 13, "{compared}");
}

fn first(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// More words than there is memory for, though the kernel takes them.
#[test]
fn too_much_to_remember_is_refused_in_one_line() {
    let directory = Directory::new("memory");
    let long = format!("on-active = /bin/true{}\n", " x".repeat(400_000));
    let file = directory.file("long.conf", long, 0o644);
    let mut complaints = Complaints::default();
    let expected = ["out of memory", "expected less than"];
    complaints.expect_refusal("arguments", &ha(&["check", "--config", &file]), &expected);
    let words: Vec<&str> = ["run"].into_iter().chain(["--address", "1"].repeat(60_000)).collect();
    complaints.expect_refusal("words", &ha(&words), &expected);
}

#[test]
fn version_is_that_of_the_package() {
    let output = ha(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), concat!("ha ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn keygen_prints_64_hexadecimal_digits_that_nobody_had_before() {
    let keys = [ha(&["keygen"]), ha(&["keygen"])].map(|output| {
        assert!(output.status.success() && output.stderr.is_empty());
        String::from_utf8(output.stdout).unwrap()
    });
    for key in &keys {
        let digits = key.strip_suffix('\n').expect("a line");
        assert_eq!(digits.len(), 64);
        assert!(digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{digits}");
    }
    assert_ne!(keys[0], keys[1]);
    let directory = Directory::new("keygen");
    let key = directory.file("ha.key", &keys[0], 0o600);
    let config = format!("interface = none0\naddress = 192.0.2.1/24\nkey-file = {key}\n");
    let config = directory.file("ha.conf", config, 0o644);
    assert!(ha(&["check", "--config", &config]).status.success(), "what it prints is a key file");
}

/// An ACTIVE of group 1, worthiness 100, at 10.0.0.11, signed without a key. By hand, but for the tag.
const PACKET: &str = "6861 02 00 01 01 0b00 0001 6400 00000000000000000000ffff0a00000b 00000000000000000000ffff0a00000b \
                      f9a10b16fc9949c7 0500000000000000 a0860100 30570500 1e58fe10 0000000000000000";

fn packet(seal: &ha::wire::Seal) -> String {
    let digits: Vec<u8> = PACKET.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .chain([0; ha::wire::heartbeat::TAG_LEN])
        .collect();
    let said = ha::wire::Heartbeat::parse(&bytes).unwrap();
    seal.sign(&said).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `ha decode` says of it, but for the tag.
const WORDS: &str = "\
kind       heartbeat
group      1
state      active
flags      settled,sticky,ready
release    1.0
worthiness 100
node       10.0.0.11
following  10.0.0.11
boot       c74999fc160ba1f9
seq        5
interval   100ms
hold       350ms
addresses  10fe581e
nonce      0000000000000000
tag        ";

#[test]
fn decode_says_every_field() {
    let digits = packet(&ha::wire::Seal::public(ha::wire::Context::of_group(1)));
    let spaced: String = digits.chars().enumerate().map(|(at, c)| format!("{c}{}", ["", " ", "\n"][at % 3])).collect();
    for hex in [digits.clone(), digits.to_uppercase(), spaced] {
        let output = ha(&["decode", &hex]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), said), (Some(0), format!("{WORDS}right for no key\n").into()));
    }
    let mut damaged = digits.into_bytes();
    let last = damaged.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let output = ha(&["decode", std::str::from_utf8(&damaged).unwrap()]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{WORDS}wrong without a key\n"));
}

#[test]
fn decode_reads_standard_input() {
    let directory = Directory::new("decode");
    let file = directory.file("packet", packet(&ha::wire::Seal::public(ha::wire::Context::of_group(1))) + "\n", 0o644);
    let output = finish(command(&["decode", "-"]).stdin(File::open(&file).unwrap()));
    let said = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(said, ("".into(), format!("{WORDS}right for no key\n").into()));

    let mut complaints = Complaints::default();
    complaints.expect_refusal("nothing", &ha(&["decode", "-"]), &["0 bytes", "expected 192 hexadecimal digits"]);
    let binary = directory.file("binary", [0xff; 96], 0o644);
    let output = finish(command(&["decode", "-"]).stdin(File::open(&binary).unwrap()));
    complaints.expect_refusal(
        "bytes instead of digits",
        &output,
        &["standard input", "expected 192 hexadecimal digits"],
    );
    let endless = finish(command(&["decode", "-"]).stdin(File::open("/dev/zero").unwrap()));
    complaints.expect_refusal("without end", &endless, &["expected 192 hexadecimal digits"]);
}

#[test]
fn decode_checks_the_tag_with_a_key() {
    let directory = Directory::new("tag");
    let key = directory.file("ha.key", "07".repeat(32), 0o600);
    let sealed = packet(&ha::wire::Seal::keyed(&[ha::wire::Key::from_bytes([7; 32])], ha::wire::Context::of_group(1)));
    for (hex, tag) in [
        (&sealed, "right for this key"),
        (&packet(&ha::wire::Seal::public(ha::wire::Context::of_group(1))), "wrong for this key"),
    ] {
        let output = ha(&["decode", "--key-file", &key, hex]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{WORDS}{tag}\n"));
    }
    let elsewhere = ha(&["decode", "--key-file", &key, "--multicast", "239.2.3.4:5556", &sealed]);
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout), format!("{WORDS}wrong for this key\n"), "of another group");
    let by_ipv6 = ["decode", "--key-file", &key, "--multicast", "[ff12::6861]:5555"];
    let elsewhere = ha(&[&by_ipv6[..], &[&sealed]].concat());
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout), format!("{WORDS}wrong for this key\n"), "over IPv4");
    let context =
        ha::wire::Context { multicast: "[ff12::6861]:5555".parse().unwrap(), ..ha::wire::Context::of_group(1) };
    let sealed_there = packet(&ha::wire::Seal::keyed(&[ha::wire::Key::from_bytes([7; 32])], context));
    let there = ha(&[&by_ipv6[..], &[&sealed_there]].concat());
    assert_eq!(String::from_utf8_lossy(&there.stdout), format!("{WORDS}right for this key\n"));
    let refused = ha(&["decode", "--multicast", "10.0.0.1:5555", &sealed]);
    let mut complaints = Complaints::default();
    complaints.expect_refusal("no group", &refused, &["--multicast 10.0.0.1:5555: expected a multicast address"]);
    let output = ha(&["decode", &sealed]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{WORDS}wrong without a key\n"));
}

#[test]
fn decode_refuses_what_is_no_heartbeat() {
    let good = packet(&ha::wire::Seal::public(ha::wire::Context::of_group(1)));
    let with = |at: usize, digits: &str| format!("{}{digits}{}", &good[..at], &good[at + digits.len()..]);
    let expected = "expected 192 hexadecimal digits";
    let version_1 = format!("6861010101{}", "00".repeat(88));
    let mut complaints = Complaints::default();
    for (hex, what) in [
        (String::new(), "0 bytes"),
        ("00".to_owned(), "1 bytes: not 96 bytes long"),
        ("0".to_owned(), "1 characters"),
        ("zz".to_owned(), "2 characters"),
        (format!("0x{good}"), "194 characters"),
        (good[2..].to_owned(), "95 bytes: not 96 bytes long"),
        (format!("{good}00"), "97 bytes: not 96 bytes long"),
        (good.replace("6861", "6862"), "does not begin with the magic `ha`"),
        (with(4, "03"), "96 bytes: version 3 of the protocol, not 2"),
        (version_1, "93 bytes: version 1 of the protocol, not 2"),
        (with(6, "ff"), "a field holds a value without meaning"),
        (with(10, "04"), "a field holds a value without meaning"),
        (with(8, "00"), "a field holds a value without meaning"),
    ] {
        complaints.expect_refusal(&hex, &ha(&["decode", &hex]), &[what, expected]);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_trouble() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["keygen"], &["bogus"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command(arguments).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        let status = child.wait().unwrap();
        assert!(status.code().is_some_and(|code| code <= 2), "{arguments:?}: {status}");
    }
}

#[test]
fn a_full_disk_does_not_crash_it() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["bogus"]] {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let status = command(arguments).stdout(full()).stderr(full()).status().unwrap();
        assert!(status.code().is_some_and(|code| code <= 2), "{arguments:?}: {status}");
    }
}

/// `ha keygen > /etc/ha.key` on a full disk must not look as if there were a key now.
#[test]
fn a_key_that_could_not_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["keygen"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("ha: ") && said.lines().count() == 1, "{said:?}");
}

#[test]
fn nothing_is_read_from_standard_input_but_for_decode() {
    let mut child = command(&["keygen"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    assert!(child.wait().unwrap().success());
    let _ = input.write_all(b"nobody reads this");
}
