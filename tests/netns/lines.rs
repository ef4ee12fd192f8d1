//! What a program says, line by line, each with the time at which it was read.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long anything may take that happens at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A program that does not outlive this value.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// Everything that was read so far.
#[derive(Debug, Clone)]
pub struct Lines(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<(SystemTime, String)>,
    is_closed: bool,
}

impl Seen {
    fn text(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }
}

impl Lines {
    /// Reads until the other side closes.
    pub fn of(source: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let ours = lines.clone();
        thread::spawn(move || {
            let (seen, news) = &*ours.0;
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                seen.lock().unwrap().lines.push((SystemTime::now(), line));
                news.notify_all();
            }
            seen.lock().unwrap().is_closed = true;
            news.notify_all();
        });
        lines
    }

    /// Waits until `find` returns something for all lines seen so far.
    ///
    /// # Panics
    /// After `patience`, or when no more lines can come, with all that was said.
    pub fn wait<T>(
        &self,
        what: impl Display,
        patience: Duration,
        mut find: impl FnMut(&[(SystemTime, String)]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        let (seen, news) = &*self.0;
        let mut seen = seen.lock().unwrap();
        loop {
            if let Some(found) = find(&seen.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.is_closed {
                let text = seen.text();
                drop(seen);
                panic!("waited {patience:?} for {what} in:\n{text}");
            }
            seen = news.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits until the other side has closed; returns all that it said.
    pub fn to_end(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (seen, news) = &*self.0;
        let mut seen = seen.lock().unwrap();
        while !seen.is_closed && Instant::now() < deadline {
            seen = news.wait_timeout(seen, PATIENCE).unwrap().0;
        }
        seen.text()
    }

    /// All lines so far.
    pub fn so_far(&self) -> Vec<(SystemTime, String)> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// How many lines so far contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.so_far().iter().filter(|(_, line)| line.contains(text)).count()
    }
}

/// Waits until `condition` holds, asking often.
///
/// # Panics
/// After `patience`.
pub fn eventually(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
