//! Values of options, read from text. The error says what would be accepted; the caller adds name and value of the option.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ha::config::{Cidr, OnConflict};
use ha::time::Duration;
use log::LevelFilter;
use rustix::fs::FileType;

use crate::linux::file;
use crate::linux::name::{MAX_ALTERNATIVE_LEN, MAX_NAME_LEN};
use crate::text::{self, Refusal, Text, cut, cut_last, parts, text};

/// Text that is checked later, together with other options.
pub fn any_text(value: Text) -> Result<Text, Refusal> {
    Ok(value)
}

/// Reads a number in decimal digits, without a sign; what would be accepted is said as `expected`.
pub fn number<T: TryFrom<u64>>(expected: Refusal) -> impl Fn(Text) -> Result<T, Refusal> {
    move |value| text::number(value).ok_or(expected)
}

/// The value of a switch in a file.
pub fn yes_or_no(value: Text) -> Result<bool, Refusal> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no"),
    }
}

/// The name of an interface, which may appear later.
pub fn interface(value: Text) -> Result<Text, Refusal> {
    if value.len() > MAX_ALTERNATIVE_LEN {
        return Err(text!(
            "expected at most {MAX_NAME_LEN} characters, or {MAX_ALTERNATIVE_LEN} of an alternative name (ip-link(8), altname)"
        ));
    }
    match value {
        "lo" => Err("nobody else is on the loopback; expected the name of an interface, such as eth0"),
        _ if is_name(value) => Ok(value),
        _ => Err("expected the name of an interface, such as eth0"),
    }
}

/// A name of the kernel, or one of its alternative ones. The kernel would take quotes, too, but here they come from a shell or
/// an editor.
pub fn is_name(value: &str) -> bool {
    (1..=MAX_ALTERNATIVE_LEN).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:\"'".contains(&byte))
}

/// A shared address, and the interface that has it if that is named.
pub type Shared = (Cidr, Option<Text>);

/// `192.168.1.100/24`, or `203.0.113.5/29 dev wan0`.
pub fn shared(value: Text) -> Result<Shared, Refusal> {
    with_device(value, false, "expected a host's address with its prefix, such as 192.168.1.100/24 or 2001:db8::100/64")
}

/// The same, or the address without its prefix.
pub fn shared_or_bare(value: Text) -> Result<Shared, Refusal> {
    with_device(value, true, "expected a host's IPv4 address, such as 192.168.1.100")
}

fn with_device(value: Text, may_be_bare: bool, expected: Refusal) -> Result<Shared, Refusal> {
    let (address, rest) = cut(value, b' ').unwrap_or((value, ""));
    let cidr = host_address(address, may_be_bare, expected)?;
    if rest.is_empty() {
        return Ok((cidr, None));
    }
    let device = rest.trim_ascii().strip_prefix("dev ").ok_or("expected dev and an interface behind the address")?;
    Ok((cidr, Some(interface(device.trim_ascii())?)))
}

