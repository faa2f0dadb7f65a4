//! Line charts.

use std::error::Error;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::{COLOURS, write_whole};

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps.
    Linear,
    /// Equal factors. Points at 0 or below are left out.
    Log,
}

/// The frame of a chart: its words and its scales.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'a> {
    /// Above the picture.
    pub title: &'a str,
    /// Under the horizontal axis.
    pub x_label: &'a str,
    /// Beside the vertical axis.
    pub y_label: &'a str,
    /// The horizontal axis.
    pub x_scale: Scale,
    /// The vertical axis.
    pub y_scale: Scale,
}

/// A named line.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (860, 520);

/// More series than this have their legend beside the chart, where it hides nothing.
const LEGEND_INSIDE: usize = 4;

/// What a character of a name is taken to be wide, in pixels.
pub(super) const CHARACTER: u32 = 8;

/// Where one chart is drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The lines of a chart, and thin ones in their colours.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) series: &'a [Series<'a>],
    pub(super) references: &'a [Series<'a>],
}

impl Chart<'_> {
    /// Draws the series and writes the SVG whole: a neighbour first, then a rename.
    ///
    /// # Errors
    /// If no series has a point that its scales can show, or the file cannot be written.
    pub fn write_svg(
        &self,
        path: impl AsRef<Path>,
        series: &[Series<'_>],
    ) -> Result<(), Box<dyn Error>> {
        write_whole(path.as_ref(), &self.svg(series)?)
    }

    /// Draws the series.
    ///
    /// # Errors
    /// If no series has a point that its scales can show.
    pub fn svg(&self, series: &[Series<'_>]) -> Result<String, Box<dyn Error>> {
        let shown = visible(series, self);
        let points = || shown.iter().flat_map(|s| &s.points);
        let x = range(points().map(|p| p.0), self.x_scale).ok_or("nothing to draw")?;
        let y = range(points().map(|p| p.1), self.y_scale).ok_or("nothing to draw")?;
        let mut out = String::new();
        {
            let beside = if shown.len() > LEGEND_INSIDE {
                let longest = shown.iter().map(|s| s.name.chars().count()).max();
                60 + CHARACTER * longest.unwrap_or(0) as u32
            } else {
                0
            };
            let size = (SIZE.0 + beside, SIZE.1);
            let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
            area.fill(&WHITE)?;
            let (area, legend) = area.split_horizontally(SIZE.0);
            if beside > 0 {
                draw_legend(&legend, &shown)?;
            }
            let lines = Lines {
                series: &shown,
                references: &[],
            };
            self.draw_scaled(&area, x, y, lines, beside > 0)?;
            legend.present()?;
        }
        Ok(out)
    }

    /// Draws the series, and thin lines in their colours, over these ranges; the legend goes into the chart
    /// unless it is drawn beside it.
    pub(super) fn draw_scaled(
        &self,
        area: &Area<'_>,
        x: (f64, f64),
        y: (f64, f64),
        lines: Lines<'_>,
        beside: bool,
    ) -> Result<(), Box<dyn Error>> {
        let (x, y) = (x.0..x.1, y.0..y.1);
        match (self.x_scale, self.y_scale) {
            (Scale::Linear, Scale::Linear) => self.draw(area, x, y, lines, beside),
            (Scale::Linear, Scale::Log) => self.draw(area, x, y.log_scale(), lines, beside),
            (Scale::Log, Scale::Linear) => self.draw(area, x.log_scale(), y, lines, beside),
            (Scale::Log, Scale::Log) => {
                self.draw(area, x.log_scale(), y.log_scale(), lines, beside)
            }
        }
    }

    fn draw<X, Y>(
        &self,
        area: &Area<'_>,
        x: X,
        y: Y,
        lines: Lines<'_>,
        beside: bool,
    ) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let failed =
            |error: DrawingAreaErrorKind<_>| -> Box<dyn Error> { format!("{error}").into() };
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        // A small chart has room for a few ticks and for no light lines.
        let (ticks, light) = if area.dim_in_pixel().1 < SIZE.1 {
            (5, 1)
        } else {
            (11, 10)
        };
        chart
            .configure_mesh()
            .x_labels(ticks)
            .y_labels(ticks)
            .max_light_lines(light)
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .axis_desc_style(("sans-serif", 16))
            .label_style(("sans-serif", 14))
            .x_label_formatter(&|v| tick(*v, self.x_scale))
            .y_label_formatter(&|v| tick(*v, self.y_scale))
            .light_line_style(BLACK.mix(0.04))
            .bold_line_style(BLACK.mix(0.12))
            .draw()
            .map_err(failed)?;
        for (series, colour) in lines.series.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), style))
                .map_err(failed)?
                .label(series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
        }
        for (series, colour) in lines.references.iter().zip(COLOURS.iter().cycle()) {
            let points = series.points.iter().copied();
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(1)))
                .map_err(failed)?;
        }
        if beside {
            return Ok(());
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .margin(10)
            .legend_area_size(30)
            .label_font(("sans-serif", 15))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(failed)?;
        Ok(())
    }
}

