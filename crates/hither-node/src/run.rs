//! A node from start to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;

use hither_types::member::Member;

use crate::config::NodeConfig;

/// Why a node cannot start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another node runs on the data directory.
    #[error("a node runs on {0} already")]
    Running(PathBuf),
    /// The address is taken.
    #[error("the address {address} of the API cannot be used")]
    Api {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of the data directory cannot be used.
    #[error("cannot use {path}: {text}")]
    Home {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        text: String,
    },
    /// The policy does not load.
    #[error("the policy {path} is not put in force: {text}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Line, column, what is wrong, what would be right.
        text: String,
    },
    /// The transport cannot start.
    #[error("the mesh cannot start on {address}: {text}")]
    Mesh {
        /// The address.
        address: SocketAddr,
        /// The cause.
        text: String,
    },
}

/// What a node tells once it is up.
#[derive(Debug, Clone)]
pub struct Started {
    /// Who it is.
    pub me: Member,
    /// The HTTP interface.
    pub api: SocketAddr,
    /// The operator's socket.
    pub socket: PathBuf,
    /// The mesh.
    pub mesh: Vec<SocketAddr>,
}

/// Runs a node until `stop` resolves; tells once when it is up.
pub async fn run(
    config: NodeConfig,
    started: impl FnOnce(Started),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    drop((config, started, stop));
    unimplemented!("written next")
}
