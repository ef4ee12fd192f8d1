//! `ha keygen`: a new secret key.

use std::fmt::Write;

use ha::wire::Key;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::commands::{Command, Failure, terminal};
use crate::settings::given::Given;
use crate::text::text;

pub const COMMAND: Command = Command {
    name: "keygen",
    about: "Prints a new secret key: 32 random bytes as hexadecimal digits.",
    takes: "",
    explains: "",
    notes: "",
    run,
};

/// Prints the digits; a key that could not be written is a failure.
fn run(_: Given) -> Result<(), Failure> {
    let mut bytes = [0u8; Key::LEN];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|error| Failure::Failed(text!("getrandom: {error}")))?;
    let mut digits = String::new();
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a string takes any text");
    }
    terminal::write_lines(&digits).map_err(|error| Failure::Failed(text!("write the key: {error}")))
}
