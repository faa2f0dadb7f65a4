//! The geometry of the report's figures, which a template writes as SVG, and their numbers as a table.

use serde::Serialize;

use crate::interval::Interval;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 264.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 44.0;

/// How far apart marks of one iteration stand.
const APART: f64 = 6.0;

/// Beyond this values are drawn at the edge.
const LARGEST: f64 = 1e150;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Per cent of 1.
    Share,
    /// A difference of shares, in percentage points.
    Points,
    /// As it is.
    Plain,
}

/// A value, perhaps with its interval, at a place of the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) mean: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

impl Point {
    pub(super) fn new(x: f64, mean: f64) -> Self {
        Self {
            x,
            mean,
            low: None,
            high: None,
        }
    }

    pub(super) fn of(x: f64, interval: Interval) -> Self {
        Self {
            low: Some(interval.low),
            high: Some(interval.high),
            ..Self::new(x, interval.mean)
        }
    }
}

/// What a figure shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x_label: &'static str,
    pub(super) y_label: String,
    pub(super) unit: Unit,
    /// Lines with their names.
    pub(super) lines: Vec<(String, Vec<Point>)>,
    /// Where iterations begin, with their names.
    pub(super) borders: Vec<(f64, String)>,
    /// A value that is marked, such as 1/2 of a win rate.
    pub(super) rule: Option<f64>,
    /// Whether the horizontal axis has whole numbers, each value a mark.
    pub(super) iterations: bool,
    /// What to know of the figure.
    pub(super) note: Option<String>,
}

/// A place on an axis with its label.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Mark {
    x: f64,
    y: f64,
    low: Option<f64>,
    high: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Drawn {
    name: String,
    path: String,
    marks: Vec<Mark>,
}

/// The values of all lines at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    x: f64,
    cells: Vec<Option<Point>>,
}

/// A figure, ready to be written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figure {
    title: String,
    x_label: &'static str,
    y_label: String,
    unit: Unit,
    note: Option<String>,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    borders: Vec<Tick>,
    rule: Option<f64>,
    lines: Vec<Drawn>,
    rows: Vec<Row>,
}

/// Maps values of an axis to places in the picture.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(-LARGEST, LARGEST) - self.low) / (self.high - self.low);
        // An axis without length has everything in its middle.
        let share = if share.is_finite() { share } else { 0.5 };
        round(self.from + share.clamp(0.0, 1.0) * (self.to - self.from))
    }
}

/// To a tenth of a pixel.
fn round(place: f64) -> f64 {
    (10.0 * place).round() / 10.0
}

impl Plot {
    /// The figure, or none where there is nothing to show.
    pub(super) fn draw(mut self) -> Option<Figure> {
        self.lines.retain(|(_, points)| !points.is_empty());
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let (left, right) = range(points().map(|point| point.x))?;
        let values = points().flat_map(|p| [Some(p.mean), p.low, p.high]);
        let (low, high) = range(values.chain([self.rule]).flatten())?;
        let (low, high) = self.padded(low, high);
        let margin = if self.iterations { 0.35 } else { 0.0 };
        let (left, right) = if left == right {
            (left - 1.0, right + 1.0)
        } else {
            (left - margin, right + margin)
        };
        let across = Axis {
            low: left,
            high: right,
            from: LEFT,
            to: RIGHT,
        };
        let up = Axis {
            low,
            high,
            from: BOTTOM,
            to: TOP,
        };
        let scale = if self.unit == Unit::Plain { 1.0 } else { 100.0 };
        let y_ticks = ticks(low, high, 5);
        let x_ticks = ticks(left, right, 8)
            .into_iter()
            .filter(|x| x.fract() == 0.0 && *x >= 0.0);
        let most = y_ticks.iter().fold(0.0_f64, |most, y| most.max(y.abs()));
        let tick = |axis: &Axis, value: f64, label: String| Tick {
            at: axis.at(value),
            label,
        };
        let count = self.lines.len();
        Some(Figure {
            x_ticks: x_ticks.map(|x| tick(&across, x, format!("{x}"))).collect(),
            y_ticks: y_ticks
                .iter()
                .map(|&y| tick(&up, y, label(scale * y, scale * most)))
                .collect(),
            borders: self
                .borders
                .iter()
                .map(|(x, name)| tick(&across, *x, name.clone()))
                .collect(),
            rule: self.rule.map(|value| up.at(value)),
            rows: rows(&self.lines),
            lines: self
                .lines
                .iter()
                .enumerate()
                .map(|(place, (name, points))| {
                    let apart = if self.iterations {
                        APART * (place as f64 - (count - 1) as f64 / 2.0)
                    } else {
                        0.0
                    };
                    let mark = |point: &Point| Mark {
                        x: round(across.at(point.x) + apart),
                        y: up.at(point.mean),
                        low: point.low.map(|low| up.at(low)),
                        high: point.high.map(|high| up.at(high)),
                    };
                    let marks: Vec<Mark> = points.iter().map(mark).collect();
                    let step = |(place, mark): (usize, &Mark)| {
                        let letter = if place == 0 { "M" } else { "L" };
                        format!("{letter}{} {}", mark.x, mark.y)
                    };
                    let path: Vec<String> = marks.iter().enumerate().map(step).collect();
                    Drawn {
                        name: name.clone(),
                        path: path.join(" "),
                        marks: if self.iterations || marks.len() == 1 {
                            marks
                        } else {
                            Vec::new()
                        },
                    }
                })
                .collect(),
            title: self.title,
            x_label: self.x_label,
            y_label: self.y_label,
            unit: self.unit,
            note: self.note,
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
        })
    }

