//! The addresses that /etc/network/interfaces gives to the shared name, for a configuration without an address.
//!
//! interfaces(5), as ifupdown and busybox read it: stanzas of several lines, comments at the beginning of a line only, a
//! backslash at its end to go on in the next one, and other files by `source` and `source-directory`.

use std::fmt::Display;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};

use ha::config::{Cidr, MAX_ADDRESSES};
use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;

use crate::linux::file;
use crate::text::{Refusal, Text, cut, cut_last, number, parts, text};

/// What the files say about one name.
#[derive(Debug)]
pub struct Interfaces {
    /// The name asked for.
    pub name: Text,
    /// In the order of the files and lines.
    pub addresses: heapless::Vec<Cidr, MAX_ADDRESSES>,
    /// File and line of the first address.
    pub origin: Option<Text>,
    /// File, number and text of the line that brings the device up at boot.
    pub at_boot: Option<Text>,
    stanza: Option<Stanza>,
    directory: Text,
    has_read_directory: bool,
    files: usize,
}

/// An `iface` stanza for this name.
#[derive(Debug)]
struct Stanza {
    begins: Location,
    is_v4: bool,
    address: Option<(IpAddr, Option<u8>)>,
    netmask: Option<u8>,
}

/// A line of a file.
#[derive(Debug, Clone, Copy)]
struct Location {
    file: Text,
    number: usize,
    line: Text,
}

impl Location {
    fn at(self) -> Text {
        text!("{}:{}", self.file, self.number)
    }

    fn quoted(self) -> Text {
        text!("{}:{}: {:.100}", self.file, self.number, self.line)
    }

    fn refuse<T>(self, expected: &dyn Display) -> Result<T, Refusal> {
        Err(text!("{}: expected {expected}", self.quoted()))
    }
}

impl Interfaces {
    /// Reads the files of this machine.
    ///
    /// # Errors
    /// One line: they do not give `name` an address, or not in a way that is understood.
    pub fn read(name: Text) -> Result<Self, Refusal> {
        Self::read_from(name, FILE, DIRECTORY)
    }

    fn read_from(name: Text, file: Text, directory: Text) -> Result<Self, Refusal> {
        let mut found = Self::new(name, directory);
        let read = file::read_lossy(file).map_err(|error| text!("{file}: {error}; {}", found.needed()))?;
        found.text(file, read.leak(), 0)?;
        if !found.has_read_directory {
            found.directory(directory, &has_plain_name, 0)?;
        }
        if found.addresses.is_empty() {
            return Err(text!("{file}: nothing for {name}; {}", found.needed()));
        }
        Ok(found)
    }

    fn new(name: Text, directory: Text) -> Self {
        Self {
            name,
            addresses: heapless::Vec::new(),
            origin: None,
            at_boot: None,
            stanza: None,
            directory,
            has_read_directory: false,
            files: 0,
        }
    }

    fn needed(&self) -> Text {
        text!("expected `iface {} inet static` there, or an address in the configuration", self.name)
    }

