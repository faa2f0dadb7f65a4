//! Line charts side by side, on common axes.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::lines::{CHARACTER, Lines, draw_legend, range, visible};
use super::{Chart, Series, write_whole};

/// One chart of a [`LineGrid`].
#[derive(Clone, Debug)]
pub struct LinePanel<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// The lines.
    pub series: Vec<Series<'a>>,
    /// Thin lines for comparison, each in the colour of the series at its place; one without points is
    /// not drawn. Their names are not shown.
    pub references: Vec<Series<'a>>,
}

/// Charts row by row, with the words and the scales of `frame`. All have the same horizontal range, those of a
/// row the same vertical one.
#[derive(Clone, Debug)]
pub struct LineGrid<'a> {
    /// Title of the picture, words of the axes, scales.
    pub frame: Chart<'a>,
    /// Charts in a row, 1 or more.
    pub columns: usize,
}

/// Of a chart without its legend.
const SIZE: (u32, u32) = (430, 330);

/// Of the title.
const HEAD: u32 = 44;

impl LineGrid<'_> {
    /// Draws the panels and writes the SVG whole: a neighbour first, then a rename.
    ///
    /// # Errors
    /// If a row has no point that the scales can show, or the file cannot be written.
    pub fn write_svg(
        &self,
        path: impl AsRef<Path>,
        panels: &[LinePanel<'_>],
    ) -> Result<(), Box<dyn Error>> {
        write_whole(path.as_ref(), &self.svg(panels)?)
    }

    /// Draws the panels.
    ///
    /// # Errors
    /// If a row has no point that the scales can show.
    pub fn svg(&self, panels: &[LinePanel<'_>]) -> Result<String, Box<dyn Error>> {
        let frame = &self.frame;
        let shown: Vec<LinePanel<'_>> = panels
            .iter()
            .map(|panel| LinePanel {
                title: panel.title,
                series: visible(&panel.series, frame),
                references: visible(&panel.references, frame),
            })
            .collect();
        let names = shown.iter().flat_map(|panel| &panel.series);
        let longest = names.map(|s| s.name.chars().count()).max().unwrap_or(0);
        let beside = 44 + CHARACTER * longest as u32;
        let columns = self.columns.clamp(1, shown.len().max(1));
        let rows = shown.len().div_ceil(columns);
        let of_lines = |panels: &[LinePanel<'_>]| -> Vec<(f64, f64)> {
            let lines = panels
                .iter()
                .flat_map(|p| p.series.iter().chain(&p.references));
            lines.flat_map(|line| line.points.iter().copied()).collect()
        };
        let all = of_lines(&shown).into_iter().map(|p| p.0);
        let range_x = range(all, frame.x_scale).ok_or("nothing to draw")?;
        let ranges_y: Option<Vec<(f64, f64)>> = shown
            .chunks(columns)
            .map(|row| range(of_lines(row).into_iter().map(|p| p.1), frame.y_scale))
            .collect();
        let ranges_y = ranges_y.ok_or("nothing to draw")?;
        let width = columns as u32 * (SIZE.0 + beside);
        let mut out = String::new();
        {
            let size = (width, HEAD + rows as u32 * SIZE.1);
            let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
            area.fill(&WHITE)?;
            let (head, body) = area.split_vertically(HEAD);
            let style = ("sans-serif", 20);
            let left = (width as i32 - CHARACTER as i32 * frame.title.chars().count() as i32) / 2;
            head.draw(&Text::new(frame.title, (left.max(8), 14), style))?;
            let cells = body.split_evenly((rows, columns));
            for (place, (cell, panel)) in cells.iter().zip(&shown).enumerate() {
                let row = place / columns;
                let (x, y) = (range_x, ranges_y[row]);
                let (chart, legend) = cell.split_horizontally(SIZE.0);
                let frame = Chart {
                    title: panel.title,
                    ..*frame
                };
                let lines = Lines {
                    series: &panel.series,
                    references: &panel.references,
                };
                frame.draw_scaled(&chart, x, y, lines, true)?;
                draw_legend(&legend, &panel.series)?;
            }
            area.present()?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::Scale;

    fn line(name: &str, points: Vec<(f64, f64)>) -> Series<'_> {
        Series { name, points }
    }

    fn grid() -> LineGrid<'static> {
        let frame = Chart {
            title: "whole",
            x_label: "calls",
            y_label: "gap",
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
        };
        LineGrid { frame, columns: 2 }
    }

    /// Two panels in a row and one below, each with its title; the words of the frame; a thin line in the
    /// colour of its series and without a name.
    #[test]
    fn panels_stand_in_rows_and_references_are_thin() {
        let panels = ["first", "second", "third"].map(|title| LinePanel {
            title,
            series: vec![line("measured", vec![(0.0, 1.0), (2.0, 0.1)])],
            references: vec![line("exact", vec![(0.0, 1.0), (2.0, 0.01)])],
        });
        let svg = grid().svg(&panels).unwrap();
        for word in [
            "whole", "calls", "gap", "first", "second", "third", "measured",
        ] {
            assert!(svg.contains(word), "{word}");
        }
        assert!(!svg.contains("exact"));
        // 44 + 8 * 8 beside 430, twice; 44 + 2 * 330.
        assert!(svg.contains(r#"width="1076" height="704""#), "{svg:.100}");
        let thin = svg
            .matches(r##"stroke="#0072B2" stroke-width="1""##)
            .count();
        assert_eq!(thin, 3, "one thin line a panel");
    }

    /// The row of 1 to 0.1 ends above 0.05, the one of 1 to 1e-4 has a tick there.
    #[test]
    fn each_row_has_its_range() {
        let panel = |low: f64| LinePanel {
            title: "a row",
            series: vec![line("measured", vec![(0.0, 1.0), (2.0, low)])],
            references: Vec::new(),
        };
        let mut grid = grid();
        grid.columns = 1;
        let ticks = |svg: &str| svg.matches("1e-3").count();
        assert_eq!(ticks(&grid.svg(&[panel(0.1), panel(0.1)]).unwrap()), 0);
        assert_eq!(ticks(&grid.svg(&[panel(0.1), panel(1e-4)]).unwrap()), 1);
        assert_eq!(ticks(&grid.svg(&[panel(1e-4), panel(1e-4)]).unwrap()), 2);
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let panel = LinePanel {
            title: "empty",
            series: vec![line("zero", vec![(0.0, 0.0)])],
            references: Vec::new(),
        };
        let error = grid().svg(&[panel]).unwrap_err();
        assert_eq!(error.to_string(), "nothing to draw");
    }
}
