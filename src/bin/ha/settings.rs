//! Command line and configuration file to a checked [`Config`]; refusals of one line.

use std::fmt::Display;
use std::net::SocketAddrV4;

use ha::config::{Cidr, Config, OnConflict, Params};
use ha::time::Duration;
use ha::wire::Context;
use log::LevelFilter;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{self, Errno};

use crate::interfaces::Interfaces;
use crate::keys::{Keys, wiped};
use crate::linux::file;
use crate::linux::name::{MAX_ALTERNATIVE_LEN, MAX_NAME_LEN};
use crate::text::{Refusal, Text, cut, number, parts, text};
use crate::trusted::{self, Expected, Kind};

mod lines;
pub mod script;

use lines::{BYTE_ORDER_MARK, Line, lines};
use script::{Hook, HookSettings};

/// Everything that `ha run` needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<Text>,
    /// The interface with the real address.
    pub interface: Text,
    /// What follows the interface's name in the label of the shared addresses, such as `:1`.
    pub alias: Text,
    /// The device that has the addresses, if it is not the interface.
    pub device: Option<Text>,
    /// File and line that gave the addresses, if the configuration did not.
    pub origin: Option<Text>,
    /// What should not be so, in a line.
    pub caution: Option<Text>,
    /// What one would want to know, each in a line.
    pub notes: Vec<Text>,
    /// Where heartbeats go.
    pub multicast: SocketAddrV4,
    /// Where the key is, if there is one; it was found good.
    pub key_file: Option<Text>,
    /// Who the worker is.
    pub user: User,
    /// What is worth a line.
    pub log_level: LevelFilter,
    /// Lines go to /dev/log.
    pub syslog: bool,
    /// Run before ordinary processes and never be swapped out, if permitted.
    pub realtime: bool,
    /// The user's programs.
    pub hooks: HookSettings,
    /// The watchdog device to feed.
    pub watchdog: Option<Text>,
    /// What the core needs to know.
    pub config: Config,
}

/// Who a process is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Options of the command line, with their values.
pub type Given = [(Text, Text)];

impl Settings {
    /// Where this node's packets belong.
    pub fn context(&self) -> Context {
        Context { group: self.config.group(), multicast: self.multicast }
    }

    /// Reads the file, then what was `given` on the command line, which wins.
    ///
    /// `file` is the one asked for; without one, [`DEFAULT_FILE`] is read if it exists.
    pub fn load(file: Option<Text>, given: &Given) -> Result<Self, Refusal> {
        let mut draft = Draft::default();
        draft.load(file, given)?;
        draft.finish()
    }
}

/// What `ha who` needs to know. The key file, if there is one, was not looked at.
#[derive(Debug)]
pub struct Question {
    /// The interface to ask on.
    pub interface: Text,
    /// What `shared` says: a device beside it, perhaps.
    pub shared: Option<Text>,
    /// Where heartbeats go.
    pub multicast: SocketAddrV4,
    /// Where the key is.
    pub key_file: Option<Text>,
    /// Group, addresses and interval.
    pub config: Config,
}

impl Question {
    /// Where the packets belong that it is about.
    pub fn context(&self) -> Context {
        Context { group: self.config.group(), multicast: self.multicast }
    }

    /// Reads what [`Settings::load`] reads; an address may lack its prefix.
    pub fn load(file: Option<Text>, given: &Given) -> Result<Self, Refusal> {
        let mut draft = Draft { prefix: Some(32), ..Draft::default() };
        draft.load(file, given)?;
        if let Some(shared) = draft.looked_up() {
            draft.params.addresses = Interfaces::read(shared)?.addresses;
        }
        Ok(Self {
            interface: named(draft.interface)?,
            shared: draft.shared,
            multicast: draft.multicast,
            key_file: draft.key_file,
            config: Config::new(draft.params).map_err(|error| text!("{error}"))?,
        })
    }
}

/// Whoever can write a configuration says what runs as root; a device or a pipe is what the command line says it is.
fn read_config(name: &str) -> io::Result<Result<String, Refusal>> {
    let opened = file::open(name, OFlags::RDONLY)?;
    let found = fstat(&opened)?;
    if FileType::from_raw_mode(found.st_mode).is_file()
        && let Err(flaw) = trusted::look_at(&found)
    {
        return Ok(Err(text!("config {name}{}", Expected(flaw, Kind::Program))));
    }
    file::read(opened).map(Ok)
}

