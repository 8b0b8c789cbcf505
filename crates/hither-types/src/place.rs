//! Where a request may run, and which law holds there.

use std::fmt;

use crate::id::{NodeId, Operator, ParseIdError, SiteName};

/// A country (ISO 3166-1 alpha-2) or one of its subdivisions (ISO 3166-2): `DE`, `DE-BY`.
///
/// The form is checked here; whether the code exists is checked where text enters (`hither-law`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction {
    country: [u8; 2],
    subdivision: Option<[u8; 3]>,
}

impl Jurisdiction {
    /// A place that nobody knows: inside or outside nothing for certain.
    pub const UNKNOWN: Self = Self { country: *b"ZZ", subdivision: None };

    /// Reads `DE` or `DE-BY`; upper case only.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::new("an ISO 3166 code such as DE or DE-BY", text);
        let (country, rest) = match text.split_once('-') {
            Some((country, rest)) => (country, Some(rest)),
            None => (text, None),
        };
        let country: [u8; 2] = country.as_bytes().try_into().map_err(|_| wrong())?;
        if !country.iter().all(u8::is_ascii_uppercase) {
            return Err(wrong());
        }
        let subdivision = match rest {
            None => None,
            Some(rest) => {
                let fits = (1..=3).contains(&rest.len());
                if !fits || !rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
                    return Err(wrong());
                }
                let mut code = [0; 3];
                code[..rest.len()].copy_from_slice(rest.as_bytes());
                Some(code)
            }
        };
        Ok(Self { country, subdivision })
    }

    /// The country alone.
    pub fn country(self) -> Self {
        Self { country: self.country, subdivision: None }
    }

    /// The number of the country among all pairs of letters: 0 is `AA`, 675 is `ZZ`.
    #[inline]
    pub fn country_number(self) -> usize {
        let [first, second] = self.country.map(|letter| usize::from(letter - b'A'));
        first * 26 + second
    }

    /// Whether this is a whole country.
    #[inline]
    pub fn is_country(self) -> bool {
        self.subdivision.is_none()
    }

    /// Whether nobody knows where this is.
    pub fn is_unknown(self) -> bool {
        self.country == Self::UNKNOWN.country
    }

    /// Whether this is the other or lies inside it: `DE-BY` is within `DE`, not the reverse.
    pub fn within(self, outer: Self) -> bool {
        self.country == outer.country && (outer.subdivision.is_none() || outer.subdivision == self.subdivision)
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.country {
            write!(f, "{}", byte as char)?;
        }
        if let Some(code) = self.subdivision {
            f.write_str("-")?;
            for byte in code.into_iter().filter(|b| *b != 0) {
                write!(f, "{}", byte as char)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of jurisdictions, blocs already expanded. Closed downward: `DE` holds `DE-BY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Region {
    /// How the author wrote it (`["EEA", "CH"]`), for messages.
    pub written: Vec<String>,
    /// The members, sorted, blocs expanded.
    pub members: Vec<Jurisdiction>,
}

impl Region {
    /// Whether a jurisdiction lies in this set.
    pub fn contains(&self, jurisdiction: Jurisdiction) -> bool {
        self.members.iter().any(|member| jurisdiction.within(*member))
    }
}

/// How well a node's claim to be where it says is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// The configuration says so.
    Claimed,
    /// A membership certificate says so, signed by an issuer.
    Vouched,
    /// Round trips to known places bound the distance.
    Near,
    /// Hardware says so.
    Hardware,
}

/// What kind of place this is, seen from the node that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceKind {
    /// The node that the request entered.
    Home,
    /// Another node of the mesh.
    Peer,
    /// A cloud endpoint.
    Cloud,
}

/// The facts about a place that the law asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlaceFacts {
    /// The node, absent for a cloud endpoint.
    pub node: Option<NodeId>,
    /// The site, absent for a cloud endpoint.
    pub site: Option<SiteName>,
    /// Where the machine stands.
    pub jurisdiction: Jurisdiction,
    /// Which states can compel its operator; `None` is "unknown", an empty list is "nobody".
    pub control: Option<Vec<Jurisdiction>>,
    /// The legal entity that runs it.
    pub operator: Operator,
    /// How well the jurisdiction is supported.
    pub assurance: Assurance,
}
