//! Step 3: what the law forbids does not happen, and it says why.

use std::path::Path;

use hyper::Method;
use serde_json::json;

use super::show::Show;
use super::site::hither;
use super::world::World;
use super::{Figures, LANGUAGE_MODEL, ensure, figures};
use crate::output::{Trouble, plain};

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(3, "jakarta asks the same model, with personal data of people in Indonesia");
    let headers = [("x-hither-class", "personal"), ("x-hither-subjects", "ID")];
    let body = json!({
        "model": LANGUAGE_MODEL, "max_tokens": 16,
        "messages": [{"role": "user", "content": "Summarise the complaint of our customer Siti."}],
    });
    let before = world.jakarta.view().await?.totals;
    let client = world.jakarta.app()?;
    let answer = client.call(Method::POST, "/v1/chat/completions", &headers, Some(&body)).await?;
    let trouble = answer.trouble();
    let value = answer.value();
    let problem = if value["error"].is_object() { &value["error"] } else { &value };
    let rule = plain(problem["rule"].as_str().unwrap_or("?"));
    show.good(&format!("HTTP {}: {}", answer.status, trouble.message));
    trouble.notes.iter().for_each(|note| show.note(note));
    trouble.help.iter().for_each(|help| show.note(&format!("{} {help}", show.colour().green("help:"))));
    ensure(answer.status == 451, || format!("jakarta answered {}, not 451", answer.status))?;
    ensure(rule == "id-bank", || format!("the refusal names rule {rule}, not id-bank"))?;
    ensure(!problem["nearest"].as_array().is_none_or(Vec::is_empty), || "the refusal names no near miss".to_owned())?;
    ensure(!trouble.help.is_empty(), || "the refusal does not say what to type next".to_owned())?;
    let after = world.jakarta.view().await?.totals;
    let left = (after.egress_requests - before.egress_requests) + (after.egress_answers - before.egress_answers);
    let kinds = world.jakarta.wait_for_ledger("the refusal", |kinds| kinds.count("deny") > 0).await?;
    let (egress, denied) = (kinds.egress(), kinds.count("deny"));
    ensure(left == 0 && egress == 0, || format!("{left} bytes left jakarta, {egress} egress records"))?;
    ensure(denied == 1, || format!("jakarta's ledger has {denied} denials, not 1"))?;
    show.good("0 bytes of it left: by jakarta's totals, and by its ledger, which has the refusal and no egress");
    let policy = world.jakarta.dir().join("policy.toml");
    let claim = "personal,special,secret from ID never leaves ID";
    let (proof, code) = hither(&["policy", "prove"], &[&policy, Path::new(claim)]).await?;
    ensure(code == Some(0), || format!("jakarta's policy does not keep what it should: {proof}"))?;
    let cases = proof["claims"][0]["cases"].as_u64().unwrap_or(0);
    ensure(cases > 0, || format!("nothing was asked to prove it: {proof}"))?;
    show.good(&format!("nor can it ever: \u{201c}{claim}\u{201d} holds in all {cases} kinds of cases of its policy"));
    Ok(figures(json!({
        "proved": proof["claims"], "status": answer.status, "code": problem["code"], "rule": rule, "nearest": problem["nearest"],
        "bytes_left": left, "egress_records": egress, "deny_records": denied,
    })))
}
