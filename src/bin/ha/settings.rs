//! What a person wants, checked: from the command line, the configuration file and /etc/network/interfaces. What does not
//! work is refused in one line.

use std::net::SocketAddr;

use ha::config::{Config, MAX_LINKS};
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
pub use values::{Fencing, User, duration, multicast};

/// Everything that `ha run` needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<Text>,
    /// The interface with the real address.
    pub interface: Text,
    /// The interfaces with shared addresses, by the links' numbers; the first one is that one, which has the heartbeats.
    pub links: heapless::Vec<Text, MAX_LINKS>,
    /// What follows an interface's name in the label of the shared addresses, such as `:1`.
    pub alias: Text,
    /// The device that has the addresses, if the interface itself does not.
    pub device: Option<Text>,
    /// File and line of /etc/network/interfaces that gave the addresses.
    pub origin: Option<Text>,
    /// A warning, in a line.
    pub warning: Option<Text>,
    /// Hints, each in a line, such as an option that the command line overrides.
    pub notes: Vec<Text>,
    /// What the daemon around the core needs to know. The key file was found good.
    pub daemon: Daemon,
    /// What the core needs to know.
    pub config: Config,
}

impl Settings {
    /// Where this node's packets belong.
    pub fn context(&self) -> Context {
        Context { group: self.config.group(), multicast: self.daemon.multicast() }
    }

    /// Reads the file, then the options that were `given` on the command line, which win. Without a `file`, reads
    /// [`DEFAULT_FILE`] if it exists.
    pub fn load(file: Option<Text>, given: &[(Text, Text)]) -> Result<Self, Refusal> {
        let mut draft = Draft::default();
        draft.load(file, given)?;
        draft.settings()
    }
}

/// What `ha who` needs to know. Nothing has opened the key file yet.
#[derive(Debug)]
pub struct Question {
    /// The interface to ask on.
    pub interface: Text,
    /// The value of `shared`: an alias of the interface, or another device.
    pub shared: Option<Text>,
    /// Where heartbeats go.
    pub multicast: SocketAddr,
    /// Where the key is.
    pub key_file: Option<Text>,
    /// Group, addresses and interval.
    pub config: Config,
}

impl Question {
    /// Where the packets of the nodes belong.
    pub fn context(&self) -> Context {
        Context { group: self.config.group(), multicast: self.multicast }
    }

    /// Reads the same as [`Settings::load`], but an address may lack its prefix.
    pub fn load(file: Option<Text>, given: &[(Text, Text)]) -> Result<Self, Refusal> {
        let mut draft = Draft::with_bare_addresses();
        draft.load(file, given)?;
        draft.question()
    }
}

/// Read if no other file is asked for.
pub const DEFAULT_FILE: &str = "/etc/ha.conf";
