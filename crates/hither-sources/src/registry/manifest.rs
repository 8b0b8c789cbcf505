//! What an artefact says of its files, and which of them are a model.
//!
//! Media types: the CNCF ModelPack specification (`application/vnd.cncf.model.weight.v1.raw`, and `cnai` as it was called
//! before), Ollama (`application/vnd.ollama.image.model`), Docker (`application/vnd.docker.ai.gguf.v3`). Of any other artefact
//! the names decide, which `oras` and others write as an annotation. Archives are not unpacked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::digest;
use crate::checksum::Sha256;
use crate::choose::{Candidate, choose};
use crate::download::printable;
use crate::error::FetchError;
use crate::limits;
use crate::name::FileName;
use crate::source::Artefact;

#[cfg(test)]
mod tests;

const NAMES: [&str; 3] = ["org.opencontainers.image.title", "org.cncf.model.filepath", "org.cnai.model.filepath"];
const GGUF: [&str; 2] = ["application/vnd.ollama.image.model", "application/vnd.docker.ai.gguf.v3"];
const WEIGHTS: [&str; 2] = ["application/vnd.cncf.model.weight.v1.", "application/vnd.cnai.model.weight.v1."];

#[derive(Debug, Clone, Deserialize)]
struct DescriptorDto {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct ManifestDto {
    layers: Option<Vec<DescriptorDto>>,
    manifests: Option<Vec<DescriptorDto>>,
}

/// A manifest or an index.
#[derive(Debug)]
pub(super) enum Read {
    Manifest(Manifest),
    Index(Index),
}

/// The files of an artefact.
#[derive(Debug)]
pub(super) struct Manifest(Vec<DescriptorDto>);

/// Several artefacts under one name.
#[derive(Debug)]
pub(super) struct Index(Vec<DescriptorDto>);

/// A file of an artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) digest: Sha256,
    pub(super) size: u64,
}

impl Read {
    /// Reads a manifest or an index; the text says what is wrong with it.
    pub(super) fn of(body: &[u8]) -> Result<Self, String> {
        let dto: ManifestDto =
            serde_json::from_slice(body).map_err(|error| format!("its manifest cannot be read: {error}"))?;
        let read = match (dto.manifests, dto.layers) {
            (Some(manifests), None) => Self::Index(Index(manifests)),
            (None, Some(layers)) => Self::Manifest(Manifest(layers)),
            _ => return Err("its manifest has neither files nor manifests; it may be of an old form".to_owned()),
        };
        let count = match &read {
            Self::Manifest(Manifest(entries)) | Self::Index(Index(entries)) => entries.len(),
        };
        if count > limits::LAYERS { Err(format!("its manifest has {count} entries")) } else { Ok(read) }
    }
}

impl Index {
    /// The one manifest, if there is one alone. Attestations of a builder are none.
    pub(super) fn only(&self, artefact: &Artefact) -> Result<Sha256, FetchError> {
        let wrong = |text: String| FetchError::Artefact { place: artefact.to_string(), text };
        let is_attestation = |entry: &&DescriptorDto| {
            entry.annotations.as_ref().is_some_and(|notes| notes.contains_key("vnd.docker.reference.type"))
        };
        let entries: Vec<&DescriptorDto> = self.0.iter().filter(|entry| !is_attestation(entry)).collect();
        match entries.as_slice() {
            [] => Err(wrong("its index is empty".to_owned())),
            [one] => digest(&one.digest).ok_or_else(|| wrong("only digests of SHA-256 are known here".to_owned())),
            several => {
                let (registry, repository) = (artefact.registry(), artefact.repository());
                let sources = several.iter().take(limits::LISTED).filter_map(|entry| digest(&entry.digest));
                let sources: Vec<String> =
                    sources.map(|digest| format!("oci://{registry}/{repository}@sha256:{digest}")).collect();
                Err(wrong(format!("it stands for {} artefacts; type one of: {}", several.len(), sources.join(" "))))
            }
        }
    }
}

/// What a layer is, by its type and its name.
enum Kind {
    Model,
    File,
    Archive,
    Nameless,
}

