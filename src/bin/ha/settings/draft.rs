//! Settings in the making: the configuration file, then the command line, then whether all of it goes together.

use std::fmt::Display;

use ha::config::{Cidr, Config, MAX_LINKS};
use ha::fence::{EXACT, Fence};
use ha::time::Duration;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{self, Errno};

use super::declare::Slot;
use super::interfaces::Interfaces;
use super::keys::{Keys, wiped};
use super::lines::{BYTE_ORDER_MARK, Line, lines};
use super::options::Options;
use super::trusted::{self, Expected, Kind};
use super::values::{self, Fencing, is_name};
use super::{DEFAULT_FILE, Question, Settings};
use crate::linux::file;
use crate::linux::name::MAX_NAME_LEN;
use crate::text::{Refusal, Text, text};

/// Options with their values, before it is known whether they go together.
#[derive(Debug, Default)]
pub struct Draft {
    options: Options,
    /// The file that was read.
    file: Option<Text>,
    /// What the file says.
    written: Vec<Written>,
    /// What a person may want to know, such as what the command line overrides.
    notes: Vec<Text>,
    /// An address may be given without its prefix.
    takes_bare_addresses: bool,
}

/// An option in the file.
#[derive(Debug)]
struct Written {
    name: Text,
    value: Text,
    /// Of its line.
    number: u32,
}

impl Draft {
    /// For `ha who`, which asks for addresses whose prefix does not matter.
    pub fn with_bare_addresses() -> Self {
        Self { takes_bare_addresses: true, ..Self::default() }
    }

    /// Reads the file, then the options that were `given` on the command line, which win.
    pub fn load(&mut self, file: Option<Text>, given: &[(Text, Text)]) -> Result<(), Refusal> {
        let name = file.unwrap_or(DEFAULT_FILE);
        match read_config(name) {
            Ok(read) => self.read(name, read?.leak())?,
            Err(Errno::NOENT) if file.is_none() => {}
            Err(error) => {
                return Err(text!("config {name}: {error}; expected a readable file of `name = value` lines in UTF-8"));
            }
        }
        if given.iter().any(|&(option, _)| option == ADDRESS) {
            self.options.link.addresses.clear();
        }
        for &(option, value) in given {
            self.set(option, value).map_err(|expected| text!("--{option} {value}: {expected}"))?;
        }
        let is_given = |name| given.iter().any(|&(option, _)| option == name);
        for Written { name: option, value, number } in self.written.iter().filter(|written| is_given(written.name)) {
            self.notes.push(text!("--{option} overrides {option} = {value} ({name}:{number})"));
        }
        Ok(())
    }

    fn read(&mut self, file: Text, text: Text) -> Result<(), Refusal> {
        if text.trim_start_matches(BYTE_ORDER_MARK).trim_ascii_start().starts_with('{') {
            return Err(text!(
                "config {file}: this is for ha 0.0.17; expected `name = value` lines, see docs/migration.md"
            ));
        }
        self.file = Some(file);
        for Line { number, text: line, parsed } in lines(text) {
            let refuse = |expected: &dyn Display| text!("{file}:{number}: {line}: {expected}");
            let (name, value) = parsed.map_err(|expected| refuse(&expected))?;
            let before = self.written.iter().find(|written| written.name == name && name != ADDRESS);
            if let Some(Written { value, number, .. }) = before {
                return Err(refuse(&format_args!("line {number} says {value}; expected each option once")));
            }
            self.set(name, value).map_err(|expected| refuse(&expected))?;
            self.written.push(Written { name, value, number });
        }
        Ok(())
    }

    fn set(&mut self, option: Text, value: Text) -> Result<(), Refusal> {
        if self.takes_bare_addresses && option == ADDRESS {
            return self.options.link.addresses.put(values::shared_or_bare(value)?);
        }
        self.options.set(option, value)
    }

    /// What /etc/network/interfaces says of the shared name, where the options name no address.
    fn look_up(&self) -> Result<Option<Interfaces>, Refusal> {
        let shared = self.options.link.shared.filter(|_| self.options.link.addresses.is_empty());
        shared.map(Interfaces::read).transpose()
    }

    fn interface(&self) -> Result<Text, Refusal> {
        self.options.link.interface.ok_or("interface is missing: expected one with a real address, such as eth0")
    }

