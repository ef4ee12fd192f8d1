//! What comes over the cable, as tcpdump decodes it, and what happens to addresses, as `ip monitor` tells it.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lan::Namespace;
use crate::lines::{Lines, PATIENCE, Running};

/// A frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the kernel saw it, in seconds since 1970.
    pub at: f64,
    /// How tcpdump says it.
    pub text: String,
    /// All of it, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// tcpdump on `eth0`, hearing what comes in.
#[derive(Debug)]
pub struct Capture {
    _running: Running,
    lines: Lines,
}

impl Capture {
    /// Listens in `host`; on return it does.
    pub fn start(host: &Namespace, filter: &str) -> Self {
        let options = "-i eth0 -Q in -n -e -v -tt -xx -l --immediate-mode -Z root";
        let mut command = host.command("tcpdump");
        command.args(options.split(' ')).args(filter.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let errors = Lines::of(running.0.stderr.take().unwrap());
        errors.wait("tcpdump", PATIENCE, |lines| {
            lines.iter().any(|(_, line)| line.contains("listening on")).then_some(())
        });
        let lines = Lines::of(running.0.stdout.take().unwrap());
        Self { _running: running, lines }
    }

    /// Waits until `find` returns something for all frames so far.
    pub fn wait<T>(&self, what: &str, patience: Duration, mut find: impl FnMut(&[Frame]) -> Option<T>) -> T {
        self.lines.wait(what, patience, |lines| find(&frames(lines)))
    }

    /// All frames so far.
    pub fn so_far(&self) -> Vec<Frame> {
        frames(&self.lines.so_far())
    }
}

impl Frame {
    /// Whether it is ARP.
    pub fn is_arp(&self) -> bool {
        self.bytes[12..14] == [8, 6]
    }

    /// Whether it is a datagram to the port of the group.
    pub fn is_heartbeat(&self) -> bool {
        self.bytes[12..14] == [8, 0] && self.bytes[23] == 17 && self.bytes[36..38] == 5555_u16.to_be_bytes()
    }

    /// The heartbeat in it.
    pub fn heartbeat(&self) -> &[u8] {
        &self.bytes[ETHERNET_LEN + IPV4_LEN + UDP_LEN..]
    }

    /// The state that the heartbeat tells: 0 standby, 1 active, 2 unfit, 3 shutdown.
    pub fn state(&self) -> u8 {
        self.heartbeat()[5]
    }
}

/// The frames that are complete.
fn frames(lines: &[(SystemTime, String)]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for (_, line) in lines {
        if let Some(dump) = line.strip_prefix('\t') {
            let frame = frames.last_mut().expect("the dump follows the words");
            let digits: String = dump.split_once(": ").expect("an offset").1.split_whitespace().collect();
            frame.bytes.extend(
                digits.as_bytes().chunks(2).map(|pair| {
                    u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hexadecimal digits")
                }),
            );
        } else if let Some(more) = line.strip_prefix("    ") {
            frames.last_mut().expect("a first line").text += &format!(" {more}");
        } else if let Some((at, text)) = line.split_once(' ') {
            frames.push(Frame { at: at.parse().expect("a time"), text: text.to_owned(), bytes: Vec::new() });
        }
    }
    frames.retain(|frame| {
        let (_, len) = frame.text.split_once(", length ").expect("tcpdump -e says it");
        len.split(':').next().and_then(|len| len.parse().ok()) == Some(frame.bytes.len())
    });
    frames
}

/// `ip monitor address`.
#[derive(Debug)]
pub struct Monitor {
    _running: Running,
    lines: Lines,
}

/// An address came, was renewed, or was deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it was read, in seconds since 1970.
    pub at: f64,
    /// Such as `10.0.0.100/24`.
    pub cidr: String,
    pub is_deleted: bool,
}

impl Monitor {
    /// Watches in `host`; on return it does.
    pub fn start(host: &Namespace) -> Self {
        let mut command = host.command("ip");
        let mut running =
            Running(command.args(["-o", "-4", "monitor", "address"]).stdout(Stdio::piped()).spawn().unwrap());
        let lines = Lines::of(running.0.stdout.take().unwrap());
        // It does not say that it watches, so let something happen until it tells.
        while lines.count(MARK) == 0 {
            host.ip(&format!("address add {MARK} dev lo"));
            host.ip(&format!("address del {MARK} dev lo"));
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { _running: running, lines }
    }

    /// Everything so far about this address, given with its prefix.
    pub fn events(&self, cidr: &str) -> Vec<Event> {
        events(&self.lines.so_far(), cidr)
    }

    /// Waits until `find` returns something for all events of this address so far.
    pub fn wait<T>(
        &self,
        what: &str,
        cidr: &str,
        patience: Duration,
        mut find: impl FnMut(&[Event]) -> Option<T>,
    ) -> T {
        self.lines.wait(what, patience, |lines| find(&events(lines, cidr)))
    }

    /// Waits for the next deletion of this address after `since`; returns when it was told.
    pub fn deleted(&self, cidr: &str, since: SystemTime, patience: Duration) -> f64 {
        let since = seconds(since);
        let what = format!("deletion of {cidr}");
        self.wait(&what, cidr, patience, |events| {
            events.iter().find(|event| event.is_deleted && event.at >= since).map(|event| event.at)
        })
    }
}

fn events(lines: &[(SystemTime, String)], cidr: &str) -> Vec<Event> {
    let event = |(at, line): &(SystemTime, String)| {
        let its = line.split_whitespace().skip_while(|&word| word != "inet").nth(1)?;
        let is_deleted = line.starts_with("Deleted ");
        (its == cidr).then(|| Event { at: seconds(*at), cidr: its.to_owned(), is_deleted })
    };
    lines.iter().filter_map(event).collect()
}

/// Since 1970.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// An address that nobody asks for.
const MARK: &str = "192.0.2.77/32";

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const UDP_LEN: usize = 8;
