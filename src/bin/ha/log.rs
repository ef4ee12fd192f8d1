//! Log lines to standard error or to /dev/log, without allocation and without ever waiting for a reader.
//!
//! A line is one line whatever is in it, and a cause writes [60 of them a minute](limit). A line that is not read in time is
//! lost: it is counted, and the next line that gets through says how many were lost.

use std::fmt::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::io::{self, Errno};
use rustix::net::{self, SocketAddrUnix};
use rustix::stdio::stderr;

use crate::linux::once::Once;
use crate::linux::{clock, file, unix};

mod limit;
mod line;
mod outlet;
pub mod panic;

pub use limit::Cause;
use limit::Limits;
use line::Line;
use outlet::Outlet;

/// Starts logging; `to_syslog` sends to /dev/log, or to stderr as long as no syslog daemon listens there.
pub fn start(level: LevelFilter, to_syslog: bool) {
    set_pid();
    let (outlet, opened) = Outlet::open();
    assert!(OUTLET.set(outlet).is_ok() && log::set_logger(&Logger).is_ok(), "this is the only one");
    log::set_max_level(level);
    if let Err(errno) = opened {
        info!("standard error cannot be opened again: {errno}; a line may wait until it is read");
    }
    if to_syslog {
        let opened = unix::socket().map(|socket| SYSLOG.set(socket));
        if let Err(error) = opened.and_then(|_| connect()) {
            warn!("syslog: connect to /dev/log: {error}; lines go to standard error until it can be reached");
        }
    }
}

/// The syslog daemon may have come, or another one in its place: lines go there from now on, those of the worker too,
/// which has the same socket and cannot do this by itself.
pub fn follow_syslog() {
    let was_reached = IS_REACHED.load(Ordering::Relaxed);
    if connect().is_ok() && !was_reached {
        info!("syslog: lines go to /dev/log from here on");
    }
}

fn connect() -> io::Result<()> {
    let Some(socket) = SYSLOG.get() else { return Ok(()) };
    let outcome = SocketAddrUnix::new(c"/dev/log").and_then(|address| net::connect(socket, &address));
    IS_REACHED.store(outcome.is_ok(), Ordering::Relaxed);
    outcome
}

/// Writes the lines that are due without another one: how many lines were lost, and how many were held back.
pub fn catch_up() {
    if let Some(outlet) = OUTLET.get() {
        report_lost(outlet);
        let now = clock::now();
        while let Some(held) = LIMITS.try_lock().ok().and_then(|mut limits| limits.due(now)) {
            let level = held.level;
            log(level, format_args!("{} more lines like this held back in a minute: {}", held.lines, held.example));
            match LIMITS.try_lock().map_or(0, |mut limits| limits.others()) {
                0 => {}
                others => log(level, format_args!("{others} lines of other kinds held back")),
            }
        }
    }
}

/// Writes a line, if its cause has not written too many. One function, and five macros that call it: those of the crate put file,
/// module and line, which no line shows, beside each of their calls, and 100 bytes of code with them.
pub fn line(cause: &'static Cause, level: Level, text: fmt::Arguments<'_>) {
    if admit(cause, 1, level, text) {
        log(level, text);
    }
}

/// Counts `lines` of `cause`, the first of which is `text`; true if they may be written.
pub fn admit(cause: &'static Cause, lines: u32, level: Level, text: fmt::Arguments<'_>) -> bool {
    if level > log::max_level() {
        return false;
    }
    catch_up();
    // It is never locked here: this process has one thread. A test may have more, and then does without.
    let count =
        |mut limits: MutexGuard<'_, Limits>| limits.admit((cause, lines), level, clock::now(), || format_line(text));
    LIMITS.try_lock().map_or(true, count)
}

/// Writes a line whose cause was asked.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    log::logger().log(&Record::builder().level(level).args(text).build());
}

/// Writes a line to syslog only, if a syslog daemon listens there.
pub fn line_to_syslog(level: Level, text: fmt::Arguments<'_>) {
    let _ = send(level, text);
}

/// Writes why this process ends at once, wherever it is; before logging has started, in the form of a refusal.
pub fn last_line(text: fmt::Arguments<'_>) {
    if OUTLET.get().is_some() {
        log(Level::Error, text);
    } else {
        let _ =
            file::write(stderr(), str::from_utf8(format_line(format_args!("ha: {text}")).ended()).unwrap_or_default());
    }
}

