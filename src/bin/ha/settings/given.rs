//! The words of a command line after the name of the command: what of them is good, and the help that explains them.
//!
//! A text says which there can be, as [`options`](super::options) makes one for `ha run`. Three lines for each: the name of an option
//! without its dashes; what the help calls its value, with dots after it if the option can be given several times, and nothing for a
//! switch; the help. A name that does not begin with a letter is that of a word which is no option, and is given once. It is a text
//! because a table would have pointers.

use std::iter;

use crate::text::{Refusal, Text, parts, text};

/// What a person typed: names and values, in their order.
#[derive(Debug)]
pub struct Given(pub Vec<(Text, Text)>);

impl Given {
    /// Reads the words by what is `declared`; none if the help is wanted.
    ///
    /// # Errors
    /// The first word that is wrong.
    pub fn read(declared: Text, words: &[Text]) -> Result<Option<Self>, Refusal> {
        let mut given = Self(Vec::new());
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--help" || word == "help" {
                return Ok(None);
            }
            let is_meant = |name: Text| match word.strip_prefix("--") {
                Some(option) => is_option(name) && option == name,
                None => !is_option(name) && !given.has(name),
            };
            let meant = entries(declared).find(|entry| is_meant(entry.name));
            let Entry { name, takes, .. } = meant.ok_or_else(|| text!("unexpected {word}"))?;
            let value = match takes {
                _ if !is_option(name) => Some(&word),
                "" => Some(&"yes"),
                _ => words.next(),
            };
            let value = value.ok_or_else(|| text!("no value for {word}: expected {}", takes.trim_end_matches('.')))?;
            if !takes.ends_with("...") && given.has(name) {
                return Err(text!("duplicate {word} {value}: expected once"));
            }
            given.0.push((name, value));
        }
        Ok(Some(given))
    }

    /// Takes the value of an option that can be given once.
    pub fn take(&mut self, wanted: &str) -> Option<Text> {
        let place = self.0.iter().position(|&(name, _)| name == wanted)?;
        Some(self.0.remove(place).1)
    }

    fn has(&self, wanted: &str) -> bool {
        self.0.iter().any(|&(name, _)| name == wanted)
    }
}

/// How a command is typed and what it does, then what is `declared`, each with its explanation.
pub fn help(command: &str, about: &str, declared: Text) -> String {
    let (mut usage, mut options) = (String::new(), String::new());
    for Entry { name, takes, help } in entries(declared) {
        usage += match takes {
            _ if !is_option(name) => text!(" {name}"),
            "" => text!(" [--{name}]"),
            _ => text!(" [--{name} <{takes}>]"),
        };
        options += &explained(if is_option(name) { text!("--{name}") } else { name }, help);
    }
    options += &explained("--help, help", "display usage information");
    format!("Usage: ha {command}{usage}\n\n{about}\n\nOptions:{options}")
}

/// A new line with the name and, in a column that goes on below, what it is.
pub fn explained(name: &str, what: &str) -> String {
    const COLUMN: usize = 20;
    const WIDTH: usize = 80;
    let mut lines = format!("\n  {name:17}");
    // A name that reaches into the column has a line for itself.
    let mut width = if name.len() > 17 { WIDTH } else { COLUMN - 1 };
    for word in what.split_ascii_whitespace() {
        if width + 1 + word.len() > WIDTH {
            lines += text!("\n{:19}", "");
            width = COLUMN - 1;
        }
        lines += " ";
        lines += word;
        width += 1 + word.len();
    }
    lines
}

struct Entry {
    name: Text,
    takes: Text,
    help: Text,
}

fn entries(declared: Text) -> impl Iterator<Item = Entry> {
    let mut lines = parts(declared, b'\n');
    iter::from_fn(move || Some(Entry { name: lines.next()?, takes: lines.next()?, help: lines.next()? }))
}

fn is_option(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: Text = "name\nn\na name\nadd\nn...\nseveral\nswitch\n\nyes or no\n<word>\n\na word\n";

    #[test]
    fn words_are_read_in_their_order() {
        let words = ["--add", "--name", "w", "--switch", "--add", "", "--name", "<word>"];
        let given = Given::read(DECLARED, &words).unwrap().unwrap();
        assert_eq!(given.0, [("add", "--name"), ("<word>", "w"), ("switch", "yes"), ("add", ""), ("name", "<word>")]);
    }

    #[test]
    fn a_value_is_taken_once() {
        let mut given = Given::read(DECLARED, &["--name", "a", "--add", "b"]).unwrap().unwrap();
        assert_eq!((given.take("name"), given.take("name"), given.0), (Some("a"), None, vec![("add", "b")]));
    }

    #[test]
    fn what_is_not_declared_is_refused() {
        for (words, expected) in [
            (&["--other"][..], "unexpected --other"),
            (&["--<word>"], "unexpected --<word>"),
            (&["-name", "name"], "unexpected name"),
            (&["--switch", "--switch"], "duplicate --switch yes: expected once"),
            (&["--add"], "no value for --add: expected n"),
        ] {
            assert_eq!(Given::read(DECLARED, words).unwrap_err(), expected, "{words:?}");
        }
    }

    #[test]
    fn help_is_wanted_wherever_its_word_is_no_value() {
        for (words, is_wanted) in
            [(&["--switch", "--help"][..], true), (&["help", "--other"], true), (&["--name", "help"], false)]
        {
            assert_eq!(Given::read(DECLARED, words).unwrap().is_none(), is_wanted, "{words:?}");
        }
    }

    #[test]
    fn help_has_a_column_for_what_each_is() {
        let help = help(
            "do",
            "Does it.",
            "a-name-of-18-chars\nn\nshort\nx\n\nWORD WORD WORD WORD WORD WORD WORD WORD WORD WORD WORD WORD last\n",
        );
        let expected = "Usage: ha do [--a-name-of-18-chars <n>] [--x]\n\nDoes it.\n\nOptions:
  --a-name-of-18-chars
                    short
  --x               WORD WORD WORD WORD WORD WORD WORD WORD WORD WORD WORD WORD
                    last
  --help, help      display usage information";
        assert_eq!(help, expected);
    }
}
