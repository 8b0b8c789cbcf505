//! `hither up`: the node in the foreground, until it is told to stop.

use std::path::Path;

use hither_node::RunError;
use hither_node::config::api::ApiError;
use hither_node::config::{ConfigError, NodeConfig, Overrides};
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Context, UpArgs};
use crate::output::{Exit, Screen, Trouble, chain, line};

/// What is logged unless somebody says otherwise. The library of multicast DNS says at each packet what this program says
/// once, where it belongs: in `hither status`.
const LOGGED: &str = "info,swarm_discovery=off";

/// Runs the node.
pub(super) fn up(context: &Context, args: UpArgs) -> Result<(), Trouble> {
    if let Some(parent) = args.tied_to {
        tie_to(parent)?;
    }
    let overrides = Overrides { data_dir: Some(context.data_dir()?), api: args.api, mesh: args.mesh, relay: None };
    let config = NodeConfig::load(args.config.as_deref(), overrides).map_err(|error| config_trouble(&error))?;
    run(context, config)
}

/// Runs a node that is configured.
pub(super) fn run(context: &Context, config: NodeConfig) -> Result<(), Trouble> {
    // What the node holds, a crash must not write to a disk.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| Trouble::new("E0115", format!("core dumps cannot be turned off: {error}")))?;
    raise_files();
    let filter = EnvFilter::try_from_env("HITHER_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new("E0102", format!("the machine gives no threads to run on: {error}")))?;
    let screen = context.screen;
    let data_dir = config.data_dir.clone();
    runtime.block_on(async {
        let stop = stop_signal()?;
        let told = data_dir.clone();
        // Among the threads of the runtime, and not on this one: to cross over costs every request two switches.
        let node = tokio::spawn(hither_node::run(config, move |started| tell(screen, &told, &started), stop));
        match node.await {
            Ok(ended) => ended.map_err(|error| run_trouble(&error, &data_dir)),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    })
}

/// As many open files as the machine's owner allows: a connection is one, and shells still give programs 1024 for the
/// sake of `select`, which nothing here uses.
fn raise_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    // Then it stays as it was, and connections beyond wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Ends this process when the one that started it ends, however that ends.
fn tie_to(parent: i32) -> Result<(), Trouble> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Trouble::new("E0110", format!("cannot be tied to process {parent}: {error}")))?;
    // The parent may have ended before the line above; then nobody sends the signal any more.
    if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent) {
        return Err(Trouble::new("E0110", format!("process {parent} did not start this one, or has ended")));
    }
    Ok(())
}

fn stop_signal() -> Result<impl Future<Output = ()>, Trouble> {
    let trouble = |error| Trouble::new("E0111", format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn tell(screen: Screen, data_dir: &Path, started: &hither_node::Started) {
    let me = &started.me;
    let scheme = if started.is_tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", started.api);
    let mesh: Vec<String> = started.mesh.iter().map(ToString::to_string).collect();
    let relays: Vec<String> = started.relays.iter().map(ToString::to_string).collect();
    if screen.is_json() {
        let object = json!({
            "node": me.node.to_string(), "mesh": me.mesh.to_string(), "site": me.site.as_str(),
            "jurisdiction": me.jurisdiction.to_string(), "operator": me.operator.as_str(),
            "api": url, "dashboard": format!("{url}/"), "socket": started.socket.display().to_string(),
            "mesh_addresses": mesh, "relays": relays, "data": data_dir.display().to_string(),
        });
        return line(&object.to_string());
    }
    let bold = |text: &str| screen.colour.bold(text);
    line(&format!("{}  {}  {}  node {}", bold(me.site.as_str()), me.jurisdiction, me.operator, me.node.short()));
    line(&format!("  API        {url}"));
    line(&format!("  dashboard  {url}/"));
    line(&format!("  socket     {}", started.socket.display()));
    line(&format!("  mesh       {}", mesh.join(", ")));
    for relay in &relays {
        line(&format!("  relay      {relay}"));
    }
    line(&screen.colour.faint("  Ctrl-C stops the node. Nothing was contacted on the internet."));
}

/// A wrong configuration, and what to do about it.
pub(super) fn config_trouble(error: &ConfigError) -> Trouble {
    let trouble = Trouble::new("E0103", chain(error)).exit(Exit::Usage);
    match error {
        ConfigError::Unreadable { .. } => trouble.help("hither up --config FILE").exit(Exit::Failed),
        ConfigError::Ladder { .. } => trouble.help("[ladder] chat = [\"the-largest-model\", \"a-smaller-one\"]"),
        ConfigError::Api { source: ApiError::PublicAddress(address), path } => {
            let port = address.port();
            Trouble::new("E0112", chain(error))
                .help(format!(
                    "write into {}: [api] keys = \"required\", and give each app a key: hither apps add NAME",
                    path.display()
                ))
                .help("or, with keys = \"required\", believe the tokens of an issuer: [api.oidc] issuer, audience")
                .help(
                    "or let in only who shows a certificate: [api.tls] certificate_file, key_file, client_ca_file, \
                     clients = \"required\"",
                )
                .help(format!("or stay on this machine: hither up --api 127.0.0.1:{port}"))
                .exit(Exit::Usage)
        }
        ConfigError::Api { source: ApiError::Oidc(_), .. } => {
            trouble.help("[api.oidc] issuer = \"https://login.example\", audience = \"hither\"")
        }
        ConfigError::Api { source: ApiError::Tls(_) | ApiError::NoAuthority | ApiError::File { .. }, .. } => trouble
            .help(
                "[api.tls] certificate_file = \"node.pem\", key_file = \"node.key\", client_ca_file = \"clients.pem\"",
            )
            .help("relative paths are relative to the data directory"),
        ConfigError::Api { .. } => trouble.help("[api] keys = \"optional\", hosts = [\"ai.example.org\"]"),
        ConfigError::NoDataDir => trouble.help("hither up --data DIR"),
        _ => trouble.help("unknown keys are errors; every key may be left out"),
    }
}

fn run_trouble(error: &RunError, data_dir: &Path) -> Trouble {
    let dir = data_dir.display();
    let text = chain(error);
    match error {
        RunError::Running(_) => Trouble::new("E0105", text).help(format!("hither status --data {dir}")),
        RunError::Api { address, .. } => Trouble::new("E0104", text)
            .help(format!("hither up --data {dir} --api 127.0.0.1:0     takes a free port and says which"))
            .help(format!("ss -ltnp 'sport = :{}'     shows who has it", address.port())),
        RunError::Home { path, .. } => Trouble::new("E0108", text).help(format!(
            "if {} is damaged: put a copy of it back, or start with another --data and join the mesh anew",
            path.display()
        )),
        RunError::Policy { path, .. } => {
            Trouble::new("E0106", text).help(format!("hither policy check {}", path.display()))
        }
        RunError::Mesh { .. } => Trouble::new("E0107", text).help(format!("hither up --data {dir} --mesh 127.0.0.1:0")),
        _ => Trouble::new("E0109", text),
    }
}
