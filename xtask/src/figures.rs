//! `cargo xtask figures`: runs the studies of the simulator and writes their pages and charts.

use std::path::PathBuf;
use std::time::Instant;

use hither_sim::study::{STUDIES, Scale, study};

use crate::tidy::root;

/// Runs the named studies, or all of them. What is wrong with their runs comes back as faults.
///
/// # Errors
/// What is wrong with the words, or that a page cannot be written.
pub(crate) fn figures(words: &[String]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let (mut scale, mut to) = (Scale::Full, root().join("docs/figures"));
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => scale = Scale::Quick,
            "--to" => to = PathBuf::from(words.next().ok_or("--to wants a directory")?),
            name if STUDIES.contains(&name) => names.push(name),
            other => return Err(format!("there is no study {other:?}; there are {}", STUDIES.join(", "))),
        }
    }
    if names.is_empty() {
        names = STUDIES.to_vec();
    }
    std::fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    let mut faults = Vec::new();
    for name in names {
        let began = Instant::now();
        let found = study(name, scale).ok_or("a study of the list exists")?;
        for (file, text) in found.charts.iter().chain([&(format!("{name}.md"), found.markdown.clone())]) {
            std::fs::write(to.join(file), text).map_err(|error| format!("{file}: {error}"))?;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{name}: {} requests, {} violations, {seconds:.0} s", found.requests, found.violations);
        if found.violations > 0 {
            faults.push(format!(
                "{name}: {} violations; the first: {}",
                found.violations,
                found.first.unwrap_or_default()
            ));
        }
    }
    Ok(faults)
}
