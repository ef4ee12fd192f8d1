//! The reason why this machine cannot make a run: it is neither passed nor failed.

use std::error::Error;
use std::fmt;
use std::io;

/// Something that a run needs is missing here.
#[derive(Debug)]
struct Skip(String);

/// An error that says that the run cannot be made here, and why.
pub fn because(reason: impl Into<String>) -> io::Error {
    io::Error::other(Skip(reason.into()))
}

/// The reason, if the error says so.
pub fn reason(error: &io::Error) -> Option<&str> {
    error.get_ref()?.downcast_ref().map(|Skip(reason)| reason.as_str())
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Skip {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_so_is_a_reason_to_skip() {
        assert_eq!(reason(&because("no keepalived")), Some("no keepalived"));
        assert_eq!(because("no keepalived").to_string(), "no keepalived");
        assert_eq!(reason(&io::Error::other("no keepalived")), None);
        assert_eq!(reason(&io::Error::from(io::ErrorKind::NotFound)), None);
        assert_eq!(reason(&io::Error::from(io::ErrorKind::Unsupported)), None);
    }
}
