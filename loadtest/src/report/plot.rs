//! Line plots as inline SVG: no library, no script, readable in light and dark.

use super::number;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;
/// Points of one line; longer series are thinned to the largest of each bucket, so that no peak is lost.
const MOST_POINTS: usize = 600;
/// Told apart by people who see red and green alike (Okabe and Ito).
pub const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

/// How a value lies on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
}

pub struct Line<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

pub struct Plot<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub lines: Vec<Line<'a>>,
    pub y: Scale,
    /// Positions and labels of the x axis; without any, seconds.
    pub ticks: Vec<(f64, String)>,
}

impl Plot<'_> {
    /// A `<figure>`, empty if there is nothing to show.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let positive = points().map(|(_, y)| *y).filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min);
        if points().next().is_none() || (self.y == Scale::Log && !positive.is_finite()) {
            return String::new();
        }
        let (x_low, x_high) = bounds(points().map(|(x, _)| *x));
        let (_, y_high) = bounds(points().map(|(_, y)| *y));
        let (low, high) = match self.y {
            Scale::Linear => (0.0, round_up(y_high)),
            Scale::Log => (positive.log10().floor(), y_high.log10().ceil().max(positive.log10().floor() + 1.0)),
        };
        let x_at = |x: f64| LEFT + (x - x_low) / (x_high - x_low).max(1e-12) * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| {
            let y = if self.y == Scale::Log { y.max(10f64.powf(low)).log10() } else { y };
            HEIGHT - BOTTOM - (y - low) / (high - low).max(1e-12) * (HEIGHT - TOP - BOTTOM)
        };
        let mut svg = format!(
            "<figure><figcaption>{} ({})</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">",
            escape(self.title),
            escape(self.unit)
        );
        let rules: Vec<f64> = match self.y {
            Scale::Linear => (0..=4).map(|step| high * f64::from(step) / 4.0).collect(),
            Scale::Log => (low as i32..=high as i32).map(|power| 10f64.powi(power)).collect(),
        };
        for rule in rules {
            let y = y_at(rule);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(rule)
            );
        }
        let seconds =
            || (0..=4).map(|step| x_low + (x_high - x_low) * f64::from(step) / 4.0).map(|x| (x, format!("{x:.0} s"))).collect();
        let ticks: Vec<(f64, String)> = if self.ticks.is_empty() { seconds() } else { self.ticks.clone() };
        for (x, label) in ticks {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                x_at(x),
                HEIGHT - BOTTOM + 16.0,
                escape(&label)
            );
        }
        let mut legend = String::from("<p class=\"legend\">");
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()).filter(|(line, _)| !line.points.is_empty()) {
            let path: Vec<String> = thin(&line.points).iter().map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y))).collect();
            let _ =
                write!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" points=\"{}\"/>", path.join(" "));
            let _ = write!(legend, "<span style=\"color:{colour}\">━</span> {} ", escape(line.name));
        }
        svg + "</svg>" + &legend + "</p></figure>"
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// To 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|round| *round >= value * 0.999_999).unwrap_or(value)
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let bucket = points.len().div_ceil(MOST_POINTS).max(1);
    points.chunks(bucket).filter_map(|chunk| chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))).collect()
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_stays_within_its_frame_and_keeps_the_peak_of_a_long_series() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|at| (f64::from(at), if at == 5_003 { 99.0 } else { 1.0 })).collect();
        let plot =
            Plot { title: "a < b", unit: "ms", lines: vec![Line { name: "x", points }], y: Scale::Linear, ticks: Vec::new() };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        let path = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a line");
        let drawn: Vec<(f64, f64)> = path
            .split(' ')
            .filter_map(|pair| pair.split_once(','))
            .map(|(x, y)| (x.parse().expect("a number"), y.parse().expect("a number")))
            .collect();
        assert!(drawn.len() <= MOST_POINTS);
        assert!(drawn.iter().all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y)));
        assert!(drawn.iter().any(|(_, y)| *y < TOP + 5.0), "the peak is drawn");
    }

    #[test]
    fn nothing_to_show_is_no_plot_and_zeros_do_not_break_a_logarithm() {
        let plot =
            |points| Plot { title: "", unit: "", lines: vec![Line { name: "", points }], y: Scale::Log, ticks: Vec::new() };
        assert_eq!((plot(vec![]).svg(), plot(vec![(0.0, 0.0)]).svg()), (String::new(), String::new()));
        assert!(!plot(vec![(0.0, 0.0), (1.0, 0.5)]).svg().contains("NaN"));
    }
}