/// Settings before they are known to work together.
struct Draft {
    file: Option<Text>,
    /// What the file says, and in which line.
    said: Vec<Said>,
    /// What of that the command line has overridden, and the like.
    notes: Vec<Text>,
    params: Params,
    /// Of an address that is given without one, where that may be.
    prefix: Option<u8>,
    interface: Option<Text>,
    shared: Option<Text>,
    multicast: SocketAddrV4,
    key_file: Option<Text>,
    log_level: LevelFilter,
    syslog: bool,
    realtime: bool,
    hooks: HookSettings,
    watchdog: Option<Text>,
    user: User,
}

/// An option in the file.
struct Said {
    name: Text,
    value: Text,
    /// Of its line.
    number: u32,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            file: None,
            said: Vec::new(),
            notes: Vec::new(),
            params: Params::default(),
            prefix: None,
            interface: None,
            shared: None,
            multicast: Context::MULTICAST,
            key_file: None,
            log_level: LevelFilter::Info,
            syslog: false,
            realtime: true,
            hooks: HookSettings::default(),
            watchdog: None,
            user: user("nobody").unwrap_or(User { uid: NOBODY, gid: NOBODY }),
        }
    }
}

impl Draft {
    fn load(&mut self, file: Option<Text>, given: &Given) -> Result<(), Refusal> {
        let name = file.unwrap_or(DEFAULT_FILE);
        match read_config(name) {
            Ok(Err(refusal)) => return Err(refusal),
            Ok(Ok(text)) if text.trim_start_matches(BYTE_ORDER_MARK).trim_ascii_start().starts_with('{') => {
                return Err(text!(
                    "config {name}: this is for ha 0.0.17; expected `name = value` lines, see docs/migration.md"
                ));
            }
            Ok(Ok(text)) => {
                self.file = Some(name);
                self.read(name, text.leak())?;
            }
            Err(Errno::NOENT) if file.is_none() => {}
            Err(error) => {
                return Err(text!("config {name}: {error}; expected a readable file of `name = value` lines in UTF-8"));
            }
        }
        let mut replaces_addresses = true;
        for &(given_name, value) in given {
            if given_name == "address" && std::mem::take(&mut replaces_addresses) {
                self.params.addresses.clear();
            }
            self.set(given_name, value).map_err(|expected| text!("--{given_name} {value}: {expected}"))?;
        }
        for Said { name: said, value, number } in &self.said {
            if given.iter().any(|(given, _)| given == said) {
                self.notes.push(text!("--{said} overrides {said} = {value} ({name}:{number})"));
            }
        }
        Ok(())
    }

    fn read(&mut self, file: &str, text: Text) -> Result<(), Refusal> {
        for Line { number, text: line, parsed } in lines(text) {
            let refuse = |expected: &dyn Display| text!("{file}:{number}: {line}: {expected}");
            let (name, value) = parsed.map_err(|expected| refuse(&expected))?;
            let before = self.said.iter().find(|said| said.name == name && name != "address");
            if let Some(Said { value, number, .. }) = before {
                return Err(refuse(&format_args!("line {number} says {value}; expected each option once")));
            }
            self.set(name, value).map_err(|expected| refuse(&expected))?;
            self.said.push(Said { name, value, number });
        }
        Ok(())
    }