    /// The range of the vertical axis: some room around the values, and no share beyond 0 and 1.
    fn padded(&self, low: f64, high: f64) -> (f64, f64) {
        let span = match high - low {
            span if span > 0.0 => span,
            _ if self.unit != Unit::Plain => 0.1,
            _ if high != 0.0 => high.abs(),
            _ => 1.0,
        };
        let (low, high) = (low - 0.08 * span, high + 0.08 * span);
        if self.unit == Unit::Share {
            (low.max(0.0), high.min(1.0).max(low + 0.01))
        } else {
            (low, high)
        }
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.filter(|value| value.is_finite());
    values.fold(None, |range, value| {
        let value = value.clamp(-LARGEST, LARGEST);
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// At most so many round values (1, 2 or 5 times a power of ten apart) from `low` to `high`.
fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let rough = (high - low) / most as f64;
    let power = 10.0_f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors.into_iter().find(|f| f * power >= rough * 0.999);
    let step = factor.unwrap_or(10.0) * power;
    if !(step.is_normal() && step > 0.0) {
        return vec![low, high];
    }
    let first = (low / step).ceil();
    let last = (high / step).floor();
    let count = (last - first).clamp(0.0, 2.0 * most as f64) as usize;
    let at = |k: usize| (first + k as f64) * step;
    (0..=count).map(at).collect()
}

/// A number of an axis whose largest one is `most`.
fn label(value: f64, most: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e5).contains(&most) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The values of all lines, by their places on the horizontal axis.
fn rows(lines: &[(String, Vec<Point>)]) -> Vec<Row> {
    let mut places: Vec<f64> = lines.iter().flat_map(|(_, p)| p).map(|p| p.x).collect();
    places.sort_unstable_by(f64::total_cmp);
    places.dedup();
    let cell = |points: &[Point], x: f64| {
        let at = points.binary_search_by(|point| point.x.total_cmp(&x));
        at.ok().map(|at| points[at])
    };
    let row = |x: f64| Row {
        x,
        cells: lines.iter().map(|(_, points)| cell(points, x)).collect(),
    };
    places.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_labels_short() {
        assert_eq!(
            ticks(0.0, 1.0, 5),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks(-0.35, 3.35, 8), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        let label = |value: f64| label(value, value.abs());
        assert_eq!([label(0.6000000000000001), label(-20.0)], ["0.6", "-20"]);
        assert_eq!([label(5e-7), label(2.5e6)], ["5e-7", "2.5e6"]);
    }

    /// Values from 40 to 60 % with 50 % marked: the middle of the axis is the middle of the picture, intervals reach from
    /// low to high, and the table has the values unrounded.
    #[test]
    fn a_figure_shows_its_values_where_they_are() {
        let interval = |mean: f64| Interval {
            mean,
            low: mean - 0.1,
            high: mean + 0.1,
        };
        let plot = Plot {
            title: "t".to_owned(),
            x_label: "iteration",
            y_label: "win rate".to_owned(),
            unit: Unit::Share,
            lines: vec![
                (
                    "a".to_owned(),
                    vec![Point::of(0.0, interval(0.5)), Point::new(1.0, 0.4)],
                ),
                ("b".to_owned(), Vec::new()),
            ],
            borders: Vec::new(),
            rule: Some(0.5),
            iterations: true,
            note: None,
        };
        let figure = plot.clone().draw().unwrap();
        assert_eq!(figure.lines.len(), 1);
        let mark = &figure.lines[0].marks[0];
        assert_eq!(mark.y, round((TOP + BOTTOM) / 2.0));
        assert_eq!(figure.rule, Some(mark.y));
        assert!(mark.high.unwrap() < mark.y && mark.y < mark.low.unwrap());
        assert_eq!(figure.rows[1].cells, [Some(Point::new(1.0, 0.4))]);
        let labels: Vec<&str> = figure.y_ticks.iter().map(|t| t.label.as_str()).collect();
        assert_eq!(labels, ["40", "45", "50", "55", "60"]);
        let empty = Plot {
            lines: Vec::new(),
            ..plot.clone()
        };
        assert_eq!(empty.draw(), None);
        let wild = [f64::MAX, -f64::MAX, 0.0].into_iter().enumerate();
        let wild = Plot {
            unit: Unit::Plain,
            lines: vec![(
                "a".to_owned(),
                wild.map(|(x, y)| Point::new(x as f64, y)).collect(),
            )],
            ..plot
        };
        let figure = wild.draw().unwrap();
        assert!(figure.lines[0].marks.iter().all(|mark| mark.y.is_finite()));
    }
}
