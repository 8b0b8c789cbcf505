//! The requests to send, as a file says them.

use std::path::Path;

use serde::Deserialize;

use crate::output::{Exit, Trouble};

#[cfg(test)]
mod tests;

/// A single float, in which a request tells its engine how long to take, is exact up to here.
const WORK_MAX_US: u64 = 1 << 24;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arrival {
    /// When it is sent, after the start.
    pub(super) at_us: u64,
    /// The node that it enters.
    pub(super) node: usize,
    /// How long its engine takes.
    pub(super) work_us: u64,
    /// How long its client waits.
    pub(super) deadline_us: u64,
}

/// Reads a file of requests for so many nodes, in the order of their time.
pub(super) fn read(path: &Path, nodes: usize) -> Result<Vec<Arrival>, Trouble> {
    let wrong = |what: String| Trouble::new("E0912", format!("{}: {what}", path.display())).exit(Exit::Usage);
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()).exit(Exit::Failed))?;
    parse(&text, nodes).map_err(|what| {
        wrong(what).help(r#"{"at_us": 120000, "node": 0, "work_us": 500000, "deadline_us": 3000000}     on each line"#)
    })
}

fn parse(text: &str, nodes: usize) -> Result<Vec<Arrival>, String> {
    let mut arrivals = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let arrival: Arrival = serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
        if arrival.node >= nodes {
            return Err(format!("line {number}: node {} of {nodes}, counted from 0", arrival.node));
        }
        if arrival.work_us > WORK_MAX_US {
            return Err(format!("line {number}: work_us is {}, and can be {WORK_MAX_US}", arrival.work_us));
        }
        arrivals.push(arrival);
    }
    if arrivals.is_empty() {
        return Err("it has no request".to_owned());
    }
    arrivals.sort_by_key(|arrival| arrival.at_us);
    Ok(arrivals)
}
