//! Step 6: what happened is on the record, both ends agree, and a changed record is found.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cloud::{APP, ASKED};
use super::show::{Show, cut};
use super::site::{Site, Verified, hither};
use super::world::World;
use super::{Figures, ensure, failed, figures};
use crate::output::{Trouble, plain};

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(6, "an auditor verifies the ledgers, lays them side by side, and meets a forgery");
    let (mut records, mut witnesses) = (serde_json::Map::new(), serde_json::Map::new());
    for site in world.sites() {
        let (ledger, signed) = witnessed(world, site).await?;
        show.good(&format!("{}: {}; signed by {} too", site.name(), ledger.summary(), signed.join(", ")));
        records.insert(site.name().to_owned(), json!(ledger.records()));
        witnesses.insert(site.name().to_owned(), json!(signed));
    }
    let dirs: Vec<PathBuf> = world.sites().map(|site| site.ledger()).collect();
    let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let (agreed, code) = hither(&["ledger", "reconcile"], &paths).await?;
    ensure(code == Some(0), || format!("the ledgers do not agree: {agreed}"))?;
    show.good(&plain(agreed["summary"].as_str().unwrap_or("the ledgers agree")));
    let transfers = register(world, &paths, show).await?;
    let report = reports(world, &paths, show).await?;
    let referred = referred(world, show).await?;
    let copied = copied(world, show).await?;
    let found = forge(world, show).await?;
    Ok(figures(json!({
        "records": records, "witnesses": witnesses, "transfers": transfers, "reconciled": agreed, "report": report,
        "referred": referred, "copied": copied, "forgery": found,
    })))
}

/// Verifies a ledger with the keys that another member knows, not with those that lie beside it; and who else signed it, at
/// least one of another country.
async fn witnessed(world: &World, site: &Site) -> Result<(Verified, Vec<String>), Trouble> {
    let others = world.sites().find(|other| other.name() != site.name()).ok_or_else(|| failed("one site alone"))?;
    let view = others.view().await?;
    let key = |wanted: &str| view.nodes.iter().find(|node| node.member.site == wanted).map(|node| &*node.member.node);
    let own = key(site.name()).ok_or_else(|| failed(format!("{} does not know {}", others.name(), site.name())))?;
    let mut args = vec!["--node", own];
    // Who lies about a ledger would bring witnesses of his own: only those that the mesh knows count.
    for other in world.sites().filter(|other| other.name() != site.name()) {
        args.extend(key(other.name()).into_iter().flat_map(|key| ["--witness", key]));
    }
    let _asked: Value = site.operator().post("/hither/v1/ledger/witness", &json!({})).await?;
    site.wait_for_ledger("a witness", &args[..2], |ledger| !ledger.witnesses().is_empty()).await?;
    let ledger =
        site.wait_for_ledger("a witness that is known", &args, |ledger| !ledger.witnesses().is_empty()).await?;
    let mut signed = Vec::new();
    for node in ledger.witnesses() {
        let (name, jurisdiction) = world.who(node).await?;
        ensure(jurisdiction != site.jurisdiction(), || format!("{name} stands in the country of {}", site.name()))?;
        signed.push(format!("{} ({})", plain(&name), plain(&jurisdiction)));
    }
    Ok((ledger, signed))
}

