//! A page of metrics as it is written: Prometheus' text form 0.0.4, or OpenMetrics 1.0.
//!
//! What must stay true: the names of samples, the labels and the numbers are the same in both forms, so that a series
//! goes on when a scraper is told to ask for the other one.

use std::fmt::{Display, Write};

use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// Which form a scraper takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Prometheus' text form, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.
    OpenMetrics,
}

impl Form {
    /// The form that is asked for; the text form if neither is, or both alike.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut is_served) = (1.0_f32, true);
            for parameter in parts {
                match parameter.split_once('=') {
                    Some(("q", weight)) => quality = weight.parse().unwrap_or(0.0),
                    Some(("version", version)) => is_served = matches!(version, "1.0.0" | "0.0.4"),
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if is_served => open = quality.max(open),
                "text/plain" | "text/*" | "*/*" if is_served => text = quality.max(text),
                _ => {}
            }
        }
        if open > text { Self::OpenMetrics } else { Self::Text }
    }

    /// The type of a body in this form.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label: its name and its value.
pub(crate) type Label<'a> = (&'static str, &'a dyn Display);

/// The page, family after family.
pub(crate) struct Page {
    form: Form,
    out: String,
    family: &'static str,
}

impl Page {
    /// Nothing on it yet.
    pub(crate) fn new(form: Form) -> Self {
        Self { form, out: String::new(), family: "" }
    }

    /// Begins a family; `name` is that of its samples.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        self.family = name;
        let (of, typed) = match (self.form, kind) {
            // There a counter is named without the end that its samples have; one without that end, as Triton's are,
            // has no type.
            (Form::OpenMetrics, Kind::Counter) => {
                name.strip_suffix("_total").map_or((name, false), |stem| (stem, true))
            }
            _ => (name, true),
        };
        self.line(format_args!("# HELP {of} {help}"));
        if typed {
            self.line(format_args!("# TYPE {of} {}", kind.as_str()));
        }
        self
    }

    /// A sample of the family.
    pub(crate) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) -> &mut Self {
        self.named("", labels, value);
        self
    }

    /// A sample of the family, under a name with this end.
    pub(super) fn named(&mut self, end: &str, labels: &[Label<'_>], value: impl Display) {
        self.out.push_str(self.family);
        self.out.push_str(end);
        for (at, (name, value)) in labels.iter().enumerate() {
            self.out.push(if at == 0 { '{' } else { ',' });
            self.out.push_str(name);
            self.out.push_str("=\"");
            for letter in value.to_string().chars() {
                match letter {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    plain => self.out.push(plain),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// The whole of it.
    pub(crate) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.out, "{text}").expect("writing to a string cannot fail");
    }
}
