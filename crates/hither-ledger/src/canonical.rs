//! Canonical JSON (RFC 8785), for the values that records are made of.
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

/// Reads an object, if the text is exactly its canonical form.
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
