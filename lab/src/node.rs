//! A node: one daemon, with all its processes, in a namespace of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::register;
use crate::frames::Mac;
use crate::keepalived;
use crate::net::{Lab, SHARED, SHARED_SIX};
use crate::place::Place;
use crate::sys::{self, Signal};
use crate::timing::Timing;
use crate::usage::Usage;

/// Which daemon runs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Ours.
    Ha,
    /// The one that the lab measures beside it.
    Keepalived,
}

/// What all daemons of a group are started with.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The daemon.
    pub program: Program,
    /// Interval and tolerance. keepalived has no tolerance of its own: it waits for three intervals and a fraction.
    pub timing: Timing,
    /// Whether they share an address of IPv6, too.
    pub has_six: bool,
    /// More options of `ha`.
    pub options: &'static [&'static str],
}

impl Setup {
    /// `program` with nothing but a timing.
    pub const fn new(program: Program, timing: Timing) -> Self {
        Self { program, timing, has_six: false, options: &[] }
    }
}

/// One of the two processes of `ha`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The process that the lab starts. It has the privileges.
    Keeper,
    /// Its child, which runs the state machine.
    Worker,
}

impl Part {
    /// Its name in texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Worker => "worker",
        }
    }
}

/// How many datagrams a node has received and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Datagrams that the daemon got.
    pub received: u32,
    /// Datagrams that the kernel dropped because the socket was full.
    pub lost: u32,
}

/// A daemon that was started.
#[derive(Debug)]
pub struct Node {
    number: u8,
    child: Child,
    group: i32,
    log: PathBuf,
    has_ended: bool,
}

