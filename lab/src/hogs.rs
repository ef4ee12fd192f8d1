//! Processors that have no time: a thread for each of them that computes without end.

use std::hint;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The threads, which end when the value is dropped.
#[derive(Debug)]
pub struct Hogs {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// As many as there are processors, at the priority of any program.
    ///
    /// # Errors
    /// When a thread is refused.
    pub fn start() -> io::Result<Self> {
        let mut hogs = Self { end: Arc::default(), threads: Vec::new() };
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let end = hogs.end.clone();
            let compute = move || {
                while !end.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            };
            hogs.threads.push(thread::Builder::new().name("hog".into()).spawn(compute)?);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // it cannot panic
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::usage::Usage;

    #[test]
    fn they_take_the_time_of_the_processors_and_end() {
        let pid = [i32::try_from(std::process::id()).unwrap()];
        let hogs = Hogs::start().unwrap();
        let before = Usage::of(&pid).unwrap();
        thread::sleep(Duration::from_millis(300));
        let used = Usage::of(&pid).unwrap().since(before);
        drop(hogs);
        assert!(used.busy > Duration::from_millis(100), "{used:?}");
    }
}
