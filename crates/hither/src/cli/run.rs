//! `hither run`: one question to a model, and where it was answered.

use std::path::PathBuf;

use clap::Args;
use hither_api::admin::{IoDto, ViewDto};
use hither_types::id::ModelName;
use hyper::Method;
use serde_json::{Value, json};

use super::{Context, parse};
use crate::client::sse::SseEvent;
use crate::client::{Client, Stream, trouble_of};
use crate::output::{Colour, Exit, Trouble, line, plain, raw};

mod tensors;

pub(crate) use tensors::Table;

/// What `run` is told.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The model.
    #[arg(value_parser = parse::model)]
    model: ModelName,
    /// What to say to a language model; read from stdin if absent.
    prompt: Option<String>,
    /// An input of a tensor model; several may be given.
    #[arg(long, value_name = "NAME=1,2,3", conflicts_with = "rows")]
    input: Vec<String>,
    /// Rows for a tensor model: CSV with a header; a last column `label` is compared with the answer.
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// The class of the data: public, internal, personal, special or secret.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Whom the data concern: jurisdictions, separated by commas.
    #[arg(long, value_name = "CODES")]
    subjects: Option<String>,
    /// At most so many tokens.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// 0 always takes the likeliest token.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
}

impl RunArgs {
    fn headers(&self) -> Vec<(&str, &str)> {
        let class = self.class.as_deref().map(|class| ("x-hither-class", class));
        let subjects = self.subjects.as_deref().map(|subjects| ("x-hither-subjects", subjects));
        class.into_iter().chain(subjects).collect()
    }
}

/// Asks.
pub(super) fn run(context: &Context, args: RunArgs) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    context.wait(async {
        let view: ViewDto = client.get("/hither/v1/view").await?;
        let io = view.models.iter().find(|model| model.name == args.model.as_str()).map(|model| model.io.clone());
        match io {
            Some(IoDto::Tensors { inputs, .. }) => {
                if args.prompt.is_some() {
                    return Err(Trouble::new("E0151", format!("{} takes tensors, not a prompt", args.model))
                        .help(format!("hither run {} --input {}", args.model, tensors::example(&inputs)))
                        .exit(Exit::Usage));
                }
                infer(context, &client, &args, &inputs).await
            }
            // A model that nobody has is refused by the node, in its words.
            Some(IoDto::Language { .. }) | None => {
                if !args.input.is_empty() || args.rows.is_some() {
                    return Err(Trouble::new("E0152", format!("{} does not take tensors", args.model))
                        .help(format!("hither run {} \"What is a node?\"", args.model))
                        .exit(Exit::Usage));
                }
                chat(context, &client, &args).await
            }
        }
    })
}

async fn infer(
    context: &Context,
    client: &Client,
    args: &RunArgs,
    inputs: &[hither_api::admin::TensorDto],
) -> Result<(), Trouble> {
    let (body, labels) = match &args.rows {
        Some(file) => tensors::from_rows(file, inputs)?,
        None if args.input.is_empty() => {
            return Err(Trouble::new("E0153", format!("{} needs its input", args.model))
                .help(format!("hither run {} --input {}", args.model, tensors::example(inputs)))
                .help(format!("hither run {} --rows FILE.csv", args.model))
                .exit(Exit::Usage));
        }
        None => (tensors::from_text(&args.input, inputs)?, Vec::new()),
    };
    let path = format!("/v2/models/{}/infer", args.model.as_str().replace('/', "%2F"));
    let answer = client.call(Method::POST, &path, &args.headers(), Some(&body)).await?.into_result()?;
    let route = Route::of(|name| answer.header(name).map(str::to_owned));
    let outputs = answer.value()["outputs"].clone();
    let right = tensors::count_right(&outputs, &labels);
    let mut object = json!({"outputs": outputs, "route": route.json()});
    if let Some(right) = right {
        object["labels"] = json!({"rows": labels.len(), "right": right});
    }
    context.screen.answer(&object, |colour| {
        let mut text = tensors::text(&object["outputs"]);
        if let Some(right) = right {
            text.push_str(&format!(
                "{right} of {} labels as in the file ({:.2} %)\n",
                labels.len(),
                right as f64 * 100.0 / labels.len() as f64
            ));
        }
        text.push_str(&format!("{}\n", colour.faint(&route.text(None))));
        text
    });
    Ok(())
}

