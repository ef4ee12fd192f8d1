//! The commands that a person types, one file each.

use argh::FromArgs;

use crate::settings::given::Run;
use crate::text::{Refusal, Text};

pub mod check;
pub mod decode;
pub mod keygen;
pub mod run;
pub mod terminal;
pub mod who;

/// Moves shared IP addresses between the Linux servers of one LAN: the most worthy living node has them, and never two.
#[derive(FromArgs, Debug)]
pub struct Ha {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

impl Ha {
    /// Does what the command line says.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.command {
            _ if self.version => {
                terminal::say(concat!("ha ", env!("CARGO_PKG_VERSION")));
                Ok(())
            }
            Some(Command::Run(run)) => run.run(),
            Some(Command::Who(who)) => who.run(),
            Some(Command::Check(check)) => check.run(),
            Some(Command::Keygen(keygen)) => keygen.run(),
            Some(Command::Decode(decode)) => decode.run(),
            None => Err(Failure::Refused("no command: expected run, who, check, keygen or decode; see `ha --help`")),
        }
    }
}

/// What to do.
#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    /// Runs the daemon.
    Run(Run),
    /// Asks who has the addresses.
    Who(who::Who),
    /// Checks a configuration.
    Check(check::Check),
    /// Makes a key.
    Keygen(keygen::Keygen),
    /// Explains a packet.
    Decode(decode::Decode),
}

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
