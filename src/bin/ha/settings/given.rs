//! What a person gives on the command line, word by word.

use std::convert::Infallible;
use std::str::FromStr;

use crate::text::{Text, text};

/// A word of the command line. It is kept as long as the program runs, so that it can be passed on and never has to be dropped.
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
