//! What a node reports to its user is what happened to it: by an account of changes and repairs that the core does not keep.

use ha::time::{Duration, Instant};
use ha::wire::State;

use super::words::Turn;
use super::{Rule, Violation, blame};

/// One account for each node.
#[derive(Debug)]
pub struct Reports {
    accounts: Vec<Account>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    /// The state that the node reported last.
    state: State,
    /// It has reported that it is ACTIVE, and has not begun to release the address since.
    has_address: bool,
    /// The latest that its clock has shown.
    clock: Instant,
    /// Since when the address is back that somebody had removed, if the node has not reported that yet.
    put_back_at: Option<Instant>,
    /// When it reported that last.
    reported_at: Option<Instant>,
}

impl Account {
    /// A daemon that has just started.
    const NEW: Self = Self {
        state: State::Unfit,
        has_address: false,
        clock: Instant::from_micros(0),
        put_back_at: None,
        reported_at: None,
    };
}

impl Reports {
    /// For this number of nodes.
    pub fn new(nodes: usize) -> Self {
        Self { accounts: vec![Account::NEW; nodes] }
    }

    /// A daemon starts.
    pub fn forget(&mut self, node: usize) {
        self.accounts[node] = Account::NEW;
    }

    /// The core hears that the address is up, which it is for the first time or again.
    pub fn taken(&mut self, turn: Turn) {
        let account = self.account(turn);
        if account.has_address {
            account.put_back_at.get_or_insert(account.clock);
        }
    }

    /// The node releases the address: a repair that it has not reported is of no interest any more.
    pub fn releases(&mut self, node: usize) {
        let account = &mut self.accounts[node];
        (account.has_address, account.put_back_at) = (false, None);
    }

    /// The node reports that its state has changed.
    pub fn changed(&mut self, node: usize, to: State) {
        let account = &mut self.accounts[node];
        (account.state, account.has_address) = (to, to == State::Active);
    }

    /// The node reports that it has put the address back.
    pub fn put_back(&mut self, turn: Turn, out: &mut Option<Violation>) {
        let Turn { now, node, .. } = turn;
        let account = self.account(turn);
        let before = account.reported_at.replace(account.clock);
        if account.put_back_at.take().is_none() {
            blame(out, Rule::Report, now, || format!("{node} reports that it has put back an address that it has not"));
        }
        if let Some(gap) = before.map(|before| account.clock.since(before)).filter(|&gap| gap < GAP) {
            blame(out, Rule::Report, now, || {
                format!("{node} reports after {gap} that it has put the address back again")
            });
        }
    }

    /// After everything that a node did at `now`. `state` is that of its core, unless the keeper still has to answer.
    pub fn done(&mut self, turn: Turn, state: Option<State>, out: &mut Option<Violation>) {
        let Turn { now, node, .. } = turn;
        let account = self.account(turn);
        if let Some(state) = state.filter(|&state| state != account.state) {
            blame(out, Rule::Report, now, || format!("{node} is {state} and has reported {}", account.state));
        }
        let may_report_from = account.reported_at.map_or(Instant::from_micros(0), |at| at + GAP);
        if account.put_back_at.is_some() && may_report_from <= account.clock {
            blame(out, Rule::Report, now, || format!("{node} does not report that it has put the address back"));
        }
    }

    /// The account of this node. A clock that runs backwards stands still for the core.
    fn account(&mut self, turn: Turn) -> &mut Account {
        let account = &mut self.accounts[turn.node];
        account.clock = account.clock.max(turn.clock);
        account
    }
}

/// Between two reports that the address was put back.
const GAP: Duration = Duration::from_secs(10);