/// The report in words, the record of processing and a sample, for people who were not there.
async fn reports(world: &World, ledgers: &[&Path], show: &Show) -> Result<Value, Trouble> {
    let (report, code) = hither(&["audit", "report", "--sample", "3", "--seed", "1"], ledgers).await?;
    ensure(code == Some(0), || format!("no report can be made of the ledgers: {report}"))?;
    let words = plain(report["lead"][0].as_str().unwrap_or_default());
    ensure(words.starts_with("In short"), || format!("the report does not say what it comes to: {report}"))?;
    show.good(&format!("the report, for people who were not there: {}", cut(&words, 400)));
    let rows = report["tables"]["sample"].as_array().cloned().unwrap_or_default();
    let drawn: BTreeSet<&str> = rows.iter().filter_map(|row| row["request"].as_str()).collect();
    ensure(drawn.len() == 3, || format!("3 requests were to be drawn, and {} were", drawn.len()))?;
    show.good(&format!("3 requests that nobody chose, for whoever looks closer: {} records about them", rows.len()));
    for (args, file) in [(&["--sample", "3"][..], "report.html"), (&["--gdpr-art30"], "record-of-processing.html")] {
        let page = world.dir().join(file);
        let out = page.display().to_string();
        let (_, code) = hither(&[&["audit", "report", "--out", &out], args].concat(), ledgers).await?;
        ensure(code == Some(0) && page.exists(), || format!("{} was not written", page.display()))?;
    }
    Ok(json!({"words": words, "drawn": drawn, "rows": rows.len()}))
}

