//! The programs that options name.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::OwnedFd;

use ha::time::Duration;

use crate::linux;
use crate::log::warn;
use crate::text::{Refusal, Text, c_text, kept, text};
use crate::trusted::{self, Kind};

/// When a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The address is here.
    OnActive,
    /// This node is ready to take over.
    OnStandby,
    /// This node cannot host.
    OnUnfit,
    /// The daemon leaves.
    OnShutdown,
    /// The address is about to be here.
    BeforeActive,
}

/// The name of its option.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnActive => "on-active",
            Self::OnStandby => "on-standby",
            Self::OnUnfit => "on-unfit",
            Self::OnShutdown => "on-shutdown",
            Self::BeforeActive => "before-active",
        })
    }
}

/// Which programs run, and for how long they may.
#[derive(Debug, Clone)]
pub struct HookSettings {
    scripts: [Option<Script>; HOOKS],
    /// What takes longer is killed.
    pub child_timeout: Duration,
}

impl HookSettings {
    /// Sets the program of `hook`.
    ///
    /// # Errors
    /// What would be accepted, see [`Script::parse`].
    pub fn set(&mut self, hook: Hook, value: Text) -> Result<(), Refusal> {
        self.scripts[hook as usize] = Some(Script::parse(value)?);
        Ok(())
    }

    /// No program is to run.
    pub fn is_empty(&self) -> bool {
        self.scripts.iter().all(Option::is_none)
    }

    /// The program of `hook`, if there is one.
    pub fn script(&self, hook: Hook) -> Option<&Script> {
        self.scripts[hook as usize].as_ref()
    }
}

impl Default for HookSettings {
    fn default() -> Self {
        Self { scripts: [const { None }; HOOKS], child_timeout: Duration::from_secs(10) }
    }
}

/// A path and its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    path: Text,
    /// HA_SCRIPT, since the first word of a script's arguments is its descriptor.
    variable: &'static CStr,
    words: &'static [&'static CStr],
}

impl Script {
    /// Splits `value` at white space, without quotes, and checks the program that it names.
    ///
    /// A user who can change the program, or a directory or link on the way to it, is root on this machine. It is checked
    /// here so that mistakes are found early; what counts is the check of each run, see [`Script::open`].
    ///
    /// # Errors
    /// What would be accepted, after the part of the path that is wrong.
    pub fn parse(value: Text) -> Result<Self, Refusal> {
        let words = value.split_ascii_whitespace().map(c_text).collect::<Option<Vec<_>>>();
        let words = words.ok_or("expected no NUL character")?;
        let path = value.split_ascii_whitespace().next().unwrap_or_default();
        if !path.starts_with('/') {
            return Err("expected the absolute path of a program, and arguments if it takes some");
        }
        if words.len() > MAX_WORDS {
            return Err(text!("expected at most {} arguments", MAX_WORDS - 1));
        }
        trusted::open(path, Kind::Program, kept)?;
        let variable = c_text(text!("HA_SCRIPT={path}")).ok_or("expected no NUL character")?;
        Ok(Self { path, variable, words: words.leak() })
    }

    /// The path, as it was written.
    pub fn path(&self) -> Text {
        self.path
    }

    /// The variable that says the path.
    pub fn variable(&self) -> &'static CStr {
        self.variable
    }

    /// The program, to be run by this descriptor: nothing else that is put in its place is. For the process that is to become
    /// the program, since a disk may keep it waiting; a refusal is a line in the log.
    pub fn open(&self, hook: Hook) -> Option<OwnedFd> {
        trusted::open(self.path, Kind::Program, |refusal| warn!("{hook} not run: {refusal}")).ok()
    }

    /// The path and the arguments.
    pub fn words(&self) -> impl Iterator<Item = &'static CStr> {
        self.words.iter().copied()
    }
}

/// How many kinds there are.
const HOOKS: usize = Hook::BeforeActive as usize + 1;

/// Path and arguments; four more come after them.
const MAX_WORDS: usize = linux::process::MAX_STRINGS - 4;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::trusted::tests::Directory;

    #[test]
    fn arguments_are_split_at_spaces() {
        let directory = Directory::new("split");
        let hook = directory.file("bin/hook", 0o755);
        let value = text!("  {hook}  -x   'a b'\t");
        let script = Script::parse(value).unwrap();
        let words: Vec<_> = script.words().skip(1).collect();
        assert_eq!(words, [c"-x", c"'a", c"b'"]);
        assert_eq!(Path::new(script.path()), directory.path("bin/hook"));
        for value in ["", " ", "hook", "./hook", "bin/hook", "~/hook", "\"/bin/true\""] {
            assert!(Script::parse(value).unwrap_err().contains("absolute path"), "{value:?}");
        }
        let many = text!("{}{}", script.path(), " x".repeat(MAX_WORDS));
        assert!(Script::parse(many).unwrap_err().contains("at most 19 arguments"));
    }
}
