//! Removes labs and daemons at the end of this process, however it ends.
//!
//! The register lists labs before they are built and process groups as soon as they run, until they are gone. A signal
//! or a panic removes everything on the list, and holds its lock meanwhile, so that no thread adds to it. If SIGKILL
//! ends this process, the daemons die with the thread that started them, and the next run removes the namespaces.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use crate::script;
use crate::sys::{self, Signal};

/// The list of what to remove.
#[derive(Debug)]
pub struct Register {
    labs: BTreeSet<String>,
    groups: BTreeSet<i32>,
}

impl Register {
    /// Adds a lab, which may exist from now on, by its prefix.
    pub fn add_lab(&mut self, prefix: &str) {
        self.labs.insert(prefix.to_owned());
    }

    /// Drops a lab, which exists no more.
    pub fn drop_lab(&mut self, prefix: &str) {
        self.labs.remove(prefix);
    }

    /// Adds a process group, which runs from now on.
    pub fn add_group(&mut self, group: i32) {
        self.groups.insert(group);
    }

    /// Drops a process group, which has ended and been waited for.
    pub fn drop_group(&mut self, group: i32) {
        self.groups.remove(&group);
    }

    fn clear(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            sys::signal(-group, Signal::SIGKILL);
        }
        for prefix in std::mem::take(&mut self.labs) {
            if let Err(error) = script::run(&prefix, &["down"]) {
                eprintln!("ha-lab: lab {prefix}: {error}");
            }
        }
    }
}

/// Locks the list. A signal does not end this process before the lock is free.
pub fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Arranges for SIGINT, SIGTERM, SIGHUP and panics to leave nothing behind. Call it before any thread starts.
///
/// # Errors
/// When no thread can be started.
pub fn arm() -> io::Result<()> {
    sys::block_termination()?;
    thread::Builder::new().name("end".into()).spawn(|| {
        let signal = sys::wait_for_termination();
        let mut register = register();
        eprintln!("\nha-lab: interrupted, removing the lab");
        register.clear();
        std::process::exit(128 + signal as i32);
    })?;
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        // The lock is ours if the panic happened while we held it; then the list is as good as it will get.
        match REGISTER.try_lock() {
            Ok(mut register) => register.clear(),
            Err(TryLockError::Poisoned(error)) => error.into_inner().clear(),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_secs(1)),
        }
        std::process::exit(101);
    }));
    Ok(())
}

static REGISTER: Mutex<Register> = Mutex::new(Register { labs: BTreeSet::new(), groups: BTreeSet::new() });
