//! One file over HTTP, however often the way breaks.
//!
//! A break is gone on from with `Range` and `If-Range` (RFC 9110, 14.2 and 13.1.5): a server that has another version by then
//! sends it from the start. Without a strong validator the rest is asked for only if a checksum will show what it was.

use std::path::Path;

use hither_types::unit::ByteCount;
use hyper::StatusCode;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE,
    RANGE,
};
use url::Url;

use crate::checksum::Sha256;
use crate::error::FetchError;
use crate::fetch::FetchedFile;
use crate::http::{Answer, Ask, Patience, Reader, Web};
use crate::limits;
use crate::local;
use crate::name::FileName;
use crate::partial::{About, Identity, Partial};
use crate::progress::{Meter, Stage};
use crate::secret::Credential;
use crate::space;

/// Where files go, and what they may take.
pub(crate) struct Job<'a> {
    pub(crate) web: &'a Web,
    pub(crate) dir: &'a Path,
    /// The most that one file may have, in bytes.
    pub(crate) largest: u64,
}

/// A file to fetch.
pub(crate) struct Wanted<'a> {
    pub(crate) url: Url,
    pub(crate) name: FileName,
    pub(crate) identity: Identity,
    /// Its size, where it is known beforehand.
    pub(crate) size: Option<u64>,
    pub(crate) credential: Option<Credential>,
    /// What a status that refuses means there.
    pub(crate) advice: &'a (dyn Fn(StatusCode, &HeaderMap) -> String + Send + Sync),
}

/// Fetches it, or finds it whole where it should go.
pub(crate) async fn download(
    job: &Job<'_>,
    wanted: &Wanted<'_>,
    meter: &mut Meter<'_>,
) -> Result<FetchedFile, FetchError> {
    if let Some(size) = wanted.size {
        bounded(job, wanted, size)?;
    }
    if let Some(found) = found(job, wanted, meter).await? {
        meter.finish(found.size.0);
        return Ok(found);
    }
    let mut partial = Partial::open(job.dir, &wanted.name, wanted.identity, meter).await?;
    let mut patience = Patience::default();
    let (mut furthest, mut is_second) = (partial.length(), false);
    loop {
        let attempt = attempt(job, wanted, &mut partial, meter).await;
        let checked = attempt.and_then(|()| check(wanted, &partial));
        match checked {
            Ok(sha256) => {
                let size = partial.length();
                let path = partial.finish().await?;
                meter.finish(size);
                return Ok(FetchedFile { path, size: ByteCount(size), sha256: Some(sha256) });
            }
            // Perhaps a piece of an earlier attempt was bad; the file itself is judged by one that came in a piece.
            Err(FetchError::Checksum { .. }) if partial.is_stitched() && !is_second => {
                is_second = true;
                partial.restart(About::default()).await?;
            }
            Err(error @ (FetchError::Checksum { .. } | FetchError::Size { .. } | FetchError::TooLarge { .. })) => {
                partial.discard().await?;
                return Err(error);
            }
            Err(error) => {
                partial.settle().await?;
                // Counted from the furthest point so far: beginning anew time and again is no progress.
                if partial.length() >= furthest + limits::PROGRESS {
                    furthest = partial.length();
                    patience.renew();
                }
                patience.wait(error, meter).await?;
            }
        }
    }
}

/// A file that an earlier fetch finished, if its checksum says that it is the one.
async fn found(job: &Job<'_>, wanted: &Wanted<'_>, meter: &Meter<'_>) -> Result<Option<FetchedFile>, FetchError> {
    let path = wanted.name.in_dir(job.dir);
    let Some(expected) = wanted.identity.sha256 else { return Ok(None) };
    if !tokio::fs::symlink_metadata(&path).await.is_ok_and(|there| there.is_file()) {
        return Ok(None);
    }
    let file = local::hashed(path, meter).await?;
    Ok(Some(file).filter(|file| file.sha256 == Some(expected)))
}

fn bounded(job: &Job<'_>, wanted: &Wanted<'_>, size: u64) -> Result<(), FetchError> {
    if size > job.largest {
        return Err(FetchError::TooLarge { file: wanted.name.to_string(), limit: ByteCount(job.largest) });
    }
    Ok(())
}

fn check(wanted: &Wanted<'_>, partial: &Partial) -> Result<Sha256, FetchError> {
    let got = partial.sha256();
    match wanted.identity.sha256 {
        Some(expected) if expected != got => Err(FetchError::Checksum { file: wanted.name.to_string(), expected, got }),
        Some(_) | None => Ok(got),
    }
}

