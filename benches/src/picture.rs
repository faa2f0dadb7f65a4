//! The picture of `growth.sh`.

use std::path::PathBuf;

use inpo_core::plot::{Chart, LineGrid, LinePanel, Scale, Series};
use serde::Deserialize;

use crate::Error;

/// Options of `plot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Plot {
    /// The JSON lines of `growth.sh`.
    #[arg(long)]
    points: PathBuf,
    /// The SVG to write.
    #[arg(long)]
    output: PathBuf,
}

/// What grows along an axis, and its value in the step that all axes share.
const AXES: [(&str, f64); 4] = [
    ("prompt", 128.0),
    ("response", 128.0),
    ("pairs", 4.0),
    ("layers", 30.0),
];

/// A line of `growth.sh`: one process.
#[derive(Debug, Deserialize)]
struct Point {
    /// One of [`AXES`], by name.
    axis: String,
    /// `inpo` or `torch`.
    side: String,
    /// The axis's value.
    value: f64,
    result: Figures,
}

#[derive(Debug, Deserialize)]
struct Figures {
    seconds_median: f64,
    peak_rss_mib: f64,
}

pub(crate) fn plot(options: &Plot) -> Result<(), Error> {
    let text = std::fs::read_to_string(&options.points)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let points: Vec<Point> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let frame = Chart {
        title: "A LoRA step: thick inpo, thin PyTorch",
        x_label: "times the size in 4 pairs, 128 + 2 x 128 tokens, 30 layers",
        y_label: "",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
    };
    let grid = LineGrid { frame, columns: 1 };
    let panel = |title, figure: fn(&Figures) -> f64| LinePanel {
        title,
        series: of_side(&points, "inpo", figure),
        references: of_side(&points, "torch", figure),
    };
    let panels = [
        panel("seconds", |figures| figures.seconds_median),
        panel("peak memory, GiB", |figures| figures.peak_rss_mib / 1024.0),
    ];
    grid.write_svg(&options.output, &panels)
}

/// A line an axis.
fn of_side(points: &[Point], side: &str, figure: fn(&Figures) -> f64) -> Vec<Series<'static>> {
    let line = |(name, base): (&'static str, f64)| {
        let on_axis = |point: &&Point| point.axis == name && point.side == side;
        let mut points: Vec<(f64, f64)> = points
            .iter()
            .filter(on_axis)
            .map(|point| (point.value / base, figure(&point.result)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, points }
    };
    AXES.map(line).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in units of the base (256 / 128 = 2, 64 / 128 = 0.5), in order, of one side and one axis.
    #[test]
    fn a_line_is_an_axis_of_a_side() {
        let point = |axis: &str, side: &str, value: f64, seconds_median: f64| Point {
            axis: axis.to_owned(),
            side: side.to_owned(),
            value,
            result: Figures {
                seconds_median,
                peak_rss_mib: 1024.0,
            },
        };
        let points = [
            point("prompt", "inpo", 256.0, 9.0),
            point("prompt", "torch", 64.0, 8.0),
            point("prompt", "inpo", 64.0, 7.0),
            point("pairs", "inpo", 1.0, 6.0),
        ];
        let lines = of_side(&points, "inpo", |figures| figures.seconds_median);
        let of = |name: &str| lines.iter().find(|line| line.name == name).unwrap();
        assert_eq!(of("prompt").points, [(0.5, 7.0), (2.0, 9.0)]);
        assert_eq!(of("pairs").points, [(0.25, 6.0)]);
        assert!(of("layers").points.is_empty());
    }
}
