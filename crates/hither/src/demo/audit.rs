//! Step 6: what happened is on the record, both ends agree, and a changed record is found.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::show::Show;
use super::site::hither;
use super::world::World;
use super::{Figures, ensure, failed, figures};
use crate::output::{Trouble, plain};

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(6, "an auditor verifies the ledgers, lays them side by side, and meets a forgery");
    let mut records = serde_json::Map::new();
    for site in world.sites() {
        let dir = site.ledger();
        let (report, code) = hither(&["ledger", "verify"], &[&dir]).await?;
        ensure(code == Some(0), || format!("{}'s ledger does not verify: {report}", site.name()))?;
        show.good(&format!("{}: {}", site.name(), plain(report["summary"].as_str().unwrap_or("verified"))));
        records.insert(site.name().to_owned(), report["records"].clone());
    }
    let dirs: Vec<PathBuf> = world.sites().map(|site| site.ledger()).collect();
    let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let (agreed, code) = hither(&["ledger", "reconcile"], &paths).await?;
    ensure(code == Some(0), || format!("the ledgers do not agree: {agreed}"))?;
    show.good(&plain(agreed["summary"].as_str().unwrap_or("the ledgers agree")));
    let transfers = register(world, &paths, show).await?;
    let found = forge(world, show).await?;
    Ok(figures(json!({"records": records, "transfers": transfers, "reconciled": agreed, "forgery": found})))
}

/// What left a country, as somebody who has to sign reads it.
async fn register(world: &World, ledgers: &[&Path], show: &Show) -> Result<Value, Trouble> {
    let page = world.dir().join("transfers.html");
    let args = ["audit", "report", "--transfers"];
    let (report, code) = hither(&args, ledgers).await?;
    ensure(code == Some(0), || format!("no report can be made of the ledgers: {report}"))?;
    let rows = report["tables"]["transfers"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, column: &str| row[column].as_str().unwrap_or("?").to_owned();
    ensure(!rows.is_empty(), || "the register says that nothing left a country, and step 1 sent something".to_owned())?;
    for row in &rows {
        // What step 3 asked for must not be there, and everything that is has its rule.
        let kept = text(row, "from") != "ID" || ["public", "internal"].contains(&text(row, "class").as_str());
        ensure(kept && text(row, "rule") != "not known", || format!("this must not have left: {row}"))?;
    }
    let courses: std::collections::BTreeSet<String> = rows
        .iter()
        .map(|row| format!("{} to {} by {}", text(row, "from"), text(row, "to"), text(row, "rule")))
        .collect();
    let (_, code) = hither(&[&args[..], &["--out", &page.display().to_string()]].concat(), ledgers).await?;
    ensure(code == Some(0) && page.exists(), || format!("{} was not written", page.display()))?;
    let courses: Vec<String> = courses.into_iter().collect();
    show.good(&format!("the register of transfers, for who has to sign: {}", courses.join("; ")));
    Ok(json!(rows))
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
