//! What the kernel calls an interface. People may call it by an alternative name as well (`ip link property add ... altname`).

use std::fmt::{self, Write};

/// A name of the kernel's own, or a label made of one; empty where none is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Name {
    /// What is not used is 0.
    bytes: [u8; MAX_NAME_LEN],
}

impl Name {
    /// None if it is too long.
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_NAME_LEN];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes })
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.bytes.iter().position(|&byte| byte == 0);
        &self.bytes[..len.unwrap_or(MAX_NAME_LEN)]
    }

    /// The label `eth0:1` of the alias `:1`, or the name alone where there is no room for it.
    pub fn label(self, alias: &str) -> Self {
        let mut label = heapless::Vec::<u8, MAX_NAME_LEN>::from_slice(self.as_bytes()).expect("as long as a name");
        match label.extend_from_slice(alias.as_bytes()) {
            Ok(()) => Self::new(&label).unwrap_or(self),
            Err(_) => self,
        }
    }
}

/// Names may hold any byte.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|&byte| f.write_char(if byte.is_ascii_graphic() { byte.into() } else { '?' }))
    }
}

/// IFNAMSIZ without the NUL.
pub const MAX_NAME_LEN: usize = 15;

/// ALTIFNAMSIZ without the NUL.
pub const MAX_ALTERNATIVE_LEN: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_name_alone_where_an_alias_has_no_room() {
        for (name, alias, label) in [
            ("eth0", ":1", "eth0:1"),
            ("eth0", "", "eth0"),
            ("thirteen-char", ":1", "thirteen-char:1"),
            ("fourteen-chars", ":1", "fourteen-chars"),
            ("fifteen-charact", ":1", "fifteen-charact"),
        ] {
            assert_eq!(Name::new(name.as_bytes()).unwrap().label(alias).to_string(), label);
        }
        assert_eq!(Name::new(b"sixteen-characte"), None);
        assert_eq!(
            (Name::default().to_string(), Name::new(b"\xff\n").unwrap().to_string()),
            (String::new(), "??".into())
        );
    }
}
