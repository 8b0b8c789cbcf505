//! OCI registries: manifests, blobs, and who may have them.
//!
//! The distribution specification 1.1 (`/v2/NAME/manifests/REFERENCE`, `/v2/NAME/blobs/DIGEST`), the image specification's
//! manifests and indexes, and the token authentication of the CNCF distribution project. Docker's forms of both manifests are
//! read, too: Ollama and others write them. A digest is compared with what it is of, always.

use data_encoding::HEXLOWER;
use hyper::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use url::Url;

use crate::checksum::Sha256;
use crate::download::{Job, Wanted, download, text_of};
use crate::error::FetchError;
use crate::fetch::{Fetched, FetchedFile, Order, make_room, one_checksum, ours};
use crate::http::{Answer, Ask, Reach, Web};
use crate::limits;
use crate::name::FileName;
use crate::partial::Identity;
use crate::progress::Meter;
use crate::secret::{Credential, RegistryLogin};
use crate::source::{Artefact, Reference, place_of};

mod challenge;
mod manifest;

use challenge::Challenge;
use manifest::{Layer, Manifest, Read};

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A registry, and one of its artefacts.
pub(crate) struct Registry<'a> {
    web: &'a Web,
    artefact: &'a Artefact,
    login: Option<&'a RegistryLogin>,
    base: Url,
    credential: Option<Credential>,
    tokens: u32,
}

impl<'a> Registry<'a> {
    pub(crate) fn new(web: &'a Web, artefact: &'a Artefact, login: Option<&'a RegistryLogin>) -> Self {
        Self { web, artefact, login, base: artefact.base(), credential: None, tokens: 0 }
    }

