//! `hither ledger find`: which records are about a text that somebody still has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hither_ledger::{Kind, Record, read};
use hither_node::{ReferenceKey, body_digest, reference, reference_folder, reference_keys};
use hither_types::id::{AppName, Digest, RequestId};
use hither_types::time::{Day, WallTime};
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
    /// When the requests came whose records do not fit the body by the key of their day.
    others: Vec<WallTime>,
    /// Records of days of which there is no key here.
    sealed: u64,
    /// When keys were destroyed, and the last day of which they were.
    destroyed: Vec<(WallTime, Day)>,
}

impl Found {
    fn take(&mut self, record: Record, keys: &BTreeMap<Day, ReferenceKey>, body: &Digest) {
        if record.kind == Kind::ReferenceDestroy {
            return self.destroyed.extend(record.written().zip(record.day.as_deref().and_then(Day::parse)));
        }
        let (Some(said), Some(request)) = (record.reference, record.request) else { return };
        let came = came(request);
        // The key is drawn just before the request gets its id: midnight may have come in between.
        let days = [Some(came.day()), came.day().0.checked_sub(1).map(Day)];
        let mut tried = days.into_iter().flatten().filter_map(|day| keys.get(&day));
        if tried.any(|key| reference(key, request, body) == said) {
            self.meant.push(record);
        } else if keys.contains_key(&came.day()) {
            self.others.push(came);
        } else {
            self.sealed += 1;
        }
    }

    /// How many records are about another body, and of how many it cannot be said: a key that is there now is not the one that was
    /// destroyed after the request came.
    fn counts(&self) -> (u64, u64) {
        let is_sealed = |came: &&WallTime| self.destroyed.iter().any(|(at, last)| **came <= *at && came.day() <= *last);
        let sealed = self.others.iter().filter(is_sealed).count() as u64;
        (self.others.len() as u64 - sealed, self.sealed + sealed)
    }

    /// The requests, each once.
    fn requests(&self) -> Vec<String> {
        let mut seen = BTreeSet::<RequestId>::new();
        let new = self.meant.iter().filter_map(|record| record.request).filter(|request| seen.insert(*request));
        new.map(|request| request.to_string()).collect()
    }
}

/// When a request came: its id begins with that (RFC 9562, version 7).
fn came(request: RequestId) -> WallTime {
    WallTime((request.0 >> 80) as u64)
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
        json!({"requests": found.requests(), "records": lines.collect::<Vec<Value>>(), "sealed": found.counts().1});
    context.screen.answer(&object, |colour| {
        let about = format!("{} records of app {app} are about these {} bytes", found.meant.len(), body.len());
        let mut text = format!("{} {about}\n", colour.green("ok"));
        found.meant.iter().for_each(|record| text.push_str(&record_text(record)));
        text.push_str(&sealed(found.counts().1));
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
    let (others, sealed) = found.counts();
    let text = format!(
        "of the records of app {app} none can be shown to be about these bytes: {others} do not fit them by the keys that are here"
    );
    let trouble = Trouble::new("E0815", text);
    let trouble = match sealed {
        0 => trouble,
        count => trouble
            .note(format!("of {count} it cannot be said: there is no key of their days here, or it was destroyed")),
    };
    trouble
        .note("a record is about the body byte for byte: another space or order of fields is another body")
        .note("of a job, a line of a batch, or an answer in the background it is about the body in it (docs/access.md); requests over gRPC and those of \
                 before the app had references have none")
        .exit(Exit::Failed)
}