    /// Sets one option; the error says what would be accepted.
    fn set(&mut self, name: &str, value: Text) -> Result<(), Refusal> {
        match name {
            "interface" => self.interface = Some(interface(value)?),
            "shared" => self.shared = Some(value),
            "address" => {
                self.params.addresses.push(cidr(value, self.prefix)?).map_err(|_| "expected at most 16 addresses")?
            }
            "group" => self.params.group = number(value).ok_or("expected a number from 1 to 255")?,
            "multicast" => self.multicast = multicast(value)?,
            "worthiness" => self.params.worthiness = number(value).ok_or("expected a number from 0 to 65535")?,
            "interval" => self.params.interval = duration(value)?,
            "tolerance" => self.params.tolerance = duration(value)?,
            "preempt-delay" => self.params.preempt_delay = Some(duration(value)?),
            "link-delay" => self.params.link_delay = duration(value)?,
            "announce-interval" => self.params.announce_interval = duration(value)?,
            "announce-rate" => {
                self.params.announce_rate =
                    number(value).ok_or("expected a number of frames a second from 1 to 1000")?
            }
            "on-conflict" => self.params.on_conflict = on_conflict(value)?,
            "quorum" => self.params.quorum = number(value).ok_or("expected a number of nodes from 0 to 255")?,
            "sticky" => self.params.sticky = switch(value)?,
            "no-lease" => self.params.lease = !switch(value)?,
            "no-realtime" => self.realtime = !switch(value)?,
            "syslog" => self.syslog = switch(value)?,
            "key-file" => self.key_file = Some(value),
            "log-level" => {
                self.log_level = value.parse().map_err(|_| "expected off, error, warn, info, debug or trace")?
            }
            "on-active" => self.hooks.set(Hook::OnActive, value)?,
            "on-standby" => self.hooks.set(Hook::OnStandby, value)?,
            "on-unfit" => self.hooks.set(Hook::OnUnfit, value)?,
            "on-shutdown" => self.hooks.set(Hook::OnShutdown, value)?,
            "before-active" => self.hooks.set(Hook::BeforeActive, value)?,
            "child-timeout" => self.hooks.child_timeout = child_timeout(value)?,
            "user" => self.user = user(value)?,
            "watchdog" => self.watchdog = Some(watchdog(value)?),
            _ => return Err("unknown option; `ha run --help` lists them"),
        }
        Ok(())
    }

    /// Whose addresses stand elsewhere.
    fn looked_up(&self) -> Option<Text> {
        self.shared.filter(|_| self.params.addresses.is_empty())
    }

    fn finish(mut self) -> Result<Settings, Refusal> {
        let interface = named(self.interface)?;
        let (mut origin, mut caution) = (None, None);
        if let Some(shared) = self.looked_up() {
            let found = Interfaces::read(shared)?;
            let beware =
                |line| text!("{line}: {shared} comes up at boot; expected to be down until this node is active");
            (origin, caution) = (found.origin, found.at_boot.map(beware));
            self.params.addresses = found.addresses;
        }
        let (alias, device) = match self.shared {
            Some(shared) => match alias_of(interface, shared) {
                Some(alias) => (alias, None),
                None if is_name(shared) && shared != interface && shared != "lo" => ("", Some(shared)),
                None => {
                    let alias = format_args!("expected an alias of the interface, such as {interface}:1");
                    return Err(text!("shared {shared}: {alias}, or another device, such as eth1"));
                }
            },
            None => (":1", None),
        };
        for name in [Some(interface), device].into_iter().flatten().filter(|name| name.len() > MAX_NAME_LEN) {
            self.notes.push(text!(
                "{name} has {} characters: the kernel's own names have {MAX_NAME_LEN} at most, so this is an alternative one \
                 (`ip link property add dev eth0 altname {name}`)",
                name.len()
            ));
        }
        let config = Config::new(self.params).map_err(|error| text!("{error}"))?;
        if let Some(file) = self.key_file {
            wiped(|| Keys::read(file).map(drop))?;
        }
        Ok(Settings {
            file: self.file,
            interface,
            alias,
            device,
            origin,
            caution,
            notes: self.notes,
            multicast: self.multicast,
            key_file: self.key_file,
            user: self.user,
            log_level: self.log_level,
            syslog: self.syslog,
            realtime: self.realtime,
            hooks: self.hooks,
            watchdog: self.watchdog,
            config,
        })
    }
}

/// A name of the kernel, or one of its alternative ones. It would take quotes, too, but they are from somewhere else.
fn is_name(value: &str) -> bool {
    (1..=MAX_ALTERNATIVE_LEN).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:\"'".contains(&byte))
}

fn interface(value: Text) -> Result<Text, Refusal> {
    if value.len() > MAX_ALTERNATIVE_LEN {
        return Err(text!(
            "expected at most {MAX_NAME_LEN} characters, or {MAX_ALTERNATIVE_LEN} of an alternative name (ip-link(8), altname)"
        ));
    }
    match value {
        "lo" => Err("nobody else is on the loopback; expected the name of an interface, such as eth0"),
        _ if is_name(value) => Ok(value),
        _ => Err("expected the name of an interface, such as eth0"),
    }
}

