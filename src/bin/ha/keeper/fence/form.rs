//! The two forms of a fence: a table of nftables, and a program at clsact. Both do the same with each frame.
//!
//! The table is safe from other programs, and takes no privilege that the daemon has not anyway. The program is for kernels
//! without an egress hook of nftables.

use std::ffi::CStr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use ha::config::{MAX_LINKS, has_v6};
use ha::time::Duration;
use rustix::io::{self, Errno};

use super::{Flaw, Links};
use crate::linux::clsact::{self, Filters, Plan};
use crate::linux::ebpf::Number;
use crate::linux::name::Name;
use crate::linux::netfilter::{self, Owner, Ruleset, Tables};
use crate::linux::netlink::{Changes, Message};
use crate::linux::process::global_uid;
use crate::log::info;
use crate::settings::Settings;
use crate::text::Text;

/// What it is made of.
#[derive(Debug)]
pub enum Form {
    /// A table, and whose socket its rules let open it.
    Nftables(Tables, Option<u32>),
    /// Filters that are one program; frames pass it until the time that the number says.
    Clsact(Filters, OwnedFd, Number),
}

/// Of what the kernel says of it: another one if anything was changed.
pub type Digest = [u8; 8];

impl Form {
    /// A table, after a look whether the kernel would load it.
    pub fn nftables(name: Text, settings: &Settings, timeout: Duration) -> Result<(Self, Option<Flaw>), Errno> {
        let mut tables = Tables::open()?;
        let uid = global_uid();
        // On the loopback, which each machine has: the interface may appear later.
        let loopback = [Name::new(b"lo").expect("it is short")];
        let ruleset = Ruleset { table: TRIAL, ..ruleset(name, settings, uid, timeout, &loopback) };
        let outcome = tables.try_out(&ruleset).map_err(Flaw::Kernel);
        let outcome = outcome.and_then(|()| check_owner(&mut tables, name));
        Ok((Self::Nftables(tables, uid), outcome.err()))
    }

    /// A program, after it was put at the loopback and removed again: the kernel says only then whether it can. Frames passed it.
    pub fn clsact(name: Text, settings: &Settings, timeout: Duration) -> Result<Self, Errno> {
        // Its program looks at IPv4 and ARP alone.
        let multicast = match settings.daemon.multicast() {
            SocketAddr::V4(multicast) if !has_v6(settings.config.addresses()) => multicast,
            SocketAddr::V4(_) | SocketAddr::V6(_) => return Err(Errno::AFNOSUPPORT),
        };
        let open_until = Number::new(NAME_FOR_THE_KERNEL)?;
        let plan = Plan {
            shared: settings.config.addresses(),
            multicast,
            group: settings.config.group(),
            uid: global_uid(),
            timeout,
        };
        let program = clsact::write(&plan, &open_until).load_into_kernel(NAME_FOR_THE_KERNEL)?;
        let mut filters = Filters::open(name)?;
        open_until.set(u64::MAX);
        filters.put(LOOPBACK, program.as_fd())?;
        filters.remove(LOOPBACK)?;
        Ok(Self::Clsact(filters, program, open_until))
    }

