//! Routine words: the heartbeats that say nothing new, which are read when the receiver is awake anyway.
//!
//! A guard who walks his round does not wake the others each time to say that all is well; they see in the book, when they get up,
//! when he passed. A STANDBY's heartbeat is such an entry: what follows from it is decided by the clock, and it counts from when it
//! arrived. What calls for an answer, or changes who may have the address, wakes at once.

use super::heartbeat::{FLAGS_AT, FOLLOWING_V4_AT, GROUP_AT, VERSION, VERSION_AT};
use super::{Kind, LEN, State};

/// True for a heartbeat of a STANDBY that follows somebody and had no address a moment ago: the same bytes that the kernel compares.
pub fn is_routine(packet: &[u8; LEN]) -> bool {
    let has_released = packet[FLAGS_AT] & RELEASED != 0;
    let follows = packet[FOLLOWING_V4_AT..][..4] != [0; 4];
    let is_heartbeat = packet[VERSION_AT..].starts_with(&beginning(packet[GROUP_AT]));
    is_heartbeat && !has_released && follows
}

/// How such a packet of `group` begins, behind the magic.
pub const fn beginning(group: u8) -> [u8; 4] {
    [VERSION, Kind::Heartbeat as u8, group, State::Standby as u8]
}

/// [`Flags::RELEASED`](super::Flags::RELEASED) in the first byte of the flags.
pub const RELEASED: u8 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Context, Flags, Heartbeat, NodeId, Seal};

    #[test]
    fn what_a_standby_says_of_itself_waits_and_all_else_wakes() {
        let node = NodeId::from_v4([192, 0, 2, 10].into());
        for kind in [Kind::Heartbeat, Kind::Claim, Kind::Query, Kind::Challenge, Kind::Response] {
            for state in [State::Standby, State::Active, State::Unfit, State::Shutdown] {
                for (following, has_released) in [(None, false), (Some(node), false), (None, true), (Some(node), true)]
                {
                    let all = [Flags::SETTLED, Flags::STICKY, Flags::SEALED, Flags::READY];
                    let flags = all.iter().fold(Flags::default(), |flags, &flag| flags.with(flag, true));
                    let flags = flags.with(Flags::RELEASED, has_released);
                    let said = Heartbeat { kind, state, flags, following, ..Heartbeat::plain(node) };
                    let packet = Seal::public(Context::of_group(said.group)).sign(&said);
                    let expected = matches!(
                        (kind, state, following, has_released),
                        (Kind::Heartbeat, State::Standby, Some(_), false)
                    );
                    assert_eq!(is_routine(&packet), expected, "{kind} {state} {flags} {following:?}");
                }
            }
        }
    }
}
