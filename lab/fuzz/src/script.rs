//! Bytes as a story: four bytes of circumstances, then steps of four bytes each. Every byte means something, so that what a
//! fuzzer changes changes the story and does not end it.

/// Bytes of the circumstances and of each step.
pub const STEP_LEN: usize = 4;

/// Most steps that are played.
pub const MAX_STEPS: usize = 1_000;

/// One thing that happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub verb: Verb,
    /// How; see [`Verb`].
    pub a: u8,
    /// How.
    pub b: u8,
    /// How.
    pub c: u8,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// The shell sleeps until the deadline and ticks.
    Due,
    /// Time passes: `a` picks the unit, `b` the number; a tick, early or late.
    Tick,
    /// A tick with an earlier time.
    Past,
    /// The shell answers its oldest question; badly if `a` is a multiple of 16.
    Shell,
    /// Member `a` speaks; see [`says`].
    Says,
    /// Member `a` answers the last challenge to it; only the recorder hears that if `b` is odd.
    Answers,
    /// Member `a` starts anew.
    Restarts,
    /// Recorded packet `a` is played back as it was.
    Plays,
    /// An attacker without the key speaks as member `a`; `b` like [`says`], `c` says how it is signed.
    Forges,
    /// Bit `b`, `c` of recorded packet `a` is turned.
    Damages,
    /// Recorded packet `a` comes with another TTL.
    Misroutes,
    /// Recorded packet `a` comes from another source.
    Misattributes,
    /// The node's own word comes back: the last one, or with an odd `a` one of an earlier boot.
    Echoes,
    /// `a` bytes that `b` picks, from a source that `c` picks.
    Garbage,
    /// The link is up: `a` odd if it was before; `b` picks the address, `c` the prefix.
    LinkUp,
    /// It is not.
    LinkDown,
    /// Another program removes the address.
    Lost,
    /// The hardware address changes.
    MacChanged,
    /// ARP from `a` to `b`, both the shared address below 128: a reply if `c` is odd.
    Arp,
    /// The keys are read again, and another one signs.
    Rotates,
    /// The kernel knows the neighbour `a`; a gateway if `b` is odd.
    Neighbour,
    /// The node has to stop, if `a` is a multiple of 8.
    Shutdown,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Due,
        Self::Tick,
        Self::Past,
        Self::Shell,
        Self::Says,
        Self::Answers,
        Self::Restarts,
        Self::Plays,
        Self::Forges,
        Self::Damages,
        Self::Misroutes,
        Self::Misattributes,
        Self::Echoes,
        Self::Garbage,
        Self::LinkUp,
        Self::LinkDown,
        Self::Lost,
        Self::MacChanged,
        Self::Arp,
        Self::Rotates,
        Self::Neighbour,
        Self::Shutdown,
    ];
}

impl Step {
    /// The step that these bytes mean.
    pub fn parse([verb, a, b, c]: [u8; STEP_LEN]) -> Self {
        Self { verb: Verb::ALL[usize::from(verb) % Verb::ALL.len()], a, b, c }
    }

    /// The bytes that mean this step.
    pub fn emit(self) -> [u8; STEP_LEN] {
        [self.verb as u8, self.a, self.b, self.c]
    }
}

/// The step in which `member` says something of this `kind` and `state`, by their numbers on the wire.
///
/// `flags` is as on the wire, 0 to 31; `following` picks no node, the node, the sender, another member, a stranger. An odd `c`
/// brings it to the recorder only; its other bits pick how long others may count on it, and whether it protects other addresses.
pub const fn says(member: u8, kind: u8, state: u8, flags: u8, following: u8, c: u8) -> Step {
    Step { verb: Verb::Says, a: member | state << 2 | kind << 4, b: flags | following << 5, c }
}

/// Every half second passes in this step.
pub const HALF_A_SECOND: Step = Step { verb: Verb::Tick, a: 2, b: 5, c: 0 };
