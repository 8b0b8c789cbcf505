//! Recall and precision on texts that others made: `scripts/filter-corpus`, then
//! `cargo test --release -p hither-filter corpus -- --ignored --nocapture`, which prints docs/figures/filter.md's tables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Kinds, find};

#[derive(serde::Deserialize)]
struct Line {
    part: String,
    text: String,
    /// A kind, its first character, and the one behind it.
    spans: Vec<(String, usize, usize)>,
}

/// What came of one kind in one part.
#[derive(Default)]
struct Row {
    labelled: u32,
    /// The whole of it, and as what it is.
    found: u32,
    /// The whole of it, as whatever.
    masked: u32,
    /// A part of it.
    partly: u32,
    /// Findings where nothing of any kind is labelled.
    wrong: u32,
    missed: Vec<String>,
    mistaken: Vec<String>,
}

fn corpus() -> Vec<Line> {
    let cache = std::env::var_os("HITHER_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/hither"));
    let path = cache.join("filter/corpus.jsonl");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is not there: scripts/filter-corpus", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of the corpus")).collect()
}

#[test]
#[ignore = "needs the texts that scripts/filter-corpus makes"]
fn the_corpus_is_found_as_the_page_of_figures_says() {
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for line in corpus() {
        let places: Vec<usize> = line.text.char_indices().map(|(at, _)| at).chain([line.text.len()]).collect();
        let spans: Vec<(&str, usize, usize)> =
            line.spans.iter().map(|(kind, start, end)| (kind.as_str(), places[*start], places[*end])).collect();
        let found = find(&line.text, Kinds::all());
        for (kind, start, end) in &spans {
            let row = rows.entry((line.part.clone(), (*kind).to_owned())).or_default();
            row.labelled += 1;
            let touching: Vec<_> = found.iter().filter(|span| span.start < *end && span.end > *start).collect();
            let whole = touching.iter().any(|span| span.start <= *start && span.end >= *end);
            let right = whole && touching.iter().any(|span| span.kind.as_str() == *kind);
            row.masked += u32::from(whole);
            row.found += u32::from(right);
            row.partly += u32::from(!whole && !touching.is_empty());
            if !right {
                row.missed.push(line.text[*start..*end].to_owned());
            }
        }
        for span in &found {
            if !spans.iter().any(|(_, start, end)| span.start < *end && span.end > *start) {
                let row = rows.entry((line.part.clone(), span.kind.as_str().to_owned())).or_default();
                row.wrong += 1;
                row.mistaken.push(line.text[span.start..span.end].to_owned());
            }
        }
    }
    println!("| part | kind | labelled | found | masked as another kind | in part | missed | found where nothing is |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((part, kind), row) in &rows {
        let Row { labelled, found, masked, partly, wrong, .. } = row;
        let share = if *labelled > 0 {
            format!(" ({:.1} %)", f64::from(*found) * 100. / f64::from(*labelled))
        } else {
            String::new()
        };
        let (other, missed) = (masked - found, labelled - masked - partly);
        println!("| {part} | {kind} | {labelled} | {found}{share} | {other} | {partly} | {missed} | {wrong} |");
    }
    if std::env::var_os("SHOW").is_some() {
        for ((part, kind), row) in &rows {
            let few = |texts: &[String]| {
                texts.iter().step_by((texts.len() / 12).max(1)).take(12).cloned().collect::<Vec<_>>().join(" | ")
            };
            println!("{part} {kind}: missed {}\n   mistaken {}", few(&row.missed), few(&row.mistaken));
        }
    }
}

#[test]
#[ignore = "a report on the speed of this machine"]
fn the_speed_of_reading_is_reported() {
    let prose = "The quick brown fox jumps over the lazy dog, and nobody at 12 Main Street minds. ";
    let texts =
        [prose, "a@", "1 ", "12-", "-----BEGIN PRIVATE KEY ", "eyJ.", "::", "password=", "+4", "DE89 ", "a.b@c.d "];
    for unit in texts {
        let rate = |bytes: usize| {
            let text = unit.repeat(bytes / unit.len());
            let least = |_| {
                let begun = std::time::Instant::now();
                find(&text, Kinds::all());
                begun.elapsed().as_secs_f64()
            };
            text.len() as f64 / 1e6 / (0..5).map(least).fold(f64::MAX, f64::min)
        };
        println!(
            "{:<28} {:>7.1} MB/s of 100 kB {:>7.1} MB/s of 4 MB",
            format!("{unit:.24?}"),
            rate(100_000),
            rate(4_000_000)
        );
    }
}
