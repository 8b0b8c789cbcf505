//! A node of its own with one model, as an application meets it: over HTTP, through the mind, to a worker.

use std::path::Path;
use std::time::Duration;

use hither_api::admin::{AddModelDto, StageDto};
use serde_json::{Value, json};

use super::http::Http;
use super::usage::Tree;
use super::{EngineArgs, Kind};
use crate::demo::failed;
use crate::demo::site::{Site, hither};
use crate::demo::world::{Removed, new_dir};
use crate::output::Trouble;

/// What the model is called.
const MODEL: &str = "model";

/// A model is copied, hashed, opened and tried; a busy machine and a large file take long.
const SETTLE_MAX: Duration = Duration::from_secs(300);

/// The node, gone when this goes.
pub(super) struct Node {
    site: Site,
    // The last field, so that the directory goes when no process uses it any more.
    _dir: Removed,
}

impl Node {
    /// Starts it and waits until its model is ready.
    pub(super) async fn bring_up(args: &EngineArgs, model: &Path, library: Option<&Path>) -> Result<Self, Trouble> {
        let dir = Removed::make(new_dir("bench"))?;
        let mut node = Self { site: Site::make(&dir.dir, "bench", "DE")?, _dir: dir };
        let words = ["init", "--site", "bench", "--jurisdiction", "DE", "--operator", "bench", "--data"];
        let (made, code) = hither(&words, &[node.site.dir()]).await?;
        if code != Some(0) {
            return Err(failed(format!("hither init failed: {made}")));
        }
        node.site.write("hither.toml", &config(args, library))?;
        node.site.start().await?;
        let body = json!(AddModelDto {
            path: model.display().to_string(),
            name: MODEL.to_owned(),
            licence: "Apache-2.0 OR MIT".to_owned(),
            ..AddModelDto::default()
        });
        let _model: Value = node.site.operator().post("/hither/v1/models", &body).await?;
        let ready = node
            .site
            .wait_for("its model as ready", SETTLE_MAX, |view| {
                let mut held = view.nodes.iter().flat_map(|node| &node.models);
                held.any(|held| held.stage == StageDto::Ready)
            })
            .await;
        match ready {
            Ok(_) => Ok(node),
            Err(trouble) => Err(trouble.note(format!("its log ends: {}", node.site.log_tail()))),
        }
    }

    /// Where its model is asked.
    pub(super) fn http(&self, kind: Kind) -> Result<Http, Trouble> {
        let path = match kind {
            Kind::Onnx => format!("v2/models/{MODEL}/infer"),
            Kind::Gguf => "v1/completions".to_owned(),
        };
        let process = self.site.process().ok_or_else(|| failed("the node ended"))?;
        Http::at(&format!("http://{}/{path}", self.site.api()?), MODEL, Some(Tree::of(process)?))
    }

    /// What the model takes.
    pub(super) async fn metadata(&self) -> Result<Value, Trouble> {
        self.site.app()?.get(&format!("/v2/models/{MODEL}")).await
    }
}

fn config(args: &EngineArgs, library: Option<&Path>) -> String {
    let library = library.map(|path| format!("library = {}\n", toml::Value::from(path.display().to_string())));
    // What waits already goes together; nothing waits for more.
    let batch = match args.max_batch {
        0 | 1 => String::new(),
        rows => format!("\n[model.{MODEL}]\nmax_batch = {rows}\nmax_delay_ms = 0\n"),
    };
    format!(
        "# Written by hither bench.\n[api]\nlisten = \"127.0.0.1:0\"\n\n[mesh]\nlisten = \"127.0.0.1:0\"\n\n\
         [models]\npull = \"manual\"\nthreads = {}\ncontext_tokens = {}\nslots = {}\n{}{batch}",
        args.threads,
        args.context_tokens,
        args.slots,
        library.unwrap_or_default(),
    )
}
