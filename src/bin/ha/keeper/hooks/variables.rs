//! The variables of a hook, in buffers of fixed size.

use std::ffi::CStr;
use std::fmt::{self, Write};

use ha::wire::State;

use super::Change;

/// The part of environment and arguments that changes.
///
/// The whole environment is PATH, HA_STATE and HA_PREVIOUS (active, standby, unfit or shutdown), HA_GROUP, HA_INTERFACE,
/// HA_ADDRESSES (each with its prefix, separated by spaces), HA_PEER (a real address) and HA_REASON (a few words),
/// these two empty if there is none, and HA_SCRIPT.
#[derive(Debug)]
pub struct Variables {
    to: State,
    state: Variable,
    previous: Variable,
    peer: Variable,
    reason: Variable,
}

impl Variables {
    /// Those of `change`.
    pub fn new(change: &Change<'_>) -> Self {
        Self {
            to: change.to,
            state: Variable::new("HA_STATE", &change.to),
            previous: Variable::new("HA_PREVIOUS", &change.from),
            peer: match &change.peer {
                Some(peer) => Variable::new("HA_PEER", peer),
                None => Variable::new("HA_PEER", &""),
            },
            reason: Variable::new("HA_REASON", change.reason),
        }
    }

    /// HA_STATE, HA_PREVIOUS, HA_PEER and HA_REASON.
    pub fn in_order(&self) -> [&CStr; 4] {
        [self.state.as_c_str(), self.previous.as_c_str(), self.peer.as_c_str(), self.reason.as_c_str()]
    }

    /// The new state in the words of keepalived, so that scripts written for it understand.
    pub fn keepalived_state(&self) -> &'static CStr {
        match self.to {
            State::Active => c"MASTER",
            State::Standby => c"BACKUP",
            State::Unfit => c"FAULT",
            State::Shutdown => c"STOP",
        }
    }
}

/// `NAME=value` and a NUL. A value that is too long is cut. It comes from a process that reads the network, and goes to
/// scripts: anything but plain text becomes a question mark.
#[derive(Debug)]
struct Variable<const N: usize = 256>(heapless::Vec<u8, N>);

impl<const N: usize> Variable<N> {
    fn new(name: &str, value: &dyn fmt::Display) -> Self {
        let mut variable = Self(heapless::Vec::new());
        // Writing cannot fail: what does not fit is cut.
        let _ = write!(variable, "{name}={value}");
        variable.0.push(0).expect("a byte is left for the NUL");
        variable
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.0).expect("one NUL, at the end")
    }
}

impl<const N: usize> Write for Variable<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars().take(N - 1 - self.0.len()) {
            let byte = if matches!(c, ' '..='~') { u8::try_from(c).unwrap_or(b'?') } else { b'?' };
            self.0.push(byte).expect("counted");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_plain_text_that_fits() {
        assert_eq!(Variable::<16>::new("A", &"b\n\0\u{1b}ö`").as_c_str(), c"A=b????`");
        assert_eq!(Variable::<8>::new("A", &"123456789").as_c_str(), c"A=12345");
        assert_eq!(Variable::<8>::new("A", &"ööööööööö").as_c_str(), c"A=?????");
        assert_eq!(Variable::<8>::new("A", &"").as_c_str(), c"A=");
    }

    #[test]
    fn states_have_the_words_of_keepalived() {
        for (to, word) in [
            (State::Active, c"MASTER"),
            (State::Standby, c"BACKUP"),
            (State::Unfit, c"FAULT"),
            (State::Shutdown, c"STOP"),
        ] {
            let variables = Variables::new(&Change { from: State::Standby, to, reason: &"", peer: None });
            assert_eq!(variables.keepalived_state(), word);
        }
    }
}
