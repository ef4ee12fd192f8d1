//! keepalived as a node, beside which the lab measures `ha`: Debian's package, its own defaults, `lab/keepalived.conf`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::net::{SHARED, SHARED_SIX};
use crate::skip;

/// The command that runs it in the foreground on node `number`. Its configuration and its pid files are in `logs`.
///
/// # Errors
/// When its configuration cannot say this interval, or cannot be written.
pub fn command(logs: &Path, number: u8, priority: u16, interval: Duration, has_six: bool) -> io::Result<Command> {
    let path = logs.join(format!("n{number}.conf"));
    fs::write(&path, configuration(number, priority, interval, has_six)?)?;
    let mut command = Command::new(PROGRAM);
    command.args(["--dont-fork", "--log-console", "--no-syslog", "--vrrp", "--use-file"]).arg(path);
    for file in ["pid", "vrrp_pid"] {
        command.arg(format!("--{file}")).arg(logs.join(format!("n{number}.{file}")));
    }
    Ok(command)
}

/// Priority of node `number`, 1 for the first, of that many. They are spread over the whole range: a backup waits the
/// longer the lower its priority (RFC 5798 6.1, Skew_Time), and two with nearly the same become master together.
pub fn priority(number: u8, nodes: u8) -> u16 {
    let parts = u16::from(nodes) + 1;
    HIGHEST * (parts - u16::from(number)) / parts
}

/// Its version; none if it is not installed.
pub fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// Why it does not run here.
pub fn refusal(error: &io::Error) -> io::Error {
    skip::because(format!("{PROGRAM}: {error}"))
}

fn configuration(number: u8, priority: u16, interval: Duration, has_six: bool) -> io::Result<String> {
    if !interval.as_micros().is_multiple_of(STEP_US) || !(1..=LONGEST_STEPS).contains(&(interval.as_micros() / STEP_US))
    {
        return Err(skip::because(format!("{PROGRAM}: its interval is 10, 20, 30 ms and so on, not {interval:?}")));
    }
    Ok(TEMPLATE
        .replace("$NODE", &format!("n{number}"))
        .replace("$PRIORITY", &priority.to_string())
        .replace("$INTERVAL", &interval.as_secs_f64().to_string())
        .replace("$ADDRESS", &SHARED.to_string())
        .replace("$SIX", &if has_six { format!("{SHARED_SIX}/64") } else { String::new() }))
}

const PROGRAM: &str = "keepalived";
/// 255 is for a router that owns the address.
const HIGHEST: u16 = 254;
/// VRRP 3 counts hundredths of a second, in 12 bits (RFC 5798 5.2.7).
const STEP_US: u128 = 10_000;
const LONGEST_STEPS: u128 = 4_095;
const TEMPLATE: &str = include_str!("../keepalived.conf");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_template_gets_its_value() {
        let text = configuration(2, 101, Duration::from_millis(100), true).unwrap();
        for line in ["router_id n2", "priority 101", "advert_int 0.1", "10.77.0.100/24", "2001:db8::100/64"] {
            assert!(text.lines().any(|found| found.trim() == line), "{line}: {text}");
        }
        assert!(!text.contains('$'), "{text}");
        let text = configuration(2, 101, Duration::from_millis(10), false).unwrap();
        assert!(text.contains("advert_int 0.01\n") && !text.contains("2001:db8::100"), "{text}");
    }

    #[test]
    fn priorities_are_spread_from_the_first_node_to_the_last() {
        assert_eq!([1, 2, 3].map(|number| priority(number, 3)), [190, 127, 63]);
        let many: Vec<_> = (1..=80).map(|number| priority(number, 80)).collect();
        assert!(many.windows(2).all(|pair| pair[0] > pair[1]), "{many:?}");
        assert!(many.iter().all(|priority| (1..=254).contains(priority)), "{many:?}");
    }

    #[test]
    fn an_interval_that_it_does_not_have_is_a_reason_to_skip() {
        for micros in [0, 5_000, 9_999, 15_000, 100_001, 41_000_000] {
            let error = configuration(1, 102, Duration::from_micros(micros), false).unwrap_err();
            assert!(skip::reason(&error).is_some(), "{micros}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_a_reason_to_skip() {
        let error = Command::new("/no/such/program").spawn().unwrap_err();
        assert!(skip::reason(&refusal(&error)).is_some_and(|reason| reason.starts_with("keepalived: No such file")));
    }
}
