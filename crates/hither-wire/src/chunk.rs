//! Words about the chunks of a file. The order of the variants is part of the form: new ones go to the end.

use std::ops::Range;

use hither_types::id::Digest;
use hither_types::message::{ChunkTalk, ChunkWord};
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::List;
use crate::limits::{MAX_OFFERED, MAX_RANGES};

#[derive(Serialize, Deserialize)]
pub(crate) struct TalkForm {
    digest: [u8; 32],
    word: WordForm,
}

#[derive(Serialize, Deserialize)]
enum WordForm {
    Have(List<RangeForm, MAX_RANGES>),
    Offer(List<Chunk, MAX_OFFERED>),
    Decline(u32),
    Coming(u32),
    Lost(u32),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Chunk(u32);

impl From<&u32> for Chunk {
    fn from(chunk: &u32) -> Self {
        Self(*chunk)
    }
}

impl From<Chunk> for u32 {
    fn from(chunk: Chunk) -> Self {
        chunk.0
    }
}

/// The first chunk, and how many there are from it on.
#[derive(Serialize, Deserialize)]
struct RangeForm {
    first: u32,
    count: u32,
}

impl From<&Range<u32>> for RangeForm {
    fn from(range: &Range<u32>) -> Self {
        Self { first: range.start, count: range.end.saturating_sub(range.start) }
    }
}

impl TryFrom<RangeForm> for Range<u32> {
    type Error = DecodeError;

    fn try_from(form: RangeForm) -> Result<Self, DecodeError> {
        let end = form.first.checked_add(form.count).filter(|_| form.count > 0);
        let end = end.ok_or(DecodeError::Malformed { form: "a range of chunks" })?;
        Ok(form.first..end)
    }
}

/// Each chunk at most once: a thousand times all of them would take its time.
fn ascending(ranges: Vec<Range<u32>>) -> Result<Vec<Range<u32>>, DecodeError> {
    let apart = ranges.windows(2).all(|pair| matches!(pair, [first, second] if first.end <= second.start));
    if apart { Ok(ranges) } else { Err(DecodeError::Malformed { form: "ranges of chunks" }) }
}

impl TryFrom<&ChunkTalk> for TalkForm {
    type Error = EncodeError;

    fn try_from(talk: &ChunkTalk) -> Result<Self, EncodeError> {
        let word = match &talk.word {
            ChunkWord::Have(ranges) => WordForm::Have(List::of("ranges of chunks", ranges)?),
            ChunkWord::Offer(chunks) => WordForm::Offer(List::of("chunks that are offered", chunks)?),
            ChunkWord::Decline(chunk) => WordForm::Decline(*chunk),
            ChunkWord::Coming(chunk) => WordForm::Coming(*chunk),
            ChunkWord::Lost(chunk) => WordForm::Lost(*chunk),
        };
        Ok(Self { digest: talk.digest.0, word })
    }
}

impl TryFrom<TalkForm> for ChunkTalk {
    type Error = DecodeError;

    fn try_from(form: TalkForm) -> Result<Self, DecodeError> {
        let word = match form.word {
            WordForm::Have(ranges) => ChunkWord::Have(ascending(ranges.into_words()?)?),
            WordForm::Offer(chunks) => ChunkWord::Offer(chunks.into_words::<u32>()?),
            WordForm::Decline(chunk) => ChunkWord::Decline(chunk),
            WordForm::Coming(chunk) => ChunkWord::Coming(chunk),
            WordForm::Lost(chunk) => ChunkWord::Lost(chunk),
        };
        Ok(Self { digest: Digest(form.digest), word })
    }
}
