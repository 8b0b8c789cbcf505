//! Reading the counters: from a file or a program, in the JSON of nftables.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use hither_types::kernel::KernelFault;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::Source;
use crate::limits::{KERNEL_COMMAND, KERNEL_LOOK, KERNEL_OUTPUT_MAX};

/// The largest number that a record holds: 9 petabytes.
const COUNTED_MAX: u64 = (1 << 53) - 1;

/// What the counters hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) lawful: u64,
    pub(super) talk: u64,
    pub(super) leak_packets: u64,
    pub(super) leak: u64,
}

/// Why they are not known: in a word for the ledger, and in a text for the operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) fault: KernelFault,
    pub(super) text: String,
}

impl Unread {
    fn new(fault: KernelFault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into() }
    }

    pub(super) fn late() -> Self {
        Self::new(KernelFault::Failed, "they could not be read before the node ended")
    }
}

/// How new a file must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Freshness {
    /// Written after a moment, for which is waited so long.
    After(SystemTime, Duration),
    /// As it is.
    Any,
}

/// Reads them.
pub(super) async fn read(source: &Source, fresh: Freshness) -> Result<Counters, Unread> {
    let text = match source {
        Source::File(path) => of_file(path, fresh).await?,
        Source::Command(words) => match tokio::time::timeout(KERNEL_COMMAND, of_command(words)).await {
            Ok(text) => text?,
            Err(_) => {
                let text = format!("{} says nothing for {} s", words[0], KERNEL_COMMAND.as_secs());
                return Err(Unread::new(KernelFault::Failed, text));
            }
        },
    };
    parse(&text)
}

/// A file that was written before what is compared with it would count too little.
async fn of_file(path: &std::path::Path, fresh: Freshness) -> Result<Vec<u8>, Unread> {
    let failed =
        |error: std::io::Error| Unread::new(KernelFault::Failed, format!("{} cannot be read: {error}", path.display()));
    let begun = tokio::time::Instant::now();
    if let Freshness::After(moment, wait) = fresh {
        loop {
            let written = tokio::fs::metadata(path).await.and_then(|data| data.modified());
            match written {
                Ok(written) if written > moment => break,
                Ok(_) if begun.elapsed() >= wait => {
                    let text = format!("{} was not written for {} s", path.display(), wait.as_secs());
                    return Err(Unread::new(KernelFault::Stale, text));
                }
                Err(error) if begun.elapsed() >= wait => return Err(failed(error)),
                Ok(_) | Err(_) => tokio::time::sleep(KERNEL_LOOK.min(wait)).await,
            }
        }
    }
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut text = Vec::new();
    file.take(KERNEL_OUTPUT_MAX).read_to_end(&mut text).await.map_err(failed)?;
    Ok(text)
}

async fn of_command(words: &[String]) -> Result<Vec<u8>, Unread> {
    let failed = |text: String| Unread::new(KernelFault::Failed, format!("{} failed: {text}", words[0]));
    let (program, words_behind) = words.split_first().expect("the configuration names a program");
    let mut command = tokio::process::Command::new(program);
    // What this node was started with is none of its business, but where programs are.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.args(words_behind).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (text, said) = tokio::join!(bounded(out), bounded(err));
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(160);
        return Err(failed(format!("{status}: {}", line.collect::<String>())));
    }
    Ok(text)
}

async fn bounded(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        // What is left unread is no JSON, and found to be none.
        let _ = pipe.take(KERNEL_OUTPUT_MAX).read_to_end(&mut text).await;
    }
    text
}

#[derive(Deserialize)]
struct Listed {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    family: String,
    table: String,
    name: String,
    packets: u64,
    bytes: u64,
}

/// Reads what `nft -j list counters table inet hither` writes. Others' tables may be among it.
pub(super) fn parse(text: &[u8]) -> Result<Counters, Unread> {
    let listed: Listed = serde_json::from_slice(text)
        .map_err(|error| Unread::new(KernelFault::Malformed, format!("what came is not the JSON of nft: {error}")))?;
    let counters: Vec<Counter> = listed.nftables.into_iter().filter_map(|entry| entry.counter).collect();
    let find = |name: &str| {
        let mut found = counters.iter().filter(|c| c.family == "inet" && c.table == "hither" && c.name == name);
        match (found.next(), found.next()) {
            (Some(counter), None) if counter.packets.max(counter.bytes) <= COUNTED_MAX => Ok(counter),
            (Some(_), _) => Err(Unread::new(KernelFault::Malformed, format!("counter {name} cannot be what it says"))),
            (None, _) => {
                Err(Unread::new(KernelFault::Missing, format!("there is no counter {name} in table inet hither")))
            }
        }
    };
    let (lawful, talk, leak) = (find("lawful")?, find("talk")?, find("leak")?);
    Ok(Counters { lawful: lawful.bytes, talk: talk.bytes, leak_packets: leak.packets, leak: leak.bytes })
}
