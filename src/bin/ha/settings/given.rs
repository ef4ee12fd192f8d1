//! The command line of `ha run`, which is that of `ha check`, too.
//!
//! Argh reads the other commands, and hands these two their words: what it derives for so many options is 4 KB more. Here the
//! [declarations](super::options) are read, of which there is a text. Refusals and help look like those of the others.

use std::convert::Infallible;
use std::str::FromStr;
use std::{iter, slice};

use argh::{CommandInfo, EarlyExit, FromArgs, SubCommand, print_subcommands};

use super::options::DECLARED;
use crate::text::{Refusal, Text, parts, text};

/// A word of the command line. It is kept as long as the program runs, so that no function has to own it.
#[derive(Debug, Clone, Copy)]
pub struct Word(pub Text);

impl FromStr for Word {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self(text!("{word}")))
    }
}

/// The text of a word that may be missing.
pub fn value_of(word: Option<Word>) -> Option<Text> {
    word.map(|Word(value)| value)
}

/// What a person typed after `ha run` or `ha check`.
#[derive(Debug, Default)]
pub struct Run {
    /// The configuration file.
    pub config: Option<Text>,
    /// The name and the value of each other option.
    pub given: Vec<(Text, Text)>,
}

impl FromArgs for Run {
    fn from_args(_: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        let mut run = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--help" || word == "help" {
                return Err(EarlyExit { output: help(), status: Ok(()) });
            }
            run.take(word, &mut words).map_err(ToOwned::to_owned)?;
        }
        let config = run.given.iter().position(|&(name, _)| name == "config");
        run.config = config.map(|position| run.given.remove(position).1);
        Ok(run)
    }
}

impl SubCommand for Run {
    const COMMAND: &'static CommandInfo = &CommandInfo { name: "run", short: &'\0', description: ABOUT };
}

impl Run {
    /// Takes the option `word`, with its value from those that follow.
    fn take(&mut self, word: &str, others: &mut slice::Iter<'_, &str>) -> Result<(), Refusal> {
        let option = word.strip_prefix("--").and_then(|name| declared().find(|option| option.name == name));
        let Declared { name, takes, .. } = option.ok_or_else(|| text!("Unrecognized argument: {word}"))?;
        let value = if takes.is_empty() { Some(&"yes") } else { others.next() };
        let value = value.ok_or_else(|| text!("No value provided for option '{word}'."))?;
        if !takes.ends_with("...") && self.given.iter().any(|&(other, _)| other == name) {
            return Err(text!("duplicate {word} {value}: expected once"));
        }
        self.given.push((name, text!("{value}")));
        Ok(())
    }
}

/// An option as [`DECLARED`] has it.
struct Declared {
    name: Text,
    /// What the help calls the value; nothing for a switch.
    takes: Text,
    help: Text,
}

fn declared() -> impl Iterator<Item = Declared> {
    let mut lines = parts(DECLARED, b'\n');
    iter::from_fn(move || Some(Declared { name: lines.next()?, takes: lines.next()?, help: lines.next()? }))
}

fn help() -> String {
    let (mut usage, mut options) = (String::new(), String::new());
    for Declared { name, takes, help } in declared() {
        usage += match takes {
            "" => text!(" [--{name}]"),
            _ => text!(" [--{name} <{takes}>]"),
        };
        options += &explained(text!("--{name}"), help);
    }
    options += &explained("--help, help", "display usage information");
    format!("Usage: ha run{usage}\n\n{ABOUT}\n\nOptions:{options}\n\n{NOTES}")
}

/// A new line with the name and, in a column that goes on below, what it is. Argh does so with its commands.
fn explained(name: Text, description: Text) -> String {
    print_subcommands(iter::once(&CommandInfo { name, short: &'\0', description: description.trim_ascii_start() }))
}

const ABOUT: &str = "Runs the daemon in the foreground. SIGTERM or SIGINT: removes the address, tells the peers, exits. SIGUSR1: writes the \
                     status to the log. SIGHUP: reads the key file again.";

const NOTES: &str = "\
Examples:
  ha run --interface eth0 --address 192.168.1.100/24

Notes:
  Every option can stand in the configuration file, one per line, as `name = value` without dashes;
  switches take yes or no, `#` starts a comment, quotes may stand around a value. Each may stand there
  once, address several times. The command line wins; `ha check` with the same options says what it overrides.
  Times: 1s, 350ms, 3.5s.

Error codes:
  1 The system refused: missing privileges, for instance.
  2 The command line or the configuration is wrong; nothing was changed.";
