//! Paths that are trusted and paths that are not, in a directory that only this user can change.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType};

use super::*;
use crate::text::{Refusal, Text, kept, text};

/// A directory of a test, which is removed with this value; not below /tmp, which other users can write.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let runtime = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
        let parents = if geteuid().is_root() { ["/run", "/var/lib", built] } else { [&*runtime, built, "/run"] };
        let made = parents.into_iter().map(Path::new).filter(|parent| parent.is_absolute()).find_map(|parent| {
            let path = parent.join(format!("ha-test-{}-{name}", std::process::id()));
            fs::create_dir(&path).ok().map(|()| Self(path))
        });
        let directory = made.expect("a directory that other users cannot write");
        directory.mode("", 0o755);
        directory
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a script in it, and the directory of the script; returns the path.
    pub fn file(&self, name: &str, mode: u32) -> Text {
        let path = self.path(name);
        let parent = path.parent().expect("it is below");
        fs::create_dir_all(parent).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        self.mode(name, mode);
        text!("{}", path.display())
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(&self, name: &str, kind: Kind) -> Result<OwnedFd, Refusal> {
        open(self.path(name).to_str().unwrap(), kind, kept)
    }

    fn run(&self, name: &str) -> Result<OwnedFd, Refusal> {
        self.open(name, Kind::Program)
    }

    /// The refusal names `culprit` and what is wrong with it.
    fn refuses(&self, name: &str, culprit: &str, what: &str) {
        for kind in [Kind::Program, Kind::Keys] {
            let refusal = self.open(name, kind).expect_err(name);
            let culprit = self.path(culprit).display().to_string();
            assert!(refusal.starts_with(culprit.trim_end_matches('/')) && refusal.contains(what), "{refusal}");
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_path_leads_to_a_regular_file() {
    let directory = Directory::new("kinds");
    directory.file("bin/hook", 0o755);
    directory.refuses("bin/missing", "bin/missing", "No such file");
    directory.refuses("bin", "bin", "not a directory");
    directory.refuses("bin/hook/more", "bin/hook", "mode 0755 and owner ");
    for value in ["/dev/null", "/", "//", "/..", "/../.", "/bin/.."] {
        for kind in [Kind::Program, Kind::Keys] {
            assert!(open(value, kind, kept).is_err(), "{value}");
        }
    }
    for name in ["bin/hook", "bin/../bin/./hook", "../../../../../../bin/sh", "bin//hook", "bin/hook/"] {
        assert!(directory.run(name).is_ok(), "{name}");
    }
    directory.mode("bin/hook", 0o644);
    assert!(directory.run("bin/hook").unwrap_err().contains("expected an executable file"));
    assert!(directory.open("bin/hook", Kind::Keys).is_ok(), "it is read");
}

/// Opening them would wait for a writer, or make the device do something.
#[test]
fn a_fifo_a_device_and_a_socket_are_refused_without_being_opened() {
    let directory = Directory::new("fifo");
    let fifo = directory.path("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path("socket")).unwrap();
    directory.mode("socket", 0o700);
    directory.mode("fifo", 0o700);
    for name in ["fifo", "socket"] {
        assert!(directory.run(name).unwrap_err().contains("mode 0700 and owner"), "{name}");
        assert!(directory.open(name, Kind::Keys).unwrap_err().contains("expected a file as `ha keygen"), "{name}");
    }
    let tty = rustix::fs::makedev(5, 0);
    if rustix::fs::mknodat(CWD, directory.path("tty"), FileType::CharacterDevice, Mode::from_raw_mode(0o700), tty)
        .is_ok()
    {
        directory.refuses("tty", "tty", "expected ");
    }
}

#[test]
fn a_file_or_directory_that_others_can_write_is_refused() {
    let directory = Directory::new("modes");
    directory.file("bin/hook", 0o755);
    assert!(directory.run("bin/hook").is_ok());
    for mode in [0o775, 0o757, 0o777, 0o1777] {
        directory.mode("bin/hook", mode);
        let refusal = directory.run("bin/hook").unwrap_err();
        assert!(refusal.contains(&format!("/hook has mode {mode:04o}")), "{refusal}");
    }
    directory.mode("bin/hook", 0o755);
    // A sticky directory as well.
    for mode in [0o775, 0o757, 0o777, 0o1777, 0o1757] {
        directory.mode("bin", mode);
        directory.refuses("bin/hook", "bin", "/bin has mode");
        directory.mode("bin", 0o755);
        directory.mode("", mode);
        directory.refuses("bin/../bin/hook", "", "-modes has mode");
        directory.mode("", 0o755);
    }
}

#[test]
fn links_are_followed_and_their_targets_are_checked() {
    let directory = Directory::new("links");
    for folder in ["bin", "open", "safe"] {
        directory.file(&format!("{folder}/hook"), 0o755);
    }
    directory.mode("open", 0o777);
    symlink(directory.path("bin/hook"), directory.path("safe/absolute")).unwrap();
    symlink("../bin/hook", directory.path("safe/relative")).unwrap();
    symlink("../open/hook", directory.path("safe/to-open")).unwrap();
    symlink("../bin/hook", directory.path("open/to-safe")).unwrap();
    symlink("../open", directory.path("safe/through")).unwrap();
    symlink("loop", directory.path("safe/loop")).unwrap();
    for kind in [Kind::Program, Kind::Keys] {
        assert!(directory.open("safe/absolute", kind).is_ok());
        assert!(directory.open("safe/relative", kind).is_ok());
    }
    for name in ["safe/to-open", "open/to-safe", "safe/through/hook"] {
        directory.refuses(name, "open", "open has mode 0777");
    }
    directory.refuses("safe/loop", "safe/loop", "40 symbolic links");
}

#[test]
#[ignore = "only root can give a file away"]
fn a_file_or_directory_that_another_user_owns_is_refused() {
    let directory = Directory::new("owners");
    directory.file("bin/hook", 0o755);
    symlink("hook", directory.path("bin/link")).unwrap();
    lchown(directory.path("bin/link"), Some(12_345), None).unwrap();
    directory.refuses("bin/link", "bin/link", "owner 12345: expected owner root");
    chown(directory.path("bin/hook"), Some(12_345), None).unwrap();
    directory.refuses("bin/hook", "bin/hook", "mode 0755 and owner 12345: expected owner root");
    chown(directory.path("bin/hook"), Some(0), None).unwrap();
    chown(directory.path("bin"), Some(12_345), None).unwrap();
    directory.refuses("bin/hook", "bin", "owner 12345");
}

#[test]
fn a_path_that_is_too_long_is_refused_and_nothing_else_happens() {
    let directory = Directory::new("long");
    let text = |path: &str| open(path, Kind::Keys, kept).unwrap_err();
    for path in [format!("/{}", "x".repeat(300)), "/x".repeat(3_000), "/.".repeat(3_000)] {
        assert!(text(&path).ends_with("expected a path of less than 4096 bytes"), "{}", text(&path));
    }
    // A link that makes more of itself each time.
    symlink(format!("link/{}", "./".repeat(1_000)), directory.path("link")).unwrap();
    assert!(directory.run("link").is_err());
}
