//! Step 3: what the law forbids does not happen, and it says why.

use std::path::Path;

use hither_api::admin::ExplanationDto;
use hyper::Method;
use serde_json::{Value, json};

use super::show::Show;
use super::site::hither;
use super::world::World;
use super::{Figures, LANGUAGE_MODEL, cloud, ensure, figures};
use crate::output::{Trouble, plain};

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(3, "jakarta asks the same model, with personal data of people in Indonesia");
    let headers = [("x-hither-class", "personal"), ("x-hither-subjects", "ID")];
    let body = json!({
        "model": LANGUAGE_MODEL, "max_tokens": 16,
        "messages": [{"role": "user", "content": "Summarise the complaint of our customer Siti."}],
    });
    let (request, mut found) = refused(world, show, &headers, &body).await?;
    let what_if = what_if(world, &request).await?;
    show.good(&format!("what would change that, each put to the law: {what_if}"));
    let policy = world.jakarta.dir().join("policy.toml");
    let claim = "personal,special,secret from ID never leaves ID";
    let (proof, code) = hither(&["policy", "prove"], &[&policy, Path::new(claim)]).await?;
    ensure(code == Some(0), || format!("jakarta's policy does not keep what it should: {proof}"))?;
    let cases = proof["claims"][0]["cases"].as_u64().unwrap_or(0);
    ensure(cases > 0, || format!("nothing was asked to prove it: {proof}"))?;
    show.good(&format!("nor can it ever: \u{201c}{claim}\u{201d} holds in all {cases} kinds of cases of its policy"));
    found["what_if"] = json!(what_if);
    found["proved"] = proof["claims"].clone();
    found["tests"] = json!(tested(&policy, show).await?);
    found["cloud"] = cloud::play(world, show).await?;
    Ok(figures(found))
}

/// Asks, and is refused: by which rule, with how near a miss, and with nothing of it gone. The id of the request, and figures.
async fn refused(
    world: &World,
    show: &Show,
    headers: &[(&str, &str)],
    body: &Value,
) -> Result<(String, Value), Trouble> {
    let before = world.jakarta.view().await?.totals;
    let answer = world.jakarta.app()?.call(Method::POST, "/v1/chat/completions", headers, Some(body)).await?;
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
    let request = answer.header("x-hither-request").unwrap_or_default().to_owned();
    let ledger = world.jakarta.wait_for_ledger("the refusal", &[], |ledger| ledger.count("request.end") > 0).await?;
    let egress = ledger.egress();
    // A node asks its law about a request of its own now and then, so that there may be more denials than this.
    let denied = world.jakarta.records().await?.iter().filter(|record| is(record, "deny", &request)).count();
    ensure(left == 0 && egress == 0, || format!("{left} bytes left jakarta, {egress} egress records"))?;
    ensure(denied == 1, || format!("jakarta's ledger has {denied} denials of {request}, not 1"))?;
    show.good("0 bytes of it left: by jakarta's totals, and by its ledger, which has the refusal and no egress");
    let found = json!({
        "status": answer.status, "code": problem["code"], "rule": rule, "nearest": problem["nearest"],
        "bytes_left": left, "egress_records": egress, "deny_records": denied,
    });
    Ok((request, found))
}

/// Whether a record is of a kind, and about a request.
pub(super) fn is(record: &Value, kind: &str, request: &str) -> bool {
    record["kind"] == kind && record["req"] == request
}

/// The first single change that the law would have permitted.
async fn what_if(world: &World, request: &str) -> Result<String, Trouble> {
    let explanation: ExplanationDto = world.jakarta.operator().get(&format!("/hither/v1/requests/{request}")).await?;
    let all = explanation.steps.iter().flat_map(|step| &step.what_ifs);
    let found = all.map(|what_if| plain(&what_if.text)).next();
    found.ok_or_else(|| super::failed(format!("nothing would change the refusal of {request}")))
}

/// Runs the policy's own cases, of which two are about a day to come on which its group of countries changes.
async fn tested(policy: &Path, show: &Show) -> Result<u64, Trouble> {
    let (tested, code) = hither(&["policy", "test"], &[policy]).await?;
    ensure(code == Some(0), || format!("jakarta's policy does not hold its own cases: {tested}"))?;
    let tests = tested["tests"].as_u64().unwrap_or(0);
    ensure(tests > 0, || format!("jakarta's policy has no case: {tested}"))?;
    let (checked, code) = hither(&["policy", "check"], &[policy]).await?;
    ensure(code == Some(0), || format!("jakarta's policy does not pass: {checked}"))?;
    show.good(&format!(
        "its {tests} cases hold, those of the day too on which FR leaves the bank's own list of countries"
    ));
    Ok(tests)
}
