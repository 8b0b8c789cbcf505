//! A study as Markdown and charts.

use std::fmt::Write;

/// What a study found.
#[derive(Debug, Clone)]
pub struct Study {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// The page, in Markdown.
    pub markdown: String,
    /// File names and SVG texts of its charts.
    pub charts: Vec<(String, String)>,
    /// Violations of invariants in all its runs.
    pub violations: u64,
    /// The first of them, with what led to it.
    pub first: Option<String>,
    /// Requests of all its runs.
    pub requests: u64,
}

/// The page of a study, as it grows.
#[derive(Debug)]
pub(super) struct Page {
    study: Study,
}

impl Page {
    /// A page with its title and what it shows.
    pub(super) fn new(name: &'static str, title: &str, about: &str) -> Self {
        let markdown =
            format!("# {title}\n\nWritten by `cargo xtask figures {name}`; do not edit by hand.\n\n{about}\n");
        Self { study: Study { name, markdown, charts: Vec::new(), violations: 0, first: None, requests: 0 } }
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) {
        let _ = write!(self.study.markdown, "\n{text}\n");
    }

    /// A heading.
    pub(super) fn heading(&mut self, text: &str) {
        self.text(&format!("## {text}"));
    }

    /// A table.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let mut text = format!("| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
        for row in rows {
            let _ = write!(text, "\n| {} |", row.join(" | "));
        }
        self.text(&text);
    }

    /// A chart, in a file of its own.
    pub(super) fn chart(&mut self, suffix: &str, alt: &str, svg: String) {
        let file = format!("{}-{suffix}.svg", self.study.name);
        self.text(&format!("![{alt}]({file})"));
        self.study.charts.push((file, svg));
    }

    /// Counts what a run did.
    pub(super) fn count(&mut self, report: &crate::report::Report) {
        self.study.violations += report.violation_count;
        if let Some(first) = report.violations.first() {
            let text = || format!("{} by {}: {}\n{}", first.invariant, first.node, first.what, first.trace.join("\n"));
            self.study.first.get_or_insert_with(text);
        }
        self.study.requests += report.count("requests");
    }

    /// The finished study, if there are no minds in it whose every action could be watched.
    pub(super) fn ended(self) -> Study {
        self.study
    }

    /// The finished study, with what was checked on the way.
    pub(super) fn done(mut self, seeds: &str, hash: u64) -> Study {
        let (violations, requests) = (self.study.violations, self.study.requests);
        self.heading("What was checked");
        self.text(&format!(
            "Seeds {seeds}. {requests} requests in all, every action of every node watched: {violations} violations of \
             I1–I10. Trace hash of all runs: `{hash:016x}`; the same program and seeds give the same."
        ));
        self.study
    }
}
