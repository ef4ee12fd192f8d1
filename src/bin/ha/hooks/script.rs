//! A program that an option names, and whether it is safe to run it as root.

use std::ffi::CStr;

use rustix::fs::{Access, FileType, Stat, access, lstat, readlink};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::text::{Refusal, Text, c_text, cut_last, parts, text};
use crate::{file, linux};

/// A path and its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    path: Text,
    words: &'static [&'static CStr],
}

impl Script {
    /// Splits `value` at white space, without quotes, and checks the program that it names.
    ///
    /// Whoever can change the program, or a directory or link on the way to it, is root on this machine. It is checked
    /// here and not again before each run: only root can change what was found good, and a look at the disk would be one
    /// more thing that the keeper waits for.
    ///
    /// # Errors
    /// What would be accepted, after the part of the path that is wrong.
    pub fn parse(value: Text) -> Result<Self, Refusal> {
        let words = value.split_ascii_whitespace().map(c_text).collect::<Option<Vec<_>>>();
        let words = words.ok_or("expected no NUL character")?;
        let path = value.split_ascii_whitespace().next().unwrap_or_default();
        if !path.starts_with('/') {
            return Err("expected the absolute path of a program, and arguments if it takes some");
        }
        if words.len() > MAX_WORDS {
            return Err(text!("expected at most {} arguments", MAX_WORDS - 1));
        }
        check(path)?;
        Ok(Self { path, words: words.leak() })
    }

    /// The path, as it was written.
    pub fn path(&self) -> Text {
        self.path
    }

    /// The path and the arguments.
    pub fn words(&self) -> impl Iterator<Item = &'static CStr> {
        self.words.iter().copied()
    }
}

/// Follows `path` from the root and looks at everything that it passes: directories, links, and what links point to.
fn check(path: Text) -> Result<(), Refusal> {
    // Each part of the path so far with a slash before it: the root is empty, and its own parent.
    let mut here = "";
    let root = lstat(c"/").map_err(|errno| missing("/", errno))?;
    check_owner("/", &root)?;
    check_mode("/", &root)?;
    let mut rest = reversed(path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            here = cut_last(here, b'/').map_or("", |(parent, _)| parent);
            continue;
        }
        let at = text!("{here}/{part}");
        let name = file::name(at).map_err(|errno| missing(at, errno))?;
        let found = lstat(&*name).map_err(|errno| missing(at, errno))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        check_owner(at, &found)?;
        if kind.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(text!("{at}: expected at most {MAX_LINKS} symbolic links"));
            }
            let target = readlink(&*name, Vec::new()).map_err(|errno| missing(at, errno))?;
            let target = target.into_string().map_err(|_| text!("{at}: expected a link to a name in UTF-8"))?.leak();
            if target.starts_with('/') {
                here = "";
            }
            rest.extend(reversed(target));
            continue;
        }
        check_mode(at, &found)?;
        if kind.is_dir() {
            here = at;
            continue;
        }
        let is_program = kind.is_file() && rest.is_empty() && access(&*name, Access::EXEC_OK).is_ok();
        return if is_program { Ok(()) } else { Err(refusal(at, &found, "an executable file")) };
    }
    Err(text!("{here}/: expected an executable file, not a directory"))
}

