//! The command line: its words, and what argh makes of an option.

use std::convert::Infallible;
use std::str::FromStr;

use crate::text::{Refusal, Text, text};

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

/// An option as argh stores it.
pub trait Given {
    /// Adds the option to `given`, once for each of its values.
    fn add_to(&self, given: &mut Vec<(Text, Text)>, name: Text) -> Result<(), Refusal>;
}

impl Given for Option<Word> {
    fn add_to(&self, given: &mut Vec<(Text, Text)>, name: Text) -> Result<(), Refusal> {
        given.extend(self.iter().map(|Word(value)| (name, *value)));
        Ok(())
    }
}

impl Given for Vec<Word> {
    fn add_to(&self, given: &mut Vec<(Text, Text)>, name: Text) -> Result<(), Refusal> {
        given.extend(self.iter().map(|Word(value)| (name, *value)));
        Ok(())
    }
}

/// A switch: how often it was given.
impl Given for u8 {
    fn add_to(&self, given: &mut Vec<(Text, Text)>, name: Text) -> Result<(), Refusal> {
        match self {
            0 => {}
            1 => given.push((name, "yes")),
            times => return Err(text!("--{name}: given {times} times; expected once")),
        }
        Ok(())
    }
}
