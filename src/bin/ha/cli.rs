//! The command line (argh) and the commands that are not the daemon.

use std::convert::Infallible;
use std::str::FromStr;

use argh::{CommandInfo, EarlyExit, FromArgs, SubCommand};
use ha::time::Duration;
use ha::wire::{Context, Heartbeat, Key, LEN, Seal};
use rustix::io;
use rustix::stdio::{stderr, stdin, stdout};

use crate::keys::Keys;
use crate::linux::file;
use crate::linux::name::{MAX_NAME_LEN, Name};
use crate::settings::{self, DEFAULT_FILE, Question, Settings};
use crate::text::Listed;
use crate::text::{Refusal, Text, text};
use crate::{keys, who};

/// Moves shared IP addresses between the Linux servers of one LAN: the most worthy living node has them, and never two.
#[derive(FromArgs, Debug)]
pub struct Ha {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

/// A word of the command line. It is kept as long as the program runs, so that it can be passed on and never has to be dropped.
#[derive(Debug, Clone, Copy)]
struct Word(Text);

impl FromStr for Word {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self(text!("{word}")))
    }
}

fn value_of(word: Option<Word>) -> Option<Text> {
    word.map(|Word(value)| value)
}

/// What to do.
#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// The daemon.
    Run(Box<Run>),
    /// Asks who has the addresses.
    Who(Who),
    /// Checks a configuration.
    Check(Check),
    /// Makes a key.
    Keygen(Keygen),
    /// Explains a packet.
    Decode(Decode),
}

/// The daemon, in the foreground. SIGTERM or SIGINT: remove the address, tell the others, exit. SIGUSR1: status to the log.
/// SIGHUP: reads the key file again.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "run",
    note = "Every option can stand in the configuration file, one per line, as `name = value` without dashes;\nswitches take yes or no, `#` starts a comment, quotes may stand around a value. Each stands there\nonce, but for address. The command line wins; `ha check` with the same options says over what. Times: 1s, 350ms, 3.5s.",
    example = "{command_name} --interface eth0 --address 192.168.1.100/24",
    error_code(1, "The system refused: missing privileges, for instance."),
    error_code(2, "The command line or the configuration is wrong; nothing was changed.")
)]
pub struct Run {
    /// configuration file (default: /etc/ha.conf if it exists)
    #[argh(option, arg_name = "file")]
    config: Option<Word>,
    /// interface with the real address, by its name or an alternative one; it may appear later
    #[argh(option, arg_name = "name")]
    interface: Option<Word>,
    /// a shared address, such as 192.168.1.100/24; repeatable, any subnet, the same on all nodes (default: what `iface eth0:1
    /// inet static` says in /etc/network/interfaces, for the name that --shared gives)
    #[argh(option, arg_name = "cidr")]
    address: Vec<Word>,
    /// label of the shared addresses, an alias of the interface (default: its name with :1); or another device on the same LAN,
    /// such as eth1, which has them, is up only then, and is brought down at start
    #[argh(option, arg_name = "name")]
    shared: Option<Word>,
    /// number of the group, 1 to 255, the same on all nodes (default: 1)
    #[argh(option, arg_name = "n")]
    group: Option<Word>,
    /// where heartbeats go (default: 239.2.3.4:5555)
    #[argh(option, arg_name = "address:port")]
    multicast: Option<Word>,
    /// higher hosts the address; 0 never does; at equal worthiness the lowest real address (default: 100)
    #[argh(option, arg_name = "n")]
    worthiness: Option<Word>,
    /// time between two heartbeats (default: 1s)
    #[argh(option, arg_name = "time")]
    interval: Option<Word>,
    /// silence after which a node counts as dead, more than the interval (default: 3.5s)
    #[argh(option, arg_name = "time")]
    tolerance: Option<Word>,
    /// time to be up before claiming the address from a less worthy node (default: the tolerance)
    #[argh(option, arg_name = "time")]
    preempt_delay: Option<Word>,
    /// time that a link may be deaf after it came up (default: 10s)
    #[argh(option, arg_name = "time")]
    link_delay: Option<Word>,
    /// time between two gratuitous ARPs at rest (default: 60s)
    #[argh(option, arg_name = "time")]
    announce_interval: Option<Word>,
    /// ARP frames a second in the long run; switches shut a port at 15 (default: 10)
    #[argh(option, arg_name = "n")]
    announce_rate: Option<Word>,
    /// what to do if nobody is heard and somebody answers for the address by ARP: hold (leave it alone until nobody does any
    /// more) or take (default: hold)
    #[argh(option, arg_name = "take|hold")]
    on_conflict: Option<Word>,
    /// keep the address when a more worthy node comes
    #[argh(switch)]
    sticky: u8,
    /// have the address only while so many nodes live, this one included: in a partition, more than half (default: 0, off)
    #[argh(option, arg_name = "n")]
    quorum: Option<Word>,
    /// file with a secret key, as `ha keygen` makes it, the same on all nodes, readable by its owner only and changed by root
    /// only; up to four, one per line: the first signs, all are accepted; SIGHUP reads it again
    #[argh(option, arg_name = "file")]
    key_file: Option<Word>,
    /// program that runs after the address came or was put back, with arguments; it and its directories may be changed by root only
    #[argh(option, arg_name = "path")]
    on_active: Option<Word>,
    /// program that runs when this node is ready to take over
    #[argh(option, arg_name = "path")]
    on_standby: Option<Word>,
    /// program that runs when this node cannot host
    #[argh(option, arg_name = "path")]
    on_unfit: Option<Word>,
    /// program that runs when the daemon leaves
    #[argh(option, arg_name = "path")]
    on_shutdown: Option<Word>,
    /// program that runs before the address comes, for 200ms at most
    #[argh(option, arg_name = "path")]
    before_active: Option<Word>,
    /// time after which another program of these is killed (default: 10s)
    #[argh(option, arg_name = "time")]
    child_timeout: Option<Word>,
    /// device that restarts the machine unless this daemon is well, such as /dev/watchdog
    #[argh(option, arg_name = "device")]
    watchdog: Option<Word>,
    /// user that the process which hears the network runs as (default: nobody)
    #[argh(option, arg_name = "name")]
    user: Option<Word>,
    /// do not let the kernel remove the address of a dead or frozen daemon
    #[argh(switch)]
    no_lease: u8,
    /// run as an ordinary process, without SCHED_FIFO and locked memory
    #[argh(switch)]
    no_realtime: u8,
    /// off, error, warn, info, debug or trace (default: info)
    #[argh(option, arg_name = "level")]
    log_level: Option<Word>,
    /// log to /dev/log instead of standard error
    #[argh(switch)]
    syslog: u8,
}

