//! The end of step 3: what a cloud may be given, by which rule, masked, for how much money, and not before others signed.

use hither_api::admin::{AddAppDto, AppKeyDto, ChangeDto, ViewDto};
use hither_types::spending::Money;
use hyper::Method;
use serde_json::{Value, json};

use super::law::is;
use super::show::Show;
use super::world::{CLOUD_MODEL, World};
use super::{ensure, failed};
use crate::client::Answer;
use crate::output::{Trouble, plain};

/// Whom the rule for the cloud names.
pub(super) const APP: &str = "website";

/// What it keeps of what it asked: a file in the folder of the demo.
pub(super) const ASKED: &str = "what-the-website-asked.json";

/// Plays it.
pub(super) async fn play(world: &World, show: &Show) -> Result<Value, Trouble> {
    let witness = signed(world, show).await?;
    let limits = ChangeDto { references: Some("internal".to_owned()), ..ChangeDto::default() };
    let add = AddAppDto { name: APP.to_owned(), limits };
    let AppKeyDto { key, .. } = world.jakarta.operator().post("/hither/v1/apps", &json!(add)).await?;
    let kept = ask(world, &key, "personal").await?;
    ensure(kept.status == 451, || format!("a cloud was asked with personal data: {}", kept.status))?;
    show.good(&format!("a model that only a cloud has, the same data: HTTP 451, {}", kept.trouble().message));

    let answered = ask(world, &key, "internal").await?;
    ensure(answered.status == 200, || format!("{}: {}", answered.status, answered.trouble().message))?;
    let said = |name: &str| answered.header(name).unwrap_or("?").to_owned();
    let (request, rule, masked) = (said("x-hither-request"), said("x-hither-rule"), said("x-hither-masked"));
    ensure(said("x-hither-served-by") == "cloud" && rule == "website-cloud", || {
        format!("served by {}, rule {rule}", said("x-hither-served-by"))
    })?;
    ensure(masked == "email=1", || format!("an address was not masked: {masked}"))?;
    let kinds = ["egress.filtered", "egress.intent", "egress.settled"];
    world.jakarta.wait_for_ledger("what the cloud was sent", &[], |ledger| ledger.count(kinds[2]) > 0).await?;
    let records = world.jakarta.records().await?;
    let of = |kind: &str| records.iter().find(|record| is(record, kind, &request));
    ensure(kinds.iter().all(|kind| of(kind).is_some()), || format!("a record of {request} is missing: {records:?}"))?;
    let bytes = of("egress.settled").and_then(|record| record["bytes_out"].as_u64()).unwrap_or(0);
    ensure(bytes > 0, || format!("the record of {request} says that nothing left"))?;
    show.good(&format!(
        "internal data of its website: the cloud answers, rule {rule}; {bytes} B left, on the record before they did, \
         masked: {masked}"
    ));

    let (spent, most) = spent(&world.jakarta.view().await?)?;
    let refused = ask(world, &key, "internal").await?;
    ensure(refused.status == 429, || format!("beyond its budget the cloud was asked: {}", refused.status))?;
    show.good(&format!("the next: HTTP 429, {} EUR of {} EUR a day are spent", Money(spent), Money(most)));
    show.note(&refused.trouble().message);
    Ok(json!({
        "witness": witness, "kept": kept.status, "rule": rule, "masked": masked, "bytes_left": bytes, "spent": spent, "over_budget": refused.status,
    }))
}

async fn ask(world: &World, key: &str, class: &str) -> Result<Answer, Trouble> {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("x-hither-class", class)];
    let body = json!({
        "model": CLOUD_MODEL, "max_tokens": 16,
        "messages": [{"role": "user", "content": "Write one line about our branch hours. Sign as siti@meridian.example."}],
    });
    let (bytes, file) = (body.to_string(), world.dir().join(ASKED));
    std::fs::write(&file, &bytes).map_err(|error| failed(format!("cannot write {}: {error}", file.display())))?;
    let path = "/v1/chat/completions";
    world.jakarta.app()?.send_bytes(Method::POST, path, &headers, "application/json", bytes.into()).await
}

/// Waits until another member has signed the ledger: jakarta's law lets nothing leave before.
async fn signed(world: &World, show: &Show) -> Result<String, Trouble> {
    let _asked: Value = world.jakarta.operator().post("/hither/v1/ledger/witness", &json!({})).await?;
    let ledger = world.jakarta.wait_for_ledger("a witness", &[], |ledger| !ledger.witnesses().is_empty()).await?;
    let node = *ledger.witnesses().first().ok_or_else(|| failed("a ledger without a witness"))?;
    let (site, jurisdiction) = world.who(node).await?;
    show.good(&format!(
        "jakarta's law lets nothing leave before another member has signed its ledger: {} ({jurisdiction}) has",
        plain(&site)
    ));
    Ok(site)
}

/// What the cloud has cost today, and what it may.
fn spent(view: &ViewDto) -> Result<(u64, u64), Trouble> {
    let server = view.spending.iter().flat_map(|spending| &spending.servers).find(|server| server.server == "cloud");
    let of = server.and_then(|server| Some((server.spent, server.spent_max?)));
    of.ok_or_else(|| failed("jakarta does not show what its cloud costs"))
}