fn named(interface: Option<Text>) -> Result<Text, Refusal> {
    interface.ok_or("interface is missing: expected one with a real address, such as eth0")
}

/// `:1` of the interface's alias `eth0:1`. It has to fit behind the kernel's name, which may be shorter than an alternative one.
fn alias_of(interface: &str, shared: Text) -> Option<Text> {
    let alias = shared.strip_prefix(interface)?;
    let suffix = alias.strip_prefix(':')?;
    let name_len = if interface.len() > MAX_NAME_LEN { 1 } else { interface.len() };
    let is_good = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_good && name_len + alias.len() <= MAX_NAME_LEN).then_some(alias)
}

/// `192.168.1.100/24`; or without its prefix, if there is one to be `assumed`.
fn cidr(value: &str, assumed: Option<u8>) -> Result<Cidr, Refusal> {
    let expected = match assumed {
        None => "expected a host's IPv4 address with its prefix, such as 192.168.1.100/24",
        Some(_) => "expected a host's IPv4 address, such as 192.168.1.100",
    };
    let parse = || {
        let (address, prefix) = match cut(value, b'/') {
            Some((address, prefix)) => (address, number(prefix)?),
            None => (value, assumed?),
        };
        Some(Cidr::new(address.parse().ok()?, prefix))
    };
    let cidr = parse().ok_or(expected)?;
    cidr.check().map_err(|why| text!("{why}; {expected}"))?;
    Ok(cidr)
}

/// Where heartbeats go; the error says what would be accepted.
pub fn multicast(value: &str) -> Result<SocketAddrV4, Refusal> {
    value
        .parse::<SocketAddrV4>()
        .ok()
        .filter(|group| group.ip().is_multicast() && group.port() > 0)
        .ok_or("expected a multicast address and a port, such as 239.2.3.4:5555")
}

/// A line of /etc/passwd: `name:password:uid:gid:...` (passwd(5)).
fn user(name: &str) -> Result<User, Refusal> {
    let expected = "expected a name in /etc/passwd that is not root's, such as nobody";
    let text = file::read_from("/etc/passwd").map_err(|_| expected)?;
    let line = parts(&text, b'\n').find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).ok_or(expected)?;
    let mut fields = parts(line, b':').skip(1);
    let mut id = || number(fields.next()?);
    match (id(), id()) {
        (Some(uid), Some(gid)) if uid != 0 => Ok(User { uid, gid }),
        _ => Err(expected),
    }
}

fn child_timeout(value: &str) -> Result<Duration, Refusal> {
    let accepted = Duration::from_millis(1)..=Duration::from_secs(3600);
    let timeout = duration(value)?;
    if accepted.contains(&timeout) { Ok(timeout) } else { Err("expected 1ms to 3600s") }
}

/// Only looked at: opening it would start it.
fn watchdog(value: Text) -> Result<Text, Refusal> {
    let found = file::name(value).and_then(|name| rustix::fs::stat(&*name));
    match found.map(|found| FileType::from_raw_mode(found.st_mode)) {
        Ok(FileType::CharacterDevice | FileType::Fifo | FileType::RegularFile) => Ok(value),
        Ok(_) => Err("expected a watchdog device, such as /dev/watchdog"),
        Err(error) => Err(text!("{error}; expected a watchdog device, such as /dev/watchdog")),
    }
}

fn switch(value: &str) -> Result<bool, Refusal> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no"),
    }
}

fn on_conflict(value: &str) -> Result<OnConflict, Refusal> {
    match value {
        "take" => Ok(OnConflict::Take),
        "hold" => Ok(OnConflict::Hold),
        _ => Err("expected take or hold"),
    }
}

/// `1s`, `100ms`, `3.5s`, `250us`: at most six decimals, to the microsecond.
pub fn duration(value: &str) -> Result<Duration, Refusal> {
    let parse = || {
        let unit_at = value.bytes().position(|byte| byte.is_ascii_alphabetic())?;
        let (amount, unit) = value.split_at(unit_at);
        let unit_us = match unit {
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => return None,
        };
        let (whole, decimals) = cut(amount, b'.').unwrap_or((amount, "0"));
        let millionths = number::<u32>(decimals)? * 10u32.pow(6u32.checked_sub(decimals.len().try_into().ok()?)?);
        let micros = number::<u64>(whole)?.checked_mul(unit_us)?;
        Some(Duration::from_micros(micros.checked_add(u64::from(millionths) * unit_us / 1_000_000)?))
    };
    parse().ok_or("expected a time such as 1s, 350ms or 3.5s")
}

