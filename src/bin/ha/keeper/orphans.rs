//! Children that this process did not start: the first process of a container inherits all whose parents have ended, and who is
//! started in the place of a shell has the shell's. Ended, they stay in the table of processes until somebody takes leave of them.

use rustix::process::{Pid, WaitOptions, waitpid};

use super::Keeper;
use crate::linux;

impl Keeper {
    /// Takes leave of those that have ended, as long as none of our own is among them: for these others do it, who want to know how
    /// they ended. True if there may be more.
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
        let mut staff = self.worker.iter().chain(&self.corpse).map(|staff| staff.pid);
        staff.any(|ours| ours == pid) || self.reader.pid() == Some(pid) || self.hooks.pid() == Some(pid)
    }
}

/// Between two looks at all else.
const MAX_AT_ONCE: usize = 64;
