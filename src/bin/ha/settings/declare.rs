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
//! The copies are: the command line of argh with its help, `Run`; the options that a person gave, by name, `Run::given`; one
//! way in for a value from anywhere, `Options::set`; the fields of `Daemon`; and for tests the list `DECLARED`.

use ha::config::{Cidr, MAX_ADDRESSES};

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
impl Slot<Cidr> for heapless::Vec<Cidr, MAX_ADDRESSES> {
    fn put(&mut self, value: Cidr) -> Result<(), Refusal> {
        self.push(value).map_err(|_| "expected at most 16 addresses")
    }
}

/// What is known of an option beside its place.
#[cfg(test)]
#[derive(Debug)]
pub struct Declared {
    /// As it is written on the command line, without its dashes, and in files.
    pub name: crate::text::Text,
    /// The line of the help.
    pub help: crate::text::Text,
    /// A value that is accepted and is not the default.
    pub good: crate::text::Text,
}

macro_rules! options {
    (
        $(#[$($about:tt)+])+
        $run:ident;

        $(
            $(#[doc = $help:tt])+
            $option:ident $(takes $value:tt)? $(repeats $element:tt)? $(sets $yes:tt)? $(like $sample:tt by $read:expr)?
                => $place:ident $(. $field:ident)? $(: $type:ty = $default:expr)?;
        )+
    ) => {
        #[derive(argh::FromArgs, Debug)]
        $(#[$($about)+])+
        pub struct $run {
            /// configuration file (default: /etc/ha.conf if it exists)
            #[argh(option, arg_name = "file")]
            pub config: Option<$crate::settings::given::Word>,
            $(
                $(#[doc = $help])+
                $(#[argh(option, arg_name = $value)] $option: Option<$crate::settings::given::Word>,)?
                $(#[argh(option, arg_name = $element)] $option: Vec<$crate::settings::given::Word>,)?
                // The condition always holds; macro_rules wants `$yes` to stand here.
                $(#[cfg(any(true, $yes))] #[argh(switch)] $option: u8,)?
            )+
        }

        impl $run {
            /// The options with their values; argh has refused most of those that are given twice.
            pub fn given(&self) -> Result<Vec<(Text, Text)>, Refusal> {
                use $crate::settings::given::Given;
                let mut given = Vec::new();
                $(self.$option.add_to(&mut given, $crate::settings::declare::name_of!($option))?;)+
                Ok(given)
            }
        }

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
                    if option == $crate::settings::declare::name_of!($option) {
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
        pub const DECLARED: &[$crate::settings::declare::Declared] = &[$(
            $crate::settings::declare::Declared {
                name: $crate::settings::declare::name_of!($option),
                help: concat!($($help),+),
                good: $($sample)? $({ const _: bool = $yes; "yes" })?,
            },
        )+];
    };
}
pub(super) use options;

/// The name of an option as people write it, made of the name of its field when the program is compiled: `preempt_delay`
/// becomes `preempt-delay`.
macro_rules! name_of {
    ($field:ident) => {
        const {
            const FIELD: &str = stringify!($field);
            const NAME: [u8; FIELD.len()] = $crate::settings::declare::with_dashes(FIELD);
            match str::from_utf8(&NAME) {
                Ok(name) => name,
                Err(_) => panic!("a dash for an underscore leaves UTF-8 as it is"),
            }
        }
    };
}
pub(crate) use name_of;

/// The bytes of `field`, of which there are `N`, with dashes for underscores.
pub const fn with_dashes<const N: usize>(field: &str) -> [u8; N] {
    let field = field.as_bytes();
    let mut name = [0; N];
    let mut at = 0;
    while at < N {
        name[at] = if field[at] == b'_' { b'-' } else { field[at] };
        at += 1;
    }
    name
}
