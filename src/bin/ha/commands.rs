//! The commands that a person types, one file each.

use crate::settings::given::{self, Given};
use crate::text::{Refusal, Text, text};

pub mod check;
pub mod decode;
pub mod keygen;
pub mod run;
pub mod terminal;
pub mod who;

/// What can follow `ha`.
pub struct Command {
    name: Text,
    /// What it does.
    about: Text,
    /// The words that it takes, see [`given`].
    takes: Text,
    /// Those that its help explains.
    explains: Text,
    /// What else its help says.
    notes: Text,
    run: fn(Given) -> Result<(), Failure>,
}

const COMMANDS: [&Command; 5] = [&run::COMMAND, &who::COMMAND, &check::COMMAND, &keygen::COMMAND, &decode::COMMAND];

/// Does what the words after `ha` say.
pub fn run(words: &[Text]) -> Result<(), Failure> {
    let Some((&name, words)) = words.split_first() else {
        return Err(Failure::Refused("no command: expected run, who, check, keygen or decode; see `ha --help`"));
    };
    if name == "--version" {
        terminal::say(concat!("ha ", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    if name == "--help" || name == "help" {
        terminal::say(&help());
        return Ok(());
    }
    let command = COMMANDS.into_iter().find(|command| command.name == name);
    let Some(command) = command else { return Err(Failure::Refused(text!("unexpected {name}; see `ha --help`"))) };
    let given = Given::read(command.takes, words);
    match given.map_err(|what| Failure::Refused(text!("{what}; see `ha {name} --help`")))? {
        Some(given) => (command.run)(given),
        None => {
            terminal::say(&(given::help(name, command.about, command.explains) + command.notes));
            Ok(())
        }
    }
}

fn help() -> String {
    let commands = COMMANDS.map(|command| given::explained(command.name, command.about)).concat();
    given::help("[<command>]", ABOUT, "version\n\nprint the version\n") + "\n\nCommands:" + &commands
}

const ABOUT: Text = "Moves shared IP addresses between the Linux servers of one LAN: the most worthy living node has them, and never two.";

/// Why a command did not end well. Each has an exit code in main.rs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// What the person wrote cannot be done; nothing was changed.
    Refused(Refusal),
    /// The system refused what the person wanted.
    Failed(Text),
    /// `ha who`: nobody replies for one of the addresses.
    NobodyReplies,
    /// `ha who`: several machines reply for one of the addresses.
    SeveralReply,
}
