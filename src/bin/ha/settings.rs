//! What a person wants, checked: from the command line, the configuration file and /etc/network/interfaces. What does not
//! work is refused in one line.

use std::net::SocketAddrV4;

use ha::config::Config;
use ha::wire::Context;

use crate::text::{Refusal, Text};

mod declare;
mod draft;
pub mod given;
mod interfaces;
pub mod keys;
mod lines;
pub mod options;
pub mod place;
pub mod script;
pub mod trusted;
mod values;

use draft::Draft;
use options::Daemon;
pub use values::{User, duration, multicast};

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
    /// What the daemon around the core needs to know. The key file was found good.
    pub daemon: Daemon,
    /// What the core needs to know.
    pub config: Config,
}

/// Options of the command line, with their values.
pub type Given = [(Text, Text)];

impl Settings {
    /// Where this node's packets belong.
    pub fn context(&self) -> Context {
        Context { group: self.config.group(), multicast: self.daemon.multicast() }
    }

    /// Reads the file, then what was `given` on the command line, which wins.
    ///
    /// `file` is the one asked for; without one, [`DEFAULT_FILE`] is read if it exists.
    pub fn load(file: Option<Text>, given: &Given) -> Result<Self, Refusal> {
        let mut draft = Draft::default();
        draft.load(file, given)?;
        draft.settings()
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
        let mut draft = Draft::with_bare_addresses();
        draft.load(file, given)?;
        draft.question()
    }
}

/// Read if no other file is asked for.
pub const DEFAULT_FILE: &str = "/etc/ha.conf";
