//! `hither ledger find`: which records are about a text that somebody still has.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hither_ledger::{Record, VerifyError, read, reference};
use hither_node::references_to;
use hither_types::id::{AppName, Digest};
use serde_json::{Value, json};

use super::{record_text, trouble};
use crate::cli::{Context, parse};
use crate::output::{Exit, Trouble, plain};

/// What is looked for, and where.
#[derive(Debug, Args)]
pub(in crate::cli) struct FindArgs {
    /// The body of the request, byte for byte as it was sent, before it was compressed; - reads it from stdin.
    file: PathBuf,
    /// The app that sent it.
    #[arg(long, value_name = "NAME", value_parser = parse::app)]
    app: AppName,
    /// The ledger's directory; that of the node of this machine if absent.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// The key of the day, 64 hexadecimal digits, for whoever was given it; else those of the node of this machine are tried.
    #[arg(long, value_name = "HEX", value_parser = key)]
    key: Option<Key>,
}

/// A key, which nothing shows.
#[derive(Clone)]
struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }
}

fn key(text: &str) -> Result<Key, String> {
    Digest::parse(text).map(|digest| Key(digest.0)).map_err(|_| "a key is 64 hexadecimal digits".to_owned())
}

/// Does it.
pub(super) fn find(context: &Context, args: &FindArgs) -> Result<(), Trouble> {
    let FindArgs { file, app, ledger, key } = args;
    let body = body(file).map_err(|error| {
        Trouble::new("E0813", format!("{} cannot be read: {error}", file.display())).exit(Exit::Usage)
    })?;
    let dir = ledger.clone().map_or_else(|| context.data_dir().map(|data| data.join("ledger")), Ok)?;
    let wanted: Vec<Digest> = match key {
        Some(Key(key)) => vec![reference(key, &body)],
        None => wanted(&context.data_dir()?, app, &body)?.into_values().collect(),
    };
    let records: Result<Vec<Record>, VerifyError> = read(&dir).map_err(|error| trouble(&error))?.collect();
    let records = records.map_err(|error| trouble(&error))?;
    let is_meant = |record: &&Record| {
        record.app.as_ref() == Some(app) && record.reference.is_some_and(|found| wanted.contains(&found))
    };
    let found: Vec<&Record> = records.iter().filter(is_meant).collect();
    if found.is_empty() {
        return Err(nothing(&records, args));
    }
    // Each line is canonical JSON already, as the reader has checked.
    let lines: Vec<Value> =
        found.iter().map(|record| serde_json::from_str(&record.line).unwrap_or(Value::Null)).collect();
    let mut requests: Vec<String> =
        found.iter().filter_map(|record| record.request.map(|request| request.to_string())).collect();
    requests.dedup();
    context.screen.answer(&json!({"requests": requests, "records": lines}), |colour| {
        let about = format!("{} records of app {app} are about these {} bytes", found.len(), body.len());
        let mut text = format!("{} {about}\n", colour.green("ok"));
        found.iter().for_each(|record| text.push_str(&record_text(record)));
        text.push_str(&format!(
            "  the references show what was asked and when; that the records are whole: {}\n",
            plain(&format!("hither ledger verify {}", dir.display()))
        ));
        text
    });
    Ok(())
}

fn body(file: &Path) -> std::io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

/// By what the records of an app would refer to a body, for each day of which there is a key.
fn wanted(data: &Path, app: &AppName, body: &[u8]) -> Result<BTreeMap<hither_types::time::Day, Digest>, Trouble> {
    let wanted = references_to(data, app, body).map_err(|error| {
        Trouble::new(
            "E0814",
            format!("the keys of the references of app {app} in {} cannot be read: {error}", data.display()),
        )
    })?;
    if wanted.is_empty() {
        let text = format!("there is no key of references of app {app} in {}", data.display());
        return Err(Trouble::new("E0816", text)
            .note("they are destroyed when the records are old (`[retention]`), with the app, and by hither apps shred")
            .help(format!(
                "hither apps limit {app} --references CLASS     makes some from now on; --data DIR names another node"
            ))
            .exit(Exit::Failed));
    }
    Ok(wanted)
}

/// Why nothing was found, as far as the ledger tells.
fn nothing(records: &[Record], args: &FindArgs) -> Trouble {
    let of_app = records.iter().filter(|record| record.app.as_ref() == Some(&args.app) && record.reference.is_some());
    let count = of_app.count();
    let text = format!("no record of app {} is about these bytes: {count} records of it refer to others", args.app);
    Trouble::new("E0815", text)
        .note("a record is about the body byte for byte: another space or order of fields is another body")
        .note("requests over gRPC, and those of before the app had references, have none")
        .exit(Exit::Failed)
}
