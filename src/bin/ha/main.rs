//! `ha`: moves shared IP addresses between the servers of one LAN.

// It begins in sys.rs.
#![cfg_attr(not(test), no_main)]

use ha::config::Config;

mod addresses;
mod channel;
mod cli;
mod clock;
mod file;
mod heap;
mod hooks;
mod keeper;
mod keys;
mod log;
mod netlink;
mod notify;
mod packet;
mod sandbox;
mod settings;
mod start;
mod sys;
mod udp;
mod unix;
mod watch;
mod watchdog;
mod who;
mod worker;

use cli::{Asked, Command, Words, say};
use keeper::Keeper;
use log::warn;
use settings::Settings;
use who::Asker;

/// Does what the words of the command line want; returns its exit code.
#[cfg_attr(test, expect(dead_code, reason = "tests begin elsewhere"))]
fn run(words: &[&str]) -> u8 {
    let (command, words) = match cli::parse(words) {
        Ok(Asked::Text(text)) => {
            say(text.trim_ascii_end());
            return DONE;
        }
        Ok(Asked::Deed(command, words)) => (command, words),
        Err(refusal) => return refuse(&refusal),
    };
    match command {
        Command::Run => match words.settings() {
            Ok(settings) => serve(settings),
            Err(refusal) => refuse(&refusal),
        },
        Command::Who => ask(words).unwrap_or_else(|code| code),
        Command::Check => answer(words.check()),
        Command::Decode => answer(words.decode()),
        Command::Keygen => match cli::keygen() {
            Ok(digits) => match cli::hand_over(&digits) {
                Ok(()) => DONE,
                Err(error) => fail(&format!("write the key: {error}")),
            },
            Err(error) => fail(&format!("getrandom: {error}")),
        },
    }
}

/// The daemon.
fn serve(settings: Settings) -> u8 {
    log::start(settings.log_level, settings.syslog);
    warn_of_risks(&settings.config);
    match Keeper::open(settings).and_then(Keeper::run) {
        Ok(()) => DONE,
        Err(error) => fail(&error),
    }
}

fn warn_of_risks(config: &Config) {
    if config.lease().is_some_and(ha::lease::Lease::is_late) {
        warn!(
            "tolerance {} is below 2s: the kernel's lease ends too late to fence a daemon that was killed or frozen",
            config.tolerance()
        );
    }
}

/// Who answers for the addresses. The key comes after what the system may refuse: root alone can read it.
fn ask(words: Words<'_>) -> Result<u8, u8> {
    let (question, timeout) = words.question().map_err(|refusal| refuse(&refusal))?;
    let asker = Asker::open(&question).map_err(|error| fail(&error))?;
    let seal = match &question.key_file {
        Some(file) => Some(keys::seal(Some(file)).map_err(|refusal| refuse(&refusal))?),
        None => None,
    };
    let found = asker.ask(seal.as_ref(), timeout).map_err(|error| fail(&error))?;
    say(&found.text);
    Ok(found.code)
}

fn answer(outcome: Result<String, String>) -> u8 {
    match outcome {
        Ok(text) => {
            say(&text);
            DONE
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// What the user wrote cannot be done.
fn refuse(line: &str) -> u8 {
    cli::complain(line);
    REFUSED
}

/// What the user wanted was refused by the system.
fn fail(line: &str) -> u8 {
    cli::complain(line);
    FAILED
}

/// Exit codes.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const REFUSED: u8 = 2;
