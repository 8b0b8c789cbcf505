//! The `[api.tls]` section: the files of HTTPS, and whose certificates are asked of clients.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hither_api::tls::{ClientAuthorities, Identity, Tls};
use serde::Deserialize;

use super::api::{ApiError, KeysWord};

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSection {
    certificate_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) clients: KeysWord,
}

/// HTTPS, and the files that it was read from.
#[derive(Debug, Clone)]
pub struct Secured {
    /// What the listener holds.
    pub tls: Tls,
    files: Files,
}

/// Files, by what they hold.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    required: bool,
}

/// What shows that a file is another one than before: when it was written, and how long it is.
pub(crate) type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Secured {
    /// What shows whether the files were renewed.
    pub(crate) fn stamp(&self) -> Stamp {
        let of = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [&self.files.certificate, &self.files.key].into_iter().chain(&self.files.client_ca).map(of).collect()
    }

    /// Reads the files again; if they cannot be used, what was read before stays.
    pub(crate) fn renew(&self) -> Result<(), ApiError> {
        let identity = self.files.read()?;
        self.tls.replace(&identity).map_err(|error| ApiError::Tls(error.to_string()))
    }
}

impl Files {
    fn read(&self) -> Result<Identity, ApiError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| ApiError::File { path: path.clone(), text: error.to_string() })
        };
        let authorities = self.client_ca.as_ref().map(read).transpose()?;
        Ok(Identity {
            certificates: read(&self.certificate)?,
            key: read(&self.key)?,
            clients: authorities.map(|authorities| ClientAuthorities { authorities, required: self.required }),
        })
    }
}

/// Reads the files. Relative paths are relative to the data directory.
pub(crate) fn secured(section: Option<&TlsSection>, data_dir: &Path) -> Result<Option<Secured>, ApiError> {
    let Some(told) = section else { return Ok(None) };
    let required = told.clients == KeysWord::Required;
    if required && told.client_ca_file.is_none() {
        return Err(ApiError::NoAuthority);
    }
    let files = Files {
        certificate: data_dir.join(&told.certificate_file),
        key: data_dir.join(&told.key_file),
        client_ca: told.client_ca_file.as_ref().map(|path| data_dir.join(path)),
        required,
    };
    let tls = Tls::new(&files.read()?).map_err(|error| ApiError::Tls(error.to_string()))?;
    Ok(Some(Secured { tls, files }))
}
