//! Curves as a picture.

use std::fmt::Write as _;

/// Curves in one frame.
#[derive(Debug)]
pub struct Plot {
    /// What goes up.
    pub title: &'static str,
    /// What goes across.
    pub across: &'static str,
    /// Each line of the frame is ten times the one below; what is less than a hundredth lies on the ground.
    pub is_log: bool,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Debug)]
pub struct Curve {
    /// Its name.
    pub name: &'static str,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// The picture, as SVG.
    pub fn draw(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let left = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let right = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let top = points().map(|point| self.height(point.1)).fold(1.0, f64::max).ceil();
        let x = |value: f64| LEFT + (value - left) / (right - left).max(1e-9) * WIDTH;
        let y = |value: f64| TOP + HEIGHT - self.height(value) / top * HEIGHT;
        let mut out = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {} {}' font-family='sans-serif' font-size='11'>\n\
             <rect width='100%' height='100%' fill='#fff'/>\n<text x='{LEFT}' y='16' font-size='13'>{}</text>\n",
            LEFT + WIDTH + 40.0,
            TOP + HEIGHT + 40.0,
            self.title
        );
        for part in 0..=STEPS {
            let value = left + (right - left) / f64::from(STEPS) * f64::from(part);
            let (x, bottom) = (x(value), TOP + HEIGHT);
            let _ = writeln!(out, "<path d='M{x:.1} {TOP}V{bottom}' stroke='#e4e4e4'/>");
            let _ = writeln!(
                out,
                "<text x='{x:.1}' y='{}' text-anchor='middle'>{}</text>",
                bottom + 14.0,
                (value * 100.0).round() / 100.0
            );
        }
        for value in self.marks(top) {
            let y = y(value);
            let _ = writeln!(out, "<path d='M{LEFT} {y:.1}H{}' stroke='#e4e4e4'/>", LEFT + WIDTH);
            let _ = writeln!(out, "<text x='{}' y='{:.1}' text-anchor='end'>{value}</text>", LEFT - 6.0, y + 4.0);
        }
        let _ = writeln!(out, "<text x='{LEFT}' y='{}'>{}</text>", TOP + HEIGHT + 32.0, self.across);
        for (index, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let path: Vec<String> =
                curve.points.iter().map(|&(across, up)| format!("{:.1} {:.1}", x(across), y(up))).collect();
            let _ = writeln!(out, "<path d='M{}' fill='none' stroke='{colour}' stroke-width='2'/>", path.join("L"));
            let y = TOP + 16.0 + 16.0 * index as f64;
            let _ = writeln!(out, "<text x='{}' y='{y}' fill='{colour}'>{}</text>", LEFT + 10.0, curve.name);
        }
        out + "</svg>\n"
    }

    fn height(&self, value: f64) -> f64 {
        if self.is_log { (value.max(LEAST) / LEAST).log10() } else { value }
    }

    fn marks(&self, top: f64) -> Vec<f64> {
        let steps = std::iter::successors(Some(0.0), |step| Some(step + 1.0));
        if self.is_log {
            return steps.take_while(|&power| power <= top).map(|power| LEAST * 10f64.powf(power)).collect();
        }
        steps.take_while(|&step| step <= f64::from(STEPS)).map(|step| top / f64::from(STEPS) * step).collect()
    }
}

const LEAST: f64 = 0.01;
const STEPS: u32 = 4;
const LEFT: f64 = 60.0;
const TOP: f64 = 26.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const COLOURS: [&str; 4] = ["#0b5d1e", "#7b2d8b", "#e9a03b", "#1f6fb2"];