impl DescriptorDto {
    fn note(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn name(&self) -> Option<&str> {
        NAMES.iter().find_map(|key| self.note(key)).filter(|name| !name.is_empty())
    }

    fn kind(&self) -> Kind {
        // The parameters of a type are written behind a semicolon.
        let media = self.media_type.split(';').next().unwrap_or_default().trim();
        let weights = WEIGHTS.iter().find_map(|prefix| media.strip_prefix(prefix));
        let is_packed = media.ends_with("+gzip") || media.ends_with("+zstd") || media.ends_with(".gzip");
        // `oras` writes a plain file with the type of a tar layer, too, and says of folders that they are to be unpacked.
        let is_folder = self.note("io.deis.oras.content.unpack") == Some("true");
        let is_tar = media.ends_with("tar") && (weights.is_some() || self.name().is_none());
        if is_packed || is_folder || is_tar {
            return Kind::Archive;
        }
        let has_other_ending = self.name().is_some_and(|name| {
            name.rsplit('/').next().unwrap_or_default().contains('.')
                && !name.ends_with(".gguf")
                && !name.ends_with(".onnx")
        });
        if (GGUF.contains(&media) || weights.is_some()) && !has_other_ending {
            return Kind::Model;
        }
        if self.name().is_some() { Kind::File } else { Kind::Nameless }
    }
}

impl Manifest {
    /// The layers that are the model, the one to open first.
    pub(super) fn model(&self, wanted: Option<&str>, place: &str) -> Result<Vec<Layer>, FetchError> {
        let (layers, archives) = self.layers(place)?;
        let wrong = |text: String| FetchError::Artefact { place: place.to_owned(), text };
        let candidates: Vec<Candidate<'_>> = layers
            .iter()
            .map(|(layer, is_declared)| Candidate { name: &layer.name, is_declared: *is_declared })
            .collect();
        match choose(&candidates, wanted) {
            Ok(chosen) => Ok(chosen.into_iter().map(|place| layers[place].0.clone()).collect()),
            Err(_) if archives > 0 && layers.is_empty() => Err(wrong(
                "its files are in archives, which are not unpacked here; unpack it yourself and give the path, or publish the \
                 model as a single file, as oras push does"
                    .to_owned(),
            )),
            Err(source) => Err(FetchError::Choice { place: place.to_owned(), source, by_hash: true }),
        }
    }

    /// The layers of these names that are in the same folder as the model.
    pub(super) fn beside(
        &self,
        wanted: Option<&str>,
        names: &[FileName],
        place: &str,
    ) -> Result<Vec<Layer>, FetchError> {
        let model = self.model(wanted, place)?.swap_remove(0).name;
        let folder = model.rsplit_once('/').map_or("", |(folder, _)| folder);
        let (layers, _) = self.layers(place)?;
        let find = |name: &FileName| {
            let path = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
            let found = layers.iter().map(|(layer, _)| layer).find(|layer| layer.name == path).cloned();
            let why = "there is no such file beside it in the artefact";
            found.ok_or_else(|| FetchError::Beside { file: name.to_string(), why })
        };
        names.iter().map(find).collect()
    }

    /// The layers that are files, each with whether it is said to be a model, and how many are archives.
    fn layers(&self, place: &str) -> Result<(Vec<(Layer, bool)>, usize), FetchError> {
        let wrong = |text: String| FetchError::Artefact { place: place.to_owned(), text };
        let mut layers: Vec<(Layer, bool)> = Vec::new();
        let mut archives = 0;
        let is_alone = self.0.iter().filter(|entry| matches!(entry.kind(), Kind::Model)).count() == 1;
        for entry in &self.0 {
            let is_declared = match entry.kind() {
                Kind::Model => true,
                Kind::File => false,
                Kind::Archive => {
                    archives += 1;
                    continue;
                }
                Kind::Nameless => continue,
            };
            let digest = digest(&entry.digest)
                .ok_or_else(|| wrong(format!("the digest {:?} is not one of SHA-256", printable(&entry.digest))))?;
            let name = match entry.name() {
                Some(name) => name.trim_start_matches("./").to_owned(),
                None if is_alone => "model.gguf".to_owned(),
                None => format!("{}.gguf", &digest.to_string()[..12]),
            };
            layers.push((Layer { name, digest, size: entry.size }, is_declared));
        }
        Ok((layers, archives))
    }
}
