//! One cable of the switch, watched for what a client does not see: who resigned, and when the successor told the LAN.

use std::io;
use std::os::fd::OwnedFd;

use crate::frames::{self, Mac};
use crate::net::{Lab, SHARED};
use crate::sys::{self, Nanos};

/// A port of the switch, with the kernel's time on every frame that goes through it in either direction.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

impl Tap {
    /// On the port of node `number`.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn on(lab: &Lab, number: u8) -> io::Result<Self> {
        let port = format!("n{number}");
        let socket = sys::inside(&lab.namespace("sw"), || sys::packet_socket(&port, frames::ALL))?;
        Ok(Self { socket })
    }

    /// Forgets what went by until now.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn forget(&self) -> io::Result<()> {
        while sys::receive(&self.socket, &mut [0; 2048])?.is_some() {}
        sys::lost_frames(&self.socket).map(drop)
    }

    /// From the first resign of `old` on its way to the node, to the first gratuitous ARP of `new` after it.
    ///
    /// # Errors
    /// When one of them did not go by, or frames were lost.
    pub fn hop(&self, old: Mac, new: Mac) -> io::Result<Nanos> {
        let mut buffer = [0; 2048];
        let (mut resigned, mut told) = (None, None);
        while let Some((length, at)) = sys::receive(&self.socket, &mut buffer)? {
            let frame = &buffer[..length];
            if resigned.is_none() && frames::resign(frame) == Some(old) {
                resigned = Some(at);
            } else if resigned.is_some() && told.is_none() && frames::gratuitous(frame, SHARED) == Some(new) {
                told = Some(at);
            }
        }
        if sys::lost_frames(&self.socket)? > 0 {
            return Err(io::Error::other("the tap lost frames: nothing is known"));
        }
        let resigned = resigned.ok_or_else(|| io::Error::other(format!("{old:?} did not resign")))?;
        let told = told.ok_or_else(|| io::Error::other(format!("{new:?} told nobody after the resign")))?;
        Ok(told.saturating_sub(resigned))
    }
}
