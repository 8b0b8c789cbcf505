//! `hither jobs submit`: a file of requests becomes jobs of this node, for a place where they belong if one is named.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use hither_api::jobs::JobDto;
use hither_types::id::SiteName;
use hither_types::label::DataClass;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{Context, parse};
use crate::client::Client;
use crate::output::{Exit, Trouble, plain};

/// The longest line: what a request of a job may have.
const LINE_BYTES: u64 = 16 << 20;

/// What is handed in, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct SubmitArgs {
    /// A request a line, as OpenAI's batches have them: {"custom_id": …, "url": "/v1/chat/completions", "body": {…}}.
    file: PathBuf,
    /// Where they belong: a server outside the mesh by its name in hither.toml, or a site. The law and budgets decide all the
    /// same; what may not or cannot go there is answered elsewhere.
    #[arg(long, value_name = "NAME", value_parser = site)]
    to: Option<SiteName>,
    /// The class of the data; what the policy says of those without a label, if absent.
    #[arg(long, value_parser = parse::class)]
    class: Option<DataClass>,
    /// How long they may take, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=168))]
    within: u64,
}

fn site(text: &str) -> Result<SiteName, String> {
    SiteName::parse(text).map_err(|error| error.to_string())
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    custom_id: Option<String>,
    method: Option<String>,
    url: String,
    body: Value,
}

/// Hands all lines in, in their order. One that is wrong ends it; those before it stay, and are met again the next time.
pub(super) fn submit(context: &Context, client: &Client, asked: &SubmitArgs) -> Result<(), Trouble> {
    let mut handed = Vec::new();
    let mut met = 0_usize;
    for (number, text) in lines(&asked.file)? {
        let at = |what: String| {
            format!("{}:{number}: {what}; {} lines before it are jobs", asked.file.display(), handed.len())
        };
        let line: Line = serde_json::from_str(&text).map_err(|error| {
            Trouble::new("E0706", at(format!("this is no request of a job: {error}")))
                .help("a line is {\"custom_id\": \"a\", \"url\": \"/v1/chat/completions\", \"body\": {…}}")
                .exit(Exit::Usage)
        })?;
        let mut job = json!({ "deadline_s": asked.within * 3600, "request": { "url": line.url, "body": line.body } });
        if let Some(method) = line.method {
            job["request"]["method"] = json!(method);
        }
        if let Some(id) = &line.custom_id {
            job["metadata"] = json!({ "custom_id": id });
        }
        // The file again, after a power cut say, meets the jobs that are there.
        let label = asked.class.map(DataClass::as_str).unwrap_or_default();
        let to = asked.to.as_ref().map(SiteName::as_str).unwrap_or_default();
        let key = blake3::hash(format!("{number} {label} {to} {} {text}", asked.within).as_bytes()).to_hex();
        let mut headers = vec![("idempotency-key", key.as_str())];
        headers.extend(asked.class.map(|_| ("x-hither-class", label)));
        headers.extend(asked.to.as_ref().map(|_| ("x-hither-prefer", to)));
        let answer = context.wait(client.call(Method::POST, "/v1/jobs", &headers, Some(&job)))?;
        let job: JobDto = answer
            .into_result()
            .and_then(|answer| answer.parse())
            .map_err(|trouble| trouble.note(at("refused".into())))?;
        met += usize::from(job.joined == Some(true));
        handed.push(json!({ "id": job.id, "custom_id": line.custom_id, "status": job.status }));
    }
    let ids: Vec<String> = handed.iter().filter_map(|job| Some(job["id"].as_str()?.to_owned())).collect();
    context.screen.answer(&json!({ "jobs": handed, "met": met }), |colour| {
        let known = if met > 0 { format!(", {met} of them known already") } else { String::new() };
        let mut out = format!("{} {} jobs{known}\n", colour.green("ok"), ids.len());
        if let Some(first) = ids.first() {
            out.push_str(&format!("  {} hither jobs show {}\n", colour.green("the first:"), plain(first)));
        }
        out
    });
    Ok(())
}

/// The lines of a file that are not blank, with their numbers.
fn lines(path: &Path) -> Result<Vec<(usize, String)>, Trouble> {
    let unreadable = |error: std::io::Error| Trouble::new("E0706", format!("cannot read {}: {error}", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut found, mut number) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        number += 1;
        let read = std::io::Read::take(&mut reader, LINE_BYTES).read_line(&mut line).map_err(unreadable)?;
        if read == 0 {
            return Ok(found);
        }
        if read as u64 == LINE_BYTES {
            let text = format!("{}:{number}: a line is longer than {LINE_BYTES} bytes", path.display());
            return Err(Trouble::new("E0706", text).exit(Exit::Usage));
        }
        if !line.trim().is_empty() {
            found.push((number, line.trim().to_owned()));
        }
    }
}