    /// By what the kernel does it.
    pub fn means(&self) -> &'static str {
        match self {
            Self::Nftables(..) => "nftables",
            Self::Clsact(..) => "clsact",
        }
    }

    /// What has the fence's name.
    pub fn thing(&self) -> &'static str {
        match self {
            Self::Nftables(..) => "table netdev",
            Self::Clsact(..) => "filter",
        }
    }

    /// Hears when it may have been changed.
    pub fn changes(&self) -> io::Result<Changes> {
        match self {
            Self::Nftables(..) => netfilter::changes(),
            Self::Clsact(..) => clsact::changes(),
        }
    }

    /// Whether a change may be one of it.
    pub fn is_meant(&self, name: Text, links: &Links, message: Message<'_>) -> bool {
        match self {
            Self::Nftables(..) => netfilter::is_about(message, name),
            Self::Clsact(..) => links.iter().any(|&(index, _)| clsact::is_about(message, index)),
        }
    }

    /// Loads it, closed, for these links, in place of what is there.
    pub fn load(&mut self, name: Text, settings: &Settings, timeout: Duration, links: &Links) -> Result<(), Flaw> {
        match self {
            Self::Nftables(tables, uid) => {
                check_owner(tables, name)?;
                let names: heapless::Vec<_, MAX_LINKS> = links.iter().map(|&(_, name)| name).collect();
                tables.load(&ruleset(name, settings, *uid, timeout, &names)).map_err(Flaw::Kernel)
            }
            Self::Clsact(filters, program, open_until) => {
                open_until.set(0);
                let indexes: heapless::Vec<_, MAX_LINKS> = links.iter().map(|&(index, _)| index).collect();
                let outcome = indexes.iter().try_for_each(|&index| filters.put(index, program.as_fd()));
                // One alone would close the way for good: without the other one no heartbeat says that there is a fence.
                let kept = if outcome.is_ok() { &indexes[..] } else { &[] };
                outcome.and(filters.remove_elsewhere(kept).map(drop)).map_err(Flaw::Kernel)
            }
        }
    }

    /// What the kernel says of it; none if it is not there, or not whole.
    pub fn digest(&mut self, name: Text, links: &Links) -> Result<Option<Digest>, Errno> {
        match self {
            Self::Nftables(tables, _) => tables.chain(name),
            Self::Clsact(filters, ..) => filters.digest(links.iter().map(|&(index, _)| index)),
        }
    }

    /// Deletes it.
    pub fn delete(&mut self, name: Text) -> Result<(), Errno> {
        match self {
            Self::Nftables(tables, _) => delete_table(tables, name).map(drop),
            Self::Clsact(filters, ..) => filters.remove_elsewhere(&[]).map(drop),
        }
    }
}

/// Deletes what a killed daemon has left, but for what has the form of `kept`. It would keep the addresses of this one closed for
/// ever.
pub fn delete_leftovers(kept: Option<&Form>, name: Text) {
    if !matches!(kept, Some(Form::Nftables(..)))
        && let Ok(mut tables) = Tables::open()
        && delete_table(&mut tables, name) == Ok(true)
    {
        info!("table netdev {name} of a daemon that was killed: deleted");
    }
    if !matches!(kept, Some(Form::Clsact(..)))
        && let Ok(mut filters) = Filters::open(name)
        && filters.remove_elsewhere(&[]) == Ok(true)
    {
        info!("filter {name} of a daemon that was killed: deleted");
    }
}

/// Deletes the table if it is ours; true if it was there.
fn delete_table(tables: &mut Tables, name: Text) -> Result<bool, Errno> {
    let is_ours = tables.owner(name)? == Owner::Us;
    if is_ours {
        tables.delete(name)?;
    }
    Ok(is_ours)
}

fn check_owner(tables: &mut Tables, name: Text) -> Result<(), Flaw> {
    match tables.owner(name) {
        Ok(Owner::Nobody | Owner::Us) => Ok(()),
        Ok(Owner::Other) => Err(Flaw::Foreign(name)),
        Err(errno) => Err(Flaw::Kernel(errno)),
    }
}

fn ruleset<'a>(
    table: Text,
    settings: &'a Settings,
    uid: Option<u32>,
    timeout: Duration,
    links: &'a [Name],
) -> Ruleset<'a> {
    Ruleset {
        table,
        links,
        shared: settings.config.addresses(),
        multicast: settings.daemon.multicast(),
        group: settings.config.group(),
        uid,
        timeout,
    }
}

/// Of a table that no other program has; it never comes to be.
const TRIAL: Text = "ha-trial";

/// Of program and number.
const NAME_FOR_THE_KERNEL: &CStr = c"ha_fence";

/// The number of this interface in each network namespace.
const LOOPBACK: u32 = 1;
