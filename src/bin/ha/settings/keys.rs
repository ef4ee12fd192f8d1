//! Secret keys: from a file to the process that signs with them. Every copy of their bytes in memory is wiped.
//!
//! The keeper never has them. A worker reads them before it gives up its privileges. At SIGHUP a process that does nothing else
//! reads the file again and sends what is derived from the keys to the worker through a socket.

use std::fmt::Display;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ha::wire::{Context, Key, Seal, SigningKey};
use rustix::fs::fstat;
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, getcwd, set_parent_process_death_signal};
use zeroize::{Zeroize, Zeroizing};

use crate::linux::file;
use crate::log::error;
use crate::settings::trusted::{self, Kind};
use crate::text::{Refusal, text};
use crate::{linux, log as lines};

/// One key or several. The first signs; a tag of any of them is accepted.
pub struct Keys {
    bytes: Zeroizing<[u8; Key::MAX * Key::LEN]>,
    len: usize,
}

impl Keys {
    /// Reads the file `name` as `ha keygen` writes it: a key per line, without empty lines and those that begin with `#`. A user
    /// who can put another file in its place decides who belongs to the group, so see [`trusted`].
    pub fn read(name: &str) -> Result<Self, Refusal> {
        let refuse = |what: &dyn Display| text!("key-file {name}: {what}");
        let unreadable = |error| refuse(&format_args!("{error}; expected a file as `ha keygen > FILE` writes it"));
        let path = absolute(name).map_err(unreadable)?;
        let opened = trusted::open(path, Kind::Keys, |flaw| text!("key-file {flaw}"))?;
        let mode = fstat(&opened).map_err(unreadable)?.st_mode;
        if mode & 0o077 != 0 {
            return Err(refuse(&format_args!(
                "readable or writable by others (mode {:03o}): expected 600, as `chmod 600` sets it",
                mode & 0o777
            )));
        }
        let mut text = Zeroizing::new([0; MAX_FILE]);
        let filled = file::fill(&opened, &mut text[..]).map_err(unreadable)?;
        if filled == text.len() {
            return Err(refuse(&format_args!(
                "longer than {} bytes: expected at most {} keys",
                MAX_FILE - 1,
                Key::MAX
            )));
        }
        Self::parse(&text[..filled]).map_err(|what| refuse(&what))
    }

    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut keys = Self { bytes: Zeroizing::new([0; Key::MAX * Key::LEN]), len: 0 };
        let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        for digits in lines.filter(|line| !line.is_empty() && line[0] != b'#') {
            let free = keys.bytes.get_mut(keys.len..keys.len + Key::LEN);
            let free = free.ok_or_else(|| text!("one key too many: expected at most {}", Key::MAX))?;
            unhex_into(digits, free).ok_or_else(|| {
                let expected = 2 * Key::LEN;
                text!("{} characters: expected {expected} hexadecimal digits, as `ha keygen` prints", digits.len())
            })?;
            keys.len += Key::LEN;
        }
        if keys.len == 0 {
            return Err(text!("no key: expected {} hexadecimal digits, as `ha keygen` prints", 2 * Key::LEN));
        }
        Ok(keys)
    }

    /// Derives the keys that sign packets in this context.
    pub fn signing(&self, context: Context) -> SigningKeys {
        let mut signing = SigningKeys { bytes: Zeroizing::new([0; Key::MAX * Key::LEN]), len: self.len };
        let secrets = self.bytes[..self.len].as_chunks().0;
        for (derived, secret) in signing.bytes.as_chunks_mut().0.iter_mut().zip(secrets) {
            *derived = *Key::from_bytes(*secret).signing(context).as_bytes();
        }
        signing
    }
}

/// Keys derived from secret ones for one group. The secrets cannot be computed from them.
pub struct SigningKeys {
    bytes: Zeroizing<[u8; Key::MAX * Key::LEN]>,
    len: usize,
}

impl SigningKeys {
    /// The seal that signs and checks with them.
    pub fn seal(&self) -> Seal {
        Seal::signing(self.bytes[..self.len].as_chunks().0.iter().map(|bytes| SigningKey::from_bytes(*bytes)))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.len / Key::LEN
    }

