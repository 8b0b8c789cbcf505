//! The first frame of every conversation, in both directions: which versions of the protocol a program speaks.
//!
//! What must stay true: it is read before anything that may differ between versions; two programs that have no version in
//! common say so to each other, and to whoever runs them.

use hither_types::version::Versions;
use hither_wire::versions::{MAX_VERSIONS, decode_versions, encode_versions, spoken};
use iroh::endpoint::{Connection, ConnectionError};

use crate::framing::{self, FrameReader, Framed, FramingError};
use crate::links::Code;
use crate::starts;

/// Why a conversation ends at its first frame.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// For whoever runs this node.
    pub(crate) here: String,
    /// For whoever runs the other.
    pub(crate) there: String,
}

impl Refusal {
    /// Whether somebody has to install another program.
    pub(crate) fn is_about_versions(&self) -> bool {
        matches!(self.code, Code::Apart | Code::Garbage)
    }
}

/// What this program speaks.
pub(crate) fn own() -> Versions {
    spoken(env!("CARGO_PKG_VERSION")).expect("the version of a crate is a short plain word")
}

/// The frame that says it.
pub(crate) fn frame(own: &Versions) -> Framed {
    framing::frame(encode_versions(own), MAX_VERSIONS).expect("a range of versions is short")
}

/// Reads the frame of the other end. What it speaks, if there is a version in common.
pub(crate) async fn read(
    own: &Versions,
    connection: &Connection,
    reader: &mut FrameReader,
) -> Result<Versions, Refusal> {
    let frame = match reader.next().await {
        Ok(Some(frame)) => frame,
        Err(FramingError::TooLarge { .. }) => return Err(unread(own)),
        Ok(None) | Err(_) => return Err(broken(connection)),
    };
    let versions = decode_versions(&frame).map_err(|_| unread(own))?;
    match (own.reason(&versions), versions.reason(own)) {
        (Some(here), Some(there)) => Err(Refusal { code: Code::Apart, here, there }),
        _ => Ok(versions),
    }
}

/// The other end says nothing that can be read: it is older than this frame, or something else.
fn unread(own: &Versions) -> Refusal {
    let text = format!(
        "one end is hither {}, which speaks versions {} to {} of the protocol between nodes, and the other does not say what \
         it speaks: install the same hither at both ends",
        own.program, own.oldest, own.newest
    );
    Refusal { code: Code::Garbage, here: text.clone(), there: text }
}

/// The connection ended first. Perhaps the other end said why.
pub(crate) fn broken(connection: &Connection) -> Refusal {
    match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == Code::Apart.into() => {
            // One packet holds it all, so it is short.
            let here = String::from_utf8_lossy(&close.reason).into_owned();
            Refusal { code: Code::Apart, here, there: String::new() }
        }
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == Code::Stale.into() => starts::moved(),
        _ => Refusal { code: Code::Broken, here: "the connection broke".to_owned(), there: String::new() },
    }
}
