//! Data that is not what it was, and clocks that are wrong.

use std::path::Path;
use std::time::Duration;

use super::crash::said;
use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::node::{PATIENCE, wait};
use crate::lab::page::NOT_RUN;

/// The library that shifts the clock of a process, where Debian puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

pub(super) fn corrupt(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::of(lab, &["a", "b", "c"])?;
    // Four pieces of 16 KiB; what fills them is blank.
    mesh.nodes[0].add_stub("talker", &format!("{TALKER}{}", " ".repeat(60_000)))?;
    pulled(&mesh, 1)?;
    let (file, _) = mesh.nodes[1].complete_files().into_iter().next().ok_or("b holds a file")?;
    let whole = read(&file)?;
    if !lab.broken {
        let mut bytes = whole.clone();
        bytes[30_000] ^= 1;
        std::fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // Only the damaged copy can be reached at first.
    mesh.net.part(0, 2)?;
    mesh.lost(2, 0, Duration::from_secs(15))?;
    mesh.nodes[2].run(&["models", "pull", "talker"])?;
    let (blame, noticed) = wait("the damaged piece is noticed", Duration::from_secs(15), || {
        let warnings = mesh.nodes[2].view().ok()?["warnings"].to_string();
        [warnings, mesh.nodes[2].log()]
            .iter()
            .flat_map(|text| text.lines())
            .find(|line| is_blame(line))
            .map(str::to_owned)
    })?;
    must(mesh.nodes[2].complete_files().is_empty(), || "the damaged file was taken in".to_owned())?;
    mesh.net.unpart()?;
    // It is asked for anew after a pause that doubles.
    let (_, after) = wait("c has the file", Duration::from_secs(90), || mesh.nodes[2].complete_files().pop())?;
    let (copy, _) = mesh.nodes[2].complete_files().pop().ok_or("it was there")?;
    must(read(&copy)? == whole, || "c holds a damaged file".to_owned())?;
    mesh.nodes[2].has("talker")?;
    mesh.nodes[1].kill();
    mesh.nodes[1].up()?;
    let warned = wait("the restarted node says that its file is damaged", Duration::from_secs(15), || {
        let text = mesh.nodes[1].view().ok()?["warnings"].to_string() + &mesh.nodes[1].log();
        text.lines().find(|line| is_blame(line)).map(str::to_owned)
    });
    let stage = mesh.nodes[1].stage("talker").unwrap_or("absent".to_owned());
    let told = format!(
        "noticed after {} ({}); whole from a {} later; after the restart the damaged file is {stage}",
        seconds(noticed),
        plain(&blame),
        seconds(after)
    );
    must(stage != "ready" || read(&file)? == whole, || format!("{told}: it was OPENED"))?;
    warned.map_err(|error| format!("{told}; {error}"))?;
    Ok(told)
}

fn is_blame(line: &str) -> bool {
    let line = line.to_lowercase();
    ["damaged", "corrupt", "does not match", "wrong piece", "hash mismatch", "bad piece", "invalid data"]
        .iter()
        .any(|word| line.contains(word))
}

/// A line of a log without its moment.
fn plain(line: &str) -> String {
    let line = line.split_once("  ").map_or(line, |(_, rest)| rest);
    line.chars().take(160).collect()
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn pulled(mesh: &Mesh, node: usize) -> Result<(), String> {
    let known = || {
        mesh.nodes[node].view().ok()?["models"].as_array()?.iter().any(|model| model["name"] == "talker").then_some(())
    };
    wait("the model is known", PATIENCE, known)?;
    mesh.nodes[node].run(&["models", "pull", "talker"])?;
    mesh.nodes[node].has("talker")
}

pub(super) fn clock(lab: &Lab) -> Result<String, String> {
    must(Path::new(FAKETIME).exists(), || format!("{NOT_RUN}{FAKETIME} is missing; install faketime"))?;
    let mut mesh = Mesh::of(lab, &["a", "b"])?;
    // Another file: two names of one file are one model.
    mesh.nodes[0].add_stub("here", &format!("{TALKER} context=5000"))?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let reference = said(&mesh, 1, "clock", 200)?;
    let shift = lab.scratch.join("shift");
    let set = |text: &str| std::fs::write(&shift, text).map_err(|error| format!("{}: {error}", shift.display()));
    let environment = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", &shift.to_string_lossy()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let mut told = Vec::new();
    for skew in ["+2d", "-2d"] {
        set(if lab.broken { "+0" } else { skew })?;
        mesh.nodes[1].stop()?;
        mesh.nodes[1].environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        mesh.nodes[1].up()?;
        mesh.nodes[1].has("talker")?;
        mesh.together(Duration::from_secs(15)).map_err(|error| format!("{skew}: {error}"))?;
        for (from, model) in [(0, "talker"), (1, "here")] {
            // How soon a peer is used again after a restart is row J2's.
            let served = || mesh.nodes[from].chat(model, "skew", 10).ok().filter(|answer| answer.status == 200);
            wait(&format!("{skew}: {} is served", mesh.nodes[from].name), Duration::from_secs(15), served)?;
        }
        // What the ledgers say of the moment: else nothing was shifted.
        let day = |node: usize| -> Result<String, String> {
            let records = mesh.nodes[node].ledger()?;
            let last = records.last().and_then(|record| record["ts"].as_str()).unwrap_or_default();
            Ok(last.chars().take(10).collect())
        };
        must(day(0)? != day(1)?, || format!("{skew}: the ledgers show the same day"))?;
        told.push(format!("{skew}: served both ways"));
    }
    set("+0")?;
    mesh.nodes[1].stop()?;
    mesh.nodes[1].up()?;
    mesh.nodes[1].has("talker")?;
    mesh.together(Duration::from_secs(15))?;
    wait("a is served", Duration::from_secs(15), || {
        mesh.nodes[0].chat("talker", "calm", 5).ok().filter(|answer| answer.status == 200)
    })?;
    let mut stream = mesh.nodes[0].stream("talker", "clock", 200)?;
    stream.until(20)?;
    set("+2d")?;
    let heard = stream.rest(Duration::from_secs(20))?;
    heard.is_whole(&reference)?;
    must(heard.number("migrations") == 0, || format!("the jump: {}", heard.told))?;
    let answer = mesh.nodes[1].chat("here", "after the jump", 10)?;
    must(answer.status == 200, || format!("after the jump: {} {}", answer.status, answer.body))?;
    told.push("a jump of two days during a stream: whole, no migration".to_owned());
    let records = mesh.nodes[1].ledger()?;
    let jumped = records.iter().any(|record| record["kind"] == "clock.jump");
    must(jumped, || format!("{}; no record `clock.jump`", told.join("; ")))?;
    Ok(told.join("; "))
}
