//! Everything between nodes: who may connect, small talk, requests, and the copying of models.
//!
//! The only crate that names iroh. It reports what peers did and does what it is told; it decides nothing. Nothing is
//! contacted whose address was not given to [`Swarm::admit`], [`Swarm::hello`] or [`Swarm::use_relays`], or told by a
//! member over a connection: no relay of anybody else, no DNS, no discovery.

mod accept;
mod admission;
mod ask;
mod blobs;
mod dial;
mod framing;
mod hello;
mod limits;
mod links;
mod members;
mod ping;
mod preface;
mod relay;
mod relays;
mod spoken;
mod starts;
mod swarm;
mod talk;
mod tasks;

pub use ask::{AnswerStream, AnswerWatcher, AskError, FrameStream, PeerGone, StreamError};
pub use blobs::fetch::{Fault, FetchError, Fetched};
pub use blobs::store::StoreError;
pub use dial::DialError;
pub use hello::HelloReplier;
pub use links::{Flow, Traffic};
pub use members::Isolation;
pub use ping::Pong;
pub use relay::GuestReplier;
pub use relays::{KnownRelay, RelayUse};
pub use swarm::{StartError, Swarm, SwarmConfig, SwarmEvent};
