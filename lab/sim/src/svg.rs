//! The timeline of a run as a picture: a lane for each node, a colour for each state, arrows for claims, ticks for resigns,
//! a bar where the node has the address, and the client's belief at the bottom.

use std::fmt::Write as _;

use ha::wire::State;

use crate::fault::Fault;
use crate::plan::Plan;
use crate::time::{Time, Us};
use crate::trace::{Line, Mark};

/// The picture of what happened until `end`.
pub fn draw(plan: &Plan, lines: &[Line], end: Us) -> String {
    let lanes: Vec<usize> = (0..plan.nodes.len()).filter(|&node| plan.nodes[node].is_present).collect();
    let mut picture = Picture { out: String::new(), lanes, end: end.max(1) };
    picture.frame(plan);
    for row in 0..picture.lanes.len() {
        picture.lane(row, lines);
    }
    picture.words(lines);
    picture.client(lines);
    picture.out.push_str("</svg>\n");
    picture.out
}

struct Picture {
    out: String,
    lanes: Vec<usize>,
    end: Us,
}

impl Picture {
    fn x(&self, at: Us) -> u64 {
        LEFT + at.min(self.end) * WIDTH / self.end
    }

    fn y(row: usize) -> u64 {
        TOP + row as u64 * LANE
    }

    fn bottom(&self) -> u64 {
        Self::y(self.lanes.len())
    }

    fn frame(&mut self, plan: &Plan) {
        let (width, height) = (LEFT + WIDTH + 20, self.bottom() + 70);
        let _ = writeln!(
            self.out,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='11'>\n\
             <defs><marker id='tip' viewBox='0 0 6 6' refX='6' refY='3' markerWidth='6' markerHeight='6' orient='auto'>\
             <path d='M0 0L6 3L0 6z' fill='#7b2d8b'/></marker></defs>\n\
             <rect width='{width}' height='{height}' fill='#fff'/>\n\
             <text x='{LEFT}' y='16'>seed {}, {:?}: {}</text>",
            plan.seed,
            plan.regime,
            legend()
        );
        for part in 0..=10 {
            let at = self.end / 10 * part;
            let (x, y) = (self.x(at), self.bottom());
            let _ = writeln!(self.out, "<path d='M{x} {TOP}V{y}' stroke='#e4e4e4'/>");
            let _ = writeln!(self.out, "<text x='{x}' y='{}' text-anchor='middle'>{} s</text>", y + 44, at / 1_000_000);
        }
        for fault in &plan.faults {
            self.fault(fault);
        }
    }

    /// A fault is a grey shade on the lane that it hits, or on all.
    fn fault(&mut self, fault: &Fault) {
        let (from, until) = (self.x(fault.at), self.x(fault.at.saturating_add(fault.lasts)));
        let row = fault.what.node().and_then(|node| self.lanes.iter().position(|&lane| lane == node));
        let (y, height) = match row {
            Some(row) => (Self::y(row), LANE),
            None => (TOP, self.bottom() - TOP),
        };
        let width = (until - from).max(1);
        let _ = writeln!(
            self.out,
            "<rect x='{from}' y='{y}' width='{width}' height='{height}' fill='#000' opacity='0.08'><title>{fault}</title></rect>"
        );
    }

    fn lane(&mut self, row: usize, lines: &[Line]) {
        let node = self.lanes[row];
        let y = Self::y(row);
        let _ = writeln!(self.out, "<text x='{}' y='{}' text-anchor='end'>node {node}</text>", LEFT - 6, y + 24);
        let (mut state, mut since) = (None, 0);
        let mut owned_since = None;
        for line in lines.iter().filter(|line| line.node == Some(node)) {
            match line.mark {
                Mark::State(new) => {
                    self.span(y + 16, 12, since..line.at, colour(state));
                    (state, since) = (new, line.at);
                }
                Mark::Owner(true) => owned_since = Some(line.at),
                Mark::Owner(false) => {
                    if let Some(since) = owned_since.take() {
                        self.span(y + 6, 8, since..line.at, OWNER);
                    }
                }
                Mark::Claim(_) | Mark::Resign | Mark::Beat | Mark::Fault | Mark::Client | Mark::Note | Mark::Broken => {
                }
            }
        }
        self.span(y + 16, 12, since..self.end, colour(state));
        if let Some(since) = owned_since {
            self.span(y + 6, 8, since..self.end, OWNER);
        }
    }

    fn span(&mut self, y: u64, height: u64, time: std::ops::Range<Us>, colour: &str) {
        let (from, until) = (self.x(time.start), self.x(time.end));
        let width = (until - from).max(1);
        let title = format!("{} to {}", Time(time.start), Time(time.end));
        let _ = writeln!(
            self.out,
            "<rect x='{from}' y='{y}' width='{width}' height='{height}' fill='{colour}'><title>{title}</title></rect>"
        );
    }

    fn words(&mut self, lines: &[Line]) {
        let row = |lanes: &[usize], node: usize| lanes.iter().position(|&lane| lane == node);
        for line in lines {
            let x = self.x(line.at);
            let Some(from) = line.node.and_then(|node| row(&self.lanes, node)) else {
                if line.mark == Mark::Broken {
                    let _ =
                        writeln!(self.out, "<path d='M{x} {TOP}V{}' stroke='#d00' stroke-width='2'/>", self.bottom());
                }
                continue;
            };
            let y = Self::y(from) + 22;
            if let Mark::Claim(Some(to)) = line.mark {
                let Some(to) = row(&self.lanes, to) else { continue };
                let to = Self::y(to) + 22;
                let _ = writeln!(self.out, "<path d='M{x} {y}V{to}' stroke='#7b2d8b' marker-end='url(#tip)'/>");
            } else if line.mark == Mark::Resign {
                let _ = writeln!(self.out, "<path d='M{x} {}v14' stroke='#000'/>", y - 7);
            }
        }
    }

    fn client(&mut self, lines: &[Line]) {
        let y = self.bottom() + 14;
        let _ = writeln!(self.out, "<text x='{}' y='{}' text-anchor='end'>client</text>", LEFT - 6, y + 6);
        for line in lines.iter().filter(|line| line.mark == Mark::Client) {
            let x = self.x(line.at);
            let _ = writeln!(self.out, "<circle cx='{x}' cy='{y}' r='2'><title>{line}</title></circle>");
        }
    }
}

fn legend() -> String {
    let states = [(Some(State::Standby), "standby"), (Some(State::Active), "active"), (Some(State::Unfit), "unfit")];
    let mut legend = format!("<tspan fill='{OWNER}'>\u{25a0}</tspan> has the address");
    for (state, name) in states.into_iter().chain([(Some(State::Shutdown), "shutdown"), (None, "no process")]) {
        let _ = write!(legend, " <tspan fill='{}'>\u{25a0}</tspan> {name}", colour(state));
    }
    legend + " <tspan fill='#7b2d8b'>\u{2192}</tspan> claim | let go; grey: a fault"
}

fn colour(state: Option<State>) -> &'static str {
    match state {
        None => "#dddddd",
        Some(State::Standby) => "#8ecae6",
        Some(State::Active) => "#2a9d3a",
        Some(State::Unfit) => "#e9a03b",
        Some(State::Shutdown) => "#888888",
    }
}

const OWNER: &str = "#0b5d1e";
const LEFT: u64 = 70;
const WIDTH: u64 = 1_400;
const TOP: u64 = 26;
const LANE: u64 = 36;
