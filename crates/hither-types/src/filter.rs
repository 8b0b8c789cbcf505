//! What a filter looks for in a text before it leaves for a server outside the mesh, and what it found: kinds and counts,
//! never what was there.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// A kind of personal data or secret that a pattern can find.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DataKind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DataKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word in a configuration, a header and the ledger.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

kinds! {
    /// An address of electronic mail.
    Email = "email",
    /// A telephone number.
    Phone = "phone",
    /// An international bank account number.
    Iban = "iban",
    /// The number of a payment card.
    Card = "card",
    /// An address of the internet protocol, version 4 or 6.
    Ip = "ip",
    /// A number of the social security of the United States.
    UsSsn = "us-ssn",
    /// A German tax identification number.
    DeTaxId = "de-tax-id",
    /// A French registration number.
    FrNir = "fr-nir",
    /// A British national insurance number.
    UkNino = "uk-nino",
    /// A Brazilian taxpayer number.
    BrCpf = "br-cpf",
    /// An Indian Aadhaar number.
    InAadhaar = "in-aadhaar",
    /// The number of a Chinese resident's card.
    CnId = "cn-id",
    /// An Indonesian population number.
    IdNik = "id-nik",
    /// The number of a Vietnamese citizen's card.
    VnCccd = "vn-cccd",
    /// A date that the words before it call somebody's birth.
    BirthDate = "birth-date",
    /// The login in an address of the web.
    UrlLogin = "url-login",
    /// A key, a token or a password.
    Secret = "secret",
}

impl DataKind {
    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Whether it is a number that a state gives to people.
    pub fn is_national_id(self) -> bool {
        match self {
            Self::UsSsn
            | Self::DeTaxId
            | Self::FrNir
            | Self::UkNino
            | Self::BrCpf
            | Self::InAadhaar
            | Self::CnId
            | Self::IdNik
            | Self::VnCccd => true,
            Self::Email
            | Self::Phone
            | Self::Iban
            | Self::Card
            | Self::Ip
            | Self::BirthDate
            | Self::UrlLogin
            | Self::Secret => false,
        }
    }
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often each kind was found. As text: `email=2,iban=1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Findings(pub BTreeMap<DataKind, u32>);

impl Findings {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of others besides.
    pub fn add_all(&mut self, others: &Self) {
        for (kind, more) in &others.0 {
            let count = self.0.entry(*kind).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// One more.
    pub fn add(&mut self, kind: DataKind) {
        let count = self.0.entry(kind).or_default();
        *count = count.saturating_add(1);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, count)) in self.0.iter().enumerate() {
            write!(f, "{}{kind}={count}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Why a filter let nothing of a request leave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// It found what must not leave.
    Found(Findings),
    /// It cannot read a part of it; the word says which.
    Unreadable(&'static str),
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(findings) => write!(f, "it has {findings}"),
            Self::Unreadable(what) => write!(f, "it has {what}, which the filter cannot read"),
        }
    }
}
