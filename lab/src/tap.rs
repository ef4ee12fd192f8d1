//! One cable of the switch, watched for what a client does not see: when a node resigned and when its successor
//! announced.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use crate::datagram::PORT;
use crate::frames::{self, Mac, nd};
use crate::net::{Lab, SHARED};
use crate::sys::{self, Bytes, Nanos};

/// A port of the switch, with the kernel's time on every frame that goes through it in either direction.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

/// The heartbeats of one node, where they enter the switch. A filter drops all else, so that no flood fills the buffer.
#[derive(Debug)]
pub struct Pulse {
    socket: OwnedFd,
}

/// The gratuitous ARP of one node, where it enters the switch.
#[derive(Debug)]
pub struct Announcements {
    socket: OwnedFd,
}

/// What one node says about the groups that it has joined (MLD, RFC 3810), where it enters the switch.
#[derive(Debug)]
pub struct Memberships {
    tap: Tap,
}

/// What one node sends from the shared address, where it enters the switch: replies to echoes, ARP of any kind.
#[derive(Debug)]
pub struct FromAddress {
    tap: Tap,
    address: IpAddr,
}

impl Memberships {
    /// Of node `number`.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn of(lab: &Lab, number: u8) -> io::Result<Self> {
        let tap = Tap::on(lab, number)?;
        let mld = [Bytes::Two(12, nd::IPV6), Bytes::One(nd::NEXT_HEADER, nd::HOP_BY_HOP)];
        sys::attach_filter(&tap.socket, &[&[Bytes::Four(8, sender(number))], &mld[..]].concat())?;
        tap.forget()?; // what came before the filter
        Ok(Self { tap })
    }

    /// How many such packets it has sent since the last call.
    ///
    /// # Errors
    /// When the tap lost some.
    pub fn count(&self) -> io::Result<usize> {
        Ok(self.tap.frames(|_| true)?.len())
    }
}

impl FromAddress {
    /// Of node `number`.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn of(lab: &Lab, number: u8, address: IpAddr) -> io::Result<Self> {
        let tap = Tap::on(lab, number)?;
        sys::attach_filter(&tap.socket, &[Bytes::Four(8, sender(number))])?;
        tap.forget()?; // what came before the filter
        Ok(Self { tap, address })
    }

    /// When it sent such a frame since the last call.
    ///
    /// # Errors
    /// When the tap lost some.
    pub fn times(&self) -> io::Result<Vec<Nanos>> {
        let frames = self.tap.frames(|frame| frames::is_from(frame, self.address))?;
        Ok(frames.into_iter().map(|(at, _)| at).collect())
    }
}

impl Announcements {
    /// Of node `number`.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn of(lab: &Lab, number: u8) -> io::Result<Self> {
        let Tap { socket } = Tap::on(lab, number)?;
        let shared = SHARED.to_bits();
        let gratuitous = [Bytes::Two(12, frames::ARP), Bytes::Four(SPA, shared), Bytes::Four(TPA, shared)];
        sys::attach_filter(&socket, &[&[Bytes::Four(8, sender(number))], &gratuitous[..]].concat())?;
        let tap = Self { socket };
        tap.times()?; // drops what came before the filter
        Ok(tap)
    }

    /// When it announced since the last call: a request and the reply after it are one announcement.
    ///
    /// # Errors
    /// When the tap lost some.
    pub fn times(&self) -> io::Result<Vec<Nanos>> {
        let mut times: Vec<Nanos> = Vec::new();
        while let Some((_, at)) = sys::receive(&self.socket, &mut [0; 256])? {
            if times.last().is_none_or(|last| at.saturating_sub(*last) > PAIR) {
                times.push(at);
            }
        }
        if sys::lost_frames(&self.socket)? > 0 {
            return Err(io::Error::other("the tap lost announcements: nothing is known"));
        }
        Ok(times)
    }
}

impl Pulse {
    /// Of node `number`.
    ///
    /// # Errors
    /// When the socket is refused.
    pub fn of(lab: &Lab, number: u8) -> io::Result<Self> {
        let Tap { socket } = Tap::on(lab, number)?;
        sys::attach_filter(
            &socket,
            &[Bytes::Four(8, sender(number)), Bytes::Two(12, frames::IPV4), Bytes::One(23, 17), Bytes::Two(36, PORT)],
        )?;
        let pulse = Self { socket };
        pulse.longest_pause()?; // drops what came before the filter
        Ok(pulse)
    }

    /// The longest pause between two heartbeats since the last call; none if there were fewer than two.
    ///
    /// # Errors
    /// When the tap lost some.
    pub fn longest_pause(&self) -> io::Result<Option<Nanos>> {
        let mut times = Vec::new();
        while let Some((_, at)) = sys::receive(&self.socket, &mut [0; 256])? {
            times.push(at);
        }
        if sys::lost_frames(&self.socket)? > 0 {
            return Err(io::Error::other("the tap lost heartbeats: nothing is known"));
        }
        Ok(times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max())
    }
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

    /// Forgets the frames until now.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn forget(&self) -> io::Result<()> {
        while sys::receive(&self.socket, &mut [0; 2048])?.is_some() {}
        sys::lost_frames(&self.socket).map(drop)
    }

    /// The frames since the last call that `is_wanted`, with their times.
    ///
    /// # Errors
    /// When the tap lost some.
    pub fn frames(&self, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<(Nanos, Vec<u8>)>> {
        let (mut buffer, mut frames) = ([0; 2048], Vec::new());
        while let Some((length, at)) = sys::receive(&self.socket, &mut buffer)? {
            frames.extend(Some((at, buffer[..length].to_vec())).filter(|(_, frame)| is_wanted(frame)));
        }
        if sys::lost_frames(&self.socket)? > 0 {
            return Err(io::Error::other("the tap lost frames: nothing is known"));
        }
        Ok(frames)
    }

    /// From the first resign of `old` on its way to the node, to the first gratuitous ARP of `new` after it.
    ///
    /// # Errors
    /// When one of them is missing, or the tap lost frames.
    pub fn hop(&self, old: Mac, new: Mac) -> io::Result<Nanos> {
        let mut buffer = [0; 2048];
        let (mut resigned, mut announced) = (None, None);
        while let Some((length, at)) = sys::receive(&self.socket, &mut buffer)? {
            let frame = &buffer[..length];
            if resigned.is_none() && frames::resign(frame) == Some(old) {
                resigned = Some(at);
            } else if resigned.is_some() && announced.is_none() && frames::gratuitous(frame, SHARED) == Some(new) {
                announced = Some(at);
            }
        }
        if sys::lost_frames(&self.socket)? > 0 {
            return Err(io::Error::other("the tap lost frames: nothing is known"));
        }
        let resigned = resigned.ok_or_else(|| io::Error::other(format!("{old:?} did not resign")))?;
        let announced =
            announced.ok_or_else(|| io::Error::other(format!("{new:?} did not announce after the resign")))?;
        Ok(announced.saturating_sub(resigned))
    }
}

/// The last four bytes of a node's MAC, which a frame has at 8.
fn sender(number: u8) -> u32 {
    let [_, _, high @ .., low] = Mac::of(number).0;
    u32::from_be_bytes([high[0], high[1], high[2], low])
}

/// Where a frame has ARP's sender and target address.
const SPA: u32 = 28;
const TPA: u32 = 38;
/// More than is between request and reply, less than is between any two announcements.
const PAIR: Nanos = 50_000_000;
