//! Groups of countries that policies name, as data with a date. Sorted by code.

/// What the lists below say is true as of this month.
pub const VERSION: &str = "2026-11";

/// A group of countries.
pub struct Bloc {
    /// Its name in policies.
    pub name: &'static str,
    /// What it is, in a few words.
    pub meaning: &'static str,
    /// Its members.
    members: &'static [&'static [&'static str]],
}

impl Bloc {
    /// The codes of its members.
    pub fn members(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.members.iter().flat_map(|part| part.iter().copied())
    }
}

/// The member states.
const EU_STATES: &[&str] = &[
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// Parts of member states that have codes of their own and lie inside the Union: outermost regions, and Åland. The
/// overseas countries and territories (PF, NC, WF, BL, PM, GL and others) and the Faroes lie outside.
const EU_PARTS: &[&str] = &["AX", "GF", "GP", "MF", "MQ", "RE", "YT"];

/// The members of the EEA that are not in the Union. Svalbard (SJ) is not.
const EFTA_IN_EEA: &[&str] = &["IS", "LI", "NO"];

/// Third countries with a decision of the Commission under Article 45 GDPR that covers every recipient of a kind that
/// may run a node. CA (commercial organisations only) and US (certified companies only) are adequate in part, and a
/// country's code cannot say which part, so they are left out: a policy names them if its author has looked.
const ADEQUATE: &[&str] = &["AD", "AR", "BR", "CH", "FO", "GB", "GG", "IL", "IM", "JE", "JP", "KR", "NZ", "UY"];

/// The Association of Southeast Asian Nations; Timor-Leste since 26 October 2025.
const ASEAN: &[&str] = &["BN", "ID", "KH", "LA", "MM", "MY", "PH", "SG", "TH", "TL", "VN"];

/// All blocs.
pub const BLOCS: [Bloc; 4] = [
    Bloc { name: "EU", meaning: "the European Union", members: &[EU_STATES, EU_PARTS] },
    Bloc { name: "EEA", meaning: "the European Economic Area", members: &[EU_STATES, EU_PARTS, EFTA_IN_EEA] },
    Bloc { name: "EU-ADEQUATE", meaning: "countries outside the EEA that the EU finds adequate", members: &[ADEQUATE] },
    Bloc { name: "ASEAN", meaning: "the Association of Southeast Asian Nations", members: &[ASEAN] },
];

/// The bloc of this name.
pub fn bloc(name: &str) -> Option<&'static Bloc> {
    BLOCS.iter().find(|bloc| bloc.name == name)
}
