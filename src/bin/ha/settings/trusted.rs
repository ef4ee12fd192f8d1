//! Files that only root, or who runs this program, can change: found step by step, and checked on what is open.
//!
//! Like a courier who looks at each door on the way and not at a plan of the house: whoever could change the file, a directory or
//! a link on the way to it could put another one in its place, and what a door was like in the morning says nothing at night. A
//! sticky directory such as /tmp is no exception: once root's file is cleaned away, anybody may give its name to another
//! file of root.
//!
//! Nothing is allocated, so that the copy of a process with threads may do this, too.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat, readlinkat_raw};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::text::cut_last;

/// What the file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To be run. It is not open for reading: that may be forbidden.
    Program,
    /// To be read. Who may read or write the file itself is for the caller to judge.
    Keys,
}

/// Opens the file at the absolute `path`. It is a regular file, whose owner is root or who runs this program, and so is each
/// directory and link on the way; what is neither is not waited for, as a FIFO would be.
///
/// # Errors
/// What `refuse` makes of one line: the part of the way that is wrong, how it is, and what would be accepted.
pub fn open<E>(path: &str, kind: Kind, refuse: impl FnOnce(fmt::Arguments<'_>) -> E) -> Result<OwnedFd, E> {
    let mut way = Way { here: Part::new(), rest: Part::new(), kind };
    way.walk(path).map_err(|flaw| {
        let root = if way.here.is_empty() && flaw != Flaw::Directory { "/" } else { "" };
        refuse(format_args!("{}{root}{}", way.here, Expected(flaw, kind)))
    })
}

/// Programs, directories and configurations neither belong to somebody else, nor can others write them.
pub fn look_at(found: &Stat) -> Result<(), Flaw> {
    check_owner(found)?;
    if found.st_mode & 0o022 != 0 { Err(Flaw::writable(found)) } else { Ok(()) }
}

/// A way from the root.
struct Way {
    /// The names so far, each with a slash before it: empty at the root.
    here: Part,
    /// What is still to go.
    rest: Part,
    kind: Kind,
}

type Part = heapless::String<MAX_PATH>;

impl Way {
    fn walk(&mut self, path: &str) -> Result<OwnedFd, Flaw> {
        self.go_on_with(path)?;
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
                self.leave();
                if target.starts_with('/') {
                    directory = enter_root()?;
                    self.here.clear();
                }
                self.go_on_with(target)?;
                continue;
            }
            if kind.is_dir() {
                // What is mounted on demand is mounted by this.
                file = open(OFlags::PATH | OFlags::DIRECTORY)?;
                look_at(&fstat(&file)?)?;
                directory = file;
                continue;
            }
            if !kind.is_file() || !self.rest.bytes().all(|byte| byte == b'/') {
                return Err(Flaw::kind(&found));
            }
            match self.kind {
                Kind::Program => {
                    look_at(&found)?;
                    accessat(&directory, name.as_c_str(), Access::EXEC_OK, AtFlags::empty())
                        .map_err(|_| Flaw::kind(&found))?;
                }
                Kind::Keys => {
                    // Neither waits, whatever has come in its place.
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

    /// Puts `path` before what is still to go.
    fn go_on_with(&mut self, path: &str) -> Result<(), Flaw> {
        let mut all = Part::new();
        for part in [path, "/", &self.rest] {
            all.push_str(part).map_err(|_| Flaw::Long)?;
        }
        self.rest = all;
        Ok(())
    }

    /// The next name, which is where we are from then on.
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
                ".." => self.leave(),
                name => {
                    let has_room = self.here.push('/').and_then(|()| self.here.push_str(name));
                    has_room.map_err(|_| Flaw::Long)?;
                }
            }
            return Name::new(&next).map(Some);
        }
    }

    /// One name up.
    fn leave(&mut self) {
        let len = cut_last(&self.here, b'/').map_or(0, |(parent, _)| parent.len());
        self.here.truncate(len);
    }
}

/// A name as the kernel wants it.
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
    look_at(&fstat(root.as_fd())?)?;
    Ok(root)
}

fn check_owner(found: &Stat) -> Result<(), Flaw> {
    let is_trusted = found.st_uid == 0 || found.st_uid == geteuid().as_raw();
    if is_trusted { Ok(()) } else { Err(Flaw::Owner { mode: found.st_mode, owner: found.st_uid }) }
}

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It cannot be looked at.
    Missing(Errno),
    /// It belongs to somebody else.
    Owner { mode: u32, owner: u32 },
    /// Others can write it. An access list shows as permissions of the group.
    Writable { mode: u32, owner: u32 },
    /// It is something else.
    Kind { mode: u32, owner: u32 },
    /// It is a directory.
    Directory,
    /// Links lead nowhere.
    Links,
    /// A link has bytes that are no text.
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

/// What is wrong with a file of this kind, to be written right after its path.
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

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

#[cfg(test)]
pub mod tests;
