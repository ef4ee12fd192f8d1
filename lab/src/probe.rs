//! The client: it asks all the time, and records which replies come and when.
//!
//! One thread sends, at real-time priority where permitted: an echo each half millisecond through the client's own
//! neighbour cache, and a "who has" to all each 5 ms that by-passes it. Another thread records every frame about the shared
//! address as the client's network card sees it, with the kernel's time, so that the thread itself may be late.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::analysis::{ECHO, ROUND, Recording, Sighting};
use crate::frames::{self, Mac, Proof, nd};
use crate::sys::{self, Bytes, Nanos};

/// A client that asks all the time.
#[derive(Debug)]
pub struct Probe {
    seen: Arc<Seen>,
    sender: Option<JoinHandle<Sent>>,
    listener: Option<JoinHandle<io::Result<u32>>>,
    clock_offset: Nanos,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Seen {
    sightings: Mutex<Vec<Sighting>>,
    is_hushed: AtomicBool,
    sender_ends: AtomicBool,
    listener_ends: AtomicBool,
}

impl Probe {
    /// Starts a probe in a client's namespace, on its `eth0`, which asks for `address`.
    ///
    /// # Errors
    /// When a socket or a thread is refused.
    pub fn start(client: &Path, address: IpAddr) -> io::Result<Self> {
        let (echo_out, cards) = sys::inside(client, || Ok((sys::icmp_socket(address)?, listening_sockets(address)?)))?;
        let seen = Arc::new(Seen::default());
        let series = SERIES.fetch_add(1, Ordering::Relaxed);
        let round_out = cards[0].try_clone()?;
        let listener = thread::Builder::new().name("listener".into()).spawn({
            let seen = seen.clone();
            move || listen(&seen, &cards, address, series)
        })?;
        let sender = thread::Builder::new().name("sender".into()).spawn({
            let seen = seen.clone();
            move || send(&seen, [&echo_out, &round_out], address, series)
        })?;
        Ok(Self { seen, sender: Some(sender), listener: Some(listener), clock_offset: clock_offset() })
    }

    /// Asks nothing and reads nothing until it shall [speak](Self::speak) again, and takes no processor time. The kernel
    /// keeps the frames that come meanwhile, with their times.
    pub fn hush(&self) {
        self.seen.is_hushed.store(true, Ordering::Relaxed);
    }

    /// Goes on.
    pub fn speak(&self) {
        self.seen.is_hushed.store(false, Ordering::Relaxed);
        self.sender.iter().for_each(|sender| sender.thread().unpark());
        self.listener.iter().for_each(|listener| listener.thread().unpark());
    }

    /// The sightings of the last `span`, in the order of time.
    pub fn sightings_of_last(&self, span: Duration) -> Vec<Sighting> {
        let since = sys::now().saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        let sightings = self.seen.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent: Vec<_> = sightings.iter().rev().take_while(|sighting| sighting.at >= since).copied().collect();
        recent.reverse();
        recent
    }

    /// Whether `mac` alone has replied to both "who has" and echoes for some time.
    pub fn is_served_by(&self, mac: Mac) -> bool {
        let recent = self.sightings_of_last(Duration::from_millis(50));
        let count = |wanted: fn(&Proof) -> bool| recent.iter().filter(|sighting| wanted(&sighting.proof)).count();
        recent.iter().all(|sighting| sighting.mac == mac)
            && count(|proof| *proof == Proof::Reply) >= 3
            && count(|proof| matches!(proof, Proof::Echo(_))) >= 20
    }

