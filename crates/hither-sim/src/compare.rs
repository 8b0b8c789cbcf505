//! The same arrivals through the production mind, through one queue in the middle that knows everything, and through what
//! rivals do: every figure is a ratio from one run.

use std::fmt;

use crate::SimError;
use crate::bound::Bound;
use crate::latency::{Figures as Line, Outcome, Window};
use crate::mesh::arrivals;
use crate::report::Report;
use crate::rivals::{self, CANDIDATES, Field, Policy, Setting};
use crate::scenario::Scenario;

#[cfg(test)]
mod tests;

/// The round trip to the data centre of the comparison, in microseconds: the middle of 40 to 80 ms.
const DATA_CENTRE: u64 = 60_000;

/// One row of a comparison. Times are microseconds of virtual time.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Who.
    pub name: String,
    /// Requests measured.
    pub count: u64,
    /// Mean time to the answer.
    pub mean: u64,
    /// Its median.
    pub p50: u64,
    /// Its 99th percentile.
    pub p99: u64,
    /// Its 99.9th percentile.
    pub p999: u64,
    /// Share of the requests that were answered within their deadline.
    pub goodput: f64,
    /// Messages between nodes for each request, what all are told aside.
    pub messages: f64,
}

/// A run beside the bound and the rivals.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The run of the production mind.
    pub report: Report,
    /// The production mind as a row.
    pub hither: Row,
    /// One queue in the middle, without a network: nobody can be better for all.
    pub bound: Row,
    /// What rivals do.
    pub rivals: Vec<Row>,
}

impl Comparison {
    /// How many times the bound's 99th percentile a row's is.
    pub fn p99_ratio(&self, row: &Row) -> f64 {
        row.p99 as f64 / self.bound.p99.max(1) as f64
    }

    /// How many times the bound's mean a row's is.
    pub fn mean_ratio(&self, row: &Row) -> f64 {
        row.mean as f64 / self.bound.mean.max(1) as f64
    }
}

impl Comparison {
    /// The rows as a table: the production mind, the bound, and what others do. Times in milliseconds, with how many times
    /// the bound's they are.
    pub(crate) fn table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let head = vec!["policy", "mean ms", "÷ bound", "p99 ms", "÷ bound", "p99.9 ms", "in time", "words a request"];
        let ms = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
        let rows = [&self.hither, &self.bound].into_iter().chain(&self.rivals).map(|row| {
            vec![
                row.name.clone(),
                ms(row.mean),
                format!("{:.2}", self.mean_ratio(row)),
                ms(row.p99),
                format!("{:.2}", self.p99_ratio(row)),
                ms(row.p999),
                format!("{:.2} %", row.goodput * 100.0),
                format!("{:.1}", row.messages),
            ]
        });
        (head, rows.collect())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, rows) = self.table();
        let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        for row in std::iter::once(&head).chain(&rows) {
            let cells = row.iter().enumerate().map(|(column, cell)| match column {
                0 => format!("{cell:<width$}", width = width(0)),
                _ => format!("{cell:>width$}", width = width(column)),
            });
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  "))?;
        }
        Ok(())
    }
}

fn row(name: &str, outcome: &Outcome) -> Row {
    let Line { count, mean, p50, p99, p999, goodput, messages_per_request } = outcome.figures();
    Row { name: name.to_owned(), count, mean, p50, p99, p999, goodput, messages: messages_per_request }
}

/// Runs a scenario with a generated mesh, and its arrivals through the bound; with `rivals`, also through what rivals do.
///
/// # Errors
/// As [`crate::run`]; and if the scenario has no topology, whose arrivals alone are known beforehand.
pub fn compare(scenario: &Scenario, seed: u64, nodes: Option<u32>, rivals: bool) -> Result<Comparison, SimError> {
    let given = scenario;
    let scenario = given.with_nodes(nodes)?.laid_out(seed);
    let Some(mesh) = &scenario.mesh else {
        return Err(SimError::Value {
            place: "the scenario".to_owned(),
            reason: "it has no [topology], so there is no trace to put through the bound".to_owned(),
        });
    };
    let report = crate::run(given, seed, nodes)?;
    let window = Window { from: report.figures.from, to: report.figures.to };
    let bound = row("one queue that knows all", &Bound::new(&mesh.spots, window).run(arrivals(&scenario, seed)));
    let mut others = Vec::new();
    if rivals {
        let field = Field::of(mesh, CANDIDATES);
        let setting = Setting { window, ..Setting::new(seed) };
        let policies = [
            Policy::Central { round_trip: DATA_CENTRE },
            Policy::Prequal,
            Policy::TwoByGossip,
            Policy::RoundRobin,
            Policy::Random,
            Policy::LeastByGossip,
            Policy::Local,
        ];
        for policy in policies {
            others.push(row(&policy.name(), &rivals::run(policy, &field, &setting, arrivals(&scenario, seed))));
        }
    }
    let figures = &report.figures;
    let hither = Row {
        name: "Hither".to_owned(),
        count: figures.answered,
        mean: figures.latency_mean,
        p50: figures.latency_p50,
        p99: figures.latency_p99,
        p999: figures.latency_p999,
        goodput: figures.answered as f64 / figures.requests.max(1) as f64,
        messages: figures.signals_milli as f64 / 1000.0,
    };
    Ok(Comparison { hither, bound, rivals: others, report })
}
