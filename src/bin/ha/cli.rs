//! The command line, and the commands that are not the daemon.
//!
//! What a person reads is what the program goes by: the options of a command are those that its help lists.

use std::fmt::Write as _;

use ha::time::Duration;
use ha::wire::{Heartbeat, Key, LEN};
use rustix::io;
use rustix::stdio::{stderr, stdin, stdout};

use crate::addresses::Listed;
use crate::settings::{DEFAULT_FILE, Question, Refusal, Settings};
use crate::{file, keys, who};

/// What the words of the command line ask for.
pub enum Asked<'a> {
    /// To be printed.
    Text(&'static str),
    /// To be done.
    Deed(Command, Words<'a>),
}

/// What there is to do.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// The daemon.
    Run,
    /// Asks who has the addresses.
    Who,
    /// Checks a configuration.
    Check,
    /// Makes a key.
    Keygen,
    /// Explains a packet.
    Decode,
}

impl Command {
    const ALL: [Self; 5] = [Self::Run, Self::Who, Self::Check, Self::Keygen, Self::Decode];

    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Who => "who",
            Self::Check => "check",
            Self::Keygen => "keygen",
            Self::Decode => "decode",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Run => include_str!("help/run.txt"),
            Self::Who => include_str!("help/who.txt"),
            Self::Check => include_str!("help/check.txt"),
            Self::Keygen => include_str!("help/keygen.txt"),
            Self::Decode => include_str!("help/decode.txt"),
        }
    }

    /// What follows the option `word` in its line of the help: ` <name>` if it takes a value, ` <name>...` if it can be repeated.
    fn usage(self, word: &str) -> Option<&'static str> {
        let of_line =
            |line: &'static str| line.strip_prefix("  ")?.strip_prefix(word).filter(|rest| rest.starts_with(' '));
        self.help().lines().find_map(of_line).filter(|_| word.starts_with("--"))
    }
}

/// The words after a command.
#[derive(Debug, Default)]
pub struct Words<'a> {
    /// Options without their dashes, with their values; `yes` for a switch.
    options: Vec<(&'a str, &'a str)>,
    /// What is no option.
    hex: Option<&'a str>,
}

/// Understands the command line.
pub fn parse<'a>(words: &[&'a str]) -> Result<Asked<'a>, Refusal> {
    let named = |name: &str| Command::ALL.into_iter().find(|command| command.name() == name);
    match *words {
        [] => Err("no command: expected run, who, check, keygen or decode; see `ha --help`".to_owned()),
        ["--version", ..] => Ok(Asked::Text(concat!("ha ", env!("CARGO_PKG_VERSION")))),
        ["--help" | "help", ref rest @ ..] => {
            let command = rest.first().and_then(|name| named(name));
            Ok(Asked::Text(command.map_or(include_str!("help/ha.txt"), Command::help)))
        }
        [name, ref rest @ ..] => match named(name) {
            Some(command) => Words::parse(command, rest),
            None => Err(format!("{name}: expected run, who, check, keygen or decode; see `ha --help`")),
        },
    }
}

impl<'a> Words<'a> {
    fn parse(command: Command, words: &[&'a str]) -> Result<Asked<'a>, Refusal> {
        let refuse = |what: &str| format!("{what}; see `ha {} --help`", command.name());
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if let "--help" | "help" = word {
                return Ok(Asked::Text(command.help()));
            }
            let Some(usage) = command.usage(word) else {
                if !matches!(command, Command::Decode) || word.starts_with("--") || parsed.hex.replace(word).is_some() {
                    return Err(refuse(&format!("{word}: unknown option or argument")));
                }
                continue;
            };
            let (name, mut value) = (&word[2..], "yes");
            if let Some(rest) = usage.strip_prefix(" <") {
                value = words.next().ok_or_else(|| refuse(&format!("{word}: expected a value after it")))?;
                let can_be_repeated = rest.split_once('>').is_some_and(|(_, rest)| rest.starts_with("..."));
                if !can_be_repeated && parsed.options.iter().any(|&(other, _)| other == name) {
                    return Err(refuse(&format!("{word} {value}: duplicate option, expected one")));
                }
            }
            parsed.options.push((name, value));
        }
        Ok(Asked::Deed(command, parsed))
    }

    /// Takes the value of an option out, if it was given.
    fn take(&mut self, name: &str) -> Option<&'a str> {
        let place = self.options.iter().position(|&(other, _)| other == name)?;
        Some(self.options.remove(place).1)
    }

