//! The configuration of a node: one file, all keys optional, unknown keys refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hither_api::callers::Access;
use hither_core::PullPolicy;
use hither_core::limits::NEAR_RTT;
use hither_swarm::Multicast;
use hither_types::id::{Digest, ModelName};
use hither_types::member::Relay;
use hither_types::model::DeviceChoice;
use hither_types::spending::Budgets;
use hither_types::unit::{ByteCount, Micros, Milliwatts};
use serde::Deserialize;

use crate::jobs::{JobBounds, JobsSection};
use crate::kernel::KernelConfig;
use crate::limits::HANG_TIME;
use crate::machine;

pub mod api;
pub mod egress;
pub mod endpoint;
mod filter;
mod kernel;
pub mod ladder;
pub mod model;
pub mod oidc;
pub mod relay;
pub mod telemetry;
pub mod tls;

use api::{ApiError, ApiSection};
use egress::{EgressError, EgressSection};
use endpoint::{EndpointConfig, EndpointError, EndpointSections};
use ladder::{LadderError, LadderSection};
use model::{DeviceWord, ModelConfig, ModelError, ModelSections};
use oidc::Oidc;
use relay::{RelayConfig, RelaySection};
use telemetry::{Telemetry, TelemetryError, TelemetrySection};
use tls::Secured;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be; the text says where.
    #[error("the configuration {path} is wrong: {text}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        text: String,
    },
    /// The families of models are not what they should be.
    #[error("the ladder of {path} cannot be used")]
    Ladder {
        /// The file.
        path: PathBuf,
        /// Which family, and why.
        #[source]
        source: LadderError,
    },
    /// What is said of the API cannot be.
    #[error("the configuration of the API cannot be used")]
    Api {
        /// The file.
        path: PathBuf,
        /// What, and why.
        #[source]
        source: ApiError,
    },
    /// What is said of one model is not what it should be.
    #[error("the configuration {path} cannot be used")]
    Model {
        /// The file.
        path: PathBuf,
        /// Which model, and why.
        #[source]
        source: ModelError,
    },
    /// Where spans go is not said as it should be.
    #[error("the configuration {path} cannot be used")]
    Telemetry {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: TelemetryError,
    },
    /// A server outside the mesh is not described as it should be.
    #[error("the configuration {path} cannot be used")]
    Endpoint {
        /// The file.
        path: PathBuf,
        /// Which server, and what is wrong.
        #[source]
        source: EndpointError,
    },
    /// What may leave in a day is not said as it should be.
    #[error("the configuration {path} cannot be used")]
    Egress {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: EgressError,
    },
    /// No data directory was given and none can be guessed.
    #[error("no data directory: give --data DIR, or set HITHER_DATA or HOME")]
    NoDataDir,
}

/// What the command line says over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// The address of the HTTP interface.
    pub api: Option<SocketAddr>,
    /// The address of the mesh.
    pub mesh: Option<SocketAddr>,
    /// The relay of this node.
    pub relay: Option<RelayConfig>,
}

