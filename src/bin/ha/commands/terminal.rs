//! What the commands write to the terminal.

use rustix::io;
use rustix::stdio::{stderr, stdout};

use crate::linux::file;

/// Writes lines; a reader that has gone is no failure.
pub fn say(text: &str) {
    let _ = write_lines(text);
}

/// Writes lines that must not get lost.
///
/// # Errors
/// The lines could not be written, to a full disk for instance.
pub fn write_lines(text: &str) -> io::Result<()> {
    file::write(stdout(), &(plain(text, true) + "\n"))
}

/// Writes a line to standard error.
pub fn complain(text: &str) {
    let _ = file::write(stderr(), &format!("ha: {}\n", plain(text, false)));
}

/// Makes text safe for a terminal, and all of it visible: words that were typed, files and packets may hold any character.
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

/// Spaces that do not separate words here, and marks without a width: text from a web page or an editor may have them.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}'
    )
}