fn host_address(value: Text, may_be_bare: bool, expected: Refusal) -> Result<Cidr, Refusal> {
    let parse = || {
        let (address, prefix) = match cut(value, b'/') {
            Some((address, prefix)) => (address, Some(text::number(prefix)?)),
            None => (value, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        Some(Cidr::new(address, prefix.or(may_be_bare.then_some(whole))?))
    };
    let cidr = parse().ok_or(expected)?;
    cidr.check().map_err(|why| text!("{why}; {expected}"))?;
    Ok(cidr)
}

/// A multicast address and a port. One of IPv6 reaches the link at least, and names no interface: `interface` does.
pub fn multicast(value: Text) -> Result<SocketAddr, Refusal> {
    let parse = || {
        let (address, port) = cut_last(value, b':')?;
        let (address, is_v6) = match address.strip_prefix("[") {
            Some(rest) => (rest.strip_suffix("]")?, true),
            None => (address, false),
        };
        let address: IpAddr = address.parse().ok()?;
        let reaches_others = match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(group) => scope(group) >= LINK_LOCAL,
        };
        let is_good = address.is_ipv6() == is_v6 && address.is_multicast() && reaches_others;
        let port = text::number(port).filter(|&port| port > 0)?;
        is_good.then_some(SocketAddr::new(address, port))
    };
    parse().ok_or("expected a multicast address and a port, such as 239.2.3.4:5555 or [ff12::6861]:5555")
}

/// How far a multicast group of IPv6 reaches (RFC 4291 section 2.7).
pub fn scope(group: Ipv6Addr) -> u8 {
    group.octets()[1] & 0x0f
}

/// To the hosts of a link; what reaches less stays on the machine.
pub const LINK_LOCAL: u8 = 2;

/// `1s`, `100ms`, `3.5s`, `250us`: at most six decimals, to the microsecond.
pub fn duration(value: Text) -> Result<Duration, Refusal> {
    let parse = || {
        let unit_at = value.bytes().position(|byte| byte.is_ascii_alphabetic())?;
        let (amount, unit) = value.split_at(unit_at);
        let unit_us = match unit {
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => return None,
        };
        let (whole, decimals) = cut(amount, b'.').unwrap_or((amount, "0"));
        let millionths = text::number::<u32>(decimals)? * 10u32.pow(6u32.checked_sub(decimals.len().try_into().ok()?)?);
        let micros = text::number::<u64>(whole)?.checked_mul(unit_us)?;
        Some(Duration::from_micros(micros.checked_add(u64::from(millionths) * unit_us / 1_000_000)?))
    };
    parse().ok_or("expected a time such as 1s, 350ms or 3.5s")
}

/// How long a program may run.
pub fn child_timeout(value: Text) -> Result<Duration, Refusal> {
    let accepted = Duration::from_millis(1)..=Duration::from_secs(3600);
    let timeout = duration(value)?;
    if accepted.contains(&timeout) { Ok(timeout) } else { Err("expected 1ms to 3600s") }
}

pub fn on_conflict(value: Text) -> Result<OnConflict, Refusal> {
    match value {
        "take" => Ok(OnConflict::Take),
        "hold" => Ok(OnConflict::Hold),
        _ => Err("expected take or hold"),
    }
}

/// Whether the kernel closes the way of a dead daemon's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// Where it can.
    Auto,
    /// Never.
    Off,
    /// Or this node does not have the addresses.
    Required,
}

pub fn fencing(value: Text) -> Result<Fencing, Refusal> {
    match value {
        "auto" => Ok(Fencing::Auto),
        "off" => Ok(Fencing::Off),
        "required" => Ok(Fencing::Required),
        _ => Err("expected auto, off or required"),
    }
}

/// What is worth a line in the log.
pub fn log_level(value: Text) -> Result<LevelFilter, Refusal> {
    value.parse().map_err(|_| "expected off, error, warn, info, debug or trace")
}

/// A watchdog device. It is not opened, which would start it.
pub fn watchdog(value: Text) -> Result<Text, Refusal> {
    let found = file::name(value).and_then(|name| rustix::fs::stat(&*name));
    match found.map(|found| FileType::from_raw_mode(found.st_mode)) {
        Ok(FileType::CharacterDevice | FileType::Fifo | FileType::RegularFile) => Ok(value),
        Ok(_) => Err("expected a watchdog device, such as /dev/watchdog"),
        Err(error) => Err(text!("{error}; expected a watchdog device, such as /dev/watchdog")),
    }
}

/// A user and a group, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl User {
    /// The one with the fewest permissions.
    pub fn nobody() -> Self {
        user("nobody").unwrap_or(Self { uid: NOBODY, gid: NOBODY })
    }
}

/// A user by name: the line `name:password:uid:gid:...` of /etc/passwd (passwd(5)).
pub fn user(name: Text) -> Result<User, Refusal> {
    let expected = "expected a name in /etc/passwd that is not root's, such as nobody";
    let text = file::read_from("/etc/passwd").map_err(|_| expected)?;
    let line = parts(&text, b'\n').find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).ok_or(expected)?;
    let mut fields = parts(line, b':').skip(1);
    let mut id = || text::number(fields.next()?);
    match (id(), id()) {
        (Some(uid), Some(gid)) if uid != 0 => Ok(User { uid, gid }),
        _ => Err(expected),
    }
}

/// User and group where no /etc/passwd says who nobody is.
const NOBODY: u32 = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond() {
        for (text, expected) in [
            ("1s", Some(1_000_000)),
            ("3.5s", Some(3_500_000)),
            ("100ms", Some(100_000)),
            ("0.25ms", Some(250)),
            ("250us", Some(250)),
            ("1.000001s", Some(1_000_001)),
            ("1", None),
            ("s", None),
            ("1.s", None),
            (".5s", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            ("1.0000001s", None),
            ("0.20000000000000s", None),
            ("1m", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(duration(text).ok().map(Duration::as_micros), expected, "{text}");
        }
    }
}
