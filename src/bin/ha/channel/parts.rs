//! Messages as bytes: the number of the variant, then its fields one after the other, numbers as this machine has them.
//!
//! Both ends are the same program, so that nothing has to last. What comes from a worker may be anything all the same.

use std::net::{IpAddr, Ipv6Addr};

use ha::node::{Macs, Unfit};
use ha::wire::mapped;

use super::{Duty, News, Order};

/// A message that is being written or read.
pub struct Bytes<'a> {
    /// What is not written or read yet.
    pub rest: &'a mut [u8],
}

impl Bytes<'_> {
    /// The next `len` bytes, if there are as many.
    fn next(&mut self, len: usize) -> Option<&mut [u8]> {
        let (next, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(len)?;
        self.rest = rest;
        Some(next)
    }
}

/// What messages consist of.
pub trait Part: Sized {
    /// Writes it; `None` if there is no room.
    fn put(&self, to: &mut Bytes<'_>) -> Option<()>;

    /// Reads one; `None` if there is none.
    fn get(from: &mut Bytes<'_>) -> Option<Self>;
}

impl<const N: usize> Part for [u8; N] {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        to.next(N)?.copy_from_slice(self);
        Some(())
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        (&*from.next(N)?).try_into().ok()
    }
}

macro_rules! numbers {
    ($($number:ident)+) => {$(
        impl Part for $number {
            fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
                self.to_ne_bytes().put(to)
            }

            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                Part::get(from).map(Self::from_ne_bytes)
            }
        }
    )+}
}
numbers!(u8 u32 u64);

impl Part for Macs {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        self.iter().try_for_each(|mac| mac.put(to))
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        let mut macs = Self::default();
        for mac in &mut macs {
            *mac = Part::get(from)?;
        }
        Some(macs)
    }
}

impl Part for IpAddr {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        mapped(*self).octets().put(to)
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Part::get(from).map(|octets: [u8; 16]| Ipv6Addr::from(octets).to_canonical())
    }
}

impl<T: Part> Part for Option<T> {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        self.is_some().put(to)?;
        self.as_ref().map_or(Some(()), |part| part.put(to))
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        if bool::get(from)? { T::get(from).map(Some) } else { Some(None) }
    }
}

impl<T: Part, const N: usize> Part for heapless::Vec<T, N> {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        u8::try_from(self.len()).ok()?.put(to)?;
        self.iter().try_for_each(|part| part.put(to))
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        let mut parts = Self::new();
        for _ in 0..u8::get(from)? {
            parts.push(T::get(from)?).ok()?;
        }
        Some(parts)
    }
}

impl<const N: usize> Part for heapless::String<N> {
    fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
        u8::try_from(self.len()).ok()?.put(to)?;
        to.next(self.len())?.copy_from_slice(self.as_bytes());
        Some(())
    }

    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        let len = u8::get(from)?;
        std::str::from_utf8(from.next(len.into())?).ok()?.try_into().ok()
    }
}

/// Values without fields, by their place in the list.
macro_rules! plain {
    ($($name:ty: $($value:expr)+;)+) => {$(
        impl Part for $name {
            fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
                (*self as u8).put(to)
            }

            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                [$($value),+].get(usize::from(u8::get(from)?)).copied()
            }
        }
    )+}
}
plain! {
    bool: false true;
    Duty: Duty::None Duty::Renew Duty::AssertAbsent Duty::Release;
    Unfit: Unfit::NoInterface Unfit::Exchanged Unfit::Unknown Unfit::NoArp Unfit::NoCarrier Unfit::NoAddress
        Unfit::NoAddressV6 Unfit::Tentative Unfit::Duplicate Unfit::OnlyAddress Unfit::NotHost Unfit::NoSockets
        Unfit::NoFence Unfit::Readdressed Unfit::Refused;
}

