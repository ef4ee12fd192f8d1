//! What the commands write for a person, and where the packet of `ha decode` may come from.

use rustix::io;
use rustix::stdio::{stderr, stdout};

use crate::file;

/// What `-` stands for: argh takes a lone dash for an option.
pub const STDIN: &str = "stdin";

/// Writes lines; a reader that has gone is no failure.
pub fn say(text: &str) {
    let _ = write_lines(text);
}

/// Writes lines that somebody needs.
///
/// # Errors
/// It could not be written, to a full disk for instance.
pub fn write_lines(text: &str) -> io::Result<()> {
    file::write(stdout(), &(plain(text, true) + "\n"))
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = file::write(stderr(), &format!("ha: {}\n", plain(text, false)));
}

/// What was typed, what a file holds and what came from the network may be anything, and this goes to a terminal, on which
/// everything is seen.
fn plain(text: &str, has_lines: bool) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c == '\n' && has_lines {
            plain.push(c);
        } else if c.is_control() {
            plain.push(char::REPLACEMENT_CHARACTER);
        } else if is_invisible(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Spaces that are none to us, and marks without any width: what a text from a web page or an editor may have.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}'
    )
}
