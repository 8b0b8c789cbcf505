//! Where a text came from and what it took, as it stands at the end of an answer that was told as it came.

use serde::Serialize;

use crate::chorus::{Chorus, Voice};
use crate::respond::{joules, quality, write};

/// What is known at the end.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Tail"))]
pub(crate) struct Tail {
    request: String,
    served_by: Option<String>,
    jurisdiction: Option<String>,
    rule: Option<String>,
    model: String,
    digest: Option<String>,
    quality: &'static str,
    attempts: u8,
    migrations: u8,
    egress_bytes: u64,
    queue_us: u64,
    prefill_us: u64,
    decode_us: u64,
    prompt_tokens: u32,
    output_tokens: usize,
    joules: f64,
    /// Tokens of the prompt that were left out, because the request allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<u32>,
}

impl Tail {
    /// That of one text, once it is over.
    pub(crate) fn of(voice: &Voice) -> Option<Self> {
        let Voice { serving, summary, delivered, account, .. } = voice;
        let summary = summary.as_ref()?;
        let route = serving.route.as_ref();
        let model = serving.model();
        Some(Self {
            request: serving.request.to_string(),
            served_by: route.map(|route| route.served_by.site.to_string()),
            jurisdiction: route.map(|route| route.served_by.jurisdiction.to_string()),
            rule: route.map(|route| route.rule.to_string()),
            model: model.name.to_string(),
            digest: model.digest.map(|digest| digest.to_string()),
            quality: quality(serving.quality()),
            attempts: summary.attempts,
            migrations: summary.migrations,
            egress_bytes: summary.egress.0,
            queue_us: summary.cost.queued.0,
            prefill_us: summary.cost.prefill.0,
            decode_us: summary.cost.decode.0,
            prompt_tokens: summary.cost.prompt_tokens,
            output_tokens: *delivered,
            joules: joules(summary),
            truncated: Some(account.dropped_tokens).filter(|tokens| *tokens > 0),
        })
    }
}

/// One for each text, as comments of server-sent events, which clients read past.
pub(crate) fn comments(chorus: &Chorus) -> String {
    let tails = chorus.voices().iter().filter_map(Tail::of);
    tails.map(|tail| format!(": hither {}\n\n", write(&tail))).collect()
}