    fn text(&mut self, file: Text, text: Text, depth: usize) -> Result<(), Refusal> {
        let lines = parts(text, b'\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut lines = (1..).zip(lines);
        while let Some((number, line)) = lines.next() {
            if line.trim_ascii_start().starts_with('#') {
                continue;
            }
            let mut line = line;
            while let Some(begun) = line.strip_suffix('\\') {
                line = text!("{begun}{}", lines.next().map_or("", |(_, more)| more));
            }
            let line = line.trim_ascii();
            let location = Location { file, number, line };
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            let stem = cut(keyword, b'-').map_or(keyword, |(stem, _)| stem);
            if !KEYWORDS.contains(&stem) {
                self.option(keyword, words.next().unwrap_or_default(), location)?;
                continue;
            }
            self.end_stanza()?;
            match keyword {
                "iface" => self.begin_stanza(words, location)?,
                "auto" | "allow-auto" | "allow-hotplug" if words.any(|word| self.is_meant_by(word)) => {
                    self.at_boot.get_or_insert(location.quoted());
                }
                "source" => words.try_for_each(|word| self.source(word, location, depth))?,
                _ if keyword.starts_with("source-dir") => {
                    for word in words {
                        self.directory(resolved(word, file), &has_plain_name, depth)?;
                    }
                }
                _ => {}
            }
        }
        self.end_stanza()
    }

    /// `auto` also takes patterns, which begin with a slash.
    fn is_meant_by(&self, word: &str) -> bool {
        let is_like = |pattern: &str| is_match(pattern.as_bytes(), self.name.as_bytes());
        word == self.name || word.strip_prefix('/').is_some_and(is_like)
    }

    fn begin_stanza<'w>(&mut self, mut words: impl Iterator<Item = &'w str>, begins: Location) -> Result<(), Refusal> {
        if words.next() != Some(self.name) {
            return Ok(());
        }
        let family = words.next();
        let (is_v4, is_static) = (family == Some("inet"), words.next() == Some("static"));
        if family == Some("inet6") && !is_static {
            return Ok(()); // What the kernel or a server gives is the host's own.
        }
        // A further word would be `inherits`, which refers to another stanza.
        if !(is_v4 || family == Some("inet6")) || !is_static || words.next().is_some() {
            return begins.refuse(&format_args!("`iface {} inet static` with all that it needs", self.name));
        }
        self.stanza = Some(Stanza { begins, is_v4, address: None, netmask: None });
        Ok(())
    }

    fn option(&mut self, keyword: &str, value: &str, location: Location) -> Result<(), Refusal> {
        let Some(stanza) = &mut self.stanza else { return Ok(()) };
        match keyword {
            "address" if stanza.address.is_some() => location.refuse(&"one address in each stanza"),
            "address" => {
                let (address, mask) = cut(value, b'/').map_or((value, None), |(address, mask)| (address, Some(mask)));
                let prefix = mask.map(|mask| prefix(mask, stanza.is_v4));
                match (address.parse::<IpAddr>(), prefix) {
                    (Ok(address), None | Some(Some(_))) if address.is_ipv4() == stanza.is_v4 => {
                        stanza.address = Some((address, prefix.flatten()));
                        Ok(())
                    }
                    _ if stanza.is_v4 => location.refuse(&"an IPv4 address, such as 192.168.1.100 or 192.168.1.100/24"),
                    _ => location.refuse(&"an IPv6 address, such as 2001:db8::100 or 2001:db8::100/64"),
                }
            }
            "netmask" => {
                stanza.netmask = prefix(value, stanza.is_v4);
                match stanza.netmask {
                    Some(_) => Ok(()),
                    None if stanza.is_v4 => location.refuse(&"a netmask, such as 255.255.255.0 or 24"),
                    None => location.refuse(&"the bits of the prefix, such as 64"),
                }
            }
            _ => Ok(()),
        }
    }

    fn end_stanza(&mut self) -> Result<(), Refusal> {
        let Some(Stanza { begins, address, netmask, .. }) = self.stanza.take() else { return Ok(()) };
        let (address, prefix) = match (address, netmask) {
            (None, _) => return begins.refuse(&"an `address` line in this stanza"),
            (Some((_, None)), None) => return begins.refuse(&"a `netmask` line in this stanza"),
            (Some((_, Some(prefix))), Some(netmask)) if prefix != netmask => {
                return begins.refuse(&format_args!("one netmask in this stanza, not both /{prefix} and /{netmask}"));
            }
            (Some((address, Some(prefix))), _) | (Some((address, None)), Some(prefix)) => (address, prefix),
        };
        let cidr = Cidr::new(address, prefix);
        if let Err(why) = cidr.check() {
            return begins.refuse(&format_args!("a host's address in this stanza, not {cidr}: {why}"));
        }
        if self.addresses.push(cidr).is_err() {
            return begins.refuse(&"at most 16 stanzas of this name");
        }
        self.origin.get_or_insert(begins.at());
        Ok(())
    }

