//! A node: one daemon, with all its processes, in a namespace of its own.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::register;
use crate::frames::Mac;
use crate::net::{Lab, SHARED};
use crate::sys;
use crate::timing::Timing;

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
    /// Starts `ha` on node `number`, in a process group of its own; its log goes to a file in `logs`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(ha: &Path, lab: &Lab, number: u8, worthiness: u16, timing: Timing, logs: &Path) -> io::Result<Self> {
        let log = logs.join(format!("n{number}.log"));
        let mut command = Command::new(ha);
        command
            .args(["run", "--config", "/dev/null", "--interface", "eth0", "--group", "7"])
            .args(["--address", &format!("{SHARED}/24"), "--worthiness", &worthiness.to_string()])
            .args(["--interval", &timing.interval_option(), "--tolerance", &timing.tolerance_option()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .process_group(0);
        sys::confine(&mut command, File::open(lab.namespace(&format!("n{number}")))?);
        let mut register = register();
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {}: {error}", ha.display())))?;
        let group = i32::try_from(child.id()).map_err(io::Error::other)?;
        register.add_group(group);
        Ok(Self { number, child, group, log, has_ended: false })
    }

    /// Sends a signal to all its processes at once.
    pub fn signal(&self, signal: i32) {
        if !self.has_ended {
            sys::signal(-self.group, signal);
        }
    }

    /// Asks the daemon itself to end, waits for it, and refuses any exit but a good one.
    ///
    /// # Errors
    /// When it takes more than two seconds or ends badly.
    pub fn wait_for_good_end(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(2);
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
        Err(io::Error::other("still running 2 s after SIGTERM"))
    }

    /// Whether the daemon is there, and has not ended by itself.
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
        sys::signal(-self.group, libc::SIGKILL);
        let _ = self.child.wait(); // it is dead, or never was
        register.drop_group(self.group);
        self.has_ended = true;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

const LOG_TAIL: usize = 12;