async fn chat(context: &Context, client: &Client, args: &RunArgs) -> Result<(), Trouble> {
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => std::io::read_to_string(std::io::stdin())
            .map_err(|error| Trouble::new("E0154", format!("cannot read the prompt from stdin: {error}")))?,
    };
    let mut body = json!({
        "model": args.model.as_str(), "stream": true, "messages": [{"role": "user", "content": prompt.trim_end()}],
    });
    if let Some(count) = args.max_tokens {
        body["max_tokens"] = json!(count);
    }
    if let Some(temperature) = args.temperature {
        body["temperature"] = json!(temperature);
    }
    let stream = client.stream(Method::POST, "/v1/chat/completions", &args.headers(), Some(&body)).await?;
    if stream.status != 200 {
        return Err(stream.trouble().await);
    }
    let route = Route::of(|name| stream.header(name).map(str::to_owned));
    let (text, end) = print_stream(context, stream).await?;
    if context.screen.is_json() {
        line(&json!({"text": text, "route": route.json(), "end": end}).to_string());
    } else {
        line("");
        line(&Colour::of_stdout().faint(&route.text(Some(&end))));
    }
    Ok(())
}

/// Prints a chat as it comes; gives the text and what the node said at the end.
async fn print_stream(context: &Context, mut stream: Stream) -> Result<(String, Value), Trouble> {
    let mut text = String::new();
    let mut end = Value::Null;
    while let Some(event) = stream.events.next().await? {
        match event {
            SseEvent::Comment(comment) => {
                if let Some(json) = comment.strip_prefix("hither ") {
                    end = serde_json::from_str(json).unwrap_or(Value::Null);
                }
            }
            SseEvent::Data { text: data, .. } if data == "[DONE]" => return Ok((text, end)),
            SseEvent::Data { text: data, .. } => {
                let chunk: Value = serde_json::from_str(&data).unwrap_or(Value::Null);
                if chunk["error"].is_object() {
                    return Err(trouble_of(500, data.as_bytes()));
                }
                if let Some(delta) = chunk["choices"][0]["delta"]["content"].as_str() {
                    text.push_str(delta);
                    if !context.screen.is_json() {
                        raw(&plain(delta));
                    }
                }
            }
        }
    }
    Err(Trouble::new("E0705", "the answer broke off before its end").help("hither status").exit(Exit::Unreachable))
}

/// Where a request was answered, by the headers of the answer.
struct Route {
    request: Option<String>,
    served_by: Option<String>,
    jurisdiction: Option<String>,
    rule: Option<String>,
}

impl Route {
    fn of(header: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            request: header("x-hither-request"),
            served_by: header("x-hither-served-by"),
            jurisdiction: header("x-hither-jurisdiction"),
            rule: header("x-hither-rule"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "request": self.request, "served_by": self.served_by, "jurisdiction": self.jurisdiction, "rule": self.rule,
        })
    }

    fn text(&self, end: Option<&Value>) -> String {
        let or = |text: &Option<String>| plain(text.as_deref().unwrap_or("?"));
        let moved = end
            .and_then(|end| end["migrations"].as_u64())
            .filter(|count| *count > 0)
            .map_or_else(String::new, |count| format!(" · moved {count}×"));
        format!(
            "served by {} ({}), rule {}{moved} · why: hither explain {}",
            or(&self.served_by),
            or(&self.jurisdiction),
            or(&self.rule),
            or(&self.request)
        )
    }
}
