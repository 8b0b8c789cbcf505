//! Which files of several are the model.
//!
//! The rule, the same for a directory and an artefact: a model is one file that ends in `.gguf` or `.onnx`, or that is said
//! to be one; a split GGUF model is all its parts, the first one first. A projector (`mmproj-…`) is no model of its own. If
//! that leaves several, a person says which. Which files beside an ONNX model belong to it, the model itself says.

use crate::limits::LISTED;
use crate::name::Part;

/// A file that may be the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    /// Its name, with a path if it has one.
    pub(crate) name: &'a str,
    /// Whether its place says that it is a model, whatever it is called.
    pub(crate) is_declared: bool,
}

/// Why no model was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// None is there.
    #[error("there is no GGUF or ONNX file in it; there is: {0}")]
    None(String),
    /// There are several.
    #[error("there are several models in it, say which one: {0}")]
    Several(String),
    /// The one that was asked for is not there.
    #[error("there is no {wanted:?} in it; there is: {there}")]
    Absent {
        /// What was asked for.
        wanted: String,
        /// What is there.
        there: String,
    },
    /// A part of a split model is missing.
    #[error("the part {0:?} of the split model is missing; get all parts")]
    Part(String),
}

/// Chooses. The first of the answer is the file to open; the numbers are places in the list.
pub(crate) fn choose(files: &[Candidate<'_>], wanted: Option<&str>) -> Result<Vec<usize>, ChoiceError> {
    let first = match wanted {
        Some(wanted) => named(files, wanted)?,
        None => only(files)?,
    };
    let name = files[first].name;
    let at = |name: &str| files.iter().position(|file| file.name == name);
    if let Some(part) = Part::of(name) {
        return part.all().map(|name| at(&name).ok_or(ChoiceError::Part(name))).collect();
    }
    Ok(vec![first])
}

fn named(files: &[Candidate<'_>], wanted: &str) -> Result<usize, ChoiceError> {
    let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
    let exact = files.iter().position(|file| file.name == wanted);
    let mut short = files.iter().enumerate().filter(|(_, file)| last(file.name).as_deref() == Some(wanted));
    exact.map_or_else(
        || match (short.next(), short.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => {
                Err(ChoiceError::Several(list(files.iter().filter(|file| last(file.name).as_deref() == Some(wanted)))))
            }
            (None, _) => Err(ChoiceError::Absent { wanted: wanted.to_owned(), there: list(files.iter()) }),
        },
        Ok,
    )
}

fn only(files: &[Candidate<'_>]) -> Result<usize, ChoiceError> {
    let is_model = |file: &Candidate<'_>| {
        let name = file.name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        (file.is_declared || name.ends_with(".gguf") || name.ends_with(".onnx")) && !name.starts_with("mmproj")
    };
    // Of a split model, any part stands for all.
    let mut models: Vec<usize> = Vec::new();
    for (place, file) in files.iter().enumerate().filter(|(_, file)| is_model(file)) {
        let part = Part::of(file.name);
        if part.is_none() || !models.iter().any(|&other| Part::of(files[other].name) == part) {
            models.push(place);
        }
    }
    match models.as_slice() {
        [] => Err(ChoiceError::None(list(files.iter()))),
        [one] => Ok(*one),
        several => Err(ChoiceError::Several(list(several.iter().map(|&place| &files[place])))),
    }
}

fn list<'a>(files: impl Iterator<Item = &'a Candidate<'a>>) -> String {
    let names: Vec<&str> = files.map(|file| file.name).collect();
    let shown: Vec<String> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        count if count > LISTED => format!("{} and {} more", shown.join(", "), count - LISTED),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests;
