//! `ha run` in a namespace.

use std::cell::Cell;
use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::lan::{Namespace, SHARED_CIDR};
use crate::lines::{Lines, PATIENCE, Running};
use crate::program;

/// Timing that does not try anybody's patience, and no deaf ports.
pub const FAST: &[&str] = &["--interval", "100ms", "--tolerance", "350ms", "--link-delay", "0s"];

/// A daemon; killed when this value is dropped.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    log: Lines,
    read: Cell<usize>,
}

impl Daemon {
    /// Starts one for the shared address on `eth0`, with fast timing; `more` comes last.
    pub fn fast(host: &Namespace, more: &[&str]) -> Self {
        Self::start(host, &[FAST, &["--address", SHARED_CIDR], more].concat())
    }

    /// Starts one on `eth0` with these options.
    pub fn start(host: &Namespace, options: &[&str]) -> Self {
        let mut command = host.command(&program());
        command.args(["run", "--interface", "eth0"]).args(options);
        Self::spawn(command)
    }

    /// Runs a command that is, or becomes, the daemon.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        Self { running: Running(child), log, read: Cell::new(0) }
    }

    /// Waits for a line with this text, after the one that was waited for last; returns when it was read.
    pub fn says(&self, text: &str) -> SystemTime {
        self.says_within(text, PATIENCE)
    }

    /// The same, with other patience.
    pub fn says_within(&self, text: &str, patience: Duration) -> SystemTime {
        let from = self.read.get();
        let (index, at) = self.log.wait(format!("`{text}` after line {from}"), patience, |lines| {
            let index = from + lines.get(from..)?.iter().position(|(_, line)| line.contains(text))?;
            Some((index, lines[index].0))
        });
        self.read.set(index + 1);
        at
    }

    /// How many lines so far contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.log.count(text)
    }

    /// All that it said so far.
    pub fn log(&self) -> String {
        let lines: Vec<_> = self.log.so_far().into_iter().map(|(_, line)| line).collect();
        lines.join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.0), signal).unwrap();
    }

    /// Sends a signal to the worker.
    pub fn signal_worker(&self, signal: Signal) {
        let worker = i32::try_from(self.worker()).unwrap();
        kill_process(Pid::from_raw(worker).unwrap(), signal).unwrap();
    }

    /// Sends a signal to both processes, to the worker first: on a busy machine the keeper would find that it has stalled.
    pub fn signal_both(&self, signal: Signal) {
        self.signal_worker(signal);
        self.signal(signal);
    }

    /// The process that hears the network: the only child, as long as no hook runs.
    pub fn worker(&self) -> u32 {
        let keeper = self.pid();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        children.split_whitespace().next().unwrap_or_else(|| panic!("no worker:\n{}", self.log())).parse().unwrap()
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.running.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "did not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that it said until its end.
    pub fn whole_log(&self) -> String {
        self.log.to_end()
    }
}
