//! `ha`: moves shared IP addresses between the servers of one LAN.

// It begins in linux/start.rs, and then with `run`.
#![cfg_attr(not(test), no_main)]

use argh::FromArgs;
use ha::config::Config;

mod channel;
mod cli;
mod heap;
mod interfaces;
mod keeper;
mod keys;
mod linux;
mod log;
mod place;
mod settings;
mod text;
mod trusted;
mod who;
mod worker;

use cli::{Command, Ha, say};
use keeper::Keeper;
use linux::inherited;
use linux::netlink::Requests;
use log::{info, warn};
use settings::Settings;
use text::{Refusal, Text, text};
use who::Asker;

linux::start::entry!(run);

/// Does what the arguments of the program want; returns its exit code.
#[cfg_attr(test, expect(dead_code, reason = "tests begin elsewhere"))]
fn run(mut arguments: Vec<Text>) -> u8 {
    log::panic::log_place();
    for argument in arguments.iter_mut().filter(|argument| **argument == "-") {
        *argument = cli::STDIN;
    }
    let ha = match Ha::from_args(&["ha"], &arguments) {
        Ok(ha) => ha,
        Err(exit) if exit.status.is_ok() => {
            say(exit.output.trim_ascii_end());
            return DONE;
        }
        Err(exit) => return refuse(text!("{}; see `ha --help`", one_line(&exit.output))),
    };
    match ha.command {
        _ if ha.version => {
            say(concat!("ha ", env!("CARGO_PKG_VERSION")));
            DONE
        }
        None => refuse("no command: expected run, who, check, keygen or decode; see `ha --help`"),
        Some(Command::Run(run)) => match run.settings() {
            Ok(settings) => serve(settings),
            Err(refusal) => refuse(refusal),
        },
        Some(Command::Who(who)) => ask(&who).unwrap_or_else(|code| code),
        Some(Command::Check(check)) => inspect(&check).unwrap_or_else(|code| code),
        Some(Command::Decode(decode)) => answer(decode.run()),
        Some(Command::Keygen(keygen)) => match keygen.run() {
            Ok(digits) => match cli::hand_over(digits) {
                Ok(()) => DONE,
                Err(error) => fail(text!("write the key: {error}")),
            },
            Err(error) => fail(text!("getrandom: {error}")),
        },
    }
}

/// The daemon.
fn serve(settings: Settings) -> u8 {
    log::start(settings.log_level, settings.syslog);
    warn_of_risks(&settings.config);
    if let Some(limits) = inherited::low_limits() {
        warn!("limits too low: {limits}");
    }
    if let Some(caution) = settings.caution {
        warn!("{caution}");
    }
    for note in &settings.notes {
        info!("{note}");
    }
    match Keeper::open(settings, worker::run).and_then(Keeper::run) {
        Ok(()) => DONE,
        Err(error) => {
            log::line_to_syslog(::log::Level::Error, format_args!("{error}"));
            fail(error)
        }
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
fn ask(who: &cli::Who) -> Result<u8, u8> {
    let (question, timeout) = who.question().map_err(refuse)?;
    let asker = Asker::open(&question).map_err(fail)?;
    let seal = match question.key_file {
        Some(file) => Some(keys::seal(Some(file), question.context()).map_err(refuse)?),
        None => None,
    };
    let found = asker.ask(seal.as_ref(), timeout).map_err(fail)?;
    say(&found.text);
    Ok(found.code)
}

/// Whether the configuration is good, and good for this machine, if that can be seen.
fn inspect(check: &cli::Check) -> Result<u8, u8> {
    let settings = check.settings().map_err(refuse)?;
    if let Ok(mut requests) = Requests::open()
        && let Some(obstacle) = place::obstacle(&settings, &mut requests)
    {
        return Err(fail(obstacle));
    }
    say(check.summary(&settings));
    Ok(DONE)
}

fn answer(outcome: Result<Text, Refusal>) -> u8 {
    match outcome {
        Ok(text) => {
            say(text);
            DONE
        }
        Err(refusal) => refuse(refusal),
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

fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_ascii_whitespace() {
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    line
}

/// Exit codes.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const REFUSED: u8 = 2;
