//! `hither explain`: why a request went where it went.

use clap::Args;
use hither_api::admin::ExplanationDto;
use hither_types::id::RequestId;
use serde_json::json;

use super::{Context, parse};
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// What `explain` is told.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The request, as the header x-hither-request gave it.
    #[arg(value_name = "REQUEST", value_parser = parse::request)]
    request: RequestId,
}

/// Shows it.
pub(super) fn explain(context: &Context, args: &ExplainArgs) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let path = format!("/hither/v1/requests/{}", args.request);
    let explanation: ExplanationDto = context.wait(client.get(&path))?;
    context.screen.answer(&json!(explanation), |colour| text(&explanation, colour));
    Ok(())
}

/// The explanation for a person.
pub(crate) fn text(explanation: &ExplanationDto, colour: Colour) -> String {
    let request = &explanation.request;
    let took = request.took_us.map_or_else(String::new, |us| format!("   {:.1} ms", us as f64 / 1000.0));
    let mut text = format!(
        "{} {}   {} · {} · {}{took}\n",
        colour.bold("Request"),
        request.request,
        plain(&request.app),
        plain(&request.model),
        plain(&request.class),
    );
    if !explanation.label.is_empty() {
        text.push_str(&format!("  {}\n", plain(&explanation.label)));
    }
    for step in &explanation.steps {
        text.push_str(&format!("  {:>10.1} ms  {}\n", step.after_us as f64 / 1000.0, plain(&step.text)));
        for what_if in &step.what_ifs {
            text.push_str(&format!("                 {}\n", plain(&what_if.text)));
        }
    }
    text
}