impl Run {
    /// The settings from file and command line.
    pub fn settings(&self) -> Result<Settings, Refusal> {
        Settings::load(value_of(self.config), &self.given()?)
    }

    /// The options with their values; argh has refused most of those that are given twice.
    fn given(&self) -> Result<Vec<(Text, Text)>, Refusal> {
        let options = [
            ("interface", self.interface),
            ("shared", self.shared),
            ("group", self.group),
            ("multicast", self.multicast),
            ("quorum", self.quorum),
            ("user", self.user),
            ("worthiness", self.worthiness),
            ("interval", self.interval),
            ("tolerance", self.tolerance),
            ("preempt-delay", self.preempt_delay),
            ("link-delay", self.link_delay),
            ("announce-interval", self.announce_interval),
            ("announce-rate", self.announce_rate),
            ("on-conflict", self.on_conflict),
            ("key-file", self.key_file),
            ("on-active", self.on_active),
            ("on-standby", self.on_standby),
            ("on-unfit", self.on_unfit),
            ("on-shutdown", self.on_shutdown),
            ("before-active", self.before_active),
            ("child-timeout", self.child_timeout),
            ("watchdog", self.watchdog),
            ("log-level", self.log_level),
        ];
        let switches = [
            ("sticky", self.sticky),
            ("no-lease", self.no_lease),
            ("no-realtime", self.no_realtime),
            ("syslog", self.syslog),
        ];
        let mut given = Vec::new();
        for (name, word) in options {
            given.extend(word.map(|Word(value)| (name, value)));
        }
        for (name, times) in switches {
            match times {
                0 => {}
                1 => given.push((name, "yes")),
                _ => return Err(text!("--{name}: given {times} times; expected once")),
            }
        }
        given.extend(self.address.iter().map(|Word(value)| ("address", *value)));
        Ok(given)
    }
}

