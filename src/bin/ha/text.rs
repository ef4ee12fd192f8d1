//! Texts that are kept for as long as the program runs: to hand one on costs no more than a number, and to drop it nothing.
//!
//! Like what is carved in stone, they are for what is said once: settings, and refusals that end the program. Whatever
//! may happen again and again goes into a buffer of its own.

use std::ffi::{CStr, CString};
use std::fmt;

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

/// As `format!`.
macro_rules! text { ($($text:tt)+) => { $crate::text::kept(format_args!($($text)+)) } }
pub(crate) use text;
