//! Many runs: those that mostly wait run side by side, those that count milliseconds run alone.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::chaos::{Chaos, Verdict};
use crate::net;
use crate::outcome::Outcome;
use crate::picture;
use crate::place::Place;
use crate::scenario::Plan;
use crate::script;

/// What all runs share.
#[derive(Debug)]
pub struct Runner {
    ha: PathBuf,
    prefix: String,
    logs: PathBuf,
    options: Vec<String>,
    _reservation: UnixListener,
}

impl Runner {
    /// For the daemon `ha` with these options besides those of the lab. Removes what a crashed run of the same prefix
    /// has left, and the logs of the last run.
    ///
    /// # Errors
    /// When there is no such program, when another process uses this prefix, or when the script cannot remove a lab.
    pub fn new(ha: &Path, prefix: &str, options: Vec<String>) -> io::Result<Self> {
        let ha = ha
            .canonicalize()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}; `make` builds it", ha.display())))?;
        let reservation = net::reserve(prefix)?;
        for worker in 0..SIDE_BY_SIDE {
            script::run(&format!("{prefix}-r{worker}"), &["down"])?;
        }
        let logs = Path::new("/run/ha-lab").join(prefix);
        let _ = std::fs::remove_dir_all(&logs); // there may be nothing to remove
        std::fs::create_dir_all(&logs)?;
        Ok(Self { ha, prefix: format!("{prefix}-r"), logs, options, _reservation: reservation })
    }

    /// Makes all the runs and prints a line for each; they come back in the order of `plans`.
    pub fn run(&self, plans: &[Plan]) -> Vec<Outcome> {
        let indexed = || plans.iter().copied().enumerate();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; plans.len()];
        let (delicate, mut slow): (Vec<_>, Vec<_>) = indexed().partition(|(_, plan)| plan.is_delicate());
        slow.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.scenario.is_long));
        for (work, workers) in [(slow, SIDE_BY_SIDE), (delicate, 1)] {
            for (index, outcome) in self.run_by(workers, work, plans.len()) {
                outcomes[index] = Some(outcome);
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Plays random signals in a lab of their own.
    ///
    /// # Errors
    /// When the lab cannot be built, or the recording proves nothing.
    pub fn chaos(&self, chaos: &Chaos) -> io::Result<Verdict> {
        let (prefix, logs) = (format!("{}0", self.prefix), self.logs_of("chaos")?);
        chaos.play(self.place(&prefix, &logs))
    }

    /// Draws a picture of one take-over, as SVG.
    ///
    /// # Errors
    /// When no take-over was captured.
    pub fn picture(&self) -> io::Result<String> {
        let (prefix, logs) = (format!("{}0", self.prefix), self.logs_of("picture")?);
        picture::take(self.place(&prefix, &logs))
    }

    /// Where the logs of all nodes of all runs are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Removes the logs.
    pub fn forget_logs(&self) {
        let _ = std::fs::remove_dir_all(&self.logs); // the next run tries again
    }

    fn run_by(&self, workers: usize, work: Vec<(usize, Plan)>, of: usize) -> Vec<(usize, Outcome)> {
        let queue = Mutex::new(VecDeque::from(work));
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for worker in 0..workers {
                let (queue, done) = (&queue, &done);
                scope.spawn(move || {
                    let prefix = format!("{}{worker}", self.prefix);
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some((index, plan)) = next else { break };
                        let outcome = self.play(&prefix, index, &plan);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        crate::report::progress(index + 1, of, &outcome);
                        done.push((index, outcome));
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, prefix: &str, index: usize, plan: &Plan) -> Outcome {
        let logs = self.logs_of(&format!("{:03}-{}", index + 1, plan.scenario.name));
        match logs {
            Ok(logs) => plan.play(self.place(prefix, &logs)),
            Err(error) => {
                let mut outcome = Outcome::new(plan.scenario.name, &plan.run);
                outcome.failure = Some(error.to_string());
                outcome
            }
        }
    }

    fn place<'a>(&'a self, prefix: &'a str, logs: &'a Path) -> Place<'a> {
        Place { ha: &self.ha, prefix, logs, options: &self.options }
    }

    fn logs_of(&self, name: &str) -> io::Result<PathBuf> {
        let logs = self.logs.join(name);
        std::fs::create_dir_all(&logs)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", logs.display())))?;
        Ok(logs)
    }
}

/// A probe takes 5 % of a processor, and most of a run is waiting for a tolerance.
const SIDE_BY_SIDE: usize = 2;
