//! Changes of links and addresses, as the kernel reports them to a multicast group of rtnetlink.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux_raw_sys::netlink as nl;
use rustix::io::{self, Errno};
use rustix::net::{RecvFlags, SocketFlags};

use super::message::{self, Message, Messages, NLMSG_PID_OFFSET, NLMSG_TYPE_OFFSET};
use super::{Requests, open};
use crate::linux::bpf::{self, BPF_JEQ, BPF_LD_H_ABS, BPF_LD_W_ABS, BPF_RET, step};

/// What changed on this machine.
#[derive(Debug)]
pub struct Events {
    socket: OwnedFd,
}

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Of the interface with this number, or of one that has the name asked for.
    Link,
    /// This address was added to an interface by another program; one of IPv6 by whatever program, or renewed: of these the kernel does
    /// not say who asked for it.
    Added(IpAddr),
    /// This address was removed from an interface, by any program.
    Removed(IpAddr),
    /// The kernel has dropped changes because there were too many, or sent more than can be read at once: look at everything
    /// again.
    Unknown,
}

impl Events {
    /// Listens for links and addresses; for those of IPv6 if it is about them, too: where a router tells hosts their addresses they change
    /// all the time. Of what `requests` causes only removals are heard: others may have gone along.
    pub fn open(requests: &Requests, is_about_v6: bool) -> io::Result<Self> {
        let groups = nl::RTMGRP_LINK | nl::RTMGRP_IPV4_IFADDR | if is_about_v6 { nl::RTMGRP_IPV6_IFADDR } else { 0 };
        let socket = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, groups)?;
        // The header stands in host order, and BPF loads big-endian.
        let ours = u32::from_be_bytes(requests.port().to_ne_bytes());
        let removal = u16::from_be_bytes((nl::RTM_DELADDR as u16).to_ne_bytes());
        let program = [
            step(BPF_LD_W_ABS, 0, 0, NLMSG_PID_OFFSET),
            step(BPF_JEQ, 0, 3, ours),
            step(BPF_LD_H_ABS, 0, 0, NLMSG_TYPE_OFFSET),
            step(BPF_JEQ, 1, 0, removal.into()),
            step(BPF_RET, 0, 0, 0),
            step(BPF_RET, 0, 0, u32::MAX),
        ];
        bpf::attach_filter(socket.as_fd(), &program)?;
        Ok(Self { socket })
    }

    /// Calls `each` with every change that concerns one of `interfaces`, by name or number; reads until nothing is left.
    pub fn drain(&self, interfaces: &[(&str, u32)], mut each: impl FnMut(Event)) {
        let mut buffer = [0; 8 * 1024];
        loop {
            let len = match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC) {
                Ok((_, len)) if len > buffer.len() => {
                    each(Event::Unknown);
                    continue;
                }
                Ok((_, len)) => len,
                Err(Errno::INTR) => continue,
                Err(Errno::NOBUFS) => {
                    each(Event::Unknown);
                    continue;
                }
                Err(_) => return,
            };
            for message in Messages(&buffer[..len]) {
                interfaces.iter().filter_map(|&(name, index)| event(message, name, index)).for_each(&mut each);
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn event(message: Message<'_>, name: &str, index: u32) -> Option<Event> {
    match u32::from(message.kind) {
        kind if kind == nl::RTM_NEWLINK as u32 || kind == nl::RTM_DELLINK as u32 => {
            let (interface, its_name) = message::interface(message.body)?;
            let is_meant =
                interface.index == index || its_name == Some(name.as_bytes()) || message::has_name(message.body, name);
            is_meant.then_some(Event::Link)
        }
        kind if kind == nl::RTM_DELADDR as u32 => {
            let its = message::address(message.body)?;
            (its.index == index).then_some(Event::Removed(its.cidr.address))
        }
        kind if kind == nl::RTM_NEWADDR as u32 => {
            let its = message::address(message.body)?;
            (its.index == index).then_some(Event::Added(its.cidr.address))
        }
        _ => None,
    }
}
