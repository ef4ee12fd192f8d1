//! A machine on the LAN that is no node: it hears what nodes send to all, and sends any packet from any address at any
//! rate.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ha::wire::arp;

use crate::datagram::{self, ATTACKER, PORT};
use crate::frames::{self, nd};
use crate::net::Lab;
use crate::sys::{self, Bytes};

/// An attacker, with a cable of its own.
#[derive(Debug)]
pub struct Attacker {
    address: IpAddr,
    out: OwnedFd,
    capture: OwnedFd,
}

/// A packet of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its source.
    pub from: Ipv4Addr,
    /// The payload of UDP.
    pub bytes: Vec<u8>,
}

/// How fast an attack sends, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Frames a second.
    pub rate_per_s: u64,
    /// The attack ends after that time at the latest, also when the scenario has failed meanwhile.
    pub limit: Duration,
}

/// Frames that are being sent, again and again in their order.
#[derive(Debug)]
pub struct Attack {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Sent>>>,
}

/// How much an attack has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many frames.
    pub frames: u32,
    /// How long it took.
    pub span: Duration,
}

impl Sent {
    /// Frames a second.
    pub fn rate_per_s(self) -> f64 {
        f64::from(self.frames) / self.span.as_secs_f64().max(1e-3)
    }
}

impl Attacker {
    /// Adds one to the lab, which is after that shared address.
    ///
    /// # Errors
    /// When the lab cannot be changed, or a socket is refused.
    pub fn join(lab: &Lab, address: IpAddr) -> io::Result<Self> {
        lab.add_attacker()?;
        let (out, capture) = sys::inside(&lab.namespace("attacker"), || {
            let out = sys::packet_socket("eth0", frames::IPV4)?;
            sys::attach_filter(&out, &[Bytes::Two(12, 0)])?; // its buffer stays empty, for no one reads it
            let capture = sys::packet_socket("eth0", frames::IPV4)?;
            sys::attach_filter(&capture, &[Bytes::One(23, 17), Bytes::Two(36, PORT)])?;
            Ok((out, capture))
        })?;
        Ok(Self { address, out, capture })
    }

    /// All packets of the nodes since the last call, in the order of time.
    ///
    /// # Errors
    /// When the interface is gone, or the kernel dropped a packet.
    pub fn overheard(&self) -> io::Result<Vec<Heard>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        while let Some((length, _)) = sys::receive(&self.capture, &mut buffer)? {
            if let Some((from, bytes)) = datagram::read(&buffer[..length]) {
                heard.push(Heard { from, bytes: bytes.to_vec() });
            }
        }
        if sys::lost_frames(&self.capture)? > 0 {
            return Err(io::Error::other("the attacker lost packets"));
        }
        Ok(heard)
    }

    /// Starts a conflict: says once, by ARP or an NA, that it has the shared address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn contest(&self) -> io::Result<()> {
        sys::send_frame(&self.out, &self.conflict_frame())
    }

    /// The frame of that conflict (RFC 5227 3, RFC 4861 7.2.6).
    pub fn conflict_frame(&self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(address) => arp::gratuitous_request(ATTACKER.0, address).to_vec(),
            IpAddr::V6(address) => nd::advertisement(ATTACKER, address),
        }
    }

    /// Begins to send.
    ///
    /// # Errors
    /// When there is nothing to send, or no thread can be started.
    pub fn attack(&self, frames: Vec<Vec<u8>>, load: Load) -> io::Result<Attack> {
        if frames.is_empty() {
            return Err(io::Error::other("an attack of no frames"));
        }
        let ends = Arc::new(AtomicBool::new(false));
        let out = self.out.try_clone()?;
        let thread = thread::Builder::new().name("attack".into()).spawn({
            let ends = ends.clone();
            move || send(&ends, &out, &frames, load)
        })?;
        Ok(Attack { ends, thread: Some(thread) })
    }
}

impl Attack {
    /// Waits until it is over.
    ///
    /// # Errors
    /// When the kernel refused to send.
    pub fn wait(mut self) -> io::Result<Sent> {
        let thread = self.thread.take().expect("only `wait` takes it");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the kernel refused to send.
    pub fn stop(self) -> io::Result<Sent> {
        self.ends.store(true, Ordering::Relaxed);
        self.wait()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn send(ends: &AtomicBool, out: &OwnedFd, frames: &[Vec<u8>], load: Load) -> io::Result<Sent> {
    // It stands for a machine of its own: only the daemons run before it.
    let _ = sys::be_punctual(PRIORITY); // without the permission the measured rate is lower
    let mut next_frames = frames.iter().cycle().map(Vec::as_slice);
    let start = sys::monotonic();
    let span = || Duration::from_nanos(sys::monotonic() - start);
    let (mut sent, mut forgone) = (0_u32, 0_u64);
    while !ends.load(Ordering::Relaxed) && span() < load.limit {
        let due = u64::try_from(span().as_nanos() * u128::from(load.rate_per_s) / 1_000_000_000).unwrap_or(u64::MAX);
        let mut behind = due.saturating_sub(u64::from(sent) + forgone);
        // A thread that woke up late does not make up for all of it: that would be another rate.
        let too_much = behind.saturating_sub((load.rate_per_s / 100).max(1));
        forgone += too_much;
        behind -= too_much;
        if behind == 0 {
            sys::sleep_until(sys::monotonic() + PAUSE);
            continue;
        }
        let count = usize::try_from(behind).unwrap_or(BATCH).min(BATCH);
        let batch: Vec<_> = next_frames.by_ref().take(count).collect();
        match sys::send_frames(out, &batch) {
            Ok(frames) => sent += u32::try_from(frames).expect("a batch is small"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sys::sleep_until(sys::monotonic() + PAUSE),
            Err(error) => return Err(io::Error::new(error.kind(), format!("attack: {error}"))),
        }
    }
    Ok(Sent { frames: sent, span: span() })
}

/// A rate that no daemon should mind, in frames a second.
pub const STEADY: u64 = 10_000;
/// Frames in one system call.
const BATCH: usize = 128;
/// Below the probe and below every daemon.
const PRIORITY: u8 = 1;
/// Nanoseconds.
const PAUSE: u64 = 500_000;