/// Everything that a node is told.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The file's text, by its BLAKE3 digest; nothing if there is no file.
    pub digest: Option<Digest>,
    /// Keys, models, ledger, everything.
    pub data_dir: PathBuf,
    /// HTTP over TCP; loopback unless told otherwise.
    pub api_listen: SocketAddr,
    /// HTTP over a Unix socket, for operators.
    pub api_socket: PathBuf,
    /// Who may use the API, and how.
    pub access: Access,
    /// HTTPS at `api_listen`; plain HTTP if absent.
    pub tls: Option<Secured>,
    /// Whose tokens are believed; nobody's if absent.
    pub oidc: Option<Oidc>,
    /// QUIC.
    pub mesh_listen: SocketAddr,
    /// Where others reach `mesh_listen` besides: the outer side of a router that passes a port on.
    pub mesh_advertise: Vec<SocketAddr>,
    /// Relays that the operator names, beside those that members run.
    pub relays: Vec<Relay>,
    /// The relay that this node runs; none unless the file or the command line says so.
    pub relay: Option<RelayConfig>,
    /// Whether members are looked for on this machine's own networks.
    pub multicast: Multicast,
    /// The node's power cap.
    pub cap: Milliwatts,
    /// Power of the machine without inference.
    pub idle: Milliwatts,
    /// What a busy slot of a tensor model adds.
    pub tensor_slot: Milliwatts,
    /// What a busy slot of a language model adds.
    pub language_slot: Milliwatts,
    /// Whether models that are asked for are fetched.
    pub pull: PullPolicy,
    /// Models that stay on this node, by name.
    pub pinned: BTreeSet<ModelName>,
    /// Threads per worker.
    pub threads: u16,
    /// Context of a language model, prompt and answer together, per slot.
    pub context_tokens: u32,
    /// What models may use of the machine's memory; three quarters of it, unless the file says otherwise. None if the
    /// machine does not say what it has.
    pub memory: Option<ByteCount>,
    /// Jobs at once per worker.
    pub slots: u16,
    /// The most memory of one worker, in bytes, if the file says it; else what the machine has.
    pub worker_memory: Option<u64>,
    /// A worker that has a job and says nothing for so long hangs, and is killed.
    pub hang_time: Duration,
    /// Families of models, each from the largest to the smallest: what may answer when there is no room.
    pub ladder: Vec<Vec<ModelName>>,
    /// The ONNX Runtime library, if the file names it.
    pub library: Option<PathBuf>,
    /// Where execution providers of ONNX Runtime are looked for; beside the library if the file names no place.
    pub providers: Vec<PathBuf>,
    /// The device that models run on, unless they have their own.
    pub device: DeviceChoice,
    /// What is different for one model.
    pub per_model: BTreeMap<ModelName, ModelConfig>,
    /// What is kept of jobs.
    pub jobs: JobBounds,
    /// Whether `isolate` is allowed.
    pub drill: bool,
    /// Where spans go; nowhere unless the file says so.
    pub telemetry: Option<Telemetry>,
    /// Servers outside the mesh that may be asked.
    pub endpoints: Vec<EndpointConfig>,
    /// What may leave in a day, and be spent.
    pub budgets: Budgets,
    /// How the counters of a kernel are read that counts what this node sends.
    pub(crate) kernel: Option<KernelConfig>,
    /// The longest round trip with which a member counts as near an anchor.
    pub near: Micros,
    /// The policy file.
    pub policy: PathBuf,
    /// Whose published policies take its place.
    pub follow: Follow,
    /// The program that workers are started from: this one.
    pub program: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    api: ApiSection,
    mesh: MeshSection,
    power: PowerSection,
    models: ModelsSection,
    model: ModelSections,
    ladder: LadderSection,
    jobs: JobsSection,
    drill: DrillSection,
    law: LawSection,
    telemetry: TelemetrySection,
    endpoint: EndpointSections,
    egress: EgressSection,
    assurance: AssuranceSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MeshSection {
    listen: Option<SocketAddr>,
    advertise: Vec<SocketAddr>,
    relays: Vec<String>,
    relay: Option<RelaySection>,
    mdns: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PowerSection {
    cap_w: u32,
    idle_w: u32,
    tensor_slot_w: u32,
    language_slot_w: u32,
}

impl Default for PowerSection {
    fn default() -> Self {
        // A cap that no single machine reaches: power is limited only where the operator says so.
        Self { cap_w: 100_000, idle_w: 10, tensor_slot_w: 5, language_slot_w: 20 }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pull {
    #[default]
    OnDemand,
    Manual,
    Automatic,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ModelsSection {
    pull: Pull,
    pinned: Vec<String>,
    threads: u16,
    context_tokens: u32,
    memory_mb: Option<u64>,
    slots: u16,
    library: Option<PathBuf>,
    worker_memory_mb: Option<u64>,
    hang_s: u64,
    providers: Option<PathBuf>,
    device: DeviceWord,
}

impl Default for ModelsSection {
    fn default() -> Self {
        Self {
            pull: Pull::OnDemand,
            pinned: Vec::new(),
            threads: 1,
            context_tokens: 2048,
            memory_mb: None,
            slots: 2,
            library: None,
            worker_memory_mb: None,
            hang_s: HANG_TIME.as_secs(),
            providers: None,
            device: DeviceWord(DeviceChoice::Auto),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DrillSection {
    allow: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LawSection {
    policy: Option<PathBuf>,
    follow: Follow,
}

/// Whose published policies a node lives by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Follow {
    /// Those of a founder of the same operator.
    #[default]
    Operator,
    /// Those of the founder, whoever runs it.
    Mesh,
    /// Nobody's.
    Nobody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AssuranceSection {
    near_ms: Option<u32>,
}

impl NodeConfig {
    /// Reads the file, if one is named or `hither.toml` lies in the data directory, and applies what the command
    /// line says over it. Relative paths in the file are relative to the data directory.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let data_dir = match overrides.data_dir {
            Some(dir) => dir,
            None => default_data_dir()?,
        };
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let usual = data_dir.join("hither.toml");
        let path = file.unwrap_or(&usual);
        let (file, digest) = if file.is_some() || usual.exists() { read(path)? } else { Default::default() };
        let ladder =
            ladder::families(file.ladder).map_err(|source| ConfigError::Ladder { path: path.to_owned(), source })?;
        let per_model =
            model::models(file.model).map_err(|source| ConfigError::Model { path: path.to_owned(), source })?;
        let telemetry = telemetry::telemetry(file.telemetry)
            .map_err(|source| ConfigError::Telemetry { path: path.to_owned(), source })?;
        let inside = |path: PathBuf| data_dir.join(path);
        let endpoints = endpoint::endpoints(file.endpoint, &data_dir)
            .map_err(|source| ConfigError::Endpoint { path: path.to_owned(), source })?;
        let purses = endpoints.iter().map(|endpoint| (endpoint.name.clone(), endpoint.purse.clone())).collect();
        let of_egress = |source| ConfigError::Egress { path: path.to_owned(), source };
        let mut section = file.egress;
        let counters = section.kernel.take().map(|counters| counters.read(&data_dir));
        let kernel = counters.transpose().map_err(of_egress)?;
        let budgets = egress::budgets(section, purses).map_err(of_egress)?;
        let api_listen = overrides.api.or(file.api.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let api_socket = inside(file.api.socket.clone().unwrap_or_else(|| "api.sock".into()));
        let of_api = |source| ConfigError::Api { path: path.to_owned(), source };
        let tls = tls::secured(file.api.tls.as_ref(), &data_dir).map_err(of_api)?;
        let oidc = oidc::oidc(file.api.oidc.as_ref(), &data_dir).map_err(of_api)?;
        let tokens = oidc.as_ref().map(|oidc| Arc::clone(&oidc.tokens));
        let access = api::access(file.api, api_listen, tokens).map_err(of_api)?;
        Ok(Self {
            digest,
            api_listen,
            api_socket,
            access,
            tls,
            oidc,
            mesh_advertise: file.mesh.advertise,
            relays: relay::named(&file.mesh.relays)
                .map_err(|text| ConfigError::Malformed { path: path.to_owned(), text })?,
            multicast: if file.mesh.mdns.unwrap_or(true) { Multicast::On } else { Multicast::Off },
            relay: overrides.relay.or(file.mesh.relay.map(RelayConfig::from)),
            mesh_listen: overrides.mesh.or(file.mesh.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            cap: Milliwatts::from_watts(file.power.cap_w.into()),
            idle: Milliwatts::from_watts(file.power.idle_w.into()),
            tensor_slot: Milliwatts::from_watts(file.power.tensor_slot_w.into()),
            language_slot: Milliwatts::from_watts(file.power.language_slot_w.into()),
            pull: match file.models.pull {
                Pull::OnDemand => PullPolicy::OnDemand,
                Pull::Manual => PullPolicy::Manual,
                Pull::Automatic => PullPolicy::Automatic,
            },
            pinned: pinned(&file.models.pinned)
                .map_err(|text| ConfigError::Malformed { path: path.to_owned(), text })?,
            threads: file.models.threads.max(1),
            context_tokens: file.models.context_tokens.max(64),
            memory: match file.models.memory_mb {
                Some(mb) => Some(ByteCount(mb.saturating_mul(1_000_000))),
                None => machine::memory(Path::new("/")).map(|memory| ByteCount(memory.most() / 4 * 3)),
            },
            slots: file.models.slots.max(1),
            worker_memory: file.models.worker_memory_mb.map(|megabytes| megabytes.saturating_mul(1_000_000)),
            hang_time: Duration::from_secs(file.models.hang_s.max(1)),
            ladder,
            library: file.models.library,
            providers: file.models.providers.map(inside).into_iter().collect(),
            device: file.models.device.0,
            per_model,
            jobs: file.jobs.into(),
            drill: file.drill.allow,
            telemetry,
            endpoints,
            budgets,
            follow: file.law.follow,
            kernel,
            near: near(file.assurance.near_ms)
                .map_err(|text| ConfigError::Malformed { path: path.to_owned(), text })?,
            policy: inside(file.law.policy.unwrap_or_else(|| "policy.toml".into())),
            program: std::env::current_exe().unwrap_or_else(|_| "hither".into()),
            data_dir,
        })
    }

    /// The same for a node that takes no models: a relay.
    pub fn without_models(self) -> Self {
        Self { pull: PullPolicy::Manual, ..self }
    }

    /// How a model is opened, its device included.
    pub fn model(&self, name: &ModelName) -> ModelConfig {
        let own = self.per_model.get(name).copied();
        let model = own.unwrap_or(ModelConfig { device: None, max_batch: 1, max_delay: Duration::ZERO });
        ModelConfig { device: model.device.or(Some(self.device)), ..model }
    }

    /// Where the ledger lies.
    pub fn ledger_dir(&self) -> PathBuf {
        self.data_dir.join("ledger")
    }
}

/// What counts as near. Beyond a tenth of a second other continents are.
fn near(limit_ms: Option<u32>) -> Result<Micros, String> {
    match limit_ms {
        None => Ok(NEAR_RTT),
        Some(limit_ms) if (1..=100).contains(&limit_ms) => Ok(Micros::from_millis(limit_ms.into())),
        Some(other) => Err(format!("near_ms under [assurance] is {other}; from 1 to 100, 100 km each")),
    }
}

/// The models that stay, as the file names them.
fn pinned(names: &[String]) -> Result<BTreeSet<ModelName>, String> {
    let read = |name: &String| ModelName::parse(name).map_err(|error| format!("pinned under [models]: {error}"));
    names.iter().map(read).collect()
}

/// `$HITHER_DATA`, else `$XDG_DATA_HOME/hither`, else `~/.local/share/hither`.
pub fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("HITHER_DATA")
        .or_else(|| var("XDG_DATA_HOME").map(|dir| dir.join("hither")))
        .or_else(|| var("HOME").map(|dir| dir.join(".local/share/hither")))
        .ok_or(ConfigError::NoDataDir)
}

/// A file, and the digest of its text.
fn read(path: &Path) -> Result<(File, Option<Digest>), ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let file = toml::from_str(&text)
        .map_err(|error| ConfigError::Malformed { path: path.to_owned(), text: error.to_string() })?;
    Ok((file, Some(Digest(*blake3::hash(text.as_bytes()).as_bytes()))))
}
