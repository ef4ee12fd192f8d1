//! Log lines to standard error or to /dev/log, without allocation and without ever waiting for a reader.
//!
//! Whatever happens, a line is one line, a cause says [60 of them a minute](limit), and what nobody reads is lost: it is counted,
//! and said when a line gets through again.

use std::fmt::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::io::{self, Errno};
use rustix::net::{self, SocketAddrUnix};
use rustix::stdio::stderr;

use crate::linux::{clock, file, unix};

mod limit;
mod line;
mod outlet;
pub mod panic;

pub use limit::Cause;
use limit::Limits;
use line::Line;
use outlet::Outlet;

/// Starts logging; `to_syslog` sends to /dev/log, or to stderr as long as nobody listens there.
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

/// Says what is overdue, even if nothing else is to be said: how many lines were lost, and how many were held back.
pub fn catch_up() {
    if let Some(outlet) = OUTLET.get() {
        say_lost(outlet);
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

/// Says a line, if its cause has not said too many. One function, and five macros that call it: those of the crate put file,
/// module and line, which no line shows, beside each of their calls, and 100 bytes of code with them.
pub fn line(cause: &'static Cause, level: Level, text: fmt::Arguments<'_>) {
    if may_say(cause, 1, level, text) {
        log(level, text);
    }
}

/// Counts so many lines of `cause` that begin with `text`; true if they may be said.
pub fn may_say(cause: &'static Cause, lines: u32, level: Level, text: fmt::Arguments<'_>) -> bool {
    if level > log::max_level() {
        return false;
    }
    catch_up();
    // Nobody else can have it: this process has one thread. A test may have more, and then does without.
    let admit = |mut limits: MutexGuard<'_, Limits>| limits.admit((cause, lines), level, clock::now(), || made(text));
    LIMITS.try_lock().map_or(true, admit)
}

/// Says a line whose cause was asked.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    log::logger().log(&Record::builder().level(level).args(text).build());
}

/// Says a line to syslog only, if somebody listens there.
pub fn line_to_syslog(level: Level, text: fmt::Arguments<'_>) {
    let _ = send(level, text);
}

/// Says why this process ends at once, wherever it is; before logging has started, as every refusal is said.
pub fn last_line(text: fmt::Arguments<'_>) {
    if OUTLET.get().is_some() {
        log(Level::Error, text);
    } else {
        let _ = file::write(stderr(), str::from_utf8(made(format_args!("ha: {text}")).ended()).unwrap_or_default());
    }
}

/// Each place that says something is a cause of its own, unless it names another one.
macro_rules! say {
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
macro_rules! error { ($($text:tt)+) => { $crate::log::say!(Error, $($text)+) } }
macro_rules! warning { ($($text:tt)+) => { $crate::log::say!(Warn, $($text)+) } }
macro_rules! info { ($($text:tt)+) => { $crate::log::say!(Info, $($text)+) } }
macro_rules! debug { ($($text:tt)+) => { $crate::log::say!(Debug, $($text)+) } }
pub(crate) use {debug, error, info, say, warning as warn};

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
static OUTLET: OnceLock<Outlet> = OnceLock::new();
/// None if nobody asked for it.
static SYSLOG: OnceLock<OwnedFd> = OnceLock::new();
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
    /// Nobody has asked for syslog, or listens there.
    Nobody,
}

/// To syslog, or else to standard error. A syslog daemon that does not read in time counts, whoever reads standard error.
fn put(outlet: &Outlet, level: Level, text: fmt::Arguments<'_>) -> Fate {
    let sent = send(level, text);
    if sent == Fate::Read {
        return sent;
    }
    let is_written = outlet.write(made(format_args!("{}{text}", prefix(level))).ended());
    if sent == Fate::Nobody && is_written { Fate::Read } else { Fate::Lost }
}

fn send(level: Level, text: fmt::Arguments<'_>) -> Fate {
    let Some(socket) = SYSLOG.get() else { return Fate::Nobody };
    let (code, pid) = (FACILITY_DAEMON | severity(level), PID.load(Ordering::Relaxed));
    match io::write(socket, made(format_args!("<{code}>ha[{pid}]: {text}")).text()) {
        Ok(_) => Fate::Read,
        Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Fate::Lost,
        Err(_) => Fate::Nobody,
    }
}

/// If somebody reads again: how many lines were lost meanwhile.
fn say_lost(outlet: &Outlet) {
    // The other process of the daemon may be about to say it, too.
    let lost = outlet.take_lost();
    if lost == 0 {
        return;
    }
    let lines = if lost == 1 { "line" } else { "lines" };
    let notice = made(format_args!("{lost} {lines} lost: the log was not read"));
    let is_said = match send(Level::Warn, format_args!("{notice}")) {
        Fate::Read => true,
        // Standard error has those that syslog does not.
        Fate::Lost => false,
        Fate::Nobody => outlet.write(made(format_args!("{}{notice}", prefix(Level::Warn))).ended()),
    };
    if !is_said {
        outlet.lose(lost);
    }
}

fn made(text: fmt::Arguments<'_>) -> Line {
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