impl Node {
    /// Starts a daemon on node `number`, in a process group of its own; its log goes to the end of a file in `logs`.
    ///
    /// # Errors
    /// When it cannot be started. Where there is no keepalived, that is a reason to skip.
    pub fn start(place: Place<'_>, lab: &Lab, number: u8, worthiness: u16, setup: Setup) -> io::Result<Self> {
        let log = place.logs.join(format!("n{number}.log"));
        let mut command = match setup.program {
            Program::Ha => ha(place, number, worthiness, setup),
            Program::Keepalived => {
                keepalived::command(place.logs, number, worthiness, setup.timing.interval, setup.has_six)?
            }
        };
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0);
        sys::confine(&mut command, File::open(lab.namespace(&format!("n{number}")))?);
        let mut register = register();
        let child = command.spawn().map_err(|error| match setup.program {
            Program::Ha => io::Error::new(error.kind(), format!("cannot start {}: {error}", place.ha.display())),
            Program::Keepalived => keepalived::refusal(&error),
        })?;
        let group = i32::try_from(child.id()).map_err(io::Error::other)?;
        register.add_group(group);
        Ok(Self { number, child, group, log, has_ended: false })
    }

    /// Sends a signal to all its processes at once.
    pub fn signal(&self, signal: Signal) {
        if !self.has_ended {
            sys::signal(-self.group, signal);
        }
    }

    /// The process id of a part.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn pid(&mut self, part: Part) -> io::Result<i32> {
        let number = self.number;
        let missing = |what| io::Error::other(format!("node {number}: {what}"));
        if !self.is_running() {
            return Err(missing("its keeper has ended"));
        }
        match part {
            Part::Keeper => Ok(self.group),
            Part::Worker => only_child(self.group).ok_or_else(|| missing("its keeper has no worker")),
        }
    }

    /// What a part has used.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn usage_of(&mut self, part: Part) -> io::Result<Usage> {
        Usage::of(&[self.pid(part)?])
    }

    /// What all its processes have used.
    ///
    /// # Errors
    /// When one of them ends meanwhile.
    pub fn usage(&self) -> io::Result<Usage> {
        Usage::of(&family(self.group))
    }

    /// How many datagrams the node has received and lost (`Udp` of /proc/net/snmp).
    ///
    /// # Errors
    /// When there is no such process.
    pub fn datagrams(&mut self) -> io::Result<Datagrams> {
        let path = format!("/proc/{}/net/snmp", self.pid(Part::Keeper)?);
        let text = fs::read_to_string(&path).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
        datagrams(&text).ok_or_else(|| io::Error::other(format!("{path}: no datagrams")))
    }

    /// Its log from byte `from` on.
    pub fn log_from(&self, from: usize) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(from..).unwrap_or_default()).into_owned()
    }

    /// Memory of a part in kilobytes. Of shared pages its share counts (`Pss` of proc(5)).
    ///
    /// # Errors
    /// When there is no such process, or its memory is secret.
    pub fn pss_kb(&mut self, part: Part) -> io::Result<u32> {
        let path = format!("/proc/{}/smaps_rollup", self.pid(part)?);
        let text = fs::read_to_string(&path).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
        pss_kb(&text).ok_or_else(|| io::Error::other(format!("{path}: no line Pss")))
    }

    /// After SIGTERM: waits until the daemon has ended, and refuses any exit but a good one.
    ///
    /// # Errors
    /// When it takes more than `limit` or ends badly.
    pub fn wait_for_good_end(&mut self, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                self.end();
                return match (status.code(), status.signal()) {
                    (Some(0), _) => Ok(()),
                    (code, signal) => {
                        Err(io::Error::other(format!("exit code {code:?}, signal {signal:?} at SIGTERM")))
                    }
                };
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other(format!("still running {limit:?} after SIGTERM")))
    }

    /// Whether the daemon runs.
    pub fn is_running(&mut self) -> bool {
        !self.has_ended && matches!(self.child.try_wait(), Ok(None))
    }

    /// The MAC of its interface.
    pub fn mac(&self) -> Mac {
        Mac::of(self.number)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        tail.iter().map(|line| format!("    n{} | {line}\n", self.number)).collect()
    }

    fn end(&mut self) {
        if self.has_ended {
            return;
        }
        let mut register = register();
        sys::signal(-self.group, Signal::SIGKILL);
        let _ = self.child.wait(); // SIGKILL has ended it
        register.drop_group(self.group);
        self.has_ended = true;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// The command that runs `ha`. If there is a key file for the node, its heartbeats are signed.
fn ha(place: Place<'_>, number: u8, worthiness: u16, setup: Setup) -> Command {
    let Place { ha, logs, options, .. } = place;
    let mut command = Command::new(ha);
    command
        .args(["run", "--config", "/dev/null", "--interface", "eth0", "--group", "7"])
        .args(["--address", &format!("{SHARED}/24"), "--worthiness", &worthiness.to_string()])
        .args(["--interval", &setup.timing.interval_option(), "--tolerance", &setup.timing.tolerance_option()])
        .args(setup.options)
        .args(options);
    if setup.has_six {
        command.args(["--address", &format!("{SHARED_SIX}/64")]);
    }
    let keys = key_file(logs, number);
    if keys.exists() {
        command.arg("--key-file").arg(keys);
    }
    command
}

/// A keeper's only child is its worker, as long as no hook runs; the lab has no hooks.
fn only_child(pid: i32) -> Option<i32> {
    children(pid).first().copied()
}

/// A process, its children, and theirs.
fn family(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The key file of a node, which need not exist.
pub fn key_file(logs: &Path, number: u8) -> PathBuf {
    logs.join(format!("n{number}.key"))
}

fn datagrams(snmp: &str) -> Option<Datagrams> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let columns: Vec<_> = lines.next()?.split(' ').zip(lines.next()?.split(' ')).collect();
    let column = |name| columns.iter().find(|(column, _)| *column == name)?.1.parse().ok();
    Some(Datagrams { received: column("InDatagrams")?, lost: column("RcvbufErrors")? })
}

fn pss_kb(smaps_rollup: &str) -> Option<u32> {
    let line = smaps_rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

const LOG_TAIL: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_line_pss_and_no_other() {
        let text = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:  912 kB\nPss:                 233 kB\nPss_Dirty:  90 kB\n";
        assert_eq!(pss_kb(text), Some(233));
        assert_eq!(pss_kb("Pss_Dirty:  90 kB\n"), None);
        assert_eq!(pss_kb(&fs::read_to_string("/proc/self/smaps_rollup").unwrap()).map(|kb| kb > 0), Some(true));
    }

    #[test]
    fn datagrams_are_counted_in_the_columns_of_their_names() {
        let snmp =
            "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 7 1 2 3 5\nUdpLite: InDatagrams\n";
        assert_eq!(datagrams(snmp), Some(Datagrams { received: 7, lost: 5 }));
        assert!(datagrams(&fs::read_to_string("/proc/self/net/snmp").unwrap()).is_some());
    }

    /// A shell with a child, and the child.
    fn parent_and_child(script: &str) -> (Child, i32) {
        let mut parent = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(parent.stdout.take().unwrap()), &mut line).unwrap();
        (parent, line.trim().parse().unwrap())
    }

    #[test]
    fn a_worker_is_the_child_of_its_keeper() {
        let (mut parent, child) = parent_and_child("sleep 60 & echo $!; wait");
        let found = only_child(parent.id().try_into().unwrap());
        sys::signal(child, Signal::SIGKILL);
        parent.wait().unwrap();
        assert_eq!(found, Some(child));
    }

    #[test]
    fn a_family_is_a_process_with_its_children_and_theirs() {
        let (mut parent, grandchild) = parent_and_child("sh -c 'sleep 60 & echo $!; wait; exit' & wait");
        let pid = parent.id().try_into().unwrap();
        let found = family(pid);
        sys::signal(grandchild, Signal::SIGKILL);
        parent.wait().unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!((found[0], found[2]), (pid, grandchild));
    }
}
