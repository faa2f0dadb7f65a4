//! Pictures as SVG: line charts, several of them side by side, and estimates with their intervals.

mod grid;
mod intervals;
mod lines;

use std::error::Error;
use std::path::Path;

use plotters::prelude::RGBColor;

pub use grid::{LineGrid, LinePanel};
pub use intervals::{Estimate, IntervalChart, Panel};
pub use lines::{Chart, Scale, Series};

/// Blue, orange, green, red, purple, sky, brown, yellow, grey: told apart by colour-blind readers too
/// (Okabe and Ito, and two more).
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(86, 60, 40),
    RGBColor(200, 190, 30),
    RGBColor(120, 120, 120),
];

fn write_whole(path: &Path, svg: &str) -> Result<(), Box<dyn Error>> {
    Ok(inpo_data::files::Output::check(path)?.write(svg.as_bytes())?)
}
