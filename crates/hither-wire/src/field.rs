//! The small parts that all forms are made of. Text and bytes are borrowed from the input, so a length that lies costs
//! nothing; lists stop at their limit before the element that is too many.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hither_types::id::{AppName, ModelName, NodeId, Operator, Purpose, RuleId, SiteName, Tag};
use hither_types::label::DataClass;
use hither_types::member::{self, Relay};
use hither_types::model::{Datatype, ModelFormat};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::request::{Priority, Quality, RequestKind};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::error::{DecodeError, EncodeError};
use crate::limits::{MAX_NAME, MAX_TEXT};

/// Text, borrowed where it can be.
#[derive(Debug, Clone)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// A name that is not one of the parsed kinds.
    pub(crate) fn name(what: &'static str, text: &'a str) -> Result<Self, EncodeError> {
        if text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err(EncodeError::BadName { what, most: MAX_NAME });
        }
        Ok(Self(Cow::Borrowed(text)))
    }

    /// Reads such a name.
    pub(crate) fn into_name(self, what: &'static str) -> Result<String, DecodeError> {
        self.bounded(what, MAX_NAME)
    }

    /// A sentence for a person: cut to its limit, on one line.
    pub(crate) fn sentence(text: &'a str) -> Self {
        const ELLIPSIS: char = '…';
        if text.len() <= MAX_TEXT && !text.chars().any(char::is_control) {
            return Self(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len().min(MAX_TEXT));
        for c in text.chars() {
            if out.len() + c.len_utf8() + ELLIPSIS.len_utf8() > MAX_TEXT {
                out.push(ELLIPSIS);
                break;
            }
            out.push(if c.is_control() { ' ' } else { c });
        }
        Self(Cow::Owned(out))
    }

    /// Reads a sentence. What a peer says must not reach a terminal with control characters in it.
    pub(crate) fn into_sentence(self, what: &'static str) -> Result<String, DecodeError> {
        self.bounded(what, MAX_TEXT)
    }

    /// The text itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn bounded(self, what: &'static str, most: usize) -> Result<String, DecodeError> {
        if self.0.len() > most || self.0.chars().any(char::is_control) {
            return Err(DecodeError::Text { what, most });
        }
        Ok(self.0.into_owned())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&str>::deserialize(deserializer).map(|text| Self(Cow::Borrowed(text)))
    }
}

macro_rules! names {
    ($($name:ident),*) => {$(
        impl<'a> From<&'a $name> for Text<'a> {
            fn from(name: &'a $name) -> Self {
                Self(Cow::Borrowed(name.as_str()))
            }
        }

        impl TryFrom<Text<'_>> for $name {
            type Error = DecodeError;

            fn try_from(text: Text<'_>) -> Result<Self, DecodeError> {
                Ok(Self::parse(&text.0)?)
            }
        }
    )*};
}

names!(AppName, ModelName, Operator, Purpose, RuleId, SiteName, Tag);

impl From<&Jurisdiction> for Text<'_> {
    fn from(jurisdiction: &Jurisdiction) -> Self {
        Self(Cow::Owned(jurisdiction.to_string()))
    }
}

impl TryFrom<Text<'_>> for Jurisdiction {
    type Error = DecodeError;

    fn try_from(text: Text<'_>) -> Result<Self, DecodeError> {
        Ok(Self::parse(&text.0)?)
    }
}

/// Bytes that this crate does not look into.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

/// A list of at most `MAX` elements.
pub(crate) struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Whether it has no element.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Encodes each word of a slice.
    pub(crate) fn of<'a, W>(what: &'static str, words: &'a [W]) -> Result<Self, EncodeError>
    where
        T: TryFrom<&'a W>,
        EncodeError: From<T::Error>,
    {
        if words.len() > MAX {
            return Err(EncodeError::TooMany { what, count: words.len(), most: MAX });
        }
        Ok(Self(words.iter().map(T::try_from).collect::<Result<_, _>>()?))
    }

    /// Decodes each element into its word.
    pub(crate) fn into_words<W>(self) -> Result<Vec<W>, DecodeError>
    where
        W: TryFrom<T>,
        DecodeError: From<W::Error>,
    {
        Ok(self.0.into_iter().map(W::try_from).collect::<Result<_, _>>()?)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|element| sequence.serialize_element(element))?;
        sequence.end()
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let stated = sequence.size_hint().unwrap_or(0);
                if stated > MAX {
                    return Err(A::Error::invalid_length(stated, &self));
                }
                // Grows with the elements that are really there, not with the number that is stated.
                let mut elements = Vec::new();
                while let Some(element) = sequence.next_element()? {
                    if elements.len() == MAX {
                        return Err(A::Error::invalid_length(MAX + 1, &self));
                    }
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }

        deserializer.deserialize_seq(Elements(std::marker::PhantomData))
    }
}

