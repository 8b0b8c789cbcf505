//! `hither bugreport`: one file for whoever is asked to help. Nothing is sent: the file lies where it was written, and
//! its owner reads it before handing it on.
//!
//! What must stay true: no payload, no key, no ticket and no token gets in.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::doctor;
use crate::output::Trouble;

mod archive;
mod mask;
#[cfg(test)]
mod tests;

use mask::Masker;

/// The end of a log that is worth sending: some thousand lines.
const LOG_MAX: u64 = 512 << 10;

/// What `bugreport` is told.
#[derive(Debug, Args)]
pub(super) struct BugreportArgs {
    /// The archive to write.
    #[arg(long, value_name = "FILE", default_value = "hither-report.tar.gz")]
    output: PathBuf,
    /// A log of the node, of which the last half megabyte is taken: what `hither up` writes to stderr.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Writes a report.
pub(super) fn bugreport(context: &Context, args: &BugreportArgs) -> Result<(), Trouble> {
    let data_dir = context.data_dir()?;
    let checks = doctor::report(&data_dir, &|client, path, body| context.ask(client, path, body));
    let view = context.wait(Client::of(&data_dir).get::<Value>("/hither/v1/view")).ok();
    let files = collect(&data_dir, &checks, view.as_ref(), args.log.as_deref())?;
    let modified = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut bytes = Vec::new();
    let written = archive::pack(&files, modified, &mut bytes)
        .and_then(|()| write_private(&args.output, &bytes))
        .map_err(|error| {
            Trouble::new("E0131", format!("cannot write {}: {error}", args.output.display()))
                .help("hither bugreport --output FILE")
        });
    written?;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let path = args.output.display().to_string();
    context.screen.answer(&json!({"path": path, "bytes": bytes.len(), "files": names}), |_| {
        format!(
            "{path}: {}.\nKeys, tickets and tokens are masked, and nothing was sent. Read it before you hand it on: tar -xzf \
             {path}\n",
            names.join(", ")
        )
    });
    Ok(())
}

/// What goes into a report.
fn collect(
    data_dir: &Path,
    checks: &Value,
    view: Option<&Value>,
    log: Option<&Path>,
) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    let masker = Masker::new(secrets(data_dir));
    let versions = format!(
        "hither {}\n{} {}\n{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        std::fs::read_to_string("/proc/version").unwrap_or_default()
    );
    let mut files = vec![
        ("versions.txt", versions),
        ("doctor.json", pretty(checks)),
        ("status.json", view.map_or_else(|| "no node answered\n".to_owned(), pretty)),
    ];
    let config = std::fs::read_to_string(data_dir.join("hither.toml")).ok();
    files.push(match config.as_deref().map(|text| masker.config(text)) {
        None => ("hither.toml", "# there is none: everything as built in\n".to_owned()),
        Some(Some(text)) => ("hither.toml", text),
        // What cannot be read cannot be masked either.
        Some(None) => ("hither.toml", "# it cannot be read as TOML, and is left out; hither up says why\n".to_owned()),
    });
    if let Some(path) = log {
        let text = tail(path).map_err(|error| {
            Trouble::new("E0131", format!("cannot read the log {}: {error}", path.display()))
                .help("hither bugreport --log FILE, or without --log")
        })?;
        files.push(("log.txt", text));
    }
    Ok(files
        .into_iter()
        .map(|(name, text)| (format!("hither-report/{name}"), masker.text(&text).into_bytes()))
        .collect())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// What is secret in a data directory, as it would stand in a text.
fn secrets(data_dir: &Path) -> Vec<String> {
    let key = std::fs::read_to_string(data_dir.join("key")).unwrap_or_default();
    vec![key.trim().to_owned(), key.trim().to_ascii_uppercase()]
}

/// The end of a log, from the beginning of a line on.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let begin = file.metadata()?.len().saturating_sub(LOG_MAX);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(LOG_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match begin {
        0 => text.into_owned(),
        _ => text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned()),
    })
}

/// Writes a file that its owner alone can read.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}