/// Variants with their numbers; a field without a name is given one.
macro_rules! variants {
    ($name:ident: $($number:literal $variant:ident $({ $($field:ident)+ })? $(($value:ident))?;)+) => {
        impl Part for $name {
            fn put(&self, to: &mut Bytes<'_>) -> Option<()> {
                match self {$(
                    Self::$variant $({ $($field),+ })? $(($value))? => {
                        u8::put(&$number, to)?;
                        $($($field.put(to)?;)+)?
                        $($value.put(to)?;)?
                    }
                )+}
                Some(())
            }

            fn get(from: &mut Bytes<'_>) -> Option<Self> {
                Some(match u8::get(from)? {
                    $($number => {
                        $($(let $field = Part::get(from)?;)+)?
                        $(let $value = Part::get(from)?;)?
                        Self::$variant $({ $($field),+ })? $(($value))?
                    })+
                    _ => return None,
                })
            }
        }
    }
}
variants! {
    Order:
    0 Beat { at_us duty resign_packet };
    1 Take { ticket at_us };
    2 Announce(index);
    3 Probe { link address };
    4 Changed { to peer reason };
    5 Ask { index neighbour to };
    6 Acknowledge(count);
}
variants! {
    News:
    0 Up { node prefix macs already };
    1 Down { why link };
    2 Keys;
    3 Lost;
    4 MacChanged(macs);
    5 Taken(ticket);
    6 Refused(ticket);
    7 Shutdown;
    8 Status;
    9 Neighbours { link are_gateways addresses };
    10 Fenced(is_fenced);
    11 Found;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives<M: Part + PartialEq + std::fmt::Debug>(messages: &[M]) {
        for (number, message) in (0..).zip(messages) {
            let mut bytes = [0xa5; 256];
            message.put(&mut Bytes { rest: &mut bytes }).unwrap();
            assert_eq!(bytes[0], number, "{message:?}");
            assert_eq!(M::get(&mut Bytes { rest: &mut bytes }).as_ref(), Some(message));
        }
        let mut unknown = [u8::try_from(messages.len()).unwrap(); 256];
        assert_eq!(M::get(&mut Bytes { rest: &mut unknown }), None, "there are no more kinds");
    }

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let reason = "nobody active".try_into().unwrap();
        arrives(&[
            Order::Beat { at_us: 1 << 40, duty: Duty::Release, resign_packet: Some([7; ha::wire::LEN]) },
            Order::Take { ticket: 1 << 30, at_us: 2 },
            Order::Announce(3),
            Order::Probe { link: 3, address: [192, 0, 2, 4].into() },
            Order::Changed { to: 1, peer: None, reason },
            Order::Ask { index: 5, neighbour: [192, 0, 2, 1].into(), to: Some([2, 0, 0, 0, 0, 1]) },
            Order::Acknowledge(1 << 31),
        ]);
        let addresses = heapless::Vec::from_slice(&[[10, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()]).unwrap();
        arrives(&[
            News::Up { node: [9; 4].into(), prefix: 24, macs: [[2, 0, 0, 0, 0, 2]; 4], already: true },
            News::Down { why: Unfit::Refused, link: 2 },
            News::Keys,
            News::Lost,
            News::MacChanged([[2; 6], [3; 6], [4; 6], [5; 6]]),
            News::Taken(1),
            News::Refused(2),
            News::Shutdown,
            News::Status,
            News::Neighbours { link: 1, are_gateways: false, addresses },
            News::Fenced(true),
            News::Found,
        ]);
        arrives(&[false, true]);
        arrives(&[Duty::None, Duty::Renew, Duty::AssertAbsent, Duty::Release]);
        arrives(&[
            Unfit::NoInterface,
            Unfit::Exchanged,
            Unfit::Unknown,
            Unfit::NoArp,
            Unfit::NoCarrier,
            Unfit::NoAddress,
            Unfit::NoAddressV6,
            Unfit::Tentative,
            Unfit::Duplicate,
            Unfit::OnlyAddress,
            Unfit::NotHost,
            Unfit::NoSockets,
            Unfit::NoFence,
            Unfit::Readdressed,
            Unfit::Refused,
        ]);
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_none() {
        let order =
            Order::Changed { to: 1, peer: Some([1; 4].into()), reason: "x".repeat(96).as_str().try_into().unwrap() };
        let mut bytes = [0; 160];
        order.put(&mut Bytes { rest: &mut bytes }).unwrap();
        for len in 0..1 + 1 + 17 + 97 {
            assert_eq!(Order::get(&mut Bytes { rest: &mut bytes[..len] }), None, "{len}");
            assert_eq!(order.put(&mut Bytes { rest: &mut [0; 160][..len] }), None, "{len}");
        }
        bytes[1 + 1 + 17] = 97;
        assert_eq!(Order::get(&mut Bytes { rest: &mut bytes }), None, "a reason has 96 bytes at most");
    }
}
