//! Names of files within a model: relative, in one form, and never out of it.

use crate::limits;

/// What an older signer and some of today's call the file when the model is that one file.
pub(crate) const WHOLE: &str = ".";

/// Whether a name is a relative path in the one form that signers have to give it.
pub(crate) fn is_inside(name: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    name.len() <= limits::NAME_BYTES && !name.contains('\0') && name.split('/').all(is_part)
}

/// Whether a path is another one, or lies below it.
pub(crate) fn is_at_or_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The last part of a name.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