    /// The settings, if the options go together and the keys are good.
    pub fn settings(mut self) -> Result<Settings, Refusal> {
        let interface = self.interface()?;
        let links = self.links(interface)?;
        let (mut origin, mut warning) = (None, None);
        if let Some(found) = self.look_up()? {
            let at_boot = found.at_boot.map(|line| {
                text!("{line}: {} comes up at boot; expected to be down until this node is active", found.name)
            });
            (origin, warning) = (found.origin, at_boot);
            self.options.params.addresses = found.addresses;
        }
        let (alias, device) = match self.options.link.shared {
            Some(shared) => alias_or_device(interface, shared)?,
            None => (":1", None),
        };
        for name in links.iter().copied().chain(device).filter(|name| name.len() > MAX_NAME_LEN) {
            self.notes.push(text!(
                "{name} has {} characters: the kernel's own names have {MAX_NAME_LEN} at most, so this is an alternative one \
                 (`ip link property add dev eth0 altname {name}`)",
                name.len()
            ));
        }
        let config = Config::new(self.options.params).map_err(|error| text!("{error}"))?;
        if let (Some(device), Some(other)) = (device, links.get(1)) {
            return Err(text!("shared {device}: expected an alias of {interface}, since {other} has addresses, too"));
        }
        if let (Some(device), Some(cidr)) = (device, first_of_v6(&config)) {
            return Err(text!(
                "address {cidr}: expected IPv4 with shared = {device}; IPv6 is for the interface itself"
            ));
        }
        let daemon = self.options.daemon;
        if daemon.fence() == Fencing::Required {
            check_timing(config.interval(), config.tolerance())?;
        }
        if let Some(file) = daemon.key_file() {
            wiped(|| Keys::read(file).map(drop))?;
        }
        let (file, notes) = (self.file, self.notes);
        Ok(Settings { file, interface, links, alias, device, origin, warning, notes, daemon, config })
    }

    /// Puts the addresses and their links into the parameters; returns the links, the `interface` first.
    fn links(&mut self, interface: Text) -> Result<heapless::Vec<Text, MAX_LINKS>, Refusal> {
        let params = &mut self.options.params;
        let mut links = heapless::Vec::from_iter([interface]);
        for (&(cidr, device), its_link) in self.options.link.addresses.iter().zip(&mut params.links) {
            let device = device.unwrap_or(interface);
            while links.get(usize::from(*its_link)).is_some_and(|link| *link != device) {
                *its_link += 1;
            }
            if usize::from(*its_link) == links.len() && links.push(device).is_err() {
                return Err(text!("address {cidr} dev {device}: expected at most {MAX_LINKS} interfaces"));
            }
            assert!(params.addresses.push(cidr).is_ok(), "there is room for as many");
        }
        Ok(links)
    }

    /// What `ha who` needs of the options.
    pub fn question(mut self) -> Result<Question, Refusal> {
        let interface = self.interface()?;
        if let Some(found) = self.look_up()? {
            self.options.params.addresses = found.addresses;
        }
        // It asks on one interface: for what is said to be there, else for what is not said to be elsewhere.
        let all = &self.options.link.addresses;
        let there = all.iter().map(|&(_, device)| device).find(|&device| device == Some(interface)).flatten();
        let asked = all.iter().filter(|&&(_, device)| device == there);
        self.options.params.addresses.extend(asked.map(|&(cidr, _)| cidr));
        let shared = self.options.link.shared;
        let config = Config::new(self.options.params).map_err(|error| text!("{error}"))?;
        let daemon = self.options.daemon;
        Ok(Question { interface, shared, multicast: daemon.multicast(), key_file: daemon.key_file(), config })
    }
}

/// The text of a configuration. A person who can write it says what runs as root, so nobody else may; a device or a pipe is
/// trusted because the command line names it.
fn read_config(name: &str) -> io::Result<Result<String, Refusal>> {
    let opened = file::open(name, OFlags::RDONLY)?;
    let found = fstat(&opened)?;
    if FileType::from_raw_mode(found.st_mode).is_file()
        && let Err(flaw) = trusted::check(&found)
    {
        return Ok(Err(text!("config {name}{}", Expected(flaw, Kind::Program))));
    }
    file::read(opened).map(Ok)
}

fn first_of_v6(config: &Config) -> Option<Cidr> {
    config.addresses().iter().copied().find(|cidr| cidr.address.is_ipv6())
}

/// A fence is required: there has to be one for this timing, if not on this machine then on one that counts exactly.
fn check_timing(interval: Duration, tolerance: Duration) -> Result<(), Refusal> {
    match Fence::for_timing(interval, tolerance, EXACT) {
        Some(_) => Ok(()),
        None => Err(text!(
            "tolerance {tolerance}: expected at least {} for an interval of {interval} with fence = required",
            Fence::least_tolerance(interval, EXACT)
        )),
    }
}

/// What follows the interface's name in the label of the addresses, or the device that has them.
fn alias_or_device(interface: Text, shared: Text) -> Result<(Text, Option<Text>), Refusal> {
    if let Some(alias) = alias_of(interface, shared) {
        Ok((alias, None))
    } else if is_name(shared) && shared != interface && shared != "lo" {
        Ok(("", Some(shared)))
    } else {
        Err(text!(
            "shared {shared}: expected an alias of the interface, such as {interface}:1, or another device, such as eth1"
        ))
    }
}

/// `:1` of the interface's alias `eth0:1`. It has to fit behind the kernel's name, which may be shorter than an alternative one.
fn alias_of(interface: &str, shared: Text) -> Option<Text> {
    let alias = shared.strip_prefix(interface)?;
    let suffix = alias.strip_prefix(':')?;
    let name_len = if interface.len() > MAX_NAME_LEN { 1 } else { interface.len() };
    let is_good = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_good && name_len + alias.len() <= MAX_NAME_LEN).then_some(alias)
}

/// The option that may be given several times; on the command line it replaces all that the file says.
const ADDRESS: Text = "address";

#[cfg(test)]
mod tests;
