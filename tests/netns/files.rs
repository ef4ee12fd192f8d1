//! Files that a daemon trusts: keys and hooks, where nobody else can change them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory below one that only root can write, which /tmp is not; gone when this value is.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// `name` is another one for each test.
    pub fn new(name: &str) -> Self {
        let parents = ["/run", "/var/lib", concat!(env!("CARGO_MANIFEST_DIR"), "/target")];
        let made = parents.into_iter().find_map(|parent| {
            let path = Path::new(parent).join(format!("ha-test-{}-{name}", std::process::id()));
            fs::create_dir(&path).ok().map(|()| Self(path))
        });
        let folder = made.expect("a place that only root can write");
        folder.mode("", 0o755);
        folder
    }

    /// Where this name is in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file; returns its path.
    pub fn write(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        self.mode(name, mode);
        path.display().to_string()
    }

    /// Writes a script; returns its path.
    pub fn script(&self, name: &str, text: &str) -> String {
        self.write(name, &format!("#!/bin/sh\n{text}\n"), 0o755)
    }

    /// Changes the permissions of `name`, or its own if there is none.
    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What is in a file; nothing if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
