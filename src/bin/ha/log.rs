//! Log lines to stderr or to /dev/log, without allocation and without ever waiting for a reader.

use std::fmt::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ha::time::Duration;
use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::io;
use rustix::net::{self, SocketAddrUnix};
use rustix::stdio::stderr;

use crate::unix;
use crate::watch::Watch;

/// Starts logging; `to_syslog` sends to /dev/log, or to stderr as long as nobody listens there.
pub fn start(level: LevelFilter, to_syslog: bool) {
    set_pid();
    assert!(log::set_logger(&Logger).is_ok(), "this is the only one");
    log::set_max_level(level);
    if to_syslog {
        let opened = unix::socket().map(|socket| SYSLOG.set(socket));
        if let Err(error) = opened.and_then(|_| connect()) {
            warn!("syslog to /dev/log: {error}; to standard error until that can be reached");
        }
    }
}

/// The syslog daemon may have come, or another one in its place: lines go there from now on, those of the worker too,
/// which has the same socket and cannot do this by itself.
pub fn follow_syslog() {
    let was_reached = IS_REACHED.load(Ordering::Relaxed);
    if connect().is_ok() && !was_reached {
        info!("syslog to /dev/log from here on");
    }
}

fn connect() -> io::Result<()> {
    let Some(socket) = SYSLOG.get() else { return Ok(()) };
    let outcome = SocketAddrUnix::new(c"/dev/log").and_then(|address| net::connect(socket, &address));
    IS_REACHED.store(outcome.is_ok(), Ordering::Relaxed);
    outcome
}

/// Hands a line to the logger. One function, and five macros that call it: those of the crate put file, module and line, which
/// no line shows, beside each of their calls, and 100 bytes of code with them.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if level <= log::max_level() {
        log::logger().log(&Record::builder().level(level).args(text).build());
    }
}

macro_rules! error { ($($text:tt)+) => { $crate::log::line(::log::Level::Error, format_args!($($text)+)) } }
macro_rules! warning { ($($text:tt)+) => { $crate::log::line(::log::Level::Warn, format_args!($($text)+)) } }
macro_rules! info { ($($text:tt)+) => { $crate::log::line(::log::Level::Info, format_args!($($text)+)) } }
macro_rules! debug { ($($text:tt)+) => { $crate::log::line(::log::Level::Debug, format_args!($($text)+)) } }
pub(crate) use {debug, error, info, warning as warn};

/// This process is another one now.
pub fn set_pid() {
    PID.store(std::process::id(), Ordering::Relaxed);
}

/// The descriptor that lines go to, if it is not standard error.
pub fn descriptor() -> Option<RawFd> {
    SYSLOG.get().map(AsRawFd::as_raw_fd)
}

static PID: AtomicU32 = AtomicU32::new(0);
/// None if nobody asked for it.
static SYSLOG: OnceLock<OwnedFd> = OnceLock::new();
static IS_REACHED: AtomicBool = AtomicBool::new(true);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Writing to a line cannot fail: what does not fit is cut.
        if let Some(socket) = SYSLOG.get() {
            let mut line = Line::default();
            let (code, pid) = (FACILITY_DAEMON | severity(record.level()), PID.load(Ordering::Relaxed));
            let _ = write!(line, "<{code}>ha[{pid}]: {}", record.args());
            if io::write(socket, line.bytes()).is_ok() {
                return;
            }
        }
        let mut line = Line::default();
        let _ = writeln!(line, "{}{}", prefix(record.level()), record.args());
        write_now(line.bytes());
    }

    fn flush(&self) {}
}

/// Writes to stderr if that does not block: a stuck reader must not hold up heartbeats.
fn write_now(bytes: &[u8]) {
    let mut watch = Watch::<1>::default();
    let place = watch.add_writer(stderr());
    if watch.wait(Some(Duration::ZERO)).is_ok() && watch.is_ready(place) {
        let _ = io::write(stderr(), bytes);
    }
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
        Level::Trace => "trace: ",
    }
}

/// RFC 5424 section 6.2.1.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

const FACILITY_DAEMON: u8 = 3 << 3;

/// One line, cut at 400 bytes; its last byte is a line feed if it was cut.
#[derive(Default)]
struct Line {
    text: heapless::Vec<u8, LINE_LEN>,
}

impl Line {
    fn bytes(&self) -> &[u8] {
        &self.text
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.capacity() - self.text.len();
        let cut = &text.as_bytes()[..text.len().min(room)];
        let written = self.text.extend_from_slice(cut);
        if cut.len() < text.len()
            && let Some(last) = self.text.last_mut()
        {
            *last = b'\n';
        }
        written.map_err(|_| fmt::Error)
    }
}

const LINE_LEN: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_still_ends() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.write_str("0123456789").unwrap();
        }
        assert_eq!((line.bytes().len(), line.bytes().last()), (LINE_LEN, Some(&b'\n')));
    }
}
