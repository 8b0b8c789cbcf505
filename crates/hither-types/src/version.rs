//! Which protocol between nodes a program speaks: the first words of every conversation, before anything that may change.

/// The longest name of a program's version.
pub const PROGRAM_MAX: usize = 32;

/// The versions of the protocol between nodes that a program speaks, all from the oldest to the newest, and which
/// program it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Versions {
    /// The oldest that it speaks.
    pub oldest: u16,
    /// The newest that it speaks.
    pub newest: u16,
    /// The program, such as `0.1.0`.
    pub program: Program,
}

/// The version of a program: 1 to 32 letters, digits, dots, hyphens and plus signs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program(String);

impl Program {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        let holds = (1..=PROGRAM_MAX).contains(&text.len()) && text.bytes().all(fits);
        holds.then(|| Self(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why two programs cannot talk, as the one sees it that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Apart {
    /// The other speaks older versions only.
    OtherTooOld,
    /// The other speaks newer versions only.
    OtherTooNew,
}

impl Versions {
    /// The newest version that both speak.
    pub fn common(&self, other: &Self) -> Result<u16, Apart> {
        if other.newest < self.oldest {
            return Err(Apart::OtherTooOld);
        }
        if other.oldest > self.newest {
            return Err(Apart::OtherTooNew);
        }
        Ok(self.newest.min(other.newest))
    }

    /// What whoever runs the node `other` is told when they cannot talk: both ranges, and which of the two to renew.
    pub fn reason(&self, other: &Self) -> Option<String> {
        let fix = match self.common(other) {
            Ok(_) => return None,
            Err(Apart::OtherTooOld) => "install a newer hither at the other end",
            Err(Apart::OtherTooNew) => "install a newer hither here",
        };
        Some(format!(
            "this is hither {} and speaks versions {} to {} of the protocol between nodes, the other end is hither {} and \
             speaks {} to {}: {fix}",
            self.program, self.oldest, self.newest, other.program, other.oldest, other.newest
        ))
    }
}

#[cfg(test)]
mod tests;