/// Asks once for what is missing, and takes what comes.
async fn attempt(
    job: &Job<'_>,
    wanted: &Wanted<'_>,
    partial: &mut Partial,
    meter: &Meter<'_>,
) -> Result<(), FetchError> {
    let from = partial.resumes_at();
    // All is here already, and only its name is missing.
    if from > 0 && partial.about().size.or(wanted.size) == Some(from) && wanted.identity.sha256.is_some() {
        return Ok(());
    }
    meter.stage(Stage::Asking);
    let mut ask = Ask::get(wanted.url.clone(), wanted.credential.clone());
    if from > 0 {
        let range = HeaderValue::try_from(format!("bytes={from}-")).expect("digits are visible");
        ask.headers.insert(RANGE, range);
        if let Some(etag) = partial.about().etag.as_ref().and_then(|etag| HeaderValue::try_from(etag).ok()) {
            ask.headers.insert(IF_RANGE, etag);
        }
    }
    let answer = job.web.ask(&ask).await?;
    let total = head(wanted, partial, &answer).await?;
    if let Some(total) = total {
        bounded(job, wanted, total)?;
        space::check(job.dir, total.saturating_sub(partial.length()))?;
    }
    meter.stage(Stage::Fetching);
    meter.size(total);
    meter.done(partial.length());
    take(job, wanted, partial, (answer, total), meter).await
}

/// Reads what the answer is of, and makes the file in work ready for its bytes. Gives the length of the whole file.
async fn head(wanted: &Wanted<'_>, partial: &mut Partial, answer: &Answer) -> Result<Option<u64>, FetchError> {
    let changed = || FetchError::Changed { place: answer.place.clone(), file: wanted.name.to_string() };
    let no_file = |text: String| FetchError::Answer { place: answer.place.clone(), text };
    let headers = &answer.headers;
    match answer.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        StatusCode::RANGE_NOT_SATISFIABLE if partial.length() > 0 => {
            partial.restart(About::default()).await?;
            return Err(changed());
        }
        status if status.is_success() => return Err(no_file(format!("HTTP {}", status.as_u16()))),
        status => {
            let advice = (wanted.advice)(status, headers);
            return Err(FetchError::Refused { place: answer.place.clone(), status: status.as_u16(), advice });
        }
    }
    let encoding = text_of(headers, &CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    if let Some(encoding) = encoding {
        return Err(no_file(format!("it is compressed ({}), which was not asked for", printable(encoding))));
    }
    if text_of(headers, &CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
        return Err(no_file("it is a page for people; give the address of the file itself".to_owned()));
    }
    let about = about(answer);
    if let (Some(expected), Some(got)) = (wanted.size, about.size)
        && expected != got
    {
        let (expected, got) = (ByteCount(expected), ByteCount(got));
        return Err(FetchError::Size { file: wanted.name.to_string(), expected, got });
    }
    if answer.status == StatusCode::OK {
        partial.restart(about.clone()).await?;
        return Ok(about.size.or(wanted.size));
    }
    let known = partial.about();
    let starts_right = range_start(headers) == Some(partial.length()) && partial.length() > 0;
    // A partial answer repeats the etag (RFC 9110, 15.3.7); one that does not is believed if the checksum will tell.
    let is_same = known.etag == about.etag || about.etag.is_none() && wanted.identity.sha256.is_some();
    let fits = known.size.is_none() || known.size == about.size;
    if !(starts_right && is_same && fits) {
        partial.restart(About::default()).await?;
        return Err(changed());
    }
    partial.stitch();
    Ok(about.size.or(wanted.size))
}

async fn take(
    job: &Job<'_>,
    wanted: &Wanted<'_>,
    partial: &mut Partial,
    (answer, total): (Answer, Option<u64>),
    meter: &Meter<'_>,
) -> Result<(), FetchError> {
    let room = space::free(job.dir).unwrap_or(u64::MAX).saturating_add(partial.length());
    let ceiling = total.unwrap_or(job.largest.min(room));
    let place = answer.place;
    let mut reader = Reader::new(answer.body, &place);
    while let Some(bytes) = reader.next().await? {
        if bytes.len() as u64 > ceiling.saturating_sub(partial.length()) {
            return Err(match total {
                Some(total) => FetchError::Size {
                    file: wanted.name.to_string(),
                    expected: ByteCount(total),
                    got: ByteCount(partial.length() + bytes.len() as u64),
                },
                None if room < job.largest => FetchError::DiskFull(job.dir.to_owned()),
                None => FetchError::TooLarge { file: wanted.name.to_string(), limit: ByteCount(ceiling) },
            });
        }
        partial.write(&bytes).await?;
        meter.done(partial.length());
    }
    match total {
        Some(total) if partial.length() < total => {
            let text = format!("it ended after {} of {total} bytes", partial.length());
            Err(FetchError::Unreachable { place, text })
        }
        Some(_) | None => Ok(()),
    }
}

/// What the head of an answer says of the whole file.
fn about(answer: &Answer) -> About {
    let headers = &answer.headers;
    let size = match answer.status {
        StatusCode::PARTIAL_CONTENT => {
            text_of(headers, &CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.trim().parse().ok())
        }
        _ => text_of(headers, &CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
    };
    let etag = text_of(headers, &ETAG).filter(|etag| etag.starts_with('"') && etag.len() <= 1024);
    About { etag: etag.map(str::to_owned), size }
}

fn range_start(headers: &HeaderMap) -> Option<u64> {
    text_of(headers, &CONTENT_RANGE)?.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// A header as text, if all of it can be seen.
pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What somebody else wrote, cut short for an error.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
