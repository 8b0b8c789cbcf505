//! An open loop: each request is sent when the file says, whatever became of those before it.
//!
//! What must stay true: latency counts from the moment that a request was to be sent, not from when it was. A client that
//! falls behind would otherwise hide the very delays that it is there to find.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arrivals::Arrival;
use super::mesh::{MODEL, Mesh};
use crate::client::Client;
use crate::demo::failed;
use crate::output::Trouble;

/// From the decision to start until the first request may be due.
const LEAD: Duration = Duration::from_millis(200);

/// What became of one request.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// What was sent.
    pub(super) arrival: Arrival,
    /// The HTTP status; `None` if the connection failed.
    pub(super) status: Option<u16>,
    /// From the moment that it was to be sent to the end of its answer.
    pub(super) latency: Duration,
    /// How much later than meant it was sent.
    pub(super) late: Duration,
    /// The site that answered.
    pub(super) served_by: Option<String>,
    /// Whether that is the site that it entered.
    pub(super) at_home: bool,
    /// How many attempts there were.
    pub(super) attempts: u64,
}

impl Sample {
    /// One line of the file of samples.
    pub(super) fn json(&self) -> Value {
        let Arrival { at_us, node, work_us, deadline_us } = self.arrival;
        json!({
            "at_us": at_us, "node": node, "work_us": work_us, "deadline_us": deadline_us, "status": self.status,
            "latency_us": self.latency.as_micros() as u64, "late_us": self.late.as_micros() as u64,
            "served_by": self.served_by, "attempts": self.attempts,
        })
    }
}

/// Sends all of them and waits for the last answer.
pub(super) async fn replay(arrivals: &[Arrival], mesh: &Mesh) -> Result<Vec<Sample>, Trouble> {
    let sites: Result<Vec<(Client, String)>, Trouble> =
        mesh.sites().iter().map(|site| Ok((site.app()?, site.name().to_owned()))).collect();
    let sites = sites?;
    let start = Instant::now() + LEAD;
    let mut open = JoinSet::new();
    let mut samples = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        let Some((client, name)) = sites.get(arrival.node).cloned() else {
            return Err(failed(format!("there is no node {}", arrival.node)));
        };
        let due = start + Duration::from_micros(arrival.at_us);
        tokio::time::sleep_until(due).await;
        open.spawn(send(client, name, *arrival, due));
        while let Some(ended) = open.try_join_next() {
            samples.push(ended.map_err(|error| failed(format!("a client ended early: {error}")))?);
        }
    }
    while let Some(ended) = open.join_next().await {
        samples.push(ended.map_err(|error| failed(format!("a client ended early: {error}")))?);
    }
    samples.sort_by_key(|sample| sample.arrival.at_us);
    Ok(samples)
}

async fn send(client: Client, name: String, arrival: Arrival, due: Instant) -> Sample {
    let late = due.elapsed();
    let body = json!({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [arrival.work_us]}]});
    let patience = arrival.deadline_us.div_ceil(1_000).max(1).to_string();
    let headers = [("x-hither-timeout-ms", patience.as_str())];
    let answer = client.call(Method::POST, &format!("/v2/models/{MODEL}/infer"), &headers, Some(&body)).await;
    let latency = due.elapsed();
    let Ok(answer) = answer else {
        return Sample { arrival, status: None, latency, late, served_by: None, at_home: false, attempts: 0 };
    };
    let served_by = answer.header("x-hither-served-by").map(str::to_owned);
    Sample {
        arrival,
        status: Some(answer.status),
        latency,
        late,
        at_home: served_by.as_ref() == Some(&name),
        served_by,
        attempts: answer.header("x-hither-attempts").and_then(|count| count.parse().ok()).unwrap_or(0),
    }
}
