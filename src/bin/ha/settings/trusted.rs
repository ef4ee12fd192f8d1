//! Files that only root and the user of this program can change.
//!
//! Like a courier who tries each door on the way instead of looking at a plan of the house. A user who can change the file, or a
//! directory or link on the way to it, can put another file in its place. So the path is walked name by name, and each check
//! looks at what is open: between a check by name and a use by name the file may be replaced. A sticky directory such as /tmp
//! is no exception: when root's file has been cleaned away, any user may give its name to another file of root.
//!
//! Nothing here allocates, so that a forked process may call it.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat, readlinkat_raw};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::text::cut_last;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program to run. It is not opened for reading, which may be forbidden.
    Program,
    /// Keys to read. The caller checks who may read or write the file itself.
    Keys,
}

/// Opens the regular file at the absolute `path`. Root or the user of this program owns it and each directory and link on the
/// way. A FIFO or a device is refused without being opened, which could wait or do something.
///
/// # Errors
/// What `refuse` makes of one line: the part of the path that is wrong, how it is, and what would be accepted.
pub fn open<E>(path: &str, kind: Kind, refuse: impl FnOnce(fmt::Arguments<'_>) -> E) -> Result<OwnedFd, E> {
    let mut walk = Walk { here: Part::new(), rest: Part::new(), kind };
    walk.open(path).map_err(|flaw| {
        // The root directory has no name, and the sentence about a directory begins with a slash.
        let here = if walk.here.is_empty() && flaw != Flaw::Directory { "/" } else { &walk.here };
        refuse(format_args!("{here}{}", Expected(flaw, kind)))
    })
}

/// Checks a program, a directory or a configuration: root or the user of this program owns it, and others cannot write it.
pub fn check(found: &Stat) -> Result<(), Flaw> {
    check_owner(found)?;
    if found.st_mode & 0o022 != 0 { Err(Flaw::writable(found)) } else { Ok(()) }
}

/// A walk along a path, from the root directory.
struct Walk {
    /// The names so far, each with a slash before it; empty at the root.
    here: Part,
    /// The names that follow.
    rest: Part,
    kind: Kind,
}

type Part = heapless::String<MAX_PATH>;

impl Walk {
    fn open(&mut self, path: &str) -> Result<OwnedFd, Flaw> {
        self.prepend(path)?;
        let mut directory = enter_root()?;
        let mut links = 0;
        while let Some(name) = self.next_name()? {
            let open = |access| {
                openat(&directory, name.as_c_str(), access | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            };
            let mut file = open(OFlags::PATH)?;
            let mut found = fstat(&file)?;
            check_owner(&found)?;
            let kind = FileType::from_raw_mode(found.st_mode);
            if kind.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Flaw::Links);
                }
                let mut target = [0; MAX_PATH];
                let len = readlinkat_raw(&file, c"", &mut target[..])?;
                let target = str::from_utf8(&target[..len]).map_err(|_| Flaw::Name)?;
                self.go_up();
                if target.starts_with('/') {
                    directory = enter_root()?;
                    self.here.clear();
                }
                self.prepend(target)?;
                continue;
            }
            if kind.is_dir() {
                // Opening a directory mounts what is mounted on demand.
                file = open(OFlags::PATH | OFlags::DIRECTORY)?;
                check(&fstat(&file)?)?;
                directory = file;
                continue;
            }
            if !kind.is_file() || !self.rest.bytes().all(|byte| byte == b'/') {
                return Err(Flaw::kind(&found));
            }
            match self.kind {
                Kind::Program => {
                    check(&found)?;
                    accessat(&directory, name.as_c_str(), Access::EXEC_OK, AtFlags::empty())
                        .map_err(|_| Flaw::kind(&found))?;
                }
                Kind::Keys => {
                    // Does not wait, even if a FIFO or a terminal has taken the place of the file.
                    file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
                    found = fstat(&file)?;
                    check_owner(&found)?;
                    if !FileType::from_raw_mode(found.st_mode).is_file() {
                        return Err(Flaw::kind(&found));
                    }
                }
            }
            return Ok(file);
        }
        Err(Flaw::Directory)
    }

    /// Puts `path` before the names that follow.
    fn prepend(&mut self, path: &str) -> Result<(), Flaw> {
        let mut all = Part::new();
        for part in [path, "/", &self.rest] {
            all.push_str(part).map_err(|_| Flaw::Long)?;
        }
        self.rest = all;
        Ok(())
    }

    /// Takes the next name and adds it to those so far.
    fn next_name(&mut self) -> Result<Option<Name>, Flaw> {
        loop {
            let rest = self.rest.trim_start_matches('/');
            let len = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
            let mut next = heapless::String::<MAX_NAME>::new();
            let fits = next.push_str(&rest[..len]).is_ok();
            let passed = self.rest.len() - rest.len() + len;
            self.rest.drain(..passed);
            match next.as_str() {
                _ if !fits => return Err(Flaw::Long),
                "" => return Ok(None),
                "." => continue,
                ".." => self.go_up(),
                name => {
                    let has_room = self.here.push('/').and_then(|()| self.here.push_str(name));
                    has_room.map_err(|_| Flaw::Long)?;
                }
            }
            return Name::new(&next).map(Some);
        }
    }

    /// Drops the last of the names so far.
    fn go_up(&mut self) {
        let len = cut_last(&self.here, b'/').map_or(0, |(parent, _)| parent.len());
        self.here.truncate(len);
    }
}

