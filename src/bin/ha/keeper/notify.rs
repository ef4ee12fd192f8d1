//! What the daemon notifies its service manager of (sd_notify(3)): that it is ready, still well, and leaving.
//!
//! A datagram each, to the socket that `NOTIFY_SOCKET` names; without one the service manager does not listen.

use std::os::fd::OwnedFd;

use ha::time::{Duration, Instant};
use rustix::io;

use crate::linux::{self, unix};
use crate::log::warn;
use crate::text::number;

/// A service manager that listens.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    is_ready: bool,
    /// It restarts a daemon that it has not heard for some time: how often to notify it, and when that was done last.
    watch: Option<(Duration, Instant)>,
}

impl Notify {
    /// The one that has started the daemon, if it listens. [`Notify::report_life`] will be called every `interval`.
    pub fn open(interval: Duration) -> Option<Self> {
        let name = linux::start::variable(c"NOTIFY_SOCKET")?;
        let timeout = linux::start::variable(c"WATCHDOG_USEC").and_then(number).map(Duration::from_micros);
        if let Some(timeout) = timeout.filter(|&timeout| timeout <= interval.saturating_mul(2)) {
            warn!("WatchdogSec={timeout} is too short: expected more than two intervals of {interval}");
        }
        Self::connect(name, timeout)
            .map_err(|error| warn!("NOTIFY_SOCKET {name}: {error}; the service manager is not notified"))
            .ok()
    }

    fn connect(name: &str, timeout: Option<Duration>) -> io::Result<Self> {
        let socket = unix::open(name)?;
        let watch = timeout.map(|timeout| (timeout / 4, Instant::from_micros(0)));
        Ok(Self { socket, is_ready: false, watch })
    }

    /// Notifies it that the worker has just shown that it lives.
    pub fn report_life(&mut self, now: Instant) {
        if !self.is_ready {
            self.is_ready = self.send(b"READY=1");
        }
        if let Some((often, sent_at)) = self.watch
            && now.since(sent_at) >= often
            && self.send(b"WATCHDOG=1")
        {
            self.watch = Some((often, now));
        }
    }

    /// Notifies it that the daemon was told to stop.
    pub fn report_leaving(&self) {
        self.send(b"STOPPING=1");
    }

    fn send(&self, what: &[u8]) -> bool {
        io::write(&self.socket, what).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use rustix::io::Errno;

    use super::*;

    /// A service manager without a file, and the name by which it is found.
    fn manager(test: &str) -> (UnixDatagram, String) {
        let name = format!("ha-notify-{}-{test}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, format!("@{name}"))
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 64];
        std::iter::from_fn(|| {
            socket.recv(&mut buffer).ok().map(|len| String::from_utf8_lossy(&buffer[..len]).into_owned())
        })
        .collect()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + millis * 1_000)
    }

    #[test]
    fn it_is_ready_once_and_then_well_four_times_in_the_time_that_is_given() {
        let (socket, name) = manager("well");
        let mut notify = Notify::connect(&name, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(heard(&socket), [""; 0], "nothing is well yet");
        notify.report_life(at(0));
        assert_eq!(heard(&socket), ["READY=1", "WATCHDOG=1"]);
        for millis in (0..10_000).step_by(10) {
            notify.report_life(at(millis));
        }
        assert_eq!(heard(&socket), ["WATCHDOG=1"; 3], "hundreds of heartbeats a second are not its business");
        notify.report_leaving();
        assert_eq!(heard(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn a_manager_without_a_watchdog_hears_nothing_in_between() {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("ha-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut notify = Notify::connect(path.to_str().unwrap(), None).unwrap();
        for millis in 0..1_000 {
            notify.report_life(at(millis * 1_000));
        }
        assert_eq!(heard(&socket), ["READY=1"], "by a path");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_manager_that_does_not_read_stalls_nothing_and_hears_it_later() {
        let (socket, name) = manager("full");
        let mut notify = Notify::connect(&name, Some(Duration::from_secs(1))).unwrap();
        while notify.send(b"STATUS=full") {}
        notify.report_life(at(0));
        assert!(!heard(&socket).contains(&"READY=1".to_owned()));
        notify.report_life(at(1));
        assert_eq!(heard(&socket), ["READY=1", "WATCHDOG=1"]);
    }

    #[test]
    fn a_socket_without_a_listener_is_an_error_with_a_name() {
        let refusal = |name| Notify::connect(name, None).unwrap_err();
        assert_eq!(refusal("/nonexistent/notify"), Errno::NOENT);
        assert_eq!(refusal("@ha-nobody-has-this-name"), Errno::CONNREFUSED);
        assert_eq!(refusal(&"x".repeat(200)), Errno::NAMETOOLONG, "longer than an address can be");
    }
}
