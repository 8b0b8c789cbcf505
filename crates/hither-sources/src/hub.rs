//! The Hugging Face Hub, and whoever speaks like it.
//!
//! A file is at `{endpoint}/{repo}/resolve/{revision}/{file}`. What it is, the answer to a HEAD says: `x-repo-commit` is the
//! commit, `x-linked-size` the size, and `x-linked-etag` the SHA-256 of a file that git does not keep itself
//! (<https://huggingface.co/docs/huggingface_hub/package_reference/file_download>). The commit stands for the revision from
//! then on, so that parts, and attempts, are of one version. The token goes to the endpoint alone, not to where it redirects.

use hyper::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use url::Url;

use crate::checksum::Sha256;
use crate::download::{Job, Wanted, download, text_of};
use crate::error::FetchError;
use crate::fetch::{Fetched, FetchedFile, Order, make_room, one_checksum, ours};
use crate::http::{Ask, Reach, Web};
use crate::name::FileName;
use crate::partial::Identity;
use crate::progress::Meter;
use crate::secret::Credential;
use crate::source::{HubFile, place_of};

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// A hub, and one of its files.
pub(crate) struct Hub<'a> {
    pub(crate) web: &'a Web,
    pub(crate) endpoint: &'a Url,
    pub(crate) credential: Option<&'a Credential>,
    pub(crate) file: &'a HubFile,
}

/// What the hub says of a file.
struct Described {
    path: String,
    sha256: Option<Sha256>,
    size: Option<u64>,
}

impl Hub<'_> {
    /// Fetches the file, with its other parts if it is one of several.
    pub(crate) async fn fetch(
        &self,
        job: &Job<'_>,
        order: Order<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<Fetched, FetchError> {
        let paths = self.file.parts();
        one_checksum(order.sha256, paths.len())?;
        self.files(paths, self.file.revision(), (job, order), meter).await
    }

    /// Fetches files that are in the same folder at the revision that the file was of.
    pub(crate) async fn beside(
        &self,
        names: &[FileName],
        revision: Option<&str>,
        to: (&Job<'_>, Order<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<Vec<FetchedFile>, FetchError> {
        let paths = names.iter().map(|name| self.file.sibling(name)).collect();
        let fetched = self.files(paths, revision.unwrap_or(self.file.revision()), to, meter).await?;
        Ok(std::iter::once(fetched.model).chain(fetched.others).collect())
    }

    async fn files(
        &self,
        paths: Vec<String>,
        revision: &str,
        (job, order): (&Job<'_>, Order<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<Fetched, FetchError> {
        let mut revision = revision.to_owned();
        let mut described = Vec::new();
        for path in paths {
            let (commit, file) = self.describe(path, &revision, meter).await?;
            revision = commit.unwrap_or(revision);
            described.push(file);
        }
        if let Some(bytes) = described.iter().map(|file| file.size).sum::<Option<u64>>() {
            meter.total(bytes);
            if described.len() > 1 {
                make_room(job.dir, bytes).await?;
            }
        }
        let mut files = Vec::new();
        for file in described {
            let wanted = self.wanted(&file, &revision, order)?;
            let wanted = Wanted { advice: &|status, headers| self.advice(&file.path, status, headers), ..wanted };
            files.push(download(job, &wanted, meter).await?);
        }
        let revision = Some(revision).filter(|revision| is_commit(revision));
        Ok(ours(files, revision))
    }

    fn wanted(&self, file: &Described, revision: &str, order: Order<'_>) -> Result<Wanted<'static>, FetchError> {
        let name = FileName::last_of(&file.path)?;
        if let (Some(expected), Some(said)) = (order.sha256, file.sha256)
            && expected != said
        {
            return Err(FetchError::Other { place: place_of(self.endpoint), file: name.to_string(), said, expected });
        }
        Ok(Wanted {
            url: self.url(&file.path, revision),
            name,
            identity: Identity {
                // Another commit is another file, whatever its name.
                source: order.source.identity(&format!("{}@{revision}", file.path)),
                sha256: order.sha256.or(file.sha256),
            },
            size: file.size,
            credential: self.credential.cloned(),
            advice: &|_, _| String::new(),
        })
    }

    /// Asks what a file is. With it comes the commit that the revision stands for.
    async fn describe(
        &self,
        path: String,
        revision: &str,
        meter: &Meter<'_>,
    ) -> Result<(Option<String>, Described), FetchError> {
        let mut ask = Ask::get(self.url(&path, revision), self.credential.cloned());
        // The redirect to where the bytes are is itself the answer; the one to a new name of the repository is followed.
        (ask.method, ask.reach) = (Method::HEAD, Reach::Origin);
        let answer = self.web.ask_patiently(&ask, meter).await?;
        if !answer.status.is_success() && !answer.status.is_redirection() {
            let advice = self.advice(&path, answer.status, &answer.headers);
            return Err(FetchError::Refused { place: answer.place, status: answer.status.as_u16(), advice });
        }
        let headers = &answer.headers;
        let etag =
            text_of(headers, &LINKED_ETAG).or_else(|| text_of(headers, &ETAG).filter(|_| answer.status.is_success()));
        let sha256 = etag.and_then(|etag| etag.trim_start_matches("W/").trim_matches('"').parse().ok());
        let length = text_of(headers, &CONTENT_LENGTH).filter(|_| answer.status.is_success());
        let size = text_of(headers, &LINKED_SIZE).or(length).and_then(|size| size.trim().parse().ok());
        let commit = text_of(headers, &COMMIT).filter(|commit| is_commit(commit)).map(str::to_owned);
        Ok((commit, Described { path, sha256, size }))
    }

    fn url(&self, path: &str, revision: &str) -> Url {
        let (organisation, repository) = self.file.repository();
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .expect("an address of http has a path")
            .pop_if_empty()
            // A slash in a revision is encoded; one in a path parts folders.
            .extend([organisation, repository, "resolve", revision])
            .extend(path.split('/'));
        url
    }

    /// What a refusal means at the hub: its code says more than its status.
    fn advice(&self, path: &str, status: StatusCode, headers: &HeaderMap) -> String {
        let (organisation, repository) = self.file.repository();
        let place = self.endpoint.as_str().trim_end_matches('/');
        let page = format!("{place}/{organisation}/{repository}");
        let has_token = self.credential.is_some();
        match (text_of(headers, &ERROR_CODE).unwrap_or_default(), status.as_u16()) {
            ("GatedRepo", _) if has_token => {
                format!(
                    "its licence has to be accepted: do that at {page} with the account that the token (HF_TOKEN) is of"
                )
            }
            ("GatedRepo", _) => format!(
                "its licence has to be accepted: do that at {page}, make a token at {place}/settings/tokens, and give it to the \
                 node as HF_TOKEN"
            ),
            ("EntryNotFound", _) => {
                format!("there is no {path} in it; its files are listed at {page}/tree/{}", self.file.revision())
            }
            ("RevisionNotFound", _) => format!("it has no branch, tag or commit {}", self.file.revision()),
            (_, 401 | 403) if has_token => format!(
                "the token (HF_TOKEN) does not open {page}: look whether the name is right, and whether the token may read it"
            ),
            (_, 401 | 403) => format!(
                "there is no such repository, or it wants to know who asks: look at {page}, make a token at \
                 {place}/settings/tokens, and give it to the node as HF_TOKEN"
            ),
            (_, 404) => format!("there is no such repository or file; look at {page}"),
            _ => format!("look at {page}"),
        }
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
