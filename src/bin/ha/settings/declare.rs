//! What becomes of a declaration in [`options`](super::options).
//!
//! Like a form with carbon copies: a person fills it in once, and each office gets a sheet. One entry reads
//!
//! ```text
//! /// number of the group, 1 to 255, the same on all nodes (default: 1)
//! group takes "n" like "7" by number("expected a number from 1 to 255") => params.group;
//! ```
//!
//! | part | meaning |
//! |---|---|
//! | `/// number ...` | the help |
//! | `group` | the name; people write dashes for its underscores |
//! | `"n"` | what the help calls the value |
//! | `"7"` | a good value that is not the default, for tests |
//! | `number(...)` | reads the value, or says what would be accepted |
//! | `params.group` | the place of the value |
//!
//! `repeats` instead of `takes` means that the option may be given several times and adds a value each time. `sets true` makes
//! a switch, which takes no value on the command line, and yes or no in a file; its place gets `true` for yes.
//!
//! A place with a dot, such as `params.group`, is a field that exists in [`Options`](super::options::Options). One without,
//! such as `watchdog: Option<Text> = None`, becomes a field of `Daemon` with this type and default, which `watchdog()` returns.
//!
//! The copies are: the text `DECLARED`, by which [`given`](super::given) reads a command line and explains it; one way in for a
//! value from anywhere, `Options::set`; the fields of `Daemon`; and for tests the list `SAMPLES`.

use ha::config::MAX_ADDRESSES;

use super::values::Shared;
use crate::text::Refusal;

/// A slot for the value of an option.
pub trait Slot<T> {
    /// Puts `value` there; the error says what would be accepted.
    fn put(&mut self, value: T) -> Result<(), Refusal>;
}

/// The value replaces what was there.
impl<T> Slot<T> for T {
    fn put(&mut self, value: T) -> Result<(), Refusal> {
        *self = value;
        Ok(())
    }
}

/// So it does in a place that may be empty.
impl<T> Slot<T> for Option<T> {
    fn put(&mut self, value: T) -> Result<(), Refusal> {
        *self = Some(value);
        Ok(())
    }
}

/// The value is added to those that are there.
impl Slot<Shared> for heapless::Vec<Shared, MAX_ADDRESSES> {
    fn put(&mut self, value: Shared) -> Result<(), Refusal> {
        self.push(value).map_err(|_| "expected at most 16 addresses")
    }
}

/// What tests know of an option.
#[cfg(test)]
#[derive(Debug)]
pub struct Sample {
    /// As it is written on the command line, without its dashes, and in files.
    pub name: crate::text::Text,
    /// The line of the help.
    pub help: crate::text::Text,
    /// A value that is accepted and is not the default.
    pub good: crate::text::Text,
}

macro_rules! options {
    (
        $(
            $(#[doc = $help:tt])+
            $option:ident $(takes $value:tt)? $(repeats $element:tt)? $(sets $yes:tt)? $(like $sample:tt by $read:expr)?
                => $place:ident $(. $field:ident)? $(: $type:ty = $default:expr)?;
        )+
    ) => {
        /// What a command line can have, as [`given`](super::given) reads it. The first one says where the others may stand.
        pub const DECLARED: Text = $crate::settings::declare::dashed!(concat!(
            "config\nfile\n configuration file (default: /etc/ha.conf if it exists)\n",
            $(stringify!($option), "\n", $($value,)? $($element, "...",)? "\n", $($help,)+ "\n",)+
        ));

        /// Options that concern the daemon around the core.
        #[derive(Debug, Clone)]
        pub struct Daemon {
            $($($place: $type,)?)+
        }

        /// The compiler warns of an option that the program reads and nobody asks for.
        impl Daemon {
            $($(pub fn $place(&self) -> $type {
                self.$place
            })?)+
        }

        impl Default for Daemon {
            fn default() -> Self {
                Self { $($($place: $default,)?)+ }
            }
        }

        impl Options {
            /// Reads the value of an option and puts it in its place.
            ///
            /// # Errors
            /// What would be accepted.
            pub fn set(&mut self, option: &str, value: Text) -> Result<(), Refusal> {
                use $crate::settings::declare::Slot;
                $(
                    if option == $crate::settings::declare::dashed!(stringify!($option)) {
                        let read = $(($read)(value)?)? $($crate::settings::values::yes_or_no(value)? == $yes)?;
                        $(return self.$place.$field.put(read);)?
                        $(return <$type as Slot<_>>::put(&mut self.daemon.$place, read);)?
                    }
                )+
                Err("unknown option; `ha run --help` lists them")
            }
        }

        /// Every option.
        #[cfg(test)]
        pub const SAMPLES: &[$crate::settings::declare::Sample] = &[$(
            $crate::settings::declare::Sample {
                name: $crate::settings::declare::dashed!(stringify!($option)),
                help: concat!($($help),+),
                good: $($sample)? $({ const _: bool = $yes; "yes" })?,
            },
        )+];
    };
}
pub(super) use options;

/// A name as people write it, made of that of its field when the program is compiled: `preempt_delay` becomes `preempt-delay`. Of a
/// text it is each third line, from the first one on.
macro_rules! dashed {
    ($text:expr) => {
        const {
            const TEXT: &str = $text;
            const DASHED: [u8; TEXT.len()] = $crate::settings::declare::with_dashes(TEXT);
            match str::from_utf8(&DASHED) {
                Ok(text) => text,
                Err(_) => panic!("a dash for an underscore leaves UTF-8 as it is"),
            }
        }
    };
}
pub(crate) use dashed;

/// The bytes of `text`, of which there are `N`, with dashes for underscores in each third line.
pub const fn with_dashes<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    let mut dashed = [0; N];
    let (mut at, mut line) = (0, 0);
    while at < N {
        if text[at] == b'\n' {
            line += 1;
        }
        dashed[at] = if text[at] == b'_' && line % 3 == 0 { b'-' } else { text[at] };
        at += 1;
    }
    dashed
}