/// The names beside a chart, one under the other.
pub(super) fn draw_legend(area: &Area<'_>, series: &[Series<'_>]) -> Result<(), Box<dyn Error>> {
    for (row, (series, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = 60 + 24 * row as i32;
        area.draw(&PathElement::new([(4, y), (26, y)], colour.stroke_width(2)))?;
        let style = ("sans-serif", 15);
        area.draw(&Text::new(series.name, (34, y - 8), style))?;
    }
    Ok(())
}

/// The series without the points that the chart's scales cannot show.
pub(super) fn visible<'a>(series: &[Series<'a>], chart: &Chart<'_>) -> Vec<Series<'a>> {
    let shows = |x: f64, scale| x.is_finite() && (scale == Scale::Linear || x > 0.0);
    let points = |series: &Series<'_>| {
        let points = series.points.iter().copied();
        let shown = points.filter(|&(x, y)| shows(x, chart.x_scale) && shows(y, chart.y_scale));
        shown.collect()
    };
    let of = |series: &Series<'a>| Series {
        name: series.name,
        points: points(series),
    };
    series.iter().map(of).collect()
}

/// The smallest and the largest value, with some air on a linear axis and to whole powers of ten
/// on a logarithmic one when it spans less than one.
pub(super) fn range(values: impl Iterator<Item = f64>, scale: Scale) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low > high {
        return None;
    }
    Some(match scale {
        Scale::Log if high < 10.0 * low => {
            let (down, up) = (low.log10().floor(), high.log10().ceil());
            (10f64.powf(down), 10f64.powf(up.max(down + 1.0)))
        }
        Scale::Log => (low / 1.2, high * 1.5),
        Scale::Linear if low == high => (low - 0.5, high + 0.5),
        Scale::Linear => (low, high + 0.03 * (high - low)),
    })
}

pub(super) fn tick(value: f64, scale: Scale) -> String {
    let size = value.abs();
    if value != 0.0 && (!(1e-3..1e5).contains(&size) || (scale == Scale::Log && size < 1e-2)) {
        format!("{value:.0e}")
    } else {
        // Rounding hides 0.30000000000000004.
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHART: Chart<'_> = Chart {
        title: "gap",
        x_label: "iteration",
        y_label: "duality gap",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
    };

    #[test]
    fn the_words_are_in_the_picture() {
        let series = [
            Series {
                name: "last",
                points: vec![(0.0, 1.0), (1.0, 0.1), (2.0, 0.0)],
            },
            Series {
                name: "average",
                points: vec![(0.0, 1.0), (2.0, 0.5)],
            },
        ];
        let svg = CHART.svg(&series).unwrap();
        for word in ["gap", "iteration", "duality gap", "last", "average"] {
            assert!(svg.contains(word), "{word}");
        }
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let zero = [Series {
            name: "zero",
            points: vec![(0.0, 0.0)],
        }];
        assert_eq!(CHART.svg(&zero).unwrap_err().to_string(), "nothing to draw");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(tick(0.1 + 0.2, Scale::Linear), "0.3");
        assert_eq!(tick(1e-7, Scale::Log), "1e-7");
        assert_eq!(tick(20.0, Scale::Linear), "20");
    }
}