    /// Ends it. The last questions still get the time for a reply.
    ///
    /// # Errors
    /// When the client could not listen.
    pub fn stop(mut self) -> io::Result<Recording> {
        self.seen.sender_ends.store(true, Ordering::Relaxed);
        self.speak();
        let sent = joined(self.sender.take());
        thread::sleep(Duration::from_millis(30));
        self.seen.listener_ends.store(true, Ordering::Relaxed);
        let lost_frames = joined(self.listener.take())?;
        let mut sightings = std::mem::take(&mut *self.seen.sightings.lock().unwrap_or_else(PoisonError::into_inner));
        sightings.sort_by_key(|sighting| sighting.at);
        let clock_step = clock_offset().abs_diff(self.clock_offset);
        Ok(Recording { echoes: sent.echoes, rounds: sent.rounds, sightings, lost_frames, clock_step })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.seen.sender_ends.store(true, Ordering::Relaxed);
        self.seen.listener_ends.store(true, Ordering::Relaxed);
        self.speak();
    }
}

impl Seen {
    /// Sleeps while the probe is hushed.
    fn wait_to_speak(&self) {
        while self.is_hushed.load(Ordering::Relaxed) {
            thread::park();
        }
    }
}

#[derive(Debug)]
struct Sent {
    echoes: Vec<Nanos>,
    rounds: Vec<Nanos>,
}

/// The sockets of a card that hear what is said about `address`. Frames about other things take no room and no time, even
/// 100,000 of them a second.
fn listening_sockets(address: IpAddr) -> io::Result<Vec<OwnedFd>> {
    let socket = |ether_type, only| {
        let socket = sys::packet_socket("eth0", ether_type)?;
        sys::attach_filter(&socket, &[only])?;
        io::Result::Ok(socket)
    };
    match address {
        IpAddr::V4(address) => Ok(vec![
            socket(frames::ARP, Bytes::Four(SPA, address.to_bits()))?,
            socket(frames::IPV4, Bytes::One(PROTOCOL, ICMP))?,
        ]),
        IpAddr::V6(_) => Ok(vec![socket(nd::IPV6, Bytes::One(nd::NEXT_HEADER, nd::ICMPV6))?]),
    }
}

fn send(seen: &Seen, [echo_out, round_out]: [&OwnedFd; 2], address: IpAddr, series: u16) -> Sent {
    // Below every daemon: the observer does not hold up the observed.
    let _ = sys::be_punctual(PRIORITY); // without the permission the stalls are longer
    let mut sent = Sent { echoes: Vec::with_capacity(200_000), rounds: Vec::with_capacity(20_000) };
    let (who_has, echo): (_, fn(u16, u32) -> [u8; 16]) = match address {
        IpAddr::V4(address) => (frames::who_has(address).to_vec(), frames::echo),
        IpAddr::V6(address) => (nd::who_has(address), nd::echo),
    };
    let mut next = sys::monotonic();
    let mut next_round = next;
    let mut index = 0;
    while !seen.sender_ends.load(Ordering::Relaxed) {
        seen.wait_to_speak();
        // An error (no route, no neighbour) counts as an echo without a reply.
        if next >= next_round {
            sent.rounds.push(sys::now());
            let _ = sys::send_frame(round_out, &who_has);
            next_round = next + ROUND;
        }
        sent.echoes.push(sys::now());
        let _ = sys::send_icmp(echo_out, address, &echo(series, index));
        index += 1;
        // A thread that woke up late does not make up for it: a burst of questions about one moment proves nothing.
        next = (next + ECHO).max(sys::monotonic());
        sys::sleep_until(next);
    }
    sent
}

fn listen(seen: &Seen, sockets: &[OwnedFd], address: IpAddr, series: u16) -> io::Result<u32> {
    let mut buffer = [0; 2048];
    let mut batch = Vec::new();
    while !seen.listener_ends.load(Ordering::Relaxed) {
        seen.wait_to_speak();
        sys::wait_readable(sockets, 20);
        for socket in sockets {
            while let Some((length, at)) = sys::receive(socket, &mut buffer)? {
                if let Some((mac, proof)) = frames::read(&buffer[..length], address, series) {
                    batch.push(Sighting { at, mac, proof });
                }
            }
        }
        batch.sort_by_key(|sighting| sighting.at);
        seen.sightings.lock().unwrap_or_else(PoisonError::into_inner).append(&mut batch);
        thread::sleep(Duration::from_millis(1)); // the kernel keeps the frames and their times; this saves wake-ups
    }
    sockets.iter().map(sys::lost_frames).sum()
}

fn joined<T>(thread: Option<JoinHandle<T>>) -> T {
    let thread = thread.expect("only `stop` takes it, and `stop` takes all");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How far the wall clock is ahead of the monotonic clock.
fn clock_offset() -> Nanos {
    sys::now().wrapping_sub(sys::monotonic())
}

static SERIES: AtomicU16 = AtomicU16::new(1);
const PRIORITY: u8 = 5;
/// Where a frame has ARP's sender address, and IPv4's protocol.
const SPA: u32 = 28;
const PROTOCOL: u32 = 23;
const ICMP: u8 = 1;
