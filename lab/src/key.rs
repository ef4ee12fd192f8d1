//! Secret keys of the lab, which are no secrets.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ha::wire::{Context, Key, Seal};

/// A key whose bytes are all the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabKey(pub u8);

impl LabKey {
    /// Signs with it.
    pub fn seal(self) -> Seal {
        Seal::keyed(&[Key::from_bytes([self.0; Key::LEN])], Context::of_group(7))
    }

    /// Whether it has signed this packet.
    pub fn has_signed(self, packet: &[u8]) -> bool {
        packet.try_into().is_ok_and(|packet| self.seal().is_genuine(packet))
    }

    /// As it stands in a key file.
    fn line(self) -> String {
        format!("{:02x}", self.0).repeat(Key::LEN) + "\n"
    }
}

/// The key of the group.
pub const OURS: LabKey = LabKey(0xa1);
/// The key that replaces it.
pub const NEXT: LabKey = LabKey(0xb2);

/// Writes a key file, whose first key signs. A daemon that reads it meanwhile reads the old file or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, keys: &[LabKey]) -> io::Result<()> {
    write_text(path, &keys.iter().map(|key| key.line()).collect::<String>())
}

/// Writes any text as a key file.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft); // most often there is none
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(draft, path)
}