    /// A path, or a pattern for the last part of one, as the shell understands it.
    fn source(&mut self, word: Text, location: Location, depth: usize) -> Result<(), Refusal> {
        let path = resolved(word, location.file);
        let (directory, last) = cut_last(path, b'/').unwrap_or_default();
        let has_any = |text: &str, bytes: &[u8]| text.bytes().any(|byte| bytes.contains(&byte));
        if has_any(directory, b"*?") || has_any(path, b"[{$`~\"'\\") {
            return location.refuse(&"a path, with * and ? in its last part only");
        }
        if !has_any(last, b"*?") {
            return self.file(path, depth);
        }
        let is_meant = |name: &[u8]| !name.starts_with(b".") && is_match(last.as_bytes(), name);
        self.directory(directory, &is_meant, depth)
    }

    fn directory(&mut self, path: Text, is_meant: &dyn Fn(&[u8]) -> bool, depth: usize) -> Result<(), Refusal> {
        self.has_read_directory |= path.trim_end_matches('/') == self.directory;
        let Ok(directory) = file::open(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(()) };
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            let is_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Symlink | FileType::Unknown);
            let name = entry.file_name();
            if is_file
                && is_meant(name.to_bytes())
                && let Ok(name) = name.to_str()
            {
                self.file(text!("{path}/{name}"), depth)?;
            }
        }
        Ok(())
    }

    /// Skips a path without a file, as ifupdown does.
    fn file(&mut self, path: Text, depth: usize) -> Result<(), Refusal> {
        self.files += 1;
        if depth == MAX_DEPTH || self.files > MAX_FILES {
            return Err(text!("{path}: expected at most {MAX_FILES} files, {MAX_DEPTH} within each other"));
        }
        match file::read_lossy(path) {
            Ok(text) => self.text(path, text.leak(), depth + 1),
            Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
            Err(error) => Err(text!("{path}: {error}; expected a readable file, or an address in the configuration")),
        }
    }
}

/// A relative path starts from the directory of the file that names it.
fn resolved(path: Text, file: Text) -> Text {
    match cut_last(file, b'/') {
        Some((directory, _)) if !path.starts_with('/') => text!("{directory}/{path}"),
        _ => path,
    }
}

/// `source-directory` skips files with other names, such as the backups of editors and package managers.
fn has_plain_name(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

/// `24`, or for IPv4 `255.255.255.0`.
fn prefix(mask: &str, is_v4: bool) -> Option<u8> {
    let bits = match mask.parse::<Ipv4Addr>() {
        Ok(mask) if is_v4 => Some(mask.to_bits()).filter(|bits| bits.leading_ones() == bits.count_ones())?.count_ones(),
        _ => number::<u32>(mask)?,
    };
    u8::try_from(bits).ok().filter(|&bits| bits <= if is_v4 { 32 } else { 128 })
}

/// `*` stands for anything, `?` for any one byte.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen, mut star) = (0, 0, None);
    while let Some(&byte) = name.get(seen) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, seen));
                at += 1;
            }
            (Some(&wanted), _) if wanted == b'?' || wanted == byte => {
                at += 1;
                seen += 1;
            }
            (_, Some((after, from))) => {
                // The star takes one byte more.
                star = Some((after, from + 1));
                (at, seen) = (after, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|&rest| rest == b'*')
}

/// First words of lines that end a stanza. A dash and more may follow them.
const KEYWORDS: &[&str] = &["iface", "auto", "allow", "mapping", "template", "source", "rename", "no"];

const FILE: &str = "/etc/network/interfaces";

/// Read even if no line of the file mentions it.
const DIRECTORY: &str = "/etc/network/interfaces.d";

/// No machine needs more, and files that name each other have no end.
const MAX_FILES: usize = 256;
const MAX_DEPTH: usize = 4;

#[cfg(test)]
mod tests;
