//! One line, whatever is written to it.

use std::fmt::{self, Write};

/// A line of plain text, cut at 400 bytes. What comes from the network, from another process or from the configuration may
/// hold anything, a line feed and what a terminal obeys among them: whatever is no plain character becomes a question mark.
#[derive(Debug, Default)]
pub struct Line {
    text: heapless::Vec<u8, LINE_LEN>,
}

impl Line {
    /// What is in it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same with a line feed at the end, which always has room.
    pub fn ended(&mut self) -> &[u8] {
        let pushed = self.text.push(b'\n');
        assert!(pushed.is_ok(), "a line ends once");
        &self.text
    }
}

impl Write for Line {
    /// Cannot fail: what does not fit is cut.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars().take(LINE_LEN - 1 - self.text.len()) {
            let byte = u8::try_from(c).ok().filter(|byte| matches!(byte, b' '..=b'~'));
            let pushed = self.text.push(byte.unwrap_or(b'?'));
            assert!(pushed.is_ok(), "counted");
        }
        Ok(())
    }
}

/// Its characters, without what would change the line.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text).unwrap_or_default())
    }
}

const LINE_LEN: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_still_ends() {
        let mut line = Line::default();
        for _ in 0..100 {
            line.write_str("0123456789").unwrap();
        }
        assert_eq!((line.ended().len(), line.text().last()), (LINE_LEN, Some(&b'\n')));
    }

    #[test]
    fn nothing_that_is_written_makes_a_second_line_or_moves_a_cursor() {
        for (text, expected) in [
            ("eth0\nerror: forged", "eth0?error: forged"),
            ("\r\x1b[2J\x07\0\x7f\t", "??[2J????"),
            ("\u{9b}2J \u{85}\u{2028}\u{202e} \u{fc}\u{fffd}", "?2J ??? ??"),
            ("<0>ha[1]: ~", "<0>ha[1]: ~"),
        ] {
            let mut line = Line::default();
            line.write_str(text).unwrap();
            assert_eq!(line.to_string(), expected);
        }
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let mut line = Line::default();
            line.write_char(c).unwrap();
            assert!(matches!(line.text(), [b' '..=b'~']), "{c:?}");
        }
    }
}