/// Asks the LAN who answers for the shared addresses: hardware address, node, round trip. Works on any machine of it, with a
/// daemon or without, and changes nothing.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "who",
    example = "{command_name} --interface eth0 --address 192.168.1.100",
    error_code(0, "One answers for each address."),
    error_code(1, "The system refused: missing privileges, for instance."),
    error_code(2, "The command line or the configuration is wrong; nobody was asked."),
    error_code(3, "Nobody answers for one of the addresses."),
    error_code(4, "Several answer for one of the addresses.")
)]
pub struct Who {
    /// configuration file, for group, multicast and key-file of the nodes too (default: /etc/ha.conf if it exists)
    #[argh(option, arg_name = "file")]
    config: Option<Word>,
    /// interface to ask on
    #[argh(option, arg_name = "name")]
    interface: Option<Word>,
    /// an address to ask for, such as 192.168.1.100; repeatable
    #[argh(option, arg_name = "address")]
    address: Vec<Word>,
    /// longest time to wait (default: the interval and 500ms, or what it takes to ask for more than 7 addresses)
    #[argh(option, arg_name = "time")]
    timeout: Option<Word>,
}

impl Who {
    /// What is asked, and how long at most.
    pub fn question(&self) -> Result<(Question, Duration), Refusal> {
        let mut given = Vec::new();
        given.extend(self.interface.map(|Word(value)| ("interface", value)));
        given.extend(self.address.iter().map(|Word(value)| ("address", *value)));
        let question = Question::load(value_of(self.config), &given)?;
        let timeout = who::timeout(value_of(self.timeout), &question.config)?;
        Ok((question, timeout))
    }
}

/// Checks what the daemon would be told: it takes the same options.
#[derive(Debug)]
pub struct Check(Box<Run>);

impl FromArgs for Check {
    fn from_args(command_name: &[&str], arguments: &[&str]) -> Result<Self, EarlyExit> {
        Run::from_args(command_name, arguments).map(|run| Self(Box::new(run))).map_err(|exit| {
            // The help of the daemon is not ours.
            if exit.status.is_ok() { EarlyExit { output: CHECK_HELP.to_owned(), status: Ok(()) } } else { exit }
        })
    }
}

impl SubCommand for Check {
    const COMMAND: &'static CommandInfo = &CommandInfo {
        name: "check",
        short: &'\0',
        description: "Says what is wrong with a configuration; takes the options of run, touches nothing.",
    };
}

const CHECK_HELP: &str = "Usage: ha check [--config <file>] [<options of run>]

Says what is wrong with a configuration, and what the daemon would take it for; touches nothing. With options, as `ha run` takes
them, it says which lines of the file they override.

Options:
  --config          configuration file (default: /etc/ha.conf)
  --help, help      display usage information

Exit codes:
  1 The configuration is good, but an interface of this machine cannot have the addresses.
  2 The configuration is wrong.
";

impl Check {
    /// The settings that the daemon would have.
    pub fn settings(&self) -> Result<Settings, Refusal> {
        let Self(run) = self;
        let given = run.given()?;
        let expected_file = if given.is_empty() { Some(DEFAULT_FILE) } else { None };
        Settings::load(value_of(run.config).or(expected_file), &given)
    }

    /// What the daemon is told, in one line; what should not be so and what one would want to know, each in another.
    pub fn summary(&self, settings: &Settings) -> Text {
        let has_options = self.0.given().is_ok_and(|given| !given.is_empty());
        let source = match (settings.file, has_options) {
            (Some(file), false) => file,
            (Some(file), true) => text!("{file} with these options"),
            (None, _) => "this command line",
        };
        let config = &settings.config;
        let origin = settings.origin.map_or("", |origin| text!(" (from {origin})"));
        let (name, alias) = (settings.interface, settings.alias);
        let place = match settings.device {
            Some(device) => text!("{device}, which is up only then, real address on {name}"),
            None if name.len() > MAX_NAME_LEN => text!("{name} as its alias {alias}"),
            None => text!("{name} as {}", Name::new(name.as_bytes()).unwrap_or_default().label(alias)),
        };
        let lease = config.lease().map_or("no lease", |lease| text!("lease {}s", lease.secs()));
        let key = if settings.key_file.is_some() { "a secret key" } else { "no key" };
        let caution = settings.caution.map_or("", |caution| text!("\nwarning: {caution}"));
        let notes = settings.notes.iter().fold("", |notes, note| text!("{notes}\nnote: {note}"));
        text!(
            "{source} is good: {}{origin} on {place}, group {} at {}, worthiness {}, interval {}, tolerance {}, {lease}, \
             {key}{caution}{notes}",
            Listed(config.addresses()),
            config.group(),
            settings.multicast,
            config.worthiness(),
            config.interval(),
            config.tolerance(),
        )
    }
}

