//! Bytes between nodes, and their versions.
//!
//! The first byte of every form is its version. Decoding takes bounded memory and time, whatever it is fed: sizes are
//! checked before anything is read, text and bytes are borrowed from the input, lists stop at their limit, names are
//! parsed into their types, and bytes that are left over are refused.

use hither_types::authority::AuthorityEntry;
use hither_types::member::{Member, Roles, Signed};
use hither_types::message::{Ask, ChunkTalk, Frame, Hello, HelloReply, Invite, PeerMessage, StartProof};
use hither_types::model::Manifest;
use hither_types::near::NearReport;
use hither_types::rollout::RolloutWord;
use serde::{Deserialize, Serialize};

mod authority;
mod chunk;
mod error;
mod field;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hello;
pub mod limits;
mod member;
mod message;
mod model;
mod near;
mod refusal;
mod request;
mod rollout;
mod signal;
mod start;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod versions;
mod witness;

pub use error::{DecodeError, EncodeError};
pub use limits::MAX_FRAME;

/// What two nodes agree on when they connect (ALPN). It changes when nodes cannot understand one another at all.
pub const PROTOCOL: &[u8] = b"hither/1";

/// The version of the forms that have only one, and their first byte.
pub const VERSION: u8 = 1;

/// A kind of form: what people call it, how large it may be, and its version.
struct Form {
    name: &'static str,
    most: usize,
    version: u8,
}

fn encode<T: Serialize>(form: &Form, dto: &T) -> Result<Vec<u8>, EncodeError> {
    // The only failures of writing to a vector are those of types that these forms do not have.
    let bytes = postcard::to_extend(dto, vec![form.version]).expect("the forms hold only what postcard can write");
    if bytes.len() > form.most {
        return Err(EncodeError::TooLarge { form: form.name, size: bytes.len(), most: form.most });
    }
    Ok(bytes)
}

fn decode<'a, T: Deserialize<'a>>(form: &Form, bytes: &'a [u8]) -> Result<T, DecodeError> {
    if bytes.len() > form.most {
        return Err(DecodeError::TooLarge { form: form.name, size: bytes.len(), most: form.most });
    }
    let (version, rest) = bytes.split_first().ok_or(DecodeError::Empty { form: form.name })?;
    if *version != form.version {
        return Err(DecodeError::Version { form: form.name, found: *version, known: form.version });
    }
    let (dto, left) = postcard::take_from_bytes(rest).map_err(|_| DecodeError::Malformed { form: form.name })?;
    if !left.is_empty() {
        return Err(DecodeError::Trailing { form: form.name, left: left.len() });
    }
    Ok(dto)
}