/// The parts, the first one last.
fn reversed(path: Text) -> Vec<Text> {
    let mut parts: Vec<_> = parts(path, b'/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.reverse();
    parts
}

fn missing(at: &str, errno: Errno) -> Refusal {
    text!("{at}: {errno}; expected an executable file")
}

fn check_owner(at: &str, found: &Stat) -> Result<(), Refusal> {
    let me = geteuid().as_raw();
    if found.st_uid == 0 || found.st_uid == me {
        return Ok(());
    }
    Err(refusal(at, found, if me == 0 { "owner root (0)" } else { "owner root (0) or who runs ha" }))
}

/// In a sticky directory such as /tmp nobody can replace what root owns, and what is in it is checked as well: it is good
/// enough, as it is for keepalived. An access list shows as permissions of the group.
fn check_mode(at: &str, found: &Stat) -> Result<(), Refusal> {
    let is_writable = found.st_mode & 0o022 != 0;
    let is_sticky = FileType::from_raw_mode(found.st_mode).is_dir() && found.st_mode & 0o1000 != 0;
    if is_writable && !is_sticky {
        return Err(refusal(at, found, "no write permission for group and others, as `chmod go-w` sets it"));
    }
    Ok(())
}

fn refusal(at: &str, found: &Stat, expected: &str) -> Refusal {
    text!("{at} has mode {:04o} and owner {}: expected {expected}", found.st_mode & 0o7777, found.st_uid)
}

/// Path and arguments; four more come after them.
const MAX_WORDS: usize = linux::process::MAX_STRINGS - 4;

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use std::path::{Path, PathBuf};

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ha-script-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("bin")).unwrap();
            let directory = Self(path);
            fs::write(directory.path("bin/hook"), "#!/bin/sh\n").unwrap();
            directory.mode("", 0o755);
            directory.mode("bin", 0o755);
            directory.mode("bin/hook", 0o755);
            directory
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn parse(&self, name: &str) -> Result<Script, Refusal> {
            Script::parse(text!("{}", self.path(name).display()))
        }

        /// The refusal names `culprit` and what is wrong with it.
        fn refuses(&self, name: &str, culprit: &str, what: &str) {
            let refusal = self.parse(name).unwrap_err();
            let culprit = self.path(culprit).display().to_string();
            assert!(refusal.starts_with(culprit.trim_end_matches('/')) && refusal.contains(what), "{refusal}");
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn arguments_are_split_at_spaces() {
        let directory = Directory::new("split");
        let value = text!("  {}  -x   'a b'\t", directory.path("bin/hook").display());
        let script = Script::parse(value).unwrap();
        let words: Vec<_> = script.words().skip(1).collect();
        assert_eq!(words, [c"-x", c"'a", c"b'"]);
        assert_eq!(Path::new(script.path()), directory.path("bin/hook"));
        let many = text!("{}{}", script.path(), " x".repeat(MAX_WORDS));
        assert!(Script::parse(many).unwrap_err().contains("at most 19 arguments"));
    }

    #[test]
    fn only_absolute_paths_of_programs_are_accepted() {
        let directory = Directory::new("kinds");
        for value in ["", " ", "hook", "./hook", "bin/hook", "~/hook", "\"/bin/true\""] {
            assert!(Script::parse(value).unwrap_err().contains("absolute path"), "{value:?}");
        }
        directory.refuses("bin/missing", "bin/missing", "No such file");
        directory.refuses("bin", "bin", "not a directory");
        directory.refuses("bin/hook/more", "bin/hook", "expected an executable file");
        directory.mode("bin/hook", 0o644);
        directory.refuses("bin/hook", "bin/hook", "mode 0644 and owner 0: expected an executable file");
        for value in ["/dev/null", "/", "//", "/..", "/../.", "/bin/.."] {
            assert!(Script::parse(value).is_err(), "{value}");
        }
        let directory = Directory::new("dots");
        for name in ["bin/../bin/./hook", "../../../../../../bin/sh", "bin//hook"] {
            assert!(directory.parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_others_can_write_is_refused_wherever_it_is_on_the_way() {
        let directory = Directory::new("modes");
        assert!(directory.parse("bin/hook").is_ok());
        for mode in [0o775, 0o757, 0o777, 0o1777] {
            directory.mode("bin/hook", mode);
            directory.refuses("bin/hook", "bin/hook", &format!("mode {mode:04o}"));
        }
        directory.mode("bin/hook", 0o755);
        for mode in [0o775, 0o757, 0o777] {
            directory.mode("bin", mode);
            directory.refuses("bin/hook", "bin", "/bin has mode");
            directory.mode("bin", 0o755);
            directory.mode("", mode);
            directory.refuses("bin/../bin/hook", "", "-modes has mode");
            directory.mode("", 0o755);
        }
        directory.mode("bin", 0o1777);
        assert!(directory.parse("bin/hook").is_ok(), "a sticky directory");
    }

    #[test]
    fn links_are_followed_and_their_targets_are_checked() {
        let directory = Directory::new("links");
        fs::create_dir(directory.path("open")).unwrap();
        fs::create_dir(directory.path("safe")).unwrap();
        directory.mode("open", 0o777);
        directory.mode("safe", 0o755);
        fs::copy(directory.path("bin/hook"), directory.path("open/hook")).unwrap();
        symlink(directory.path("bin/hook"), directory.path("safe/absolute")).unwrap();
        symlink("../bin/hook", directory.path("safe/relative")).unwrap();
        symlink("../open/hook", directory.path("safe/to-open")).unwrap();
        symlink("../bin/hook", directory.path("open/to-safe")).unwrap();
        symlink("../open", directory.path("safe/through")).unwrap();
        symlink("loop", directory.path("safe/loop")).unwrap();
        assert!(directory.parse("safe/absolute").is_ok());
        assert!(directory.parse("safe/relative").is_ok());
        for name in ["safe/to-open", "open/to-safe", "safe/through/hook"] {
            let refusal = directory.parse(name).unwrap_err();
            assert!(refusal.contains("open has mode 0777"), "{name}: {refusal}");
        }
        directory.refuses("safe/loop", "safe/loop", "40 symbolic links");
    }

    /// Only root can give a file away.
    #[test]
    fn what_others_own_is_refused() {
        let directory = Directory::new("owners");
        if !geteuid().is_root() {
            assert!(check_owner("/", &lstat("/").unwrap()).is_ok());
            return;
        }
        symlink("hook", directory.path("bin/link")).unwrap();
        std::os::unix::fs::lchown(directory.path("bin/link"), Some(12_345), None).unwrap();
        directory.refuses("bin/link", "bin/link", "owner 12345: expected owner root");
        chown(directory.path("bin/hook"), Some(12_345), None).unwrap();
        directory.refuses("bin/hook", "bin/hook", "mode 0755 and owner 12345: expected owner root");
        chown(directory.path("bin/hook"), Some(0), None).unwrap();
        chown(directory.path("bin"), Some(12_345), None).unwrap();
        directory.refuses("bin/hook", "bin", "owner 12345");
    }
}
