//! `hither ledger find`: which records are about a text that somebody still has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hither_ledger::{Kind, Record, read};
use hither_node::{ReferenceKey, body_digest, reference, reference_folder, reference_keys};
use hither_types::id::{AppName, Digest, RequestId};
use hither_types::time::Day;
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
    /// A folder with keys of the app, such as 2026-11-30.key, for whoever was given some; those of the node of this machine if
    /// absent.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// The records of an app that refer to something, by what can be said of them.
#[derive(Default)]
struct Found {
    /// About the body.
    meant: Vec<Record>,
    /// About another, as their keys say: how many, by their days.
    others: BTreeMap<Day, u64>,
    /// Of days of which there is no key here, or of which it was destroyed when they were written.
    sealed: u64,
}

impl Found {
    fn take(&mut self, record: Record, keys: &BTreeMap<Day, ReferenceKey>, body: &Digest) {
        if record.kind == Kind::ReferenceDestroy {
            return self.sealed_until(record.day.as_deref().and_then(Day::parse));
        }
        let (Some(said), Some(request)) = (record.reference, record.request) else { return };
        let days = days_of(&record);
        let keys: Vec<&ReferenceKey> = days.iter().filter_map(|day| keys.get(day)).collect();
        if keys.iter().any(|key| reference(key, request, body) == said) {
            self.meant.push(record);
        } else if keys.is_empty() {
            self.sealed += 1;
        } else {
            *self.others.entry(days[0]).or_default() += 1;
        }
    }

    /// A key that is there now is not the one that records of these days were made with.
    fn sealed_until(&mut self, last: Option<Day>) {
        let Some(last) = last else { return };
        let later = self.others.split_off(&Day(last.0.saturating_add(1)));
        self.sealed += std::mem::replace(&mut self.others, later).into_values().sum::<u64>();
    }

    /// The requests, each once.
    fn requests(&self) -> Vec<String> {
        let mut seen = BTreeSet::<RequestId>::new();
        let new = self.meant.iter().filter_map(|record| record.request).filter(|request| seen.insert(*request));
        new.map(|request| request.to_string()).collect()
    }
}

/// The key is that of the day on which the request came, and the record may be of the next one.
fn days_of(record: &Record) -> Vec<Day> {
    let Some(day) = record.ts.get(..10).and_then(Day::parse) else { return Vec::new() };
    [Some(day), day.0.checked_sub(1).map(Day)].into_iter().flatten().collect()
}

/// Does it.
pub(super) fn find(context: &Context, args: &FindArgs) -> Result<(), Trouble> {
    let FindArgs { file, app, ledger, keys } = args;
    let body = body(file).map_err(|error| {
        Trouble::new("E0813", format!("{} cannot be read: {error}", file.display())).exit(Exit::Usage)
    })?;
    let dir = ledger.clone().map_or_else(|| context.data_dir().map(|data| data.join("ledger")), Ok)?;
    let folder = keys.clone().map_or_else(|| Ok(reference_folder(&context.data_dir()?, app)), Ok)?;
    let keys = reference_keys(&folder).map_err(|error| {
        Trouble::new("E0814", format!("the keys of references in {} cannot be read: {error}", folder.display()))
            .help("type it as the user of the node, or name a folder with keys: --keys DIR")
    })?;
    if keys.is_empty() {
        return Err(no_key(app, &folder));
    }
    let (mut found, digest) = (Found::default(), body_digest(&body));
    for record in read(&dir).map_err(|error| trouble(&error))? {
        let record = record.map_err(|error| trouble(&error))?;
        if record.app.as_ref() == Some(app) {
            found.take(record, &keys, &digest);
        }
    }
    if found.meant.is_empty() {
        return Err(nothing(&found, app));
    }
    // Each line is canonical JSON already, as the reader has checked.
    let lines = found.meant.iter().map(|record| serde_json::from_str(&record.line).unwrap_or(Value::Null));
    let object =
        json!({"requests": found.requests(), "records": lines.collect::<Vec<Value>>(), "sealed": found.sealed});
    context.screen.answer(&object, |colour| {
        let about = format!("{} records of app {app} are about these {} bytes", found.meant.len(), body.len());
        let mut text = format!("{} {about}\n", colour.green("ok"));
        found.meant.iter().for_each(|record| text.push_str(&record_text(record)));
        text.push_str(&sealed(found.sealed));
        text.push_str(&format!(
            "  whether the records are whole: {}\n",
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

fn sealed(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!("  {count} other records of the app are of days of which there is no key here\n"),
    }
}

fn no_key(app: &AppName, folder: &Path) -> Trouble {
    Trouble::new("E0816", format!("there is no key of references of app {app} in {}", folder.display()))
        .note(
            "they are destroyed when no period of [retention] covers their day, with the app, and by hither apps shred",
        )
        .help(format!(
            "hither apps limit {app} --references CLASS     makes some from now on; --data DIR names another node"
        ))
        .exit(Exit::Failed)
}

/// What can be said if nothing was found.
fn nothing(found: &Found, app: &AppName) -> Trouble {
    let (others, sealed) = (found.others.values().sum::<u64>(), found.sealed);
    let text =
        format!("of the records of app {app} none can be shown to be about these bytes: {others} are about others");
    let trouble = Trouble::new("E0815", text);
    let trouble = match sealed {
        0 => trouble,
        count => trouble
            .note(format!("of {count} it cannot be said: there is no key of their days here, or it was destroyed")),
    };
    trouble
        .note("a record is about the body byte for byte: another space or order of fields is another body")
        .note("of a job and of a line of a batch it is about the body in it; requests over gRPC and those of before the app had references have none")
        .exit(Exit::Failed)
}
