//! Children that this process did not start: the first process of a container inherits all those whose parents have ended, and
//! a program that a shell has called exec for has the shell's. When they end they stay in the table of processes until they are
//! reaped.

use rustix::process::{Pid, WaitOptions, waitpid};

use super::Keeper;
use crate::linux;

impl Keeper {
    /// Reaps those that have ended, as long as none of our own is among them: what reaps these wants to know how they ended.
    /// True if there may be more.
    pub(super) fn reap_orphans(&self) -> bool {
        for _ in 0..MAX_AT_ONCE {
            match linux::process::ended_child() {
                None => return false,
                Some(pid) if self.is_ours(pid) => return true,
                Some(pid) => drop(waitpid(Some(pid), WaitOptions::NOHANG)),
            }
        }
        true
    }

    fn is_ours(&self, pid: Pid) -> bool {
        self.workers.has(pid) || self.keys.pid() == Some(pid) || self.hooks.pid() == Some(pid)
    }
}

/// Between two looks at all else.
const MAX_AT_ONCE: usize = 64;