/// Read if no other file is asked for.
pub const DEFAULT_FILE: &str = "/etc/ha.conf";

/// Where no /etc/passwd says who nobody is.
const NOBODY: u32 = 65_534;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value that may be right for some option, or nearly.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(VALUES.split('|').collect::<Vec<_>>()).prop_map(str::to_owned),
            "[0-9]{0,20}(\\.[0-9]{0,20})?(s|ms|us|m)?",
            "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,3}|:[0-9]{1,6})?",
            "[a-z0-9:]{0,17}",
            "/[a-z/. ]{0,20}",
            any::<String>(),
        ]
    }

    fn line() -> impl Strategy<Value = String> {
        let name = prop::sample::select(OPTIONS.split_whitespace().collect::<Vec<_>>());
        prop_oneof![
            8 => (name, value(), "[ \t]?").prop_map(|(name, value, space)| format!("{name}{space}={space}{value}")),
            1 => any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_is_read_or_refused_in_one_line(
            lines in prop::collection::vec(line(), 0..12),
            end in prop::sample::select(&["\n", "\r\n", "\r", "\n\n"][..]),
        ) {
            let mut draft = Draft::default();
            let refusal = match draft.read("ha.conf", text!("{}", lines.join(end))) {
                Ok(()) => {
                    // What an invented path leads to is not a matter of the text.
                    draft.key_file = None;
                    draft.finish().err()
                }
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                prop_assert!(!refusal.is_empty() && !refusal.contains('\n'), "{refusal:?}");
            }
        }
    }

    #[test]
    fn the_options_that_are_tried_are_known() {
        for name in OPTIONS.split_whitespace() {
            let refusal = Draft::default().set(name, "\0").err().unwrap_or_default();
            assert!(!refusal.contains("unknown"), "{name}");
        }
    }

    const OPTIONS: &str = "interface shared address group multicast worthiness interval tolerance preempt-delay link-delay \
        announce-interval quorum sticky no-lease no-realtime syslog key-file log-level on-active on-standby on-unfit \
        on-shutdown before-active child-timeout user watchdog";

    const VALUES: &str = "eth0|eth0:1|yes|no|0|1|255|65536|nobody|root|info|/bin/true|/bin/true -x|/dev/null|192.0.2.1/24|\
        192.0.2.255/24|239.2.3.4:5555|1s|3.5s|0.5ms";

    #[test]
    fn times_are_read_to_the_microsecond() {
        for (text, expected) in [
            ("1s", Some(1_000_000)),
            ("3.5s", Some(3_500_000)),
            ("100ms", Some(100_000)),
            ("0.25ms", Some(250)),
            ("250us", Some(250)),
            ("1.000001s", Some(1_000_001)),
            ("1", None),
            ("s", None),
            ("1.s", None),
            (".5s", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            ("1.0000001s", None),
            ("0.20000000000000s", None),
            ("1m", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(duration(text).ok().map(Duration::micros), expected, "{text}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_its_addresses_replace_the_files() {
        let mut draft = Draft::default();
        let text = "# two servers\ninterface = eth0\naddress = 192.0.2.1/24 # shared\n\nsticky=yes\n";
        draft.read("ha.conf", text).unwrap();
        assert!(draft.params.sticky);
        let settings = draft.finish().unwrap();
        assert_eq!((settings.interface, settings.alias), ("eth0", ":1"));
    }

    #[test]
    fn a_bad_line_is_named_with_file_and_number() {
        let refusal = |text| Draft::default().read("ha.conf", text).unwrap_err();
        assert_eq!(
            refusal("interface = eth0\ngroup = 256\n"),
            "ha.conf:2: group = 256: expected a number from 1 to 255"
        );
        assert_eq!(refusal("bogus = 1"), "ha.conf:1: bogus = 1: unknown option; `ha run --help` lists them");
        assert_eq!(refusal("sticky"), "ha.conf:1: sticky: expected `name = value`");
    }
}
