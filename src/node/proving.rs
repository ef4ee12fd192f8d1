//! Who is believed: with a secret key a boot that is not known, or was silent for its hold, has to answer a challenge first.
//!
//! So what was recorded, however long ago, changes nothing. See [`crate::strangers`].

use super::{Heartbeat, Instant, Kind, Node, NodeId, Outputs, Peer, Role, Then};
use crate::counters::Drop;
use crate::peers::Disbelief;

impl Node {
    /// What was said and what the same peer said before, if it is said now and not played back.
    pub(super) fn believe(
        &mut self,
        now: Instant,
        me: NodeId,
        mut said: Heartbeat,
        out: &mut Outputs,
    ) -> Result<(Heartbeat, Option<Peer>), Drop> {
        let known = self.peers.get(said.node);
        let is_known = known.is_some_and(|known| known.said.boot == said.boot && known.is_alive(now));
        let following = known.and_then(|known| known.said.following);
        let is_proven = said.kind == Kind::Response && self.strangers.is_answer(&said);
        if self.seal.is_keyed() && !is_known && !is_proven {
            self.doubt(now, me, &said, out);
            return Err(Drop::Unproven);
        }
        let nonce = said.challenges(me).then_some(said.nonce);
        if said.kind == Kind::Challenge {
            // Whom it asks is not whom it follows.
            said.following = following;
        }
        let heard = self.peers.hear(now, &said, is_proven);
        // One that a newer packet has overtaken is worth an answer too, but may be played back.
        if let Some(nonce) = nonce.filter(|_| heard.is_ok() || self.strangers.may_answer(now)) {
            self.respond(now, nonce, out);
        }
        let before = heard.map_err(|disbelief| match disbelief {
            Disbelief::Duplicate => Drop::Duplicate,
            Disbelief::Replayed => Drop::Replayed,
            Disbelief::Full => Drop::Full,
        })?;
        self.listening.heard(now);
        self.ears.heard(now);
        Ok((said, before))
    }

    /// A packet of a boot that is not known: it changes nothing, but its sender may be there, and want to know us.
    fn doubt(&mut self, now: Instant, me: NodeId, said: &Heartbeat, out: &mut Outputs) {
        let ask = self.strangers.doubt(now, said, self.config.interval());
        if matches!(self.role, Role::Releasing { then: Then::Unfit | Then::Shutdown, .. }) {
            return;
        }
        if let Some(nonce) = ask {
            self.challenge(now, said.node, nonce, out);
        }
        // Neither of two that start at once knows the other one: somebody has to answer a stranger.
        if said.challenges(me) && self.strangers.may_answer(now) {
            self.respond(now, said.nonce, out);
        } else if ask.is_none() && said.asks(me) {
            self.answer(now, said.interval.max(self.config.interval()), out);
        }
    }
}

impl Heartbeat {
    /// True if `me` shall show that it lives.
    fn challenges(&self, me: NodeId) -> bool {
        self.kind == Kind::Challenge && self.following == Some(me)
    }
}
