//! The data directory of a node: its key, its mesh, its certificate.

use std::path::PathBuf;

use hither_types::id::{MeshId, NodeId, Operator, SiteName};
use hither_types::place::Jurisdiction;

/// What `hither init` is told.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The data directory; made if absent.
    pub data_dir: PathBuf,
    /// The first site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs the mesh.
    pub operator: Operator,
}

/// What `hither init` made.
#[derive(Debug, Clone)]
pub struct InitDone {
    /// The node.
    pub node: NodeId,
    /// The mesh.
    pub mesh: MeshId,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Why a mesh cannot be made here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The directory is a member of a mesh already.
    #[error("{0} is a member of a mesh already")]
    AlreadyMember(PathBuf),
    /// A node runs on this directory.
    #[error("a node runs on {0}; stop it first")]
    Running(PathBuf),
    /// A file cannot be written or read.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Makes a new mesh with this directory as its first member and issuer.
pub fn init(options: InitOptions) -> Result<InitDone, InitError> {
    let _ = options;
    unimplemented!("written next")
}