macro_rules! forms {
    ($($form:ident = $name:literal, $most:ident; $word:ident as $dto:path;
       $(#[$encode_doc:meta])* $encode:ident; $(#[$decode_doc:meta])* $decode:ident;)*) => {$(
        const $form: Form = Form { name: $name, most: limits::$most, version: VERSION };

        $(#[$encode_doc])*
        pub fn $encode(word: &$word) -> Result<Vec<u8>, EncodeError> {
            encode(&$form, &<$dto>::try_from(word)?)
        }

        $(#[$decode_doc])*
        pub fn $decode(bytes: &[u8]) -> Result<$word, DecodeError> {
            decode::<$dto>(&$form, bytes)?.try_into()
        }
    )*};
}

forms! {
    MESSAGE = "a message", MAX_MESSAGE; PeerMessage as message::MessageForm<'_>;
    /// Writes small talk.
    encode_message;
    /// Reads small talk.
    decode_message;

    ASK = "a request", MAX_FRAME; Ask as request::AskForm<'_>;
    /// Writes the head of a request stream.
    encode_ask;
    /// Reads the head of a request stream.
    decode_ask;

    FRAME = "a frame", MAX_FRAME; Frame as request::FrameForm<'_>;
    /// Writes what goes back on a request stream.
    encode_frame;
    /// Reads what comes back on a request stream.
    decode_frame;

    HELLO = "a hello", MAX_HELLO; Hello as hello::HelloForm<'_>;
    /// Writes the first words on a connection.
    encode_hello;
    /// Reads the first words of a stranger.
    decode_hello;

    HELLO_REPLY = "a reply to a hello", MAX_HELLO_REPLY; HelloReply as hello::ReplyForm<'_>;
    /// Writes the answer to a hello.
    encode_hello_reply;
    /// Reads the answer to a hello.
    decode_hello_reply;

    AUTHORITY_ENTRY = "an entry of the authority log", MAX_AUTHORITY_ENTRY; AuthorityEntry as authority::EntryForm<'_>;
    /// Writes what the signature of an entry of the authority log covers.
    encode_authority_entry;
    /// Reads an entry of the authority log. Its signature was checked before.
    decode_authority_entry;

    START_PROOF = "a proof of a start", MAX_START_PROOF; StartProof as start::ProofForm;
    /// Writes what the signature of a proof of a start covers.
    encode_start_proof;
    /// Reads a proof of a start. Its signature was checked before.
    decode_start_proof;

    ROLLOUT_WORD = "a word about versions", MAX_ROLLOUT; RolloutWord as rollout::RolloutWordForm<'_>;
    /// Writes what the signature of a word about versions covers.
    encode_rollout_word;
    /// Reads a word about versions. Its signature was checked before.
    decode_rollout_word;

    NEAR_REPORT = "a report of round trips", MAX_NEAR_REPORT; NearReport as near::ReportForm;
    /// Writes what the signature of a report of round trips covers.
    encode_near_report;
    /// Reads a report of round trips. Its signature was checked before.
    decode_near_report;

    CHUNK_TALK = "a word about chunks", MAX_CHUNK_TALK; ChunkTalk as chunk::TalkForm;
    /// Writes a word about the chunks of a file.
    encode_chunk_talk;
    /// Reads a word about the chunks of a file. Whether the file has such chunks is for whoever knows its size.
    decode_chunk_talk;
}

/// Writes small talk for a program that speaks the protocol up to a version: what that does not know is left out.
pub fn encode_message_in(message: &PeerMessage, version: u16) -> Result<Vec<u8>, EncodeError> {
    match message::in_version(message, version) {
        None => encode_message(message),
        Some(older) => encode_message(&older),
    }
}

const INVITE: Form = Form { name: "an invite", most: limits::MAX_INVITE, version: 3 };
const INVITE_2: Form = Form { version: 2, ..INVITE };
const INVITE_1: Form = Form { version: 1, ..INVITE };

/// Writes an invite; [`ticket::format`] makes it text. One that says nothing of words is written as older programs did.
pub fn encode_invite(invite: &Invite) -> Result<Vec<u8>, EncodeError> {
    let form = hello::InviteForm::try_from(invite)?;
    match (invite.comparison, &invite.pass) {
        (Some(comparison), _) => encode(&INVITE, &hello::InviteForm3::of(form, invite, comparison)),
        (None, None) => encode(&INVITE_1, &form),
        (None, Some(pass)) => encode(&INVITE_2, &hello::InviteForm2::of(form, pass)),
    }
}

/// Reads an invite of any version.
pub fn decode_invite(bytes: &[u8]) -> Result<Invite, DecodeError> {
    match bytes.first() {
        Some(1) => decode::<hello::InviteForm<'_>>(&INVITE_1, bytes)?.try_into(),
        Some(2) => decode::<hello::InviteForm2<'_>>(&INVITE_2, bytes)?.try_into(),
        _ => decode::<hello::InviteForm3<'_>>(&INVITE, bytes)?.try_into(),
    }
}

const MEMBER: Form = Form { name: "a certificate", most: limits::MAX_MEMBER, version: 2 };
const MEMBER_1: Form = Form { version: 1, ..MEMBER };

/// Writes what a certificate's signature covers. One that gives all roles is written as version 1, which older nodes read.
pub fn encode_member(member: &Member) -> Result<Vec<u8>, EncodeError> {
    let form = member::MemberForm::try_from(member)?;
    match member.roles == Roles::ALL {
        true => encode(&MEMBER_1, &form),
        false => encode(&MEMBER, &member::MemberForm2::of(form, member.roles)),
    }
}

/// Reads a certificate of either version. Its signature was checked before.
pub fn decode_member(bytes: &[u8]) -> Result<Member, DecodeError> {
    match bytes.first() {
        Some(1) => decode::<member::MemberForm<'_>>(&MEMBER_1, bytes)?.try_into(),
        _ => decode::<member::MemberForm2<'_>>(&MEMBER, bytes)?.try_into(),
    }
}

const MANIFEST: Form = Form { name: "a catalog entry", most: limits::MAX_MANIFEST, version: 3 };
const MANIFEST_2: Form = Form { version: 2, ..MANIFEST };
const MANIFEST_1: Form = Form { version: 1, ..MANIFEST };

/// Writes what the signature of a catalog entry covers, in the oldest version that holds all of it: one that neither ends, nor
/// was signed anew, nor says who signed its files is version 2, and one that states neither memory nor known answers as well
/// is version 1.
pub fn encode_manifest(manifest: &Manifest) -> Result<Vec<u8>, EncodeError> {
    if let Some(form) = model::ManifestForm3::needed(manifest)? {
        return encode(&MANIFEST, &form);
    }
    let form = model::ManifestForm::try_from(manifest)?;
    match form.fits_version_1() {
        true => encode(&MANIFEST_1, &model::ManifestForm1::from(form)),
        false => encode(&MANIFEST_2, &form),
    }
}

/// Reads a catalog entry of any version. Its signature was checked before.
pub fn decode_manifest(bytes: &[u8]) -> Result<Manifest, DecodeError> {
    match bytes.first() {
        Some(&version) if version == MANIFEST_1.version => {
            model::ManifestForm::from(decode::<model::ManifestForm1<'_>>(&MANIFEST_1, bytes)?).try_into()
        }
        Some(&version) if version == MANIFEST_2.version => {
            decode::<model::ManifestForm<'_>>(&MANIFEST_2, bytes)?.try_into()
        }
        _ => decode::<model::ManifestForm3<'_>>(&MANIFEST, bytes)?.try_into(),
    }
}

/// The first version of the protocol whose programs read a catalog entry: earlier ones are not told of it. What an entry
/// means is not looked at.
pub fn entry_version(entry: &Signed) -> u16 {
    match entry.bytes.first() {
        Some(&version) if version >= MANIFEST.version => versions::WITH_EXPIRY,
        _ => versions::OLDEST,
    }
}
