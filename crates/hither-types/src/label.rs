//! What a request says about its data. A label is set at the door and can only be tightened.

use std::fmt;

use crate::id::{ParseIdError, Purpose, Tag};
use crate::place::Jurisdiction;

/// How sensitive data is, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataClass {
    /// Anyone may see it.
    Public,
    /// Not for outsiders.
    Internal,
    /// About a person.
    Personal,
    /// GDPR Article 9 and its like: health, biometrics.
    Special,
    /// Stays home.
    Secret,
}

impl DataClass {
    /// All classes, least sensitive first.
    pub const ALL: [Self; 5] = [Self::Public, Self::Internal, Self::Personal, Self::Special, Self::Secret];

    /// The word that policies, headers and records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
            Self::Special => "special",
            Self::Secret => "secret",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| ParseIdError::new("public, internal, personal, special or secret", text))
    }
}

impl fmt::Display for DataClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The label of a request: immutable from the door on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// How sensitive the data is.
    pub class: DataClass,
    /// Marks, sorted.
    pub tags: Vec<Tag>,
    /// The jurisdictions of the people concerned, sorted. Never empty: it defaults to the entry node's own.
    pub subjects: Vec<Jurisdiction>,
    /// What the request is for.
    pub purpose: Option<Purpose>,
}
