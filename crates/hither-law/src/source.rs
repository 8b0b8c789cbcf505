//! TOML with places: values by key, each with the span that an error points at.

use std::ops::Range;

use hither_types::time::Day;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Code, LawError};
use crate::suggest::similar;

/// A table of the policy and what people call it.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    whole: &'a str,
    name: &'static str,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    whole: &'a str,
    key: &'a str,
    value: &'a DeValue<'a>,
    span: Range<usize>,
}

/// A text and where it stands.
#[derive(Clone)]
pub(crate) struct Word<'a> {
    whole: &'a str,
    pub(crate) text: &'a str,
    span: Range<usize>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(crate) fn whole(whole: &'a str, table: &'a DeTable<'a>) -> Self {
        Self { whole, name: "a policy", table, span: 0..0 }
    }

    /// Refuses keys that mean nothing here; the first in the text is reported.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), LawError> {
        let strange = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = strange.min_by_key(|key| key.span().start) else { return Ok(()) };
        let message = format!("{:?} means nothing in {}", key.get_ref(), self.name);
        let help = match similar(&key.get_ref().to_lowercase(), known.iter().copied()) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("it may hold {}", known.join(", ")),
        };
        Err(LawError::at(self.whole, key.span(), Code::UnknownKey, message, help))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &'a str) -> Option<Value<'a>> {
        let value = self.table.get(key)?;
        Some(Value { whole: self.whole, key, value: value.get_ref(), span: value.span() })
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &'a str, example: &str) -> Result<Value<'a>, LawError> {
        self.get(key).ok_or_else(|| {
            let message = format!("{} has no {key:?}", self.name);
            LawError::at(self.whole, self.span.clone(), Code::MissingKey, message, format!("add {key} = {example}"))
        })
    }

    /// A table inside this one.
    pub(crate) fn table(&self, key: &'a str, name: &'static str) -> Result<Option<Self>, LawError> {
        self.get(key).map(|value| value.section(name, &format!("[{key}]"))).transpose()
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables(&self, key: &'a str, name: &'static str, most: usize) -> Result<Vec<Self>, LawError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = value.value else {
            return Err(value.wrong_kind("one table for each", &format!("[[{key}]]")));
        };
        if array.len() > most {
            let message = format!("there are {} {key}s, and a policy may hold {most}", array.len());
            return Err(value.error(Code::TooMuch, message, "put what several rules have in common into one"));
        }
        let section = |item: &'a Spanned<DeValue<'a>>| {
            Value { whole: self.whole, key, value: item.get_ref(), span: item.span() }
                .section(name, &format!("[[{key}]]"))
        };
        array.iter().map(section).collect()
    }

    /// All entries, in the order of the text.
    pub(crate) fn entries(&self) -> Vec<(Word<'a>, Value<'a>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let word = Word { whole: self.whole, text: key.get_ref().as_ref(), span: key.span() };
                (word, Value { whole: self.whole, key: key.get_ref(), value: value.get_ref(), span: value.span() })
            })
            .collect();
        entries.sort_by_key(|(word, _)| word.span.start);
        entries
    }
}

impl<'a> Value<'a> {
    fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// An error that points at this value.
    pub(crate) fn error(&self, code: Code, message: impl Into<String>, help: impl Into<String>) -> LawError {
        LawError::at(self.whole, self.span.clone(), code, message, help)
    }

    fn wrong_kind(&self, wanted: &str, example: &str) -> LawError {
        let message = format!("{} is {}, and should be {wanted}", self.key, self.kind());
        self.error(Code::WrongKind, message, format!("write {example}"))
    }

