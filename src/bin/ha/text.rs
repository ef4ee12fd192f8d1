//! Texts that are kept for as long as the program runs: to hand one on costs no more than a number, and to drop it nothing.
//!
//! They are for what is written once: settings, and refusals that end the program. What may happen again and again goes into a
//! buffer of its own.

use std::ffi::{CStr, CString};
use std::fmt;
use std::net::SocketAddr;

/// A text that is kept.
pub type Text = &'static str;

/// Why something is not done: one line that names the thing, the value and what would be accepted.
pub type Refusal = Text;

/// Makes one.
pub fn kept(text: fmt::Arguments<'_>) -> Text {
    fmt::format(text).leak()
}

/// The same as C wants it; none if it has a NUL.
pub fn c_text(text: &str) -> Option<&'static CStr> {
    Some(Box::leak(CString::new(text).ok()?.into_boxed_c_str()))
}

/// What is before and after the first `byte`, an ASCII character. By bytes, here and below: what finds characters is 1 KB more.
pub fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// What is before and after the last one.
pub fn cut_last(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|other| other == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// The parts that are separated by it.
pub fn parts(text: &str, byte: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let (part, others) = cut(whole, byte).map_or((whole, None), |(part, others)| (part, Some(others)));
        rest = others;
        Some(part)
    })
}

/// A number in decimal digits, without a sign.
pub fn number<T: TryFrom<u64>>(digits: &str) -> Option<T> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.bytes().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    });
    number?.try_into().ok()
}

/// Addresses as a log line shows them.
pub struct Listed<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, cidr) in self.0.iter().enumerate() {
            write!(f, "{}{cidr}", if position > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// An address with a port, as a person writes it. What the library has for that is 0.6 KB more.
pub struct Endpoint(pub SocketAddr);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [open, close] = if self.0.is_ipv4() { ["", ""] } else { ["[", "]"] };
        write!(f, "{open}{}{close}:{}", self.0.ip(), self.0.port())
    }
}

/// As `format!`.
macro_rules! text { ($($text:tt)+) => { $crate::text::kept(format_args!($($text)+)) } }
pub(crate) use text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_the_first_or_the_last_byte() {
        assert_eq!(cut("a=b=c", b'='), Some(("a", "b=c")));
        assert_eq!(cut_last("a=b=c", b'='), Some(("a=b", "c")));
        assert_eq!((cut("=", b'='), cut_last("=", b'=')), (Some(("", "")), Some(("", ""))));
        assert_eq!((cut("\u{fc}", b'='), cut_last("", b'=')), (None, None));
        for (text, expected) in [("", vec![""]), ("/", vec!["", ""]), ("\u{fc}/b//", vec!["\u{fc}", "b", "", ""])] {
            assert_eq!(parts(text, b'/').collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_only_and_fit() {
        for (digits, expected) in [("0", Some(0)), ("007", Some(7)), ("255", Some(255)), ("256", None), ("", None)] {
            assert_eq!(number::<u8>(digits), expected, "{digits}");
        }
        for digits in ["+1", "-1", " 1", "1 ", "1:", "1/", "\u{661}", "18446744073709551616"] {
            assert_eq!(number::<u64>(digits), None, "{digits}");
        }
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
    }
}