/// A name that ends with NUL, for the kernel.
struct Name(heapless::Vec<u8, { MAX_NAME + 1 }>);

impl Name {
    fn new(name: &str) -> Result<Self, Flaw> {
        let mut bytes = heapless::Vec::from_slice(name.as_bytes()).map_err(|_| Flaw::Long)?;
        bytes.push(0).map_err(|_| Flaw::Long)?;
        Ok(Self(bytes))
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).expect("it ends with NUL")
    }
}

fn enter_root() -> Result<OwnedFd, Flaw> {
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    check(&fstat(root.as_fd())?)?;
    Ok(root)
}

fn check_owner(found: &Stat) -> Result<(), Flaw> {
    let is_trusted = found.st_uid == 0 || found.st_uid == geteuid().as_raw();
    if is_trusted { Ok(()) } else { Err(Flaw::Owner { mode: found.st_mode, owner: found.st_uid }) }
}

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The kernel does not open it.
    Missing(Errno),
    /// Another user owns it.
    Owner { mode: u32, owner: u32 },
    /// Others can write it. An access list shows as permissions of the group.
    Writable { mode: u32, owner: u32 },
    /// It is not a regular file, or not one that can be executed.
    Kind { mode: u32, owner: u32 },
    /// It is a directory.
    Directory,
    /// There are too many links on the way.
    Links,
    /// A link leads to a name that is not UTF-8.
    Name,
    /// The path is longer than the kernel allows.
    Long,
}

impl Flaw {
    fn writable(found: &Stat) -> Self {
        Self::Writable { mode: found.st_mode, owner: found.st_uid }
    }

    fn kind(found: &Stat) -> Self {
        Self::Kind { mode: found.st_mode, owner: found.st_uid }
    }
}

impl From<Errno> for Flaw {
    fn from(errno: Errno) -> Self {
        Self::Missing(errno)
    }
}

/// A sentence about a file of this kind, to be written right after its path: what is wrong, and what would be accepted.
pub struct Expected(pub Flaw, pub Kind);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = match self.1 {
            Kind::Program => "an executable file",
            Kind::Keys => "a file as `ha keygen > FILE` writes it",
        };
        match self.0 {
            Flaw::Missing(errno) => write!(f, ": {errno}; expected {wanted}"),
            Flaw::Owner { mode, owner } => write!(f, "{}: expected {}", Found { mode, owner }, trusted_owner()),
            Flaw::Writable { mode, owner } => {
                let found = Found { mode, owner };
                write!(f, "{found}: expected no write permission for group and others, as `chmod go-w` sets it")
            }
            Flaw::Kind { mode, owner } => write!(f, "{}: expected {wanted}", Found { mode, owner }),
            Flaw::Directory => write!(f, "/: expected {wanted}, not a directory"),
            Flaw::Links => write!(f, ": expected at most {MAX_LINKS} symbolic links"),
            Flaw::Name => f.write_str(": expected a link to a name in UTF-8"),
            Flaw::Long => write!(f, ": expected a path of less than {MAX_PATH} bytes"),
        }
    }
}

fn trusted_owner() -> &'static str {
    if geteuid().is_root() { "owner root (0)" } else { "owner root (0) or who runs ha" }
}

/// Mode and owner in a sentence.
struct Found {
    mode: u32,
    owner: u32,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " has mode {:04o} and owner {}", self.mode & 0o7777, self.owner)
    }
}

/// PATH_MAX and NAME_MAX (linux/limits.h).
const MAX_PATH: usize = 4_096;
const MAX_NAME: usize = 255;

/// The kernel follows as many (path_resolution(7)).
const MAX_LINKS: usize = 40;

#[cfg(test)]
pub mod tests;
