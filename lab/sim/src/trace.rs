//! What happened, a line per event.

use std::fmt;

use ha::wire::State;

use crate::time::{Time, Us};

/// Lines, if they are wanted.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<Line>>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Us,
    /// Where, unless it is about the LAN.
    pub node: Option<usize>,
    /// What a picture shows of it.
    pub mark: Mark,
    /// In words.
    pub text: String,
}

/// What a picture shows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The state changed; `None`: no process.
    State(Option<State>),
    /// The address is there, or not any more.
    Owner(bool),
    /// A claim to that node.
    Claim(Option<usize>),
    /// A packet of a node that has just released the address.
    Resign,
    /// A regular packet; left out of the text unless all is wanted.
    Beat,
    /// A fault began or ended.
    Fault,
    /// What the client knows.
    Client,
    /// Something for a person.
    Note,
    /// A rule was broken.
    Broken,
}

impl Trace {
    /// Keeps what happens.
    pub fn on() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    /// Enters an event.
    pub fn line(&mut self, at: Us, node: Option<usize>, mark: Mark, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, node, mark, text: text() });
        }
    }

    /// Those so far.
    pub fn so_far(&self) -> &[Line] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// All of them.
    pub fn lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{}  {node:>3}  {}", Time(self.at), self.text),
            None => write!(f, "{}       {}", Time(self.at), self.text),
        }
    }
}
