//! Sources of models: a text that names one, and the way from there to a file on this disk.
//!
//! What must stay true: nobody is contacted whom the text does not name, or who is named by whom it names; a file appears
//! under its name only whole, and only if its checksum is the one that is known; a file is never put together from two
//! versions; a secret goes to the one place that it is for, and into no error, log or `Debug`; every wait and every buffer
//! is bounded. A file of this machine needs no network, no certificates and no name server.
//!
//! The hub and registries are spoken with by the code of this crate. Two crates were tried first, and why they are not used
//! is this:
//!
//! - `hf-hub` 1.0.0, its default features off, still names `hf-xet` and `reqwest` with theirs. That links aws-lc beside ring,
//!   as a second library of cryptography (`cargo tree -i aws-lc-rs`), and brings `hf-xet`, whose telemetry is on until a
//!   variable of the environment turns it off. Downloads over plain HTTP are written from the start again after a break, and
//!   never compared with their SHA-256.
//! - `oci-client` 0.18.0 can be built on ring (`rustls-tls-no-provider`). It leaves redirects to `reqwest`, which follows them
//!   from https to http, reads manifests and error bodies without a bound, tries nothing again, sends the password to whatever
//!   address a registry names as its realm, plain http included, and brings 21 crates that are not in the tree.

mod checksum;
mod choose;
mod download;
mod error;
mod fetch;
mod http;
mod hub;
mod limits;
mod local;
mod name;
mod partial;
mod progress;
mod registry;
mod secret;
mod source;
mod space;

pub use checksum::{Sha256, Sha256Error};
pub use choose::ChoiceError;
pub use error::FetchError;
pub use fetch::{Fetched, FetchedFile, Fetcher, Order, Settings, SettingsError, Whose, make_room};
pub use name::NameError;
pub use progress::{Progress, Stage};
pub use secret::{RegistryLogin, Secret};
pub use source::{Artefact, HubFile, Reference, Source, SourceError, WebFile};
