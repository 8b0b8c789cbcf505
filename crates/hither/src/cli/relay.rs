//! `hither relay`: a node that runs no models and passes ciphertext on between members that cannot reach each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use hither_node::config::relay::RelayConfig;
use hither_node::config::{NodeConfig, Overrides};

use super::{Context, up};
use crate::output::Trouble;

/// What `relay` is told.
#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// Where it listens, over TCP and UDP of one number: an address that the members can reach.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where members reach it instead, if a router passes that on. May be given again.
    #[arg(long, value_name = "ADDR")]
    advertise: Vec<SocketAddr>,
    /// The configuration; hither.toml of the data directory if absent.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs a relay until it is told to stop.
pub(super) fn relay(context: &Context, args: RelayArgs) -> Result<(), Trouble> {
    let overrides = Overrides {
        data_dir: Some(context.data_dir()?),
        // Its operator uses the Unix socket; what it serves besides is for this machine alone.
        api: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        mesh: Some(SocketAddr::new(args.listen.ip(), 0)),
        relay: Some(RelayConfig { listen: args.listen, advertise: args.advertise }),
    };
    let config = NodeConfig::load(args.config.as_deref(), overrides).map_err(|error| up::config_trouble(&error))?;
    up::run(context, config.without_models())
}
