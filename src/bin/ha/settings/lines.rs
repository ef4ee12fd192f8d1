//! The lines of a configuration file: `name = value`, comments, and quotes around a value.
//!
//! People copy such lines from web pages and from files of other programs. So a pair of quotes around a whole value is not part
//! of the value, and a byte order mark is not part of the first line. Other quotes are refused: a person who writes them
//! expects them to join words, which they do not do here.

use crate::text::{Refusal, Text, cut, parts};

/// A line that sets an option.
#[derive(Debug)]
pub struct Line {
    /// Its number, from 1.
    pub number: u32,
    /// The line without its comment.
    pub text: Text,
    /// Name and value, or what would be accepted.
    pub parsed: Result<(Text, Text), Refusal>,
}

/// All lines but empty ones and comments.
pub fn lines(text: Text) -> impl Iterator<Item = Line> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    (1..).zip(parts(text, b'\n')).filter_map(|(number, line)| {
        let line = line.trim_ascii();
        let bare = cut(line, b'#').map_or(line, |(bare, _)| bare).trim_ascii();
        let text = if has_quotes(line) { line } else { bare };
        (!bare.is_empty()).then(|| Line { number, text, parsed: parse(line) })
    })
}

fn parse(line: Text) -> Result<(Text, Text), Refusal> {
    let (name, value) = cut(line, b'=').filter(|(name, _)| !name.contains('#')).ok_or("expected `name = value`")?;
    Ok((name.trim_ascii(), unquoted(value.trim_ascii())?))
}

fn unquoted(value: Text) -> Result<Text, Refusal> {
    let quote = value.bytes().next().filter(|byte| QUOTES.contains(byte));
    let Some(quote) = quote else {
        let bare = cut(value, b'#').map_or(value, |(bare, _)| bare).trim_ascii();
        return if has_quotes(bare) { Err("expected quotes around the whole value, or none") } else { Ok(bare) };
    };
    let (inside, after) = cut(&value[1..], quote).ok_or("expected the same quote at the end of the value")?;
    match after.trim_ascii().bytes().next() {
        None | Some(b'#') => Ok(inside.trim_ascii()),
        Some(_) => Err("expected quotes around the whole value, or none"),
    }
}

fn has_quotes(text: &str) -> bool {
    text.bytes().any(|byte| QUOTES.contains(&byte))
}

const QUOTES: &[u8] = b"\"'";

/// Some editors put it before a text in UTF-8.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::text;

    type Read = (u32, Text, Result<(Text, Text), Refusal>);

    fn read(text: &str) -> Vec<Read> {
        lines(text!("{text}")).map(|line| (line.number, line.text, line.parsed)).collect()
    }

    #[test]
    fn quotes_around_a_value_are_not_part_of_it_and_others_are_refused() {
        let no_end = Err("expected the same quote at the end of the value");
        let not_whole = Err("expected quotes around the whole value, or none");
        for (value, expected) in [
            ("eth0", Ok("eth0")),
            ("\"eth0\"", Ok("eth0")),
            ("'eth0'", Ok("eth0")),
            (" \" eth0 \"\r", Ok("eth0")),
            ("\"/bin/hook it's\" # comment", Ok("/bin/hook it's")),
            ("\"/etc/a #1.key\"", Ok("/etc/a #1.key")),
            ("'' ", Ok("")),
            ("eth0 # it's a comment", Ok("eth0")),
            ("\"eth0", no_end),
            ("\"eth0'", no_end),
            ("\"", no_end),
            ("eth0\"", not_whole),
            ("\"eth0\"x", not_whole),
            ("\"a\" \"b\"", not_whole),
            ("/bin/hook 'a b'", not_whole),
            ("/bin/hook -t=\"a # b\"", not_whole),
        ] {
            let parsed = read(&format!("name={value}")).pop().expect("a line").2;
            assert_eq!(parsed, expected.map(|value| ("name", value)), "{value}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_line() {
        assert_eq!(read("\u{feff}a = 1\n"), [(1, "a = 1", Ok(("a", "1")))]);
        assert_eq!(read("\u{feff}# comment\r\n\r\na = 1"), [(3, "a = 1", Ok(("a", "1")))]);
        assert_eq!(read("a = 1\n\u{feff}b = 2")[1].2, Ok(("\u{feff}b", "2")), "elsewhere it is a strange name");
    }

    #[test]
    fn a_comment_is_not_part_of_a_line() {
        let expected = Err("expected `name = value`");
        assert_eq!(read("# a = 1\n  #\n\n \t\na = 1 # b = 2"), [(5, "a = 1", Ok(("a", "1")))]);
        assert_eq!(read("a # = 1"), [(1, "a", expected)]);
        assert_eq!(read("a"), [(1, "a", expected)]);
    }
}
