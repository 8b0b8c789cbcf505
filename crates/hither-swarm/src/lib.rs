//! Everything between nodes: who may connect, small talk, requests, and the copying of models.
//!
//! The only crate that names iroh. It reports what peers did and does what it is told; it decides nothing. Nothing is
//! contacted whose address was not given to [`Swarm::admit`], [`Swarm::hello`] or [`Swarm::use_relays`], told by a member
//! over a connection, or announced for a member on a network of this machine: no relay of anybody else, no DNS.

mod accept;
mod addresses;
mod admission;
mod ask;
mod blobs;
mod dial;
mod doorway;
mod framing;
mod hello;
mod lan;
mod ledbat;
mod limits;
mod links;
mod members;
mod moves;
mod paths;
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
pub use blobs::chunks::{ChunkAsked, ChunkEvent};
pub use blobs::fetch::{Fault, FetchError, Fetched};
pub use blobs::half::{Half, PartError};
pub use blobs::store::{ServeError, StoreError};
pub use dial::DialError;
pub use hello::HelloReplier;
pub use lan::Multicast;
pub use links::{Flow, Traffic};
pub use members::Isolation;
pub use ping::{Pinged, Pong};
pub use relay::GuestReplier;
pub use relays::KnownRelay;
pub use swarm::{StartError, Started, Swarm, SwarmConfig, SwarmEvent};