    fn section(&self, name: &'static str, example: &str) -> Result<Section<'a>, LawError> {
        match self.value {
            DeValue::Table(table) => Ok(Section { whole: self.whole, name, table, span: self.span.clone() }),
            _ => Err(self.wrong_kind("a table", example)),
        }
    }

    /// The table that this value is.
    pub(crate) fn into_section(self, name: &'static str, example: &str) -> Result<Section<'a>, LawError> {
        self.section(name, example)
    }

    /// The text that this value is.
    pub(crate) fn word(&self, example: &str) -> Result<Word<'a>, LawError> {
        match self.value {
            DeValue::String(text) => Ok(Word { whole: self.whole, text, span: self.span.clone() }),
            _ => Err(self.wrong_kind("a text", &format!("{} = {example}", self.key))),
        }
    }

    /// The texts of the list that this value is; never none.
    pub(crate) fn words(&self, most: usize) -> Result<Vec<Word<'a>>, LawError> {
        let array = match self.value {
            DeValue::Array(array) => array,
            DeValue::String(text) => return Err(self.wrong_kind("a list", &format!("{} = [{text:?}]", self.key))),
            _ => return Err(self.wrong_kind("a list of texts", &format!("{} = [\"…\"]", self.key))),
        };
        self.counted(array.len(), most)?;
        let word = |item: &'a Spanned<DeValue<'a>>| {
            let item = Value { whole: self.whole, key: self.key, value: item.get_ref(), span: item.span() };
            match item.value {
                DeValue::String(text) => Ok(Word { whole: self.whole, text, span: item.span }),
                _ => {
                    let message = format!("{} lists {}, and should list texts", item.key, item.kind());
                    Err(item.error(Code::WrongKind, message, "write each between double quotes"))
                }
            }
        };
        array.iter().map(word).collect()
    }

    /// The members of the list that this value is; never none.
    pub(crate) fn items(&self, most: usize, example: &str) -> Result<Vec<Value<'a>>, LawError> {
        let DeValue::Array(array) = self.value else {
            return Err(self.wrong_kind("a list", &format!("{} = {example}", self.key)));
        };
        self.counted(array.len(), most)?;
        let item = |item: &'a Spanned<DeValue<'a>>| Value {
            whole: self.whole,
            key: self.key,
            value: item.get_ref(),
            span: item.span(),
        };
        Ok(array.iter().map(item).collect())
    }

    /// Refuses an empty list and one that is too long.
    fn counted(&self, found: usize, most: usize) -> Result<(), LawError> {
        if found == 0 {
            let message = format!("{} is an empty list, which nothing can be in", self.key);
            return Err(self.error(Code::EmptyList, message, "leave the line out if it does not matter"));
        }
        if found > most {
            let message = format!("{} lists {found} things, and may list {most}", self.key);
            return Err(self.error(Code::TooMuch, message, "write two rules"));
        }
        Ok(())
    }

    /// The table that this value is, if it is one.
    pub(crate) fn as_section(&self, name: &'static str) -> Option<Section<'a>> {
        self.section(name, "").ok()
    }

    /// The date that this value is.
    pub(crate) fn day(&self) -> Result<Day, LawError> {
        let example = format!("{} = 2027-01-01, without quotes and without a time", self.key);
        let DeValue::Datetime(moment) = self.value else {
            return Err(self.wrong_kind("a date", &example));
        };
        let date = moment.date.filter(|_| moment.time.is_none() && moment.offset.is_none());
        let day = date.and_then(|date| Day::of_date(date.year.into(), date.month.into(), date.day.into()));
        day.ok_or_else(|| {
            let message = format!("{} is {moment}, and should be a day from 1970-01-01 on", self.key);
            self.error(Code::BadValue, message, format!("write {example}"))
        })
    }

    /// The whole number that this value is, within bounds.
    pub(crate) fn number(&self, bounds: std::ops::RangeInclusive<u32>, example: &str) -> Result<u32, LawError> {
        let DeValue::Integer(integer) = self.value else {
            return Err(self.wrong_kind("a whole number", &format!("{} = {example}", self.key)));
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        number.filter(|number| bounds.contains(number)).ok_or_else(|| {
            let message = format!("{} is {integer}, and should be {} to {}", self.key, bounds.start(), bounds.end());
            self.error(Code::BadValue, message, format!("write {} = {example}", self.key))
        })
    }

    /// The yes or no that this value is.
    pub(crate) fn flag(&self) -> Result<bool, LawError> {
        match self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.wrong_kind("true or false", &format!("{} = true", self.key))),
        }
    }
}

impl Word<'_> {
    /// An error that points at this word.
    pub(crate) fn error(&self, code: Code, message: impl Into<String>, help: impl Into<String>) -> LawError {
        LawError::at(self.whole, self.span.clone(), code, message, help)
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&self, what: &str, choices: &[(&'static str, T)]) -> Result<T, LawError> {
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == self.text) {
            return Ok(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let help = match similar(&self.text.to_lowercase(), words.iter().copied()) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("write one of {}", words.join(", ")),
        };
        let shown: String = self.text.chars().take(80).collect();
        Err(self.error(Code::UnknownWord, format!("{shown:?} is not {what}"), help))
    }
}
