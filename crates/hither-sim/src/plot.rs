//! Charts as SVG, for reports and docs: lines, points or bars on linear or logarithmic axes. The same data give the
//! same text, to the last digit. A chart lies on a white panel, so that it reads on a dark page too; its colours are
//! those of Okabe and Ito, and its lines differ in dash as well, so that no reader depends on colour.

use std::fmt::Write as _;

mod axis;

#[cfg(test)]
mod tests;

pub(crate) use axis::{Axis, Scale, Unit};

/// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008), without the yellow, which is too pale on
/// white; a grey in its place.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280"];

/// Dashes, in the order of the colours, and on.
const DASHES: [&str; 4] = ["", "7 3", "2 3", "9 3 2 3"];

const INK: &str = "#1f2430";
const MUTED: &str = "#5b6472";
const GRID: &str = "#e4e7ec";
const WIDTH: f64 = 760.0;
const PLOT_HEIGHT: f64 = 290.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 56.0;
const FONT: &str = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif";

/// A chart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chart {
    pub title: String,
    /// A line below the title: what was run.
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
}

/// Points of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub name: String,
    /// A point that is not a number, or not above 0 on a logarithmic axis, breaks a line.
    pub points: Vec<(f64, f64)>,
    pub style: Style,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line, in the next colour.
    #[default]
    Line,
    /// A line with a dot at each point: for a few that were measured.
    Dotted,
    /// A thick black line: what the others are held against.
    Bound,
    /// Dots alone.
    Points,
    /// Bars from the foot of the axis. Several series of bars stand beside each other.
    Bars,
}

/// A stretch of the x axis that has a name: a pulse, an outage. One instant if it ends where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub name: String,
    pub from: f64,
    pub to: f64,
}

/// What a series is drawn with.
#[derive(Debug, Clone, Copy)]
struct Pen {
    colour: &'static str,
    dash: &'static str,
    width: f64,
}

