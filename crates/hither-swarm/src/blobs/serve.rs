//! Parts of files for members: 48 bytes in (digest, first byte, byte after the last), the part with its proof out.

use std::ops::Range;
use std::sync::Arc;

use hither_types::id::{Digest, NodeId};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::task::JoinSet;

use crate::blobs::store::{ServeError, is_aligned};
use crate::links::Code;
use crate::swarm::Shared;
use crate::{ledbat, limits};

pub(crate) const REQUEST: usize = 48;

/// The bytes of a request.
pub(crate) fn encode(digest: Digest, part: &Range<u64>) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[..32].copy_from_slice(&digest.0);
    bytes[32..40].copy_from_slice(&part.start.to_le_bytes());
    bytes[40..].copy_from_slice(&part.end.to_le_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<(Digest, Range<u64>)> {
    let bytes: &[u8; REQUEST] = bytes.try_into().ok()?;
    let digest = Digest(*bytes.first_chunk()?);
    let start = u64::from_le_bytes(*bytes[32..].first_chunk()?);
    let end = u64::from_le_bytes(*bytes[40..].first_chunk()?);
    let part = start..end;
    (start < end && end - start <= limits::PIECE_MAX && is_aligned(&part)).then_some((digest, part))
}

/// The most bytes that a part takes with its proof: 64 bytes per block of 16 KiB and twice the depth of the tree, of which
/// an eighth is far more.
pub(super) fn most_encoded(part: &Range<u64>) -> Option<usize> {
    let length = part.end - part.start;
    usize::try_from(length + length / 8 + (16 << 10)).ok()
}

/// Serves the requests of one connection until it ends.
pub(crate) async fn serve(shared: &Arc<Shared>, from: NodeId, connection: Connection) {
    let mut parts = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((sender, receiver)) => {
                    ledbat::give_way(&connection);
                    parts.spawn(part(shared.clone(), from, sender, receiver));
                }
                Err(_) => return,
            },
            Some(_) = parts.join_next() => {}
        }
    }
}

async fn part(shared: Arc<Shared>, from: NodeId, mut sender: SendStream, mut receiver: RecvStream) {
    let refuse = |sender: &mut SendStream, code: Code| {
        // It fails only if the asker is gone already.
        let _ = sender.reset(code.into());
    };
    let request = tokio::time::timeout(limits::PIECE_STALL, receiver.read_to_end(REQUEST)).await;
    let Ok(Ok(request)) = request else { return refuse(&mut sender, Code::Slow) };
    let Some((digest, part)) = decode(&request) else {
        tracing::warn!(peer = %from.short(), "a request for a part of a file cannot be read");
        return refuse(&mut sender, Code::Garbage);
    };
    if !shared.chunks.may_copy(from, digest).await {
        return refuse(&mut sender, Code::Absent);
    }
    // Held until the part is sent: bounds the memory that slow readers take.
    let Ok(_place) = shared.serving.acquire().await else { return };
    let store = shared.store.clone();
    let proved = tokio::task::spawn_blocking(move || store.prove(digest, &part)).await;
    match proved {
        Ok(Ok(encoded)) => {
            let written = tokio::time::timeout(limits::ASK_HEAD, sender.write_chunk(encoded.into())).await;
            match written {
                Ok(Ok(())) => drop(sender.finish()),
                Ok(Err(_)) | Err(_) => refuse(&mut sender, Code::Slow),
            }
        }
        Ok(Err(ServeError::Absent)) => refuse(&mut sender, Code::Absent),
        Ok(Err(ServeError::Rotten)) => {
            tracing::warn!(%digest, "a stored file is damaged; not served");
            refuse(&mut sender, Code::Rotten);
        }
        Err(_) => refuse(&mut sender, Code::Broken),
    }
}