    /// Starts a process that reads `file` and sends the derived keys to the socket, from where [`Self::receive`] takes them. If
    /// the file is refused, the process logs the reason and the socket ends. The secrets themselves stay in that process,
    /// because an attacker may control the worker.
    pub fn read_apart(file: &str, context: Context) -> io::Result<(Pid, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        if let Some(pid) = linux::process::fork()? {
            return Ok((pid, ours));
        }
        lines::set_pid();
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        linux::process::close_all_but([Some(theirs.as_raw_fd()), lines::descriptor(), None]);
        match Keys::read(file).map(|keys| keys.signing(context)) {
            Ok(keys) => {
                let sent = rustix::net::send(&theirs, &keys.bytes[..keys.len], SendFlags::NOSIGNAL);
                drop(keys);
                linux::process::exit(i32::from(sent.is_err()))
            }
            Err(refusal) => {
                error!("{refusal}; the keys stay as they were");
                linux::process::exit(1)
            }
        }
    }

    /// Takes the keys that the process of [`Self::read_apart`] has sent; `None` if it has ended without sending any.
    pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let mut bytes = Zeroizing::new([0; Key::MAX * Key::LEN]);
        let (_, len) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::DONTWAIT)?;
        Ok((len > 0 && len.is_multiple_of(Key::LEN)).then_some(Self { bytes, len }))
    }
}

/// Makes a relative path absolute.
fn absolute(name: &str) -> io::Result<&str> {
    if name.starts_with('/') {
        return Ok(name);
    }
    let here = getcwd(Vec::new())?;
    let here = here.to_str().map_err(|_| Errno::ILSEQ)?;
    Ok(text!("{here}/{name}"))
}

/// Reads the keys of this file and makes a seal of them; without a file, the seal has the public constant.
pub fn seal(file: Option<&str>, context: Context) -> Result<Seal, Refusal> {
    file.map_or_else(|| Ok(Seal::public(context)), |file| Keys::read(file).map(|keys| keys.signing(context).seal()))
}

/// Does `work`, then wipes the part of the stack that it used: a key that is passed by value may leave copies there, which no
/// destructor wipes. `work` must not return a secret.
#[inline(never)]
pub fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let outcome = call(work);
    wipe();
    outcome
}

/// Has a stack frame below that of [`wiped`], in the place where [`wipe`] has its frame afterwards.
#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    let mut below = [0u8; WIPED];
    below.zeroize();
}

/// The bytes that pairs of hexadecimal digits stand for.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; digits.len() / 2];
    unhex_into(digits, &mut bytes)?;
    Some(bytes)
}

fn unhex_into(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(())
}

/// Reading keys and making a seal take less of the stack than this.
const WIPED: usize = 32 * 1024;

/// Room for comments beside the keys.
const MAX_FILE: usize = 2_048;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::settings::trusted::tests::Directory;

    fn parse(text: &str) -> Result<Vec<u8>, Refusal> {
        Keys::parse(text.as_bytes()).map(|keys| keys.bytes[..keys.len].to_vec())
    }

    #[test]
    fn keys_stand_one_in_a_line_and_keep_their_order() {
        let (one, two) = ("01".repeat(Key::LEN), "fF".repeat(Key::LEN));
        let both = [[1; Key::LEN], [255; Key::LEN]].concat();
        assert_eq!(parse(&format!("# new\n{one}\n\n  {two}\r\n")), Ok(both));
        assert_eq!(parse(&one).map(|bytes| bytes.len()), Ok(Key::LEN));
    }

    #[test]
    fn a_file_without_good_keys_is_refused_in_one_line() {
        let one = "01".repeat(Key::LEN);
        for (text, expected) in [
            ("", "no key: expected 64 hexadecimal digits, as `ha keygen` prints"),
            ("# none\n", "no key: expected 64 hexadecimal digits, as `ha keygen` prints"),
            ("0102", "4 characters: expected 64 hexadecimal digits, as `ha keygen` prints"),
            (&format!("{one}\nx{}", &one[1..]), "64 characters: expected 64 hexadecimal digits, as `ha keygen` prints"),
            (&format!("{one}\n").repeat(5), "one key too many: expected at most 4"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(unhex(b"00fF"), Some(vec![0, 255]));
        assert_eq!((unhex(b"0"), unhex(b"0g"), unhex(b"")), (None, None, Some(vec![])));
    }

    #[test]
    fn keys_read_by_another_process_arrive_and_a_refusal_ends_the_socket() {
        let directory = Directory::new("keys");
        let name = directory.file("keys", 0o600);
        for (digits, expected) in [("ab".repeat(Key::LEN), Some(1)), ("ab".to_owned(), None)] {
            std::fs::write(name, digits).unwrap();
            let (pid, socket) = SigningKeys::read_apart(name, Context::of_group(1)).unwrap();
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            assert_eq!(SigningKeys::receive(socket.as_fd()).unwrap().map(|keys| keys.count()), expected);
        }
    }
}
