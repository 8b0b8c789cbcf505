//! Canonical JSON (RFC 8785), for the values that records are made of.
//!
//! Lines are read where they stand ([`fields`]): nothing is copied, no tree of values is built. [`explain`] is the slow way,
//! through a general reader of JSON, for saying what is wrong with a line that is none.
//!
//! Numbers are integers from 0 to 2^53 − 1, so the number rules of RFC 8785 come down to decimal digits. Keys are ASCII, so
//! sorting by UTF-16 code units is sorting by bytes; other keys are refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use crate::limits::INTEGER_MAX;

/// An object of a record.
pub(crate) type Object = BTreeMap<Cow<'static, str>, Value>;

/// What a record may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A whole number.
    Integer(u64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named values, sorted.
    Object(Object),
}

impl Value {
    /// Text from anything that prints itself.
    pub(crate) fn text(value: impl ToString) -> Self {
        Self::Text(value.to_string())
    }

    /// The value as RFC 8785 writes it.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Integer(number) => write!(out, "{number}").expect("a string takes all"),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => write_object(object, out),
        }
    }

    /// The largest integer inside.
    pub(crate) fn largest(&self) -> u64 {
        match self {
            Self::Integer(number) => *number,
            Self::Text(_) => 0,
            Self::List(items) => items.iter().map(Self::largest).max().unwrap_or(0),
            Self::Object(object) => object.values().map(Self::largest).max().unwrap_or(0),
        }
    }
}

/// An object as RFC 8785 writes it.
pub(crate) fn write_object(object: &Object, out: &mut String) {
    out.push('{');
    for (i, (key, value)) in object.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        value.write(out);
    }
    out.push('}');
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    // Nearly all text needs no escape: it is copied whole.
    if !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A value as it stands in a line, known to be canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    /// A whole number.
    Integer(u64),
    /// Text between its quotes, with its escapes. No name, id or time of ours has any.
    Text(&'a str),
    /// A list with its brackets.
    List(&'a str),
    /// An object with its braces.
    Object(&'a str),
}

/// Named values in the order of their names.
pub(crate) type RawFields<'a> = Vec<(&'a str, Raw<'a>)>;

/// Lists and objects inside of each other, at most: a record has two.
const DEPTH_MAX: u32 = 32;

/// The fields of an object, if the text is exactly its canonical form.
pub(crate) fn fields(text: &str) -> Option<RawFields<'_>> {
    let mut reader = Reader { text, at: 0, escapes: 0 };
    // As many as any record has, so that one allocation does.
    let mut found = Vec::with_capacity(24);
    reader.object(0, &mut |key, value| found.push((key, value)))?;
    (reader.at == text.len()).then_some(found)
}

/// The items of a list that was read before.
pub(crate) fn items(list: &str) -> Option<Vec<Raw<'_>>> {
    let (mut reader, mut found) = (Reader { text: list, at: 0, escapes: 0 }, Vec::new());
    reader.list(0, &mut |value| found.push(value))?;
    Some(found)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many escapes there were so far: nearly always none, and then names are compared as they stand.
    escapes: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn object(&mut self, depth: u32, visit: &mut impl FnMut(&'a str, Raw<'a>)) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        let mut before: Option<&str> = None;
        loop {
            let escapes = self.escapes;
            let key = self.string()?;
            let is_plain = self.escapes == escapes && escapes == 0;
            let is_next = |before: &str| if is_plain { before < key } else { unescaped(before) < unescaped(key) };
            if !key.is_ascii() || !before.is_none_or(is_next) {
                return None;
            }
            before = Some(key);
            self.take(b':')?;
            visit(key, self.value(depth)?);
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn list(&mut self, depth: u32, visit: &mut impl FnMut(Raw<'a>)) -> Option<()> {
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            visit(self.value(depth)?);
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    fn value(&mut self, depth: u32) -> Option<Raw<'a>> {
        let start = self.at;
        if depth >= DEPTH_MAX {
            return None;
        }
        Some(match self.peek()? {
            b'"' => Raw::Text(self.string()?),
            b'{' => {
                self.object(depth + 1, &mut |_, _| ())?;
                Raw::Object(&self.text[start..self.at])
            }
            b'[' => {
                self.list(depth + 1, &mut |_| ())?;
                Raw::List(&self.text[start..self.at])
            }
            _ => Raw::Integer(self.integer()?),
        })
    }

    /// Digits, none of them a spare zero, up to the largest number that is exact.
    fn integer(&mut self) -> Option<u64> {
        let (start, mut number) = (self.at, 0_u64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number * 10 + u64::from(digit - b'0');
            self.at += 1;
            if number > INTEGER_MAX {
                return None;
            }
        }
        let spare = self.at > start + 1 && self.text.as_bytes()[start] == b'0';
        (self.at > start && !spare).then_some(number)
    }

    /// What stands between two quotes: escaped is what must be, the way RFC 8785 wants it, and nothing else.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let (start, bytes) = (self.at, self.text.as_bytes());
        loop {
            while let Some(eight) = bytes[self.at..].first_chunk()
                && is_ordinary(u64::from_ne_bytes(*eight))
            {
                self.at += 8;
            }
            match *bytes.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    self.at += escape(&bytes[self.at + 1..])? + 1;
                    self.escapes += 1;
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.text[start..self.at - 1])
    }
}

/// Whether none of eight bytes is a quote, a backslash or a control character: each byte by itself, in one go.
fn is_ordinary(eight: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // The highest bit of each byte that is zero, or that is less than a bound of at most 128. A byte from 128 on is never
    // told to be one; a borrow can only tell too much, never too little.
    let below = |bytes: u64, bound: u64| bytes.wrapping_sub(ONES * bound) & !bytes;
    let same = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    (below(eight, 0x20) | same(b'"') | same(b'\\')) & (ONES * 128) == 0
}

/// How long the escape behind a backslash is.
fn escape(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => Some(1),
        // Control characters that have no letter.
        [b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => Some(5),
        [b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => Some(5),
        _ => None,
    }
}

/// A name by the characters that it means.
fn unescaped(text: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// What is wrong with a text that is not the canonical form of an object.
pub(crate) fn explain(text: &str) -> &'static str {
    parse(text).err().unwrap_or("not in canonical form (RFC 8785)")
}

/// Reads an object the slow way, if the text is exactly its canonical form.
pub(crate) fn parse(text: &str) -> Result<Object, &'static str> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|_| "not JSON")?;
    let Value::Object(object) = convert(value)? else { return Err("not a JSON object") };
    let mut again = String::with_capacity(text.len());
    write_object(&object, &mut again);
    if again == text { Ok(object) } else { Err("not in canonical form (RFC 8785)") }
}

fn convert(value: serde_json::Value) -> Result<Value, &'static str> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null | Json::Bool(_) => return Err("neither text, integer, list nor object"),
        Json::Number(number) => match number.as_u64() {
            Some(number) if number <= INTEGER_MAX => Value::Integer(number),
            _ => return Err("a number that is not an integer from 0 to 2^53 - 1"),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(convert).collect::<Result<_, _>>()?),
        Json::Object(object) => {
            let mut out = Object::new();
            for (key, value) in object {
                if !key.is_ascii() {
                    return Err("a key that is not ASCII");
                }
                out.insert(key.into(), convert(value)?);
            }
            Value::Object(out)
        }
    })
}

#[cfg(test)]
mod tests;
