//! `ha`: moves shared IP addresses between the servers of one LAN.

// It begins in linux/start.rs, and then with `run`.
#![cfg_attr(not(test), no_main)]

mod channel;
mod commands;
mod heap;
mod keeper;
mod linux;
mod log;
mod settings;
mod text;
mod worker;

use commands::{Failure, terminal};
use text::Text;

linux::start::entry!(run);

/// Does what the arguments of the program want; returns its exit code.
#[cfg_attr(test, expect(dead_code, reason = "tests begin elsewhere"))]
fn run(arguments: Vec<Text>) -> u8 {
    log::panic::log_place();
    match commands::run(&arguments) {
        Ok(()) => DONE,
        Err(Failure::Failed(line)) => {
            terminal::complain(line);
            FAILED
        }
        Err(Failure::Refused(line)) => {
            terminal::complain(line);
            REFUSED
        }
        Err(Failure::NobodyReplies) => NOBODY_REPLIES,
        Err(Failure::SeveralReply) => SEVERAL_REPLY,
    }
}

/// Exit codes; the manual page and the help texts list them.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const REFUSED: u8 = 2;
const NOBODY_REPLIES: u8 = 3;
const SEVERAL_REPLY: u8 = 4;