/// Each place that writes a line is a cause of its own, unless it names another one.
macro_rules! write_line {
    ($level:ident, admitted => $($text:tt)+) => {
        $crate::log::log(::log::Level::$level, format_args!($($text)+))
    };
    ($level:ident, $cause:expr => $($text:tt)+) => {
        $crate::log::line($cause, ::log::Level::$level, format_args!($($text)+))
    };
    ($level:ident, $($text:tt)+) => {{
        static CAUSE: $crate::log::Cause = $crate::log::Cause::new();
        $crate::log::line(&CAUSE, ::log::Level::$level, format_args!($($text)+))
    }};
}
macro_rules! error { ($($text:tt)+) => { $crate::log::write_line!(Error, $($text)+) } }
macro_rules! warning { ($($text:tt)+) => { $crate::log::write_line!(Warn, $($text)+) } }
macro_rules! info { ($($text:tt)+) => { $crate::log::write_line!(Info, $($text)+) } }
macro_rules! debug { ($($text:tt)+) => { $crate::log::write_line!(Debug, $($text)+) } }
pub(crate) use {debug, error, info, warning as warn, write_line};

/// This process is another one now.
pub fn set_pid() {
    PID.store(std::process::id(), Ordering::Relaxed);
}

/// The descriptor that lines go to, if it is not standard error.
pub fn descriptor() -> Option<RawFd> {
    SYSLOG.get().map(AsRawFd::as_raw_fd)
}

/// Whether lines are sent to standard error, which is a socket, and not written to it.
pub fn is_sent() -> bool {
    OUTLET.get().is_some_and(Outlet::is_socket)
}

static PID: AtomicU32 = AtomicU32::new(0);
static OUTLET: Once<Outlet> = Once::new();
/// None without `--syslog`.
static SYSLOG: Once<OwnedFd> = Once::new();
static IS_REACHED: AtomicBool = AtomicBool::new(true);
static LIMITS: Mutex<Limits> = Mutex::new(Limits::new());

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let Some(outlet) = OUTLET.get() else { return };
        if put(outlet, record.level(), *record.args()) == Fate::Lost {
            outlet.lose(1);
        }
    }

    fn flush(&self) {}
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Read,
    Lost,
    /// There is no syslog: it was not asked for, or no daemon listens there.
    NoSyslog,
}

/// To syslog, or else to standard error. A line that a syslog daemon does not read in time is lost, whatever reads standard error.
fn put(outlet: &Outlet, level: Level, text: fmt::Arguments<'_>) -> Fate {
    let sent = send(level, text);
    if sent == Fate::Read {
        return sent;
    }
    let is_written = outlet.write(format_line(format_args!("{}{text}", prefix(level))).ended());
    if sent == Fate::NoSyslog && is_written { Fate::Read } else { Fate::Lost }
}

fn send(level: Level, text: fmt::Arguments<'_>) -> Fate {
    let Some(socket) = SYSLOG.get() else { return Fate::NoSyslog };
    let (code, pid) = (FACILITY_DAEMON | severity(level), PID.load(Ordering::Relaxed));
    match io::write(socket, format_line(format_args!("<{code}>ha[{pid}]: {text}")).text()) {
        Ok(_) => Fate::Read,
        Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Fate::Lost,
        Err(_) => Fate::NoSyslog,
    }
}

/// Writes how many lines were lost, if they are read again.
fn report_lost(outlet: &Outlet) {
    // The other process of the daemon may be about to write it, too.
    let lost = outlet.take_lost();
    if lost == 0 {
        return;
    }
    let lines = if lost == 1 { "line" } else { "lines" };
    let notice = format_line(format_args!("{lost} {lines} lost: the log was not read"));
    let is_reported = match send(Level::Warn, format_args!("{notice}")) {
        Fate::Read => true,
        // Standard error has those that syslog does not.
        Fate::Lost => false,
        Fate::NoSyslog => outlet.write(format_line(format_args!("{}{notice}", prefix(Level::Warn))).ended()),
    };
    if !is_reported {
        outlet.lose(lost);
    }
}

fn format_line(text: fmt::Arguments<'_>) -> Line {
    let mut line = Line::default();
    let _ = line.write_fmt(text); // it cannot fail
    line
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