impl Chart {
    /// The chart as the text of an `svg` element.
    pub(crate) fn svg(&self) -> String {
        let pens = self.pens();
        let legend = legend(&self.series, &pens);
        let head = if self.note.is_empty() { 34.0 } else { 54.0 };
        let top = head + legend.height + if self.y.label.is_empty() { 14.0 } else { 32.0 };
        let foot = if self.x.label.is_empty() { 34.0 } else { BOTTOM };
        let height = top + PLOT_HEIGHT + foot;
        let (x, y) = self.fitted();
        let mut out = String::new();
        let label = escaped(&self.title);
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-label="{label}" font-family="{FONT}" font-size="12" fill="{INK}">"#
        );
        let _ = write!(out, r##"<rect width="{WIDTH}" height="{height:.0}" rx="8" fill="#fff"/>"##);
        out += &text(24.0, 30.0, r#"font-size="16" font-weight="600""#, &self.title);
        out += &text(24.0, 50.0, &format!(r#"font-size="12.5" fill="{MUTED}""#), &self.note);
        let _ = write!(out, r#"<g transform="translate(0 {head:.0})">{}</g>"#, legend.svg);
        let _ = write!(out, r#"<g transform="translate({LEFT} {top:.0})">"#);
        out += &self.grid(&x, &y);
        let (w, h) = (plot_width(), PLOT_HEIGHT);
        // A nested svg clips what lies outside of it.
        let _ = write!(out, r#"<svg width="{w}" height="{h}" viewBox="0 0 {w} {h}">"#);
        let frame = Frame { x: &x, y: &y };
        out += &frame.marks(&self.marks);
        out += &frame.bars(&self.series, &pens);
        for (series, pen) in self.series.iter().zip(&pens).filter(|(series, _)| series.style != Style::Bars) {
            out += &frame.line(series, *pen);
        }
        out += "</svg>";
        // Dots lie above the frame: one on the edge is not cut in half.
        for (series, pen) in self.series.iter().zip(&pens) {
            out += &frame.dots(series, *pen);
        }
        out += &frame.bar_values(&self.series, &self.y);
        out += &frame.mark_names(&self.marks);
        out + "</g></svg>\n"
    }

    fn pens(&self) -> Vec<Pen> {
        let mut drawn = 0;
        let pen = |series: &Series| {
            if series.style == Style::Bound {
                return Pen { colour: "#000", dash: "", width: 2.6 };
            }
            let at = drawn;
            drawn += 1;
            Pen { colour: COLOURS[at % COLOURS.len()], dash: DASHES[at % DASHES.len()], width: 2.0 }
        };
        self.series.iter().map(pen).collect()
    }

    fn fitted(&self) -> (axis::Fitted, axis::Fitted) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let has_bars = self.series.iter().any(|series| series.style == Style::Bars);
        let fits = |(x, y): &&(f64, f64)| self.x.holds(*x) && self.y.holds(*y);
        let xs = points().filter(fits).map(|(x, _)| *x);
        let ys = points().filter(fits).map(|(_, y)| *y);
        // A bar is as wide as a step, and stands on 0.
        let (xs, ys): (Vec<f64>, Vec<f64>) = if has_bars {
            (
                xs.flat_map(|x| [x - 0.5, x + 0.5]).collect(),
                ys.chain([0.0].into_iter().filter(|foot| self.y.holds(*foot))).collect(),
            )
        } else {
            (xs.collect(), ys.collect())
        };
        (self.x.fit(&xs, plot_width(), false), self.y.fit(&ys, PLOT_HEIGHT, true))
    }

    fn grid(&self, x: &axis::Fitted, y: &axis::Fitted) -> String {
        let (w, h) = (plot_width(), PLOT_HEIGHT);
        let mut out = String::new();
        for tick in &y.ticks {
            let at = h - tick.at;
            let stroke = if tick.name.is_empty() { "#f1f3f6" } else { GRID };
            let _ = write!(out, r#"<path d="M0 {at:.1}H{w}" stroke="{stroke}"/>"#);
            out += &text(-10.0, at + 4.0, &format!(r#"text-anchor="end" fill="{MUTED}""#), &tick.name);
        }
        for tick in &x.ticks {
            let (at, is_named) = (tick.at, !tick.name.is_empty());
            let length = if is_named { 5 } else { 3 };
            if is_named && self.x.names.is_empty() {
                let _ = write!(out, r#"<path d="M{at:.1} 0V{h}" stroke="{GRID}"/>"#);
            }
            let _ = write!(out, r##"<path d="M{at:.1} {h}v{length}" stroke="#9aa3af"/>"##);
            out += &text(at, h + 19.0, &format!(r#"text-anchor="middle" fill="{MUTED}""#), &tick.name);
        }
        let _ = write!(out, r##"<path d="M0 {h}H{w}" stroke="#9aa3af"/>"##);
        out += &text(w / 2.0, h + 42.0, r#"text-anchor="middle" font-size="12.5""#, &self.x.label);
        // The name of the y axis stands above it and not on its side, where nobody reads it with ease.
        out + &text(10.0 - LEFT + 14.0, -12.0, r#"font-size="12.5""#, &self.y.label)
    }
}

/// Where numbers lie in the plot.
#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    x: &'a axis::Fitted,
    y: &'a axis::Fitted,
}

impl Frame<'_> {
    fn place(self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((self.x.place(x)?, PLOT_HEIGHT - self.y.place(y)?))
    }

    fn line(self, series: &Series, pen: Pen) -> String {
        if series.style == Style::Points {
            return String::new();
        }
        let mut path = String::new();
        let (mut is_broken, mut last) = (true, String::new());
        for point in &series.points {
            let Some((x, y)) = self.place(*point) else {
                is_broken = true;
                continue;
            };
            let step = format!("{x:.1} {y:.1}");
            if is_broken || step != last {
                let _ = write!(path, "{}{step}", if is_broken { 'M' } else { 'L' });
            }
            (is_broken, last) = (false, step);
        }
        let Pen { colour, dash, width } = pen;
        let dash = if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        format!(
            r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash} stroke-linejoin="round" stroke-linecap="round"/>"#
        )
    }

    fn dots(self, series: &Series, pen: Pen) -> String {
        let mut out = String::new();
        if matches!(series.style, Style::Dotted | Style::Points) {
            let places = series.points.iter().filter_map(|point| self.place(*point));
            for (x, y) in places.filter(|(x, y)| (0.0..=plot_width()).contains(x) && (0.0..=PLOT_HEIGHT).contains(y)) {
                let _ = write!(
                    out,
                    r##"<circle cx="{x:.1}" cy="{y:.1}" r="3.6" fill="{}" stroke="#fff" stroke-width="1.2"/>"##,
                    pen.colour
                );
            }
        }
        out
    }

    fn bars(self, series: &[Series], pens: &[Pen]) -> String {
        let all: Vec<_> = series.iter().zip(pens).filter(|(series, _)| series.style == Style::Bars).collect();
        let mut out = String::new();
        let Some(step) = self.x.place(1.0).zip(self.x.place(0.0)).map(|(one, zero)| one - zero) else { return out };
        let width = (step * 0.72 / all.len().max(1) as f64).min(64.0);
        for (beside, (series, pen)) in all.iter().enumerate() {
            for (x, y) in series.points.iter().filter_map(|point| self.place(*point)) {
                let left = x + (beside as f64 - all.len() as f64 / 2.0) * width;
                let (tall, inner) = (PLOT_HEIGHT - y, (width - 2.0).max(1.0));
                let _ = write!(
                    out,
                    r#"<rect x="{:.1}" y="{y:.1}" width="{inner:.1}" height="{tall:.1}" fill="{}"/>"#,
                    left + 1.0,
                    pen.colour
                );
            }
        }
        out
    }

    /// What each bar says, above it, if no other bar stands beside it.
    fn bar_values(self, series: &[Series], axis: &Axis) -> String {
        let mut all = series.iter().filter(|series| series.style == Style::Bars);
        let (Some(only), None) = (all.next(), all.next()) else { return String::new() };
        let value = |point: &(f64, f64)| {
            let (x, y) = self.place(*point)?;
            Some(text(x, y - 6.0, r#"text-anchor="middle" font-weight="600""#, &axis.value(point.1)))
        };
        only.points.iter().filter_map(value).collect()
    }

    fn marks(self, marks: &[Mark]) -> String {
        let mut out = String::new();
        for (from, to) in marks.iter().filter_map(|mark| self.x.place(mark.from).zip(self.x.place(mark.to))) {
            if to > from {
                let wide = to - from;
                let _ = write!(
                    out,
                    r##"<rect x="{from:.1}" width="{wide:.1}" height="{PLOT_HEIGHT}" fill="#6b7280" opacity=".11"/>"##
                );
            } else {
                let _ =
                    write!(out, r##"<path d="M{from:.1} 0V{PLOT_HEIGHT}" stroke="#4b5563" stroke-dasharray="4 3"/>"##);
            }
        }
        out
    }

    fn mark_names(self, marks: &[Mark]) -> String {
        let name = |mark: &Mark| {
            let at = self.x.place(mark.from)?;
            let is_late = at > plot_width() * 0.8;
            let (at, anchor) = if is_late { (at - 5.0, "end") } else { (at + 5.0, "start") };
            // A halo keeps the name legible where a line runs through it.
            let look = format!(
                r##"text-anchor="{anchor}" font-size="11.5" fill="{MUTED}" stroke="#fff" stroke-width="3" paint-order="stroke""##
            );
            Some(text(at, 15.0, &look, &mark.name))
        };
        marks.iter().filter_map(name).collect()
    }
}

/// The names of the series beside what they are drawn with, in as many rows as they need.
#[derive(Debug)]
struct Legend {
    svg: String,
    height: f64,
}

fn legend(series: &[Series], pens: &[Pen]) -> Legend {
    const ROW: f64 = 21.0;
    let (mut x, mut y, mut svg) = (24.0, 16.0, String::new());
    // One series alone is named by the title.
    let named = series.iter().zip(pens).filter(|(one, _)| !one.name.is_empty());
    for (one, Pen { colour, dash, width }) in named {
        let wide = 30.0 + width_of(&one.name) + 20.0;
        if x + wide > WIDTH && x > 24.0 {
            (x, y) = (24.0, y + ROW);
        }
        let _ = match one.style {
            Style::Bars => {
                write!(svg, r#"<rect x="{x:.1}" y="{:.1}" width="14" height="11" rx="2" fill="{colour}"/>"#, y - 1.5)
            }
            Style::Points => write!(svg, r#"<circle cx="{:.1}" cy="{:.1}" r="4" fill="{colour}"/>"#, x + 8.0, y + 4.0),
            Style::Line | Style::Dotted | Style::Bound => write!(
                svg,
                r#"<path d="M{x:.1} {:.1}h24" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>"#,
                y + 4.0
            ),
        };
        if one.style == Style::Dotted {
            let _ = write!(svg, r#"<circle cx="{:.1}" cy="{:.1}" r="3.6" fill="{colour}"/>"#, x + 12.0, y + 4.0);
        }
        svg += &text(x + 30.0, y + 8.5, "", &one.name);
        x += wide;
    }
    Legend { height: if svg.is_empty() { 10.0 } else { y + 12.0 }, svg }
}

fn plot_width() -> f64 {
    WIDTH - LEFT - RIGHT
}

/// About how wide a text of 12 pixels is.
fn width_of(text: &str) -> f64 {
    let wide = |letter: char| match letter {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | '(' | ')' => 4.3,
        'm' | 'w' | 'A'..='Z' | '%' => 9.4,
        _ => 7.1,
    };
    text.chars().map(wide).sum()
}

/// A text element; none for an empty text.
fn text(x: f64, y: f64, look: &str, words: &str) -> String {
    let space = if look.is_empty() { "" } else { " " };
    match words {
        "" => String::new(),
        _ => format!(r#"<text x="{x:.1}" y="{y:.1}"{space}{look}>{}</text>"#, escaped(words)),
    }
}

/// A text as it stands in XML or HTML, in an element or an attribute. What XML cannot hold is left out.
pub(crate) fn escaped(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() && !matches!(other, '\n' | '\t' | '\r') => {}
            other => out.push(other),
        }
    }
    out
}
