//! A program that an option names.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use super::Hook;
use crate::linux;
use crate::log::warn;
use crate::text::{Refusal, Text, c_text, kept, text};
use crate::trusted::{self, Kind};

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
    /// Whoever can change the program, or a directory or link on the way to it, is root on this machine. It is checked
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