/// Prints a new secret key: 32 random bytes as hexadecimal digits.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "keygen")]
pub struct Keygen {}

impl Keygen {
    /// The digits.
    pub fn run(&self) -> io::Result<Text> {
        let mut bytes = [0u8; Key::LEN];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(bytes.iter().fold("", |digits, byte| text!("{digits}{byte:02x}")))
    }
}

/// Says a heartbeat in words.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "decode")]
pub struct Decode {
    /// file with the secret key to check the tag with (default: the public constant)
    #[argh(option, arg_name = "file")]
    key_file: Option<Word>,
    /// where it was sent to, on which the tag depends (default: 239.2.3.4:5555)
    #[argh(option, arg_name = "address:port")]
    multicast: Option<Word>,
    /// the packet (the UDP payload) as hexadecimal digits, white space ignored; - reads them from standard input
    #[argh(positional, arg_name = "hex")]
    hex: Word,
}

impl Decode {
    /// A line per field.
    pub fn run(&self) -> Result<Text, Refusal> {
        let keys = value_of(self.key_file).map(Keys::read).transpose()?;
        let multicast = value_of(self.multicast).map_or(Ok(Context::MULTICAST), |value| {
            settings::multicast(value).map_err(|expected| text!("--multicast {value}: {expected}"))
        })?;
        let expected = text!("expected {} hexadecimal digits", 2 * LEN);
        let mut text = self.hex.0;
        if text == STDIN {
            text = file::read(stdin()).map_err(|error| text!("standard input: {error}; {expected}"))?.leak();
        }
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = keys::unhex(&digits).ok_or_else(|| text!("{} characters: {expected}", digits.len()))?;
        let said = Heartbeat::parse(&bytes).map_err(|defect| text!("{} bytes: {defect}; {expected}", bytes.len()))?;
        let context = Context { group: said.group, multicast };
        let seal = keys.map_or_else(|| Seal::public(context), |keys| keys.signing(context).seal());
        let is_genuine = bytes.as_slice().try_into().is_ok_and(|packet| seal.is_genuine(packet));
        let tag = match (is_genuine, seal.is_keyed()) {
            (true, true) => "right for this key",
            (true, false) => "right for no key",
            (false, true) => "wrong for this key",
            (false, false) => "wrong without a key",
        };
        let following = said.following.map_or("nobody", |node| text!("{node}"));
        Ok(text!(
            "kind       {}\ngroup      {}\nstate      {}\nflags      {}\nrelease    {}\nworthiness {}\nnode       {}\nfollowing  {following}\n\
             boot       {:016x}\nseq        {}\ninterval   {}\nhold       {}\naddresses  {:08x}\nnonce      {:016x}\ntag        {tag}",
            said.kind,
            said.group,
            said.state,
            said.flags,
            said.release,
            said.worthiness,
            said.node,
            said.boot,
            said.seq,
            said.interval,
            said.hold,
            said.addresses,
            said.nonce,
        ))
    }
}

/// What `-` stands for: argh takes a lone dash for an option.
pub const STDIN: &str = "stdin";

/// Writes lines; a reader that has gone is not our trouble.
pub fn say(text: &str) {
    let _ = hand_over(text);
}

/// Writes a line that somebody needs.
///
/// # Errors
/// It could not be written, to a full disk for instance.
pub fn hand_over(text: &str) -> io::Result<()> {
    file::write(stdout(), text!("{}\n", plain(text, true)))
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = file::write(stderr(), text!("ha: {}\n", plain(text, false)));
}

/// What was typed, what a file holds and what came from the network may be anything, and this goes to a terminal, on which
/// everything is seen.
fn plain(text: &str, has_lines: bool) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c == '\n' && has_lines {
            plain.push(c);
        } else if c.is_control() {
            plain.push(char::REPLACEMENT_CHARACTER);
        } else if is_invisible(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Spaces that are none to us, and marks without any width: what a text from a web page or an editor may have.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}'
    )
}