    /// Fetches the files of the artefact that are the model.
    pub(crate) async fn fetch(
        mut self,
        job: &Job<'_>,
        order: Order<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<Fetched, FetchError> {
        let (digest, manifest) = self.manifest(meter).await?;
        let place = self.artefact.to_string();
        let layers = manifest.model(self.artefact.file(), &place)?;
        one_checksum(order.sha256, layers.len())?;
        let files = self.layers(layers, (job, order), meter).await?;
        Ok(ours(files, Some(format!("sha256:{digest}"))))
    }

    /// Fetches files that are in the same folder of the artefact, by the digest that its manifest had.
    pub(crate) async fn beside(
        mut self,
        names: &[FileName],
        digest: Option<&str>,
        to: (&Job<'_>, Order<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<Vec<FetchedFile>, FetchError> {
        let digest = digest.and_then(|digest| digest.parse().ok()).map(Reference::Digest);
        let reference = digest.unwrap_or(self.artefact.reference().clone());
        let place = self.artefact.to_string();
        let Read::Manifest(manifest) = self.read(reference, meter).await?.1 else {
            let text = "what was a manifest is an index now; try again".to_owned();
            return Err(FetchError::Artefact { place, text });
        };
        let layers = manifest.beside(self.artefact.file(), names, &place)?;
        self.layers(layers, to, meter).await
    }

    async fn layers(
        &mut self,
        layers: Vec<Layer>,
        (job, order): (&Job<'_>, Order<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<Vec<FetchedFile>, FetchError> {
        let bytes = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        meter.total(bytes);
        if layers.len() > 1 {
            make_room(job.dir, bytes).await?;
        }
        let mut files = Vec::new();
        for layer in layers {
            files.push(self.blob(job, &layer, order, meter).await?);
        }
        Ok(files)
    }

    /// The manifest, through an index if there is one before it, and its digest.
    async fn manifest(&mut self, meter: &Meter<'_>) -> Result<(Sha256, Manifest), FetchError> {
        let place = self.artefact.to_string();
        let (digest, read) = self.read(self.artefact.reference().clone(), meter).await?;
        let child = match read {
            Read::Manifest(manifest) => return Ok((digest, manifest)),
            Read::Index(index) => index.only(self.artefact)?,
        };
        match self.read(Reference::Digest(child), meter).await? {
            (digest, Read::Manifest(manifest)) => Ok((digest, manifest)),
            (_, Read::Index(_)) => Err(FetchError::Artefact {
                place,
                text: "its index leads to another index, and to no model".to_owned(),
            }),
        }
    }

    async fn read(&mut self, reference: Reference, meter: &Meter<'_>) -> Result<(Sha256, Read), FetchError> {
        let url = self.url("manifests", &reference.to_string());
        let answer = self.ask(url, meter).await?;
        let place = answer.place.clone();
        let said = text_of(&answer.headers, &CONTENT_DIGEST).and_then(|text| text.parse::<Sha256>().ok());
        let body = answer.document().await?;
        let got = Sha256::of(&body);
        let expected = match reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => said,
        };
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            return Err(FetchError::Manifest { place, expected, got });
        }
        let read = Read::of(&body).map_err(|text| FetchError::Artefact { place: self.artefact.to_string(), text })?;
        Ok((got, read))
    }

    async fn blob(
        &mut self,
        job: &Job<'_>,
        layer: &Layer,
        order: Order<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<FetchedFile, FetchError> {
        if let Some(expected) = order.sha256.filter(|expected| *expected != layer.digest) {
            let (place, file) = (place_of(&self.base), layer.name.clone());
            return Err(FetchError::Other { place, file, said: layer.digest, expected });
        }
        loop {
            let wanted = Wanted {
                url: self.url("blobs", &format!("sha256:{}", layer.digest)),
                name: FileName::last_of(&layer.name)?,
                identity: Identity {
                    source: order.source.identity(&format!("{}@{}", layer.name, layer.digest)),
                    sha256: Some(layer.digest),
                },
                size: Some(layer.size),
                credential: self.credential.clone(),
                advice: &|status, headers| self.advice(status, headers),
            };
            match download(job, &wanted, meter).await {
                // A token is short-lived and a file long; the rest is fetched with the next one.
                Err(FetchError::Refused { status: 401, place, advice }) => {
                    let mut ask = Ask::get(wanted.url.clone(), self.credential.clone());
                    (ask.method, ask.reach) = (Method::HEAD, Reach::Origin);
                    let refused = FetchError::Refused { status: 401, place, advice };
                    if self.tokens >= limits::TOKENS {
                        return Err(refused);
                    }
                    let before = self.tokens;
                    self.authorised(ask, meter).await?;
                    if self.tokens == before {
                        return Err(refused);
                    }
                }
                done => return done,
            }
        }
    }

    /// Asks, and proves who asks if the registry wants that.
    async fn ask(&mut self, url: Url, meter: &Meter<'_>) -> Result<Answer, FetchError> {
        let mut ask = Ask::get(url, self.credential.clone());
        ask.headers.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        let answer = self.authorised(ask, meter).await?;
        if answer.status != StatusCode::OK {
            let advice = self.advice(answer.status, &answer.headers);
            return Err(FetchError::Refused { place: answer.place, status: answer.status.as_u16(), advice });
        }
        Ok(answer)
    }

    async fn authorised(&mut self, mut ask: Ask, meter: &Meter<'_>) -> Result<Answer, FetchError> {
        let answer = self.web.ask_patiently(&ask, meter).await?;
        // Whoever it is that a redirect led to, its challenges are not the registry's.
        if answer.status != StatusCode::UNAUTHORIZED || answer.place != place_of(&self.base) {
            return Ok(answer);
        }
        let credential = match Challenge::of(&answer.headers) {
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.artefact.full_repository()));
                self.token(&realm, service.as_deref(), &scope, meter).await?
            }
            Some(Challenge::Basic) => self.login.and_then(|login| Credential::basic(&self.base, login)),
            None => None,
        };
        let Some(credential) = credential else { return Ok(answer) };
        self.tokens += 1;
        self.credential = Some(credential.clone());
        ask.credential = Some(credential);
        self.web.ask_patiently(&ask, meter).await
    }

    /// Gets a token from where the registry says that they are given out.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        meter: &Meter<'_>,
    ) -> Result<Option<Credential>, FetchError> {
        let place = place_of(&self.base);
        let wrong = |text: &str| FetchError::Answer { place: place.clone(), text: text.to_owned() };
        let mut url = Url::parse(realm).map_err(|_| wrong("it names no address where its tokens are given out"))?;
        if url.scheme() != self.base.scheme() || !crate::source::is_allowed(&url) {
            let to = format!("{}://{}", url.scheme(), place_of(&url));
            return Err(FetchError::Downgrade { from: place, to });
        }
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", scope);
        let credential = self.login.and_then(|login| Credential::basic(&url, login));
        let answer = self.web.ask_patiently(&Ask::get(url, credential), meter).await?;
        if answer.status != StatusCode::OK {
            let advice = self.advice(answer.status, &answer.headers);
            return Err(FetchError::Refused { place: answer.place, status: answer.status.as_u16(), advice });
        }
        let body = answer.document().await?;
        let token = challenge::token(&body).ok_or_else(|| wrong("what should be its token is none"))?;
        Ok(Credential::bearer(&self.base, &token))
    }

    fn url(&self, kind: &str, reference: &str) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an address of http has a path")
            .pop_if_empty()
            .extend(self.artefact.full_repository().split('/'))
            .extend([kind, reference]);
        url
    }

    fn advice(&self, status: StatusCode, _: &HeaderMap) -> String {
        let (registry, repository) = (self.artefact.registry(), self.artefact.repository());
        match (status.as_u16(), self.login) {
            (401 | 403, Some(login)) => {
                format!(
                    "the user {:?} may not read {repository}; look at the name, the user and the password",
                    login.user
                )
            }
            (401 | 403, None) => format!(
                "there is no {repository}, or it wants to know who asks: give the node a user and a password for {registry}"
            ),
            (404, _) => format!("there is no {}; look at the name and the tag", self.artefact),
            _ => format!("look at {}", self.artefact),
        }
    }
}

/// A digest of the image specification. `None`: it is of another algorithm, or none.
fn digest(text: &str) -> Option<Sha256> {
    let digits = text.strip_prefix("sha256:")?;
    HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok().map(Sha256)
}
