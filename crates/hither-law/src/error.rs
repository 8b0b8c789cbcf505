//! What is wrong with a policy, where, and what to write instead.

use std::fmt;
use std::ops::Range;

/// The first thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LawError {
    /// Which kind of mistake, for search and for scripts.
    pub code: Code,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The line's text, cut around the mistake if it is long.
    pub text: String,
    /// Where in the text the mistake begins, in characters from 0, and how long it is.
    pub mark: (usize, usize),
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// E0310: a code is neither a country, nor a subdivision, nor a bloc.
    UnknownJurisdiction,
    /// E0320: the text is not TOML.
    NotToml,
    /// E0321: a key means nothing in this language.
    UnknownKey,
    /// E0322: a key is missing.
    MissingKey,
    /// E0323: a value is of the wrong kind.
    WrongKind,
    /// E0324: a word is none of those that can stand here.
    UnknownWord,
    /// E0325: a name is not one, or a number is out of range.
    BadValue,
    /// E0326: a rule has the id of another, or of the built-in one.
    TakenId,
    /// E0327: a list is empty, which would match nothing.
    EmptyList,
    /// E0328: a constraint would not do in this kind of rule what it seems to.
    OutOfPlace,
    /// E0329: there is more of something than a policy may hold.
    TooMuch,
}

impl Code {
    /// The code as people search for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownJurisdiction => "E0310",
            Self::NotToml => "E0320",
            Self::UnknownKey => "E0321",
            Self::MissingKey => "E0322",
            Self::WrongKind => "E0323",
            Self::UnknownWord => "E0324",
            Self::BadValue => "E0325",
            Self::TakenId => "E0326",
            Self::EmptyList => "E0327",
            Self::OutOfPlace => "E0328",
            Self::TooMuch => "E0329",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LawError {
    /// Makes the error for a span of bytes in a policy's text.
    pub(crate) fn at(
        whole: &str,
        span: Range<usize>,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let boundary = |mut at: usize| {
            at = at.min(whole.len());
            while !whole.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(span.start);
        let line_start = whole[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = whole[start..].find('\n').map_or(whole.len(), |at| start + at);
        let line = whole[..start].matches('\n').count() + 1;
        let before = whole[line_start..start].chars().count();
        let end = boundary(span.end).clamp(start, line_end);
        let width = whole[start..end].chars().count().max(1);
        let (text, from) = excerpt(&whole[line_start..line_end], before);
        let width = width.min(text.chars().count().saturating_sub(before - from)).max(1);
        let (message, help) = (message.into(), help.into());
        Self { code, line, column: before + 1, text, mark: (before - from, width), message, help }
    }
}

/// The part of a line that a screen shows, and the character at which it begins.
fn excerpt(line: &str, around: usize) -> (String, usize) {
    const WIDTH: usize = 120;
    const LEAD: usize = 60;
    let from = if line.chars().count() <= WIDTH { 0 } else { around.saturating_sub(LEAD) };
    // A tab is one space here, so that the mark stands under what it marks; other control characters never reach a
    // terminal.
    let shown = line.chars().skip(from).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c });
    (shown.collect::<String>().trim_end().to_owned(), from)
}

impl fmt::Display for LawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, line, column, text, mark: (before, width), message, help } = self;
        let number = line.to_string();
        writeln!(f, "{code} at line {line}, column {column}: {message}")?;
        writeln!(f, "  {number} | {text}")?;
        writeln!(f, "  {:number$} | {:before$}{:^<width$}", "", "", "", number = number.len())?;
        write!(f, "  {help}")
    }
}

impl std::error::Error for LawError {}
