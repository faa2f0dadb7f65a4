//! Estimates with their intervals, in panels side by side over common rows.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::lines::tick;
use super::{COLOURS, Scale, write_whole};

/// A point with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The point.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// One quantity for all rows, with an axis of its own.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// Above the panel.
    pub name: &'a str,
    /// One for each row, from the top.
    pub estimates: Vec<Estimate>,
}

/// Rows with names, and panels side by side.
#[derive(Clone, Debug)]
pub struct IntervalChart<'a> {
    /// Above the picture.
    pub title: &'a str,
    /// The names of the rows, from the top.
    pub rows: &'a [String],
}

const ROW_HEIGHT: u32 = 26;
const PANEL_WIDTH: u32 = 300;
const MARGIN: u32 = 90;

/// What a character of a row's name is taken to be wide.
const CHARACTER: u32 = 8;

impl IntervalChart<'_> {
    /// Draws the panels and writes the SVG whole: a neighbour first, then a rename.
    ///
    /// # Errors
    /// If there is nothing to draw, a panel does not fit the rows, a value is not finite, or the
    /// file cannot be written.
    pub fn write_svg(
        &self,
        path: impl AsRef<Path>,
        panels: &[Panel<'_>],
    ) -> Result<(), Box<dyn Error>> {
        write_whole(path.as_ref(), &self.svg(panels)?)
    }

    /// Draws the panels.
    ///
    /// # Errors
    /// If there is nothing to draw, a panel does not fit the rows, or a value is not finite.
    pub fn svg(&self, panels: &[Panel<'_>]) -> Result<String, Box<dyn Error>> {
        if panels.is_empty() || self.rows.is_empty() {
            return Err("nothing to draw".into());
        }
        for panel in panels {
            if panel.estimates.len() != self.rows.len() {
                let (name, got, rows) = (panel.name, panel.estimates.len(), self.rows.len());
                return Err(
                    format!("{name} has {got} estimates, but there are {rows} rows").into(),
                );
            }
            let finite = |e: &Estimate| [e.value, e.low, e.high].iter().all(|v| v.is_finite());
            if let Some(row) = panel.estimates.iter().position(|e| !finite(e)) {
                return Err(format!("{} of {} is not finite", panel.name, self.rows[row]).into());
            }
        }
        let longest = self
            .rows
            .iter()
            .map(|r| r.chars().count())
            .max()
            .unwrap_or(0);
        let names = 24 + CHARACTER * longest as u32;
        let width = names + PANEL_WIDTH * panels.len() as u32;
        let height = MARGIN + ROW_HEIGHT * self.rows.len() as u32;
        let mut out = String::new();
        {
            let area = SVGBackend::with_string(&mut out, (width, height)).into_drawing_area();
            area.fill(&WHITE)?;
            let area = area.titled(self.title, ("sans-serif", 20))?;
            let (names_area, panels_area) = area.split_horizontally(names);
            let areas = panels_area.split_evenly((1, panels.len()));
            let mut heights = Vec::new();
            for ((panel, area), colour) in panels.iter().zip(&areas).zip(COLOURS.iter().cycle()) {
                heights = self.draw_panel(area, panel, *colour)?;
            }
            let (_, top) = names_area.get_base_pixel();
            for (name, height) in self.rows.iter().zip(heights) {
                let style = ("sans-serif", 14);
                names_area.draw(&Text::new(name.as_str(), (12, height - top - 7), style))?;
            }
            area.present()?;
        }
        Ok(out)
    }

    /// Draws one panel and returns the height of each row, in pixels from the top of the picture.
    fn draw_panel(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        panel: &Panel<'_>,
        colour: RGBColor,
    ) -> Result<Vec<i32>, Box<dyn Error>> {
        let failed =
            |error: DrawingAreaErrorKind<_>| -> Box<dyn Error> { format!("{error}").into() };
        let ends = |pick: fn(&Estimate) -> f64| panel.estimates.iter().map(pick);
        let low = ends(|e| e.low.min(e.value)).fold(f64::INFINITY, f64::min);
        let high = ends(|e| e.high.max(e.value)).fold(f64::NEG_INFINITY, f64::max);
        let air = if high > low { 0.05 * (high - low) } else { 0.5 };
        let rows = self.rows.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(panel.name, ("sans-serif", 15))
            .margin_right(14)
            .x_label_area_size(24)
            .build_cartesian_2d(low - air..high + air, rows..0.0)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(5)
            .x_label_formatter(&|v| tick(*v, Scale::Linear))
            .label_style(("sans-serif", 12))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()
            .map_err(failed)?;
        for (row, e) in panel.estimates.iter().enumerate() {
            let y = row as f64 + 0.5;
            let line = [(e.low, y), (e.high, y)];
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)))
                .map_err(failed)?;
            let dot = Circle::new((e.value, y), 4, colour.filled());
            chart.draw_series([dot]).map_err(failed)?;
        }
        let plot = chart.plotting_area();
        let height = |row| plot.map_coordinate(&(low, row as f64 + 0.5)).1;
        Ok((0..self.rows.len()).map(height).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64) -> Estimate {
        Estimate {
            value,
            low: value - 1.0,
            high: value + 2.0,
        }
    }

    #[test]
    fn names_and_panels_are_in_the_picture() {
        let rows = ["alder".to_owned(), "birch".to_owned()];
        let chart = IntervalChart {
            title: "Votes",
            rows: &rows,
        };
        let panel = |name| Panel {
            name,
            estimates: vec![estimate(0.0), estimate(3.0)],
        };
        let svg = chart.svg(&[panel("Nash"), panel("Elo")]).unwrap();
        for word in ["Votes", "alder", "birch", "Nash", "Elo"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let rows = ["a".to_owned()];
        let chart = IntervalChart {
            title: "",
            rows: &rows,
        };
        let says = |panels: &[Panel<'_>], want: &str| {
            assert_eq!(chart.svg(panels).unwrap_err().to_string(), want);
        };
        says(&[], "nothing to draw");
        let short = Panel {
            name: "Elo",
            estimates: vec![],
        };
        says(&[short], "Elo has 0 estimates, but there are 1 rows");
        let nan = Panel {
            name: "Elo",
            estimates: vec![estimate(f64::NAN)],
        };
        says(&[nan], "Elo of a is not finite");
    }
}
