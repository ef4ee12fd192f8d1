//! `ha who`: who replies for the shared addresses.

use ha::config::{Config, MAX_TIME};
use ha::time::Duration;

use crate::commands::{Command, Failure, terminal};
use crate::settings::given::Given;
use crate::settings::{Question, duration, keys};
use crate::text::{Refusal, Text, text};

mod asker;
mod found;

use asker::Asker;

pub const COMMAND: Command = Command {
    name: "who",
    about: "Asks the LAN who answers for the shared addresses: hardware address, node, round trip. Works on any machine of the LAN, \
            with a daemon or without, and changes nothing.",
    takes: OPTIONS,
    explains: OPTIONS,
    notes: NOTES,
    run,
};

const OPTIONS: Text = "\
    config\nfile\nconfiguration file, also for group, multicast and key-file of the nodes (default: /etc/ha.conf if it exists)\n\
    interface\nname\ninterface to ask on\n\
    address\naddress...\nan address to ask for, such as 192.168.1.100 or 2001:db8::100; repeatable\n\
    timeout\ntime\nlongest time to wait (default: the interval and 500ms, or the time that it takes to ask for more than 7 \
    addresses)\n";

const NOTES: Text = "

Examples:
  ha who --interface eth0 --address 192.168.1.100

Error codes:
  0 One answers for each address.
  1 The system refused: missing privileges, for instance.
  2 The command line or the configuration is wrong; no question was sent.
  3 Nobody answers for one of the addresses.
  4 Several answer for one of the addresses.";

/// Asks, and prints who replies. Reads the key last, which only root can: what the system may refuse comes first.
fn run(given: Given) -> Result<(), Failure> {
    let (question, timeout) = question(given).map_err(Failure::Refused)?;
    let asker = Asker::open(&question).map_err(Failure::Failed)?;
    let seal = question.key_file.map(|file| keys::seal(Some(file), question.context()));
    let seal = seal.transpose().map_err(Failure::Refused)?;
    let found = asker.ask(seal.as_ref(), timeout).map_err(Failure::Failed)?;
    terminal::say(&found.text);
    found.verdict
}

/// What to ask, and for how long at most.
fn question(mut given: Given) -> Result<(Question, Duration), Refusal> {
    let (config, timeout) = (given.take("config"), given.take("timeout"));
    let question = Question::load(config, &given.0)?;
    let timeout = match timeout {
        Some(value) => {
            read_timeout(value, &question.config).map_err(|expected| text!("--timeout {value}: {expected}"))?
        }
        None => usual_timeout(&question.config),
    };
    Ok((question, timeout))
}

/// Long enough for a heartbeat of each node and for all questions.
fn usual_timeout(config: &Config) -> Duration {
    let heartbeat = config.interval() + Duration::from_millis(500);
    heartbeat.max(asker::all_rounds(config.addresses().len()))
}

fn read_timeout(value: Text, config: &Config) -> Result<Duration, Refusal> {
    let count = config.addresses().len();
    let (timeout, least) = (duration(value)?, asker::one_round(count));
    if timeout < least || timeout > MAX_TIME {
        return Err(text!("expected {least} to {MAX_TIME} to ask for {count} addresses"));
    }
    Ok(timeout)
}
