//! Texts with a placeholder in the place of what was found: `[EMAIL_1]`. One value has one placeholder throughout a request,
//! so that whoever reads it can tell two people apart, and cannot tell who they are.

use std::collections::{BTreeMap, HashMap};

use hither_types::filter::{DataKind, Findings};

use crate::candidates::{Kinds, Span, find};
use crate::limits::ROUNDS;

/// What stands for a text that goes on showing something each time that something is taken out of it.
const WHOLE: &str = "[REMOVED]";

/// Masks the texts of one request.
pub struct Masker {
    kinds: Kinds,
    numbers: HashMap<(DataKind, String), u32>,
    last: BTreeMap<DataKind, u32>,
    findings: Findings,
}

impl Masker {
    /// Looks for these kinds.
    pub fn new(kinds: Kinds) -> Self {
        Self { kinds, numbers: HashMap::new(), last: BTreeMap::new(), findings: Findings::default() }
    }

    /// The text without what was found; `None` if nothing was.
    pub fn mask(&mut self, text: &str) -> Option<String> {
        let mut spans = find(text, self.kinds);
        if spans.is_empty() {
            return None;
        }
        let mut masked = text.to_owned();
        for _ in 0..ROUNDS {
            masked = self.replace(&masked, &spans);
            spans = find(&masked, self.kinds);
            if spans.is_empty() {
                return Some(masked);
            }
        }
        spans.iter().for_each(|span| self.findings.add(span.kind));
        Some(WHOLE.to_owned())
    }

    fn replace(&mut self, text: &str, spans: &[Span]) -> String {
        let (mut masked, mut from) = (String::with_capacity(text.len()), 0);
        for span in spans {
            masked.push_str(&text[from..span.start]);
            let number = self.number(span.kind, &text[span.start..span.end]);
            let word = span.kind.as_str().to_ascii_uppercase().replace('-', "_");
            masked.push_str(&format!("[{word}_{number}]"));
            self.findings.add(span.kind);
            from = span.end;
        }
        masked.push_str(&text[from..]);
        masked
    }

    /// The number of a value. In a number, spaces and dashes make no other value; in an address, capitals do not.
    fn number(&mut self, kind: DataKind, value: &str) -> u32 {
        let plain = match kind {
            DataKind::Secret | DataKind::UrlLogin => value.to_owned(),
            DataKind::Email | DataKind::Ip | DataKind::BirthDate => value.to_lowercase(),
            _ => value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect(),
        };
        let last = self.last.entry(kind).or_default();
        *self.numbers.entry((kind, plain)).or_insert_with(|| {
            *last += 1;
            *last
        })
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The same, once all is read.
    pub fn into_findings(self) -> Findings {
        self.findings
    }
}
