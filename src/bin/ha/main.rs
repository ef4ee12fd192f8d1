//! `ha`: moves shared IP addresses between the servers of one LAN.

use std::process::ExitCode;

use ::log::{info, warn};
use argh::FromArgs;
use ha::config::Config;
use rustix::mm::{MlockAllFlags, mlockall};

mod cli;
mod clock;
#[allow(dead_code, reason = "the hooks wait for the keeper")]
mod hooks;
mod keeper;
mod log;
mod netlink;
mod packet;
mod settings;
mod sys;
mod udp;
#[allow(dead_code, reason = "the watchdog waits for the keeper")]
mod watchdog;
mod worker;

use cli::{Command, Ha, say};
use settings::Settings;
use worker::Worker;

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
        None => refuse("no command: expected run, check, keygen or decode; see `ha --help`"),
        Some(Command::Run(run)) => match run.settings() {
            Ok(settings) => serve(settings),
            Err(refusal) => refuse(&refusal),
        },
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
    let config = settings.config.clone();
    let realtime = settings.realtime;
    let mut worker = match Worker::start(settings) {
        Ok(worker) => worker,
        Err(error) => return fail(&error),
    };
    warn_of_risks(&config);
    if realtime {
        go_realtime();
    }
    match worker.run() {
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

/// Heartbeats must not wait for other processes or for a disk.
fn go_realtime() {
    if let Err(errno) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        info!("memory is not locked: {errno}");
    }
    if let Err(error) = sys::set_realtime(FIFO_PRIORITY) {
        info!("not scheduled before ordinary processes: {error}");
    }
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

/// In the middle: above ordinary processes, below what a kernel thread may need.
const FIFO_PRIORITY: i32 = 50;
