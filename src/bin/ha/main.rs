//! `ha`: moves shared IP addresses between the servers of one LAN.

use std::process::ExitCode;

use ::log::warn;
use argh::FromArgs;
use ha::config::Config;

mod addresses;
mod channel;
mod cli;
mod clock;
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
mod watch;
mod watchdog;
mod who;
mod worker;

use cli::{Command, Ha, say};
use keeper::Keeper;
use settings::Settings;
use who::Asker;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(|arg| if arg == "-" { cli::STDIN } else { arg }).collect();
    let ha = match Ha::from_args(&["ha"], &arguments) {
        Ok(ha) => ha,
        Err(exit) if exit.status.is_ok() => {
            say(exit.output.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(exit) => return refuse(&format!("{}; see `ha --help`", one_line(&exit.output))),
    };
    match ha.command {
        _ if ha.version => {
            say(concat!("ha ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        None => refuse("no command: expected run, who, check, keygen or decode; see `ha --help`"),
        Some(Command::Run(run)) => match run.settings() {
            Ok(settings) => serve(settings),
            Err(refusal) => refuse(&refusal),
        },
        Some(Command::Who(who)) => ask(&who).unwrap_or_else(|code| code),
        Some(Command::Check(check)) => answer(check.run()),
        Some(Command::Decode(decode)) => answer(decode.run()),
        Some(Command::Keygen(keygen)) => match keygen.run() {
            Ok(digits) => match cli::hand_over(&digits) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&format!("write the key: {error}")),
            },
            Err(error) => fail(&format!("getrandom: {error}")),
        },
    }
}

/// The daemon.
fn serve(settings: Settings) -> ExitCode {
    if let Err(error) = log::start(settings.log_level, settings.syslog) {
        return fail(&format!("syslog to /dev/log: {error}; expected a running syslog daemon"));
    }
    warn_of_risks(&settings.config);
    match Keeper::open(settings).and_then(Keeper::run) {
        Ok(()) => ExitCode::SUCCESS,
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
fn ask(who: &cli::Who) -> Result<ExitCode, ExitCode> {
    let (question, timeout) = who.question().map_err(|refusal| refuse(&refusal))?;
    let asker = Asker::open(&question).map_err(|error| fail(&error))?;
    let seal = match &question.key_file {
        Some(file) => Some(keys::seal(Some(file)).map_err(|refusal| refuse(&refusal))?),
        None => None,
    };
    let found = asker.ask(seal.as_ref(), timeout).map_err(|error| fail(&error))?;
    say(&found.text);
    Ok(ExitCode::from(found.code))
}

fn answer(outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// What the user wrote cannot be done.
fn refuse(line: &str) -> ExitCode {
    cli::complain(line);
    ExitCode::from(2)
}

/// What the user wanted was refused by the system.
fn fail(line: &str) -> ExitCode {
    cli::complain(line);
    ExitCode::FAILURE
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
