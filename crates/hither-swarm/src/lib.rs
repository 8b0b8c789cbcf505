//! Everything between nodes: who may connect, small talk, requests, and the copying of models.
//!
//! The only crate that names iroh. It reports what peers did and does what it is told; it decides nothing. Nothing is
//! contacted whose address was not given to [`Swarm::admit`] or [`Swarm::hello`]: no relay, no DNS, no discovery.

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
mod preface;
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
pub use swarm::{StartError, Swarm, SwarmConfig, SwarmEvent};
