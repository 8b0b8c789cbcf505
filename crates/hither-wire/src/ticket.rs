//! An invite as text: something to paste, read out or scan.
//!
//! `hither1`, then the invite and its CRC-32 in lower-case base32. The CRC finds every wrong letter and every pair of
//! neighbours that changed places, so that a typing error is told from an invite that has ended.

use data_encoding::BASE32_NOPAD;
use hither_types::message::Invite;

use crate::error::{DecodeError, EncodeError};
use crate::limits::MAX_INVITE;
use crate::{decode_invite, encode_invite};

#[cfg(test)]
mod tests;

/// What every ticket begins with; the number is the version of the text form.
const PREFIX: &str = "hither1";

/// What tickets of all versions begin with.
const FAMILY: &str = "hither";

/// Why a text is not a ticket that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin as tickets do.
    #[error("a ticket begins with hither1, and this text does not: copy the whole line that the invite printed")]
    NotATicket,
    /// It begins as tickets of another version do.
    #[error("this ticket is of another version: update the older of the two nodes")]
    OtherVersion,
    /// A letter is wrong, missing or too many.
    #[error("a letter of this ticket is wrong, missing or too many: copy it once more")]
    Mistyped,
    /// The letters are right, and what they say is not an invite.
    #[error("this ticket was made by a program that does it otherwise")]
    Inside(#[source] DecodeError),
}

/// Writes an invite as text.
pub fn format(invite: &Invite) -> Result<String, EncodeError> {
    let mut bytes = encode_invite(invite)?;
    bytes.extend(crc32(&bytes).to_be_bytes());
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
}

/// Reads an invite. Space around it, line breaks in it and capital letters do no harm. Whether it has ended is for the
/// caller to say, who knows the time.
pub fn parse(text: &str) -> Result<Invite, TicketError> {
    // Twice the limit is more than base32 makes of it; longer text is not looked at.
    let plain: String =
        text.chars().filter(|c| !c.is_whitespace()).take(2 * MAX_INVITE + 1).collect::<String>().to_ascii_lowercase();
    let Some(letters) = plain.strip_prefix(PREFIX) else {
        let version = plain.strip_prefix(FAMILY).and_then(|rest| rest.chars().next());
        let other = version.is_some_and(|c| c.is_ascii_digit());
        return Err(if other { TicketError::OtherVersion } else { TicketError::NotATicket });
    };
    let bytes = BASE32_NOPAD.decode(letters.to_ascii_uppercase().as_bytes()).map_err(|_| TicketError::Mistyped)?;
    let (inside, check) = bytes.split_last_chunk::<4>().ok_or(TicketError::Mistyped)?;
    if crc32(inside) != u32::from_be_bytes(*check) {
        return Err(TicketError::Mistyped);
    }
    decode_invite(inside).map_err(TicketError::Inside)
}

/// CRC-32 as in IEEE 802.3. Bit by bit: a ticket is short and rare.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
