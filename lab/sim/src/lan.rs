//! The LAN: what becomes of a packet on its way, and the packets that are under way.

use ha::wire::{Heartbeat, LEN};

use crate::plan::{LATEST_COPY, Net};
use crate::rng::Rng;
use crate::time::Us;

/// Links between all nodes and from each of them to the client, whose number is that after the last node.
#[derive(Debug)]
pub struct Lan {
    net: Net,
    ends: usize,
    links: Vec<Link>,
    /// Losses in a million on top of those of the net, one for each fault in effect.
    pub noise: Vec<u32>,
    /// Delays on top, one for each fault in effect.
    pub slowness: Vec<Us>,
}

/// One direction between two ends.
#[derive(Debug)]
struct Link {
    cuts: u32,
    delay: Us,
    rng: Rng,
}

/// What becomes of a packet on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does not arrive.
    Lost,
    /// It does.
    Arrives {
        /// How much later.
        after: Us,
        /// How it is damaged.
        damage: Damage,
        /// How much later it arrives a second time, if it does.
        again_after: Option<Us>,
    },
}

/// How a packet is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Not at all.
    None,
    /// This bit is flipped.
    Bit(u16),
    /// Only the first bytes arrive, this many.
    Short(u16),
    /// It came through a router.
    Routed,
}

impl Lan {
    /// A LAN with this number of nodes and a client.
    pub fn new(net: Net, seed: u64, nodes: usize) -> Self {
        let ends = nodes + 1;
        let links = (0..ends * ends)
            .map(|index| {
                let mut rng = Rng::new(seed, LINKS + index_name(index / ends, index % ends));
                Link { cuts: 0, delay: rng.between(net.delay / 4, net.delay), rng }
            })
            .collect();
        Self { net, ends, links, noise: Vec::new(), slowness: Vec::new() }
    }

    /// The number of the client.
    pub fn client(&self) -> usize {
        self.ends - 1
    }

    /// One more, or one fewer, reason why nothing gets from here to there.
    pub fn cut(&mut self, from: usize, to: usize, is_cut: bool) {
        let cuts = &mut self.links[from * self.ends + to].cuts;
        *cuts = if is_cut { *cuts + 1 } else { cuts.saturating_sub(1) };
    }

    /// Decides what becomes of a packet that is sent now.
    pub fn carry(&mut self, from: usize, to: usize) -> Fate {
        let link = &mut self.links[from * self.ends + to];
        if link.cuts > 0 {
            return Fate::Lost;
        }
        let Net { jitter, loss_ppm, twice_ppm, damage_ppm, .. } = self.net;
        let rng = &mut link.rng;
        if rng.chance(loss_ppm) || self.noise.iter().any(|&ppm| rng.chance(ppm)) {
            return Fate::Lost;
        }
        let slow: Us = self.slowness.iter().map(|&by| rng.below(by + 1)).sum();
        let after = link.delay + rng.below(jitter + 1) + slow;
        let damage = if rng.chance(damage_ppm) { Damage::draw(rng) } else { Damage::None };
        let again_after = rng.chance(twice_ppm).then(|| {
            let latest = if rng.chance(500_000) { jitter } else { LATEST_COPY };
            after + rng.below(latest + 1)
        });
        Fate::Arrives { after, damage, again_after }
    }
}

impl Damage {
    fn draw(rng: &mut Rng) -> Self {
        let below = |rng: &mut Rng, limit: usize| u16::try_from(rng.index(limit)).expect("a packet is small");
        match rng.below(4) {
            0 => Self::Short(below(rng, LEN)),
            1 => Self::Routed,
            _ => Self::Bit(below(rng, LEN * 8)),
        }
    }

    /// What arrives of `bytes`, in `buffer`, and with which TTL.
    pub fn apply<'a>(self, bytes: &[u8; LEN], buffer: &'a mut [u8; LEN]) -> (&'a [u8], u8) {
        *buffer = *bytes;
        match self {
            Self::None => (buffer, 255),
            Self::Bit(bit) => {
                buffer[usize::from(bit / 8)] ^= 1 << (bit % 8);
                (buffer, 255)
            }
            Self::Short(len) => (&buffer[..usize::from(len)], 255),
            Self::Routed => (buffer, 254),
        }
    }
}

/// A packet under way, or in the buffer of a socket.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Its bytes.
    pub bytes: [u8; LEN],
    /// What they say.
    pub said: Heartbeat,
    /// The sender.
    pub from: usize,
    /// When it was sent.
    pub sent_at: Us,
    copies: u32,
}

/// All packets under way; a place is used again when the last copy has arrived.
#[derive(Debug, Default)]
pub struct Packets {
    all: Vec<Packet>,
    free: Vec<u32>,
}

impl Packets {
    /// Enters a packet of which no copy is under way yet.
    pub fn enter(&mut self, bytes: [u8; LEN], said: Heartbeat, from: usize, sent_at: Us) -> u32 {
        let packet = Packet { bytes, said, from, sent_at, copies: 0 };
        if let Some(index) = self.free.pop() {
            self.all[place(index)] = packet;
            return index;
        }
        self.all.push(packet);
        u32::try_from(self.all.len() - 1).expect("four thousand million packets")
    }

    /// This packet.
    pub fn get(&self, index: u32) -> &Packet {
        &self.all[place(index)]
    }

    /// Counts one more copy that is under way.
    pub fn hold(&mut self, index: u32) {
        self.all[place(index)].copies += 1;
    }

    /// Counts a copy less: it has arrived, or will not.
    pub fn drop(&mut self, index: u32) {
        let packet = &mut self.all[place(index)];
        packet.copies = packet.copies.saturating_sub(1);
        if packet.copies == 0 {
            self.free.push(index);
        }
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}

/// A number for a pair, the same however many nodes there are.
fn index_name(from: usize, to: usize) -> u64 {
    from as u64 * 1_000 + to as u64
}

/// The names of the links' dice begin here.
const LINKS: u64 = 1_000_000;
