//! Every bound of the filter, each with the reason for its number.

/// The longest text that is read at once, in bytes: positions are kept in 32 bits. A longer one counts as unreadable.
pub const TEXT_MAX: usize = u32::MAX as usize / 2;

/// How far a local part of an address of mail reaches: RFC 5321 says 64.
pub(crate) const LOCAL_PART_MAX: usize = 64;

/// How far its domain reaches: RFC 1035 says 255.
pub(crate) const DOMAIN_MAX: usize = 255;

/// How far the login of a web address is looked for.
pub(crate) const LOGIN_MAX: usize = 256;

/// Groups of digits that are looked at together: a French telephone number with its country has six, a registration
/// number seven.
pub(crate) const GROUPS_MAX: usize = 8;

/// Digits of one number: a payment card has 19, an address of version 4 has 12.
pub(crate) const DIGITS_MAX: usize = 20;

/// How far before a number the word that says what it is may stand, in bytes.
pub(crate) const CONTEXT: usize = 48;

/// The longest token that is taken for a secret.
pub(crate) const TOKEN_MAX: usize = 8192;

/// How far into a token a digit is looked for: longer tokens than any maker's have one by then.
pub(crate) const TOKEN_HEAD: usize = 64;

/// How often a masked text is read again: what was masked may have stood between two halves of a number. More rounds than
/// this need a text that was made for it, and such a text is left out as a whole.
pub(crate) const ROUNDS: usize = 8;
