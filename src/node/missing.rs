//! Missing peers: the node reports a peer that falls silent once, when it counts as dead, and once more when it hears it again.
//!
//! A switch that dies takes all peers away at once, and the node that notices may be the one that is cut off. So a node that hears
//! no peer any more reports that too, and many that fall silent together are summed up.

use super::Note;
use super::io::{Output, Outputs, push};
use super::station::Station;
use crate::peers::Peer;
use crate::time::Instant;
use crate::wire::State;

impl Station {
    /// Reports which peers count as dead since the last time; a peer that has left is not missed.
    pub(super) fn report_missing(&mut self, now: Instant, out: &mut Outputs) {
        // What this node did not hear before its own link was up says nothing.
        let Some(since) = self.ears.begin() else { return };
        let is_heard = |peer: &Peer| peer.is_alive(now) && peer.said.state != State::Shutdown;
        let (mut named, mut others, mut is_news) = (0, 0, false);
        while let Some(peer) = self.peers.newly_missing(now, since) {
            let (node, silence) = (peer.node(), now.since(peer.heard_at));
            let is_unfit = peer.said.state == State::Unfit;
            if peer.said.state == State::Shutdown {
                continue;
            }
            is_news |= !is_unfit;
            if named == MOST_NAMED {
                others += 1;
                continue;
            }
            named += 1;
            push(out, Output::Note(Note::Missing { peer: node, silence, is_unfit }));
        }
        if others > 0 {
            push(out, Output::Note(Note::MoreMissing { others }));
        }
        if is_news && !self.peers.iter().any(is_heard) {
            push(out, Output::Note(Note::Alone));
        }
    }
}

/// Of those that fall silent together, this number is named.
const MOST_NAMED: usize = 4;