    /// The settings from file and command line.
    pub fn settings(mut self) -> Result<Settings, Refusal> {
        Settings::load(self.take("config"), &self.options)
    }

    /// What is asked, and how long at most.
    pub fn question(mut self) -> Result<(Question, Duration), Refusal> {
        let timeout = self.take("timeout");
        let question = Question::load(self.take("config"), &self.options)?;
        let timeout = who::timeout(timeout, &question.config)?;
        Ok((question, timeout))
    }

    /// What the configuration file says, in one line.
    pub fn check(mut self) -> Result<String, Refusal> {
        let file = self.take("config").unwrap_or(DEFAULT_FILE);
        let settings = Settings::load(Some(file), &[])?;
        let config = &settings.config;
        let mut text = format!(
            "{file} is good: {} on {} as {}, group {} at {}, worthiness {}, interval {}, tolerance {}, ",
            Listed(config.addresses()),
            settings.interface,
            settings.label,
            config.group(),
            settings.multicast,
            config.worthiness(),
            config.interval(),
            config.tolerance(),
        );
        let lease = config.lease().map_or("no lease".to_owned(), |lease| format!("lease {}s", lease.secs()));
        let key = if settings.key_file.is_some() { "a secret key" } else { "no key" };
        let _ = write!(text, "{lease}, {key}");
        Ok(text)
    }

    /// A line per field.
    pub fn decode(mut self) -> Result<String, Refusal> {
        let seal = keys::seal(self.take("key-file"))?;
        let expected = format!("expected {} hexadecimal digits", 2 * LEN);
        let mut digits = match self.hex {
            None => return Err("hex is missing: expected a packet; see `ha decode --help`".to_owned()),
            Some("-") => file::read(stdin()).map_err(|error| format!("standard input: {error}; {expected}"))?,
            Some(digits) => digits.to_owned(),
        };
        digits.retain(|c| !c.is_ascii_whitespace());
        let bytes = keys::unhex(&digits).ok_or_else(|| format!("{} characters: {expected}", digits.len()))?;
        let said = Heartbeat::parse(&bytes).map_err(|defect| format!("{} bytes: {defect}; {expected}", bytes.len()))?;
        let is_genuine = bytes.as_slice().try_into().is_ok_and(|packet| seal.is_genuine(packet));
        let tag = match (is_genuine, seal.is_keyed()) {
            (true, true) => "right for this key",
            (true, false) => "right for no key",
            (false, true) => "wrong for this key",
            (false, false) => "wrong without a key",
        };
        let following = said.following.map_or("nobody".to_owned(), |node| node.to_string());
        Ok(format!(
            "kind       {}\ngroup      {}\nstate      {}\nflags      {}\nworthiness {}\nnode       {}\nfollowing  {following}\n\
             boot       {:016x}\nseq        {}\ninterval   {}\nhold       {}\naddresses  {:08x}\nnonce      {:016x}\ntag        {tag}",
            said.kind,
            said.group,
            said.state,
            said.flags,
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

/// A new secret key, as hexadecimal digits.
pub fn keygen() -> io::Result<String> {
    let mut bytes = [0u8; Key::LEN];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// Writes a line; a reader that has gone is not our trouble.
pub fn say(text: &str) {
    let _ = hand_over(text);
}

/// Writes a line that somebody needs.
///
/// # Errors
/// It could not be written, to a full disk for instance.
pub fn hand_over(text: &str) -> io::Result<()> {
    file::write(stdout(), &format!("{text}\n"))
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    // What was typed may hold anything, and this is one line on a terminal.
    let line: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    let _ = file::write(stderr(), &format!("ha: {line}\n"));
}
