//! Health, metrics, the dashboard and the description itself.

use serde_json::json;

use super::operation::{Operation, Place};
use super::parts::text;
use crate::respond::Form;

const NODE: Place = Place("Node", Form::Own);

pub(super) fn all() -> Vec<Operation> {
    let page = |path, id, summary| NODE.get(path, id, summary).gives_as(200, "The page.", HTML, text());
    let script = |path, id| NODE.get(path, id, "A file of the page.").gives_as(200, "The file.", SCRIPT, text());
    let style = |path, id| NODE.get(path, id, "A file of the page.").gives_as(200, "The file.", STYLE, text());
    vec![
        NODE.get("/health", "health", "Whether the node lives.").gives_as(200, "It does.", PLAIN, text()).open(),
        NODE.get("/metrics", "metrics", "Counters, gauges and histograms, as Prometheus reads them.")
            .gives_as(200, "In the form that Accept asks for.", "text/plain; version=0.0.4; charset=utf-8", text())
            .or_as("application/openmetrics-text; version=1.0.0; charset=utf-8", text()),
        page("/", "dashboard", "The dashboard, for who takes HTML; else what clients of Ollama look for.")
            .or_as(PLAIN, text()),
        script("/app.js", "dashboardScript"),
        style("/style.css", "dashboardStyle").open(),
        NODE.get("/openapi.json", "openapi", "This description.")
            .gives_as(200, "OpenAPI 3.1.", "application/json", json!({ "type": "object" }))
            .open(),
        page("/docs", "docs", "This description, for people.").open(),
        script("/docs/docs.js", "docsScript").open(),
        style("/docs/docs.css", "docsStyle").open(),
        page("/docs/errors", "docsErrors", "All codes of errors, each with what to do.").open(),
    ]
}

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