/// A token id, or another number that is its own word.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(u32);

impl From<&u32> for Number {
    fn from(number: &u32) -> Self {
        Self(*number)
    }
}

impl From<Number> for u32 {
    fn from(number: Number) -> Self {
        number.0
    }
}

/// Where a node can be reached. Flow labels and scopes of IPv6 mean nothing elsewhere, so they do not travel.
///
/// Nodes from before there were relays read the first two alone: whoever runs a relay has updated them.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) enum Address {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
    RelayV4([u8; 32], [u8; 4], u16),
    RelayV6([u8; 32], [u8; 16], u16),
}

impl From<&member::Address> for Address {
    fn from(address: &member::Address) -> Self {
        match address {
            member::Address::Direct(address) => match address.ip() {
                IpAddr::V4(ip) => Self::V4(ip.octets(), address.port()),
                IpAddr::V6(ip) => Self::V6(ip.octets(), address.port()),
            },
            member::Address::Relayed(Relay { node, address }) => match address.ip() {
                IpAddr::V4(ip) => Self::RelayV4(node.0, ip.octets(), address.port()),
                IpAddr::V6(ip) => Self::RelayV6(node.0, ip.octets(), address.port()),
            },
        }
    }
}

impl From<Address> for member::Address {
    fn from(address: Address) -> Self {
        let relayed = |node, address| Self::Relayed(Relay { node: NodeId(node), address });
        match address {
            Address::V4(ip, port) => Self::Direct(SocketAddr::from((ip, port))),
            Address::V6(ip, port) => Self::Direct(SocketAddr::from((ip, port))),
            Address::RelayV4(node, ip, port) => relayed(node, SocketAddr::from((ip, port))),
            Address::RelayV6(node, ip, port) => relayed(node, SocketAddr::from((ip, port))),
        }
    }
}

/// Closed choices travel as one byte with a number that is given here and never given again.
macro_rules! codes {
    ($($code:ident: $word:ident, $what:literal { $($variant:ident = $number:literal),* $(,)? })*) => {$(
        #[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $code(u8);

        impl From<&$word> for $code {
            fn from(word: &$word) -> Self {
                match word {
                    $($word::$variant => Self($number),)*
                }
            }
        }

        impl TryFrom<$code> for $word {
            type Error = DecodeError;

            fn try_from(code: $code) -> Result<Self, DecodeError> {
                match code.0 {
                    $($number => Ok(Self::$variant),)*
                    code => Err(DecodeError::Code { what: $what, code }),
                }
            }
        }
    )*};
}

codes! {
    ClassCode: DataClass, "class of data" { Public = 0, Internal = 1, Personal = 2, Special = 3, Secret = 4 }
    AssuranceCode: Assurance, "level of assurance" { Claimed = 0, Vouched = 1, Near = 2, Hardware = 3 }
    KindCode: RequestKind, "kind of request" { Infer = 0, Generate = 1, Train = 2 }
    PriorityCode: Priority, "priority" { Low = 0, Normal = 1, Critical = 2 }
    QualityCode: Quality, "word on quality" { Exact = 0, Family = 1 }
    FormatCode: ModelFormat, "format of a model" { Onnx = 0, Gguf = 1, Stub = 2, Outside = 3 }
    DatatypeCode: Datatype, "element type" {
        Bool = 0,
        Uint8 = 1,
        Uint16 = 2,
        Uint32 = 3,
        Uint64 = 4,
        Int8 = 5,
        Int16 = 6,
        Int32 = 7,
        Int64 = 8,
        Fp16 = 9,
        Bf16 = 10,
        Fp32 = 11,
        Fp64 = 12,
        Bytes = 13,
    }
}
