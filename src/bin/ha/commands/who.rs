//! `ha who`: who replies for the shared addresses.

use argh::FromArgs;
use ha::config::{Config, MAX_TIME};
use ha::time::Duration;

use crate::commands::{Failure, terminal};
use crate::settings::given::{Word, value_of};
use crate::settings::{Question, duration, keys};
use crate::text::{Refusal, Text, text};

mod asker;
mod found;

use asker::Asker;

/// Asks the LAN who answers for the shared addresses: hardware address, node, round trip. Works on any machine of the LAN, with
/// a daemon or without, and changes nothing.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "who",
    example = "{command_name} --interface eth0 --address 192.168.1.100",
    error_code(0, "One answers for each address."),
    error_code(1, "The system refused: missing privileges, for instance."),
    error_code(2, "The command line or the configuration is wrong; no question was sent."),
    error_code(3, "Nobody answers for one of the addresses."),
    error_code(4, "Several answer for one of the addresses.")
)]
pub struct Who {
    /// configuration file, also for group, multicast and key-file of the nodes (default: /etc/ha.conf if it exists)
    #[argh(option, arg_name = "file")]
    config: Option<Word>,
    /// interface to ask on
    #[argh(option, arg_name = "name")]
    interface: Option<Word>,
    /// an address to ask for, such as 192.168.1.100 or 2001:db8::100; repeatable
    #[argh(option, arg_name = "address")]
    address: Vec<Word>,
    /// longest time to wait (default: the interval and 500ms, or the time that it takes to ask for more than 7 addresses)
    #[argh(option, arg_name = "time")]
    timeout: Option<Word>,
}

impl Who {
    /// Asks, and prints who replies. Reads the key last, which only root can: what the system may refuse comes first.
    pub fn run(&self) -> Result<(), Failure> {
        let (question, timeout) = self.question().map_err(Failure::Refused)?;
        let asker = Asker::open(&question).map_err(Failure::Failed)?;
        let seal = question.key_file.map(|file| keys::seal(Some(file), question.context()));
        let seal = seal.transpose().map_err(Failure::Refused)?;
        let found = asker.ask(seal.as_ref(), timeout).map_err(Failure::Failed)?;
        terminal::say(&found.text);
        found.verdict
    }

    /// What to ask, and for how long at most.
    fn question(&self) -> Result<(Question, Duration), Refusal> {
        let mut given = Vec::new();
        given.extend(self.interface.map(|Word(value)| ("interface", value)));
        given.extend(self.address.iter().map(|Word(value)| ("address", *value)));
        let question = Question::load(value_of(self.config), &given)?;
        let timeout = match value_of(self.timeout) {
            Some(value) => {
                read_timeout(value, &question.config).map_err(|expected| text!("--timeout {value}: {expected}"))?
            }
            None => usual_timeout(&question.config),
        };
        Ok((question, timeout))
    }
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
