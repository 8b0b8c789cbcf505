//! `hither jobs train`: a file of chats is handed over to a server outside the mesh that trains a model with them; and how far
//! such trainings are.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use hither_api::trainings::TrainingId;
use hither_types::id::{ModelName, Purpose, SiteName};
use hither_types::label::DataClass;
use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Context, parse};
use crate::client::Client;
use crate::output::{Colour, Exit, Trouble, plain};

/// What is handed over, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct TrainArgs {
    /// Chats to learn from, one a line, as OpenAI's fine-tuning has them: {"messages": [{"role": "user", "content": …}, …]}.
    file: PathBuf,
    /// The model to train, by its name here: an [endpoint.NAME] of hither.toml says trains = ["MODEL"].
    #[arg(long, value_parser = parse::model)]
    model: ModelName,
    /// The server outside the mesh, by its name in hither.toml: that one or none. Any that trains the model, if absent.
    #[arg(long, value_name = "NAME", value_parser = parse::site)]
    to: Option<SiteName>,
    /// A word for the name of the trained model.
    #[arg(long)]
    suffix: Option<String>,
    /// The class of the data; what the policy says of those without a label, if absent.
    #[arg(long, value_parser = parse::class)]
    class: Option<DataClass>,
    /// What it is for, if the policy asks.
    #[arg(long, value_parser = parse::purpose)]
    purpose: Option<Purpose>,
}

/// Hands the file over. What the node kept of it for that is removed, whatever came of it.
pub(super) fn train(context: &Context, client: &Client, asked: &TrainArgs) -> Result<(), Trouble> {
    let client = client.clone().patient();
    let (kind, form) = form(&asked.file)?;
    let class = asked.class.map(DataClass::as_str);
    let mut headers: Vec<(&str, &str)> = class.map(|class| ("x-hither-class", class)).into_iter().collect();
    headers.extend(asked.purpose.as_ref().map(|purpose| ("x-hither-purpose", purpose.as_str())));
    headers.extend(asked.to.as_ref().map(|site| ("x-hither-prefer", site.as_str())));
    let kept = context.wait(client.send_bytes(Method::POST, "/v1/files", &headers, &kind, form))?;
    let kept: Value = kept.into_result()?.parse()?;
    let file = kept["id"].as_str().unwrap_or_default().to_owned();
    let mut job = json!({ "model": asked.model.as_str(), "training_file": file });
    if let Some(suffix) = &asked.suffix {
        job["suffix"] = json!(suffix);
    }
    let answer = context.wait(client.call(Method::POST, "/v1/fine_tuning/jobs", &headers, Some(&job)));
    let removed = context.wait(client.delete::<Value>(&format!("/v1/files/{file}")));
    let answer = answer?.into_result();
    let answer = match removed {
        Ok(_) => answer?,
        // It is kept for thirty days at most, and nobody reads it.
        Err(_) => answer.map_err(|trouble| trouble.note(format!("{file} is still kept at this node")))?,
    };
    let masked = answer.header("x-hither-masked").map(plain);
    let training: Value = answer.parse()?;
    context.screen.answer(&training, |colour| {
        let said = |pointer: &str| text_at(&training, pointer);
        let verb = if training["hither"]["met"] == json!(true) { "was handed over before" } else { "is handed over" };
        let mut out = format!("{} {} {verb}: {} examples\n", colour.green("ok"), said("/id"), said("/hither/examples"));
        out.push_str(&lines(&training));
        if let Some(masked) = masked {
            out.push_str(&format!("  {:10} {masked}\n", "masked"));
        }
        out.push_str(&format!("  {} hither jobs show {}\n", colour.green("next:"), said("/id")));
        out
    });
    Ok(())
}

/// The trainings of whoever types, the newest first.
pub(super) fn list(context: &Context, client: &Client, limit: u16) -> Result<(), Trouble> {
    let found: Value = context.wait(client.get(&format!("/v1/fine_tuning/jobs?limit={limit}")))?;
    context.screen.answer(&found, |colour| {
        let all = found["data"].as_array().cloned().unwrap_or_default();
        if all.is_empty() {
            return "no trainings: hither jobs train FILE --model NAME hands one over\n".to_owned();
        }
        let row = |training: &Value| {
            let said = |pointer: &str| text_at(training, pointer);
            format!(
                "{}  {}  {:16}  {:12}  {}\n",
                said("/id"),
                status(&said("/status"), colour),
                said("/model"),
                said("/hither/endpoint"),
                said("/hither/training")
            )
        };
        all.iter().map(row).collect()
    });
    Ok(())
}

/// How far one is; or, with `cancel`, takes it back.
pub(super) fn one(context: &Context, client: &Client, id: TrainingId, cancel: bool) -> Result<(), Trouble> {
    let path = format!("/v1/fine_tuning/jobs/{id}");
    let training: Value = match cancel {
        true => context.wait(client.post(&format!("{path}/cancel"), &json!({})))?,
        false => context.wait(client.get(&path))?,
    };
    context.screen.answer(&training, |colour| {
        let said = |pointer: &str| text_at(&training, pointer);
        let state = status(&said("/status"), colour);
        format!("{} {}  {}\n{}", colour.bold("Training"), said("/id"), state.trim_end(), lines(&training))
    });
    Ok(())
}

fn status(word: &str, colour: Colour) -> String {
    let padded = format!("{word:16}");
    match word {
        "succeeded" => colour.green(&padded),
        "failed" | "cancelled" => colour.red(&padded),
        _ => padded,
    }
}

fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => plain(text),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => plain(&other.to_string()),
    }
}

/// What is known of a training, a fact a line.
fn lines(training: &Value) -> String {
    let facts = [
        ("status", "/status"),
        ("model", "/model"),
        ("endpoint", "/hither/endpoint"),
        ("there", "/hither/training"),
        ("its file", "/hither/file"),
        ("class", "/hither/class"),
        ("rule", "/hither/rule"),
        ("left", "/hither/bytes"),
        ("made", "/fine_tuned_model"),
        ("tokens", "/trained_tokens"),
        ("why", "/error/message"),
    ];
    let mut text = String::new();
    for (name, pointer) in facts {
        let said = text_at(training, pointer);
        let unit = if name == "left" { " bytes" } else { "" };
        if said != "-" {
            text.push_str(&format!("  {name:10} {said}{unit}\n"));
        }
    }
    let is_lost = text_at(training, "/hither/training") == "-";
    if let Some(whereabouts) = training.pointer("/hither/whereabouts").and_then(Value::as_str).filter(|_| is_lost) {
        text.push_str(&format!("  {:10} {}\n", "where", plain(whereabouts)));
    }
    text
}

/// A file as a form of several parts, and its type.
fn form(path: &Path) -> Result<(String, Bytes), Trouble> {
    let content = std::fs::read(path)
        .map_err(|error| Trouble::new("E0706", format!("cannot read {}: {error}", path.display())).exit(Exit::Usage))?;
    // No text has its own hash in it.
    let boundary = format!("hither-{}", blake3::hash(&content).to_hex());
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"training.jsonl\"\r\n\r\n"
    );
    let form = [head.as_bytes(), &content, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    Ok((format!("multipart/form-data; boundary={boundary}"), form.into()))
}