/// What left a country, as somebody who has to sign reads it.
async fn register(world: &World, ledgers: &[&Path], show: &Show) -> Result<Value, Trouble> {
    let page = world.dir().join("transfers.html");
    let args = ["audit", "report", "--transfers"];
    let (report, code) = hither(&args, ledgers).await?;
    ensure(code == Some(0), || format!("no report can be made of the ledgers: {report}"))?;
    let rows = report["tables"]["transfers"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, column: &str| row[column].as_str().unwrap_or("?").to_owned();
    ensure(!rows.is_empty(), || "the register says that nothing left a country, and step 2 sent something".to_owned())?;
    for row in &rows {
        // What step 3 asked for must not be there, and everything that is has its rule.
        let kept = text(row, "from") != "ID" || ["public", "internal"].contains(&text(row, "class").as_str());
        ensure(kept && text(row, "rule") != "not known", || format!("this must not have left: {row}"))?;
    }
    let courses: BTreeSet<String> = rows
        .iter()
        .map(|row| format!("{} to {} by {}", text(row, "from"), text(row, "to"), text(row, "rule")))
        .collect();
    let (_, code) = hither(&[&args[..], &["--out", &page.display().to_string()]].concat(), ledgers).await?;
    ensure(code == Some(0) && page.exists(), || format!("{} was not written", page.display()))?;
    let courses: Vec<String> = courses.into_iter().collect();
    show.good(&format!("the register of transfers, for who has to sign: {}", courses.join("; ")));
    let first = report["tables"]["first"].as_array().cloned().unwrap_or_default();
    ensure(!first.is_empty(), || "the register does not say when data first left a country".to_owned())?;
    let begun: Vec<String> = first.iter().map(|row| format!("{} to {}", text(row, "from"), text(row, "to"))).collect();
    show.note(&format!("first transfers, from which some laws count: {}", begun.join("; ")));
    Ok(json!({"courses": courses, "first": begun}))
}

/// The website still has what it asked, and shows what became of it; another text is on no record.
async fn referred(world: &World, show: &Show) -> Result<Value, Trouble> {
    let (data, asked) = (world.jakarta.dir().display().to_string(), world.dir().join(ASKED));
    let find = ["--data", &data, "ledger", "find", "--app", APP];
    let (found, code) = hither(&find, &[&asked]).await?;
    let records = found["records"].as_array().cloned().unwrap_or_default();
    let about = records.len();
    let left = records.iter().find(|record| record["kind"] == "egress.intent");
    let left =
        left.filter(|_| code == Some(0)).ok_or_else(|| failed(format!("what {APP} asked is not found: {found}")))?;
    let (place, rule) = (&left["place"], plain(left["rule"].as_str().unwrap_or("?")));
    let word = |field: &Value| plain(field.as_str().unwrap_or("?"));
    show.good(&format!(
        "the {APP} still has what it asked: its record says that it left for {} ({}) by rule {rule}",
        word(&place["site"]),
        word(&place["jur"])
    ));
    let other = world.dir().join("what-it-did-not-ask.json");
    let broken = |error: std::io::Error| failed(format!("cannot write {}: {error}", other.display()));
    let text = std::fs::read_to_string(&asked).map_err(broken)?.replace("branch hours", "branch tours");
    std::fs::write(&other, text).map_err(broken)?;
    let (none, code) = hither(&find, &[&other]).await?;
    ensure(code == Some(1) && none["error"]["code"] == "E0815", || {
        format!("what nobody asked is on a record: {none}")
    })?;
    let records = world.jakarta.records().await?;
    ensure(!records.is_empty() && !records.iter().any(|record| record.to_string().contains("branch hours")), || {
        "a record has a word of what was asked".to_owned()
    })?;
    show.good("with one letter changed it is on no record; and no record has a word of it");
    Ok(json!({"request": left["req"], "records": about, "other": none["error"]["code"]}))
}

/// A copy of paris' ledger: for an auditor whom a rule lets have it, and for nobody else.
async fn copied(world: &World, show: &Show) -> Result<Value, Trouble> {
    let (data, to) = (world.paris.dir().display().to_string(), world.dir().join("for-the-auditor"));
    let to = to.display().to_string();
    let export = |country| ["--data", &data, "audit", "export", "--to", &to, "--for", country];
    let (denied, code) = hither(&export("US"), &[]).await?;
    ensure(code == Some(1) && denied["error"]["code"] == "E0820", || format!("paris' ledger went to US: {denied}"))?;
    show.good(&format!("for an auditor in US: {}", plain(denied["error"]["message"].as_str().unwrap_or_default())));
    let (given, code) = hither(&export("DE"), &[]).await?;
    let recorded = given["ledgers"][0]["recorded"] == true;
    ensure(code == Some(0) && recorded, || format!("an auditor in DE gets no copy that is on the record: {given}"))?;
    show.good("one in DE gets a copy of paris' ledger, by rule auditors, and the ledger says so");
    Ok(json!({"denied": denied["error"]["code"], "rules": given["rules"]}))
}

/// Flips one bit in a copy of paris' ledger, and lets the verifier look at it.
async fn forge(world: &World, show: &Show) -> Result<Value, Trouble> {
    let copy = world.dir().join("forged-ledger");
    let broken = |error: std::io::Error| failed(format!("cannot copy paris' ledger: {error}"));
    std::fs::create_dir(&copy).map_err(broken)?;
    let mut files = Vec::new();
    // The checkpoint before the records that it covers: the node goes on writing meanwhile.
    let mut names = vec![OsString::from("checkpoint"), OsString::from("node.vkey")];
    for entry in std::fs::read_dir(world.paris.ledger()).map_err(broken)? {
        // One segment, or two if it was midnight.
        names.extend(
            Some(entry.map_err(broken)?.file_name())
                .filter(|name| Path::new(name).extension() == Some("jsonl".as_ref())),
        );
    }
    for name in names {
        let to = copy.join(&name);
        let size = std::fs::copy(world.paris.ledger().join(&name), &to).map_err(broken)?;
        files.push((size, to));
    }
    let (verified, code) = hither(&["ledger", "verify"], &[&copy]).await?;
    ensure(code == Some(0), || format!("the copy itself does not verify: {verified}"))?;
    // The records are the largest file.
    let (_, path) = files.into_iter().max().ok_or_else(|| failed("paris' ledger has no files"))?;
    let mut bytes = std::fs::read(&path).map_err(broken)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 0x01;
    std::fs::write(&path, &bytes).map_err(broken)?;
    let (found, code) = hither(&["ledger", "verify"], &[&copy]).await?;
    let message = plain(found["error"]["message"].as_str().unwrap_or_default());
    ensure(code == Some(1) && !message.is_empty(), || format!("a flipped bit was not found: {found}"))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    show.good(&format!("one bit flipped in a copy ({file}, byte {at} of {}): found", bytes.len()));
    show.note(&message);
    Ok(json!({"file": file, "byte": at, "message": message}))
}
