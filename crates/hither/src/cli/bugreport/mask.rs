//! Takes secrets out of text: what looks like one, and what is known to be one on this machine.
//!
//! It errs on the side of taking out too much: a report with a hole can be asked about, a key that was sent cannot be
//! called back.

use toml::{Table, Value};

#[cfg(test)]
mod tests;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "[masked]";

/// What keys of apps, tickets, tokens of others and keys of clouds begin with.
const PREFIXES: &[&str] = &["hk_", "hither1", "sk-", "sk_", "ghp_", "eyJ", "AKIA", "xox"];

/// A word in the name of a setting whose value is nobody's business.
const SENSITIVE: &[&str] = &["key", "secret", "token", "pass", "auth", "cred", "cookie", "header", "invite", "ticket"];

/// Shorter than this, what a file holds is no secret, and might be a part of any word.
const SECRET_LEAST: usize = 12;

/// Takes secrets out of text.
pub(super) struct Masker {
    known: Vec<String>,
}

impl Masker {
    /// With what is known to be secret here.
    pub(super) fn new(known: impl IntoIterator<Item = String>) -> Self {
        let known = known.into_iter().map(|text| text.trim().to_owned());
        Self { known: known.filter(|text| text.len() >= SECRET_LEAST).collect() }
    }

    /// A text that anybody may read.
    pub(super) fn text(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut in_pem = false;
        for line in text.lines() {
            let begins = line.contains("-----BEGIN");
            let ends = line.contains("-----END");
            match in_pem || begins {
                true if !in_pem => clean.push_str(MASK),
                true => {}
                false => clean.push_str(&self.line(line)),
            }
            in_pem = (in_pem || begins) && !ends;
            if !in_pem {
                clean.push('\n');
            }
        }
        clean
    }

    fn line(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.known {
            line = line.replace(secret.as_str(), MASK);
        }
        let mut clean = String::with_capacity(line.len());
        let mut after_bearer = false;
        for part in line.split_inclusive(is_edge) {
            let word = part.trim_end_matches(is_edge);
            let edge = &part[word.len()..];
            let masked = PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len() + 4)
                || after_bearer && !word.is_empty();
            clean.push_str(if masked { MASK } else { word });
            clean.push_str(edge);
            if !word.is_empty() {
                after_bearer = ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
            }
        }
        without_passwords(&clean)
    }

    /// A configuration that anybody may read; none if it cannot be read itself.
    pub(super) fn config(&self, text: &str) -> Option<String> {
        let mut table: Table = toml::from_str(text).ok()?;
        mask_table(&mut table);
        toml::to_string(&table).ok().map(|text| self.text(&text))
    }
}

fn is_edge(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || "_-.+/~".contains(c))
}

/// Takes the names and passwords out of addresses: `https://name:password@host`.
fn without_passwords(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = after.find(|c: char| c.is_whitespace() || "/\"'<>".contains(c)).unwrap_or(after.len());
        match after[..authority].rfind('@') {
            Some(end) => {
                clean.push_str(MASK);
                rest = &after[end..];
            }
            None => rest = after,
        }
    }
    clean.push_str(rest);
    clean
}

fn mask_table(table: &mut Table) {
    for (name, value) in table.iter_mut() {
        let name = name.to_ascii_lowercase();
        mask_value(value, SENSITIVE.iter().any(|word| name.contains(word)));
    }
}

fn mask_value(value: &mut Value, sensitive: bool) {
    match value {
        Value::String(text) if sensitive => MASK.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| mask_value(value, sensitive)),
        Value::Table(table) if sensitive => {
            table.iter_mut().for_each(|(_, value)| mask_value(value, true));
        }
        Value::Table(table) => mask_table(table),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}
