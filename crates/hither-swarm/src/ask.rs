//! Requests: one bidirectional stream each, an ask in one direction, frames in the other.

use std::pin::Pin;
use std::sync::{Arc, Weak};

use hither_types::id::NodeId;
use hither_types::member::Relay;
use hither_types::message::{Ask, Frame};
use hither_wire::{EncodeError, MAX_FRAME};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::task::JoinSet;

use crate::dial::{self, DialError, chain};
use crate::framing::{self, FrameReader, FramingError};
use crate::ledbat::Request;
use crate::limits;
use crate::links::{self, Code, Kind};
use crate::swarm::{Shared, SwarmEvent};

/// Why a request could not be sent to a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is no connection. Nothing was sent.
    #[error("no connection for the request")]
    Dial(#[from] DialError),
    /// The request cannot be encoded, for instance because it is too large. Nothing was sent.
    #[error("the request cannot be sent")]
    Unsayable(#[from] EncodeError),
    /// The connection broke while the request was being sent: some of it may have left.
    #[error("the connection to {node:?} broke while the request was being sent: {reason}")]
    Broken {
        /// To whom.
        node: NodeId,
        /// What happened.
        reason: String,
    },
}

/// Why no further frame of an answer comes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection broke, or the peer gave the stream up.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// What came cannot be read.
    #[error("the peer sent what cannot be read: {0}")]
    Garbage(String),
}

/// Nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for the answer any more")]
pub struct PeerGone;

/// The frames of an answer. Dropping it tells the peer to stop.
#[derive(Debug)]
pub struct FrameStream {
    reader: FrameReader,
    ended: bool,
    // Keeps the connection, even if the line has a newer one.
    connection: Connection,
    // … and keeps it from being closed as unused.
    _use: Arc<()>,
    // Files give way to it.
    _request: Request,
    shared: Weak<Shared>,
}

/// The relay that a connection is sent over just now.
fn relay_of(shared: &Weak<Shared>, connection: &Connection) -> Option<Relay> {
    let shared = shared.upgrade()?;
    links::address(&shared, connection)?.relay()
}

impl FrameStream {
    /// The relay that the request and its answer pass just now, if they do.
    pub fn relay(&self) -> Option<Relay> {
        relay_of(&self.shared, &self.connection)
    }

    /// How many packets of the peer have come over the connection. One that is lost holds up every frame behind it until
    /// it is repeated; that the peer lives shows meanwhile by this growing.
    pub fn packets(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    /// The next frame; `None` after the peer ended the answer. Dropping the call loses no frame.
    pub async fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        let frame = match self.reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.ended = true;
                return Ok(None);
            }
            Err(error @ FramingError::TooLarge { .. }) => {
                self.reader.stop(Code::Garbage as u32);
                self.ended = true;
                return Err(StreamError::Garbage(error.to_string()));
            }
            Err(error) => {
                self.ended = true;
                return Err(StreamError::Broken(chain(&error)));
            }
        };
        hither_wire::decode_frame(&frame)
            .map_err(|error| {
                self.reader.stop(Code::Garbage as u32);
                self.ended = true;
                StreamError::Garbage(error.to_string())
            })
            .map(Some)
    }
}

impl Drop for FrameStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reader.stop(Code::Cancelled as u32);
        }
    }
}

/// Sends a request and gives its answer.
pub(crate) async fn ask(shared: &Arc<Shared>, node: NodeId, ask: &Ask) -> Result<FrameStream, AskError> {
    let body = hither_wire::encode_ask(ask)?;
    let too_large = EncodeError::TooLarge { form: "a request", size: body.len(), most: MAX_FRAME };
    let frame = framing::frame(body, MAX_FRAME).ok_or(too_large)?;
    let (used, request) = (dial::uses(shared, node, Kind::Ask), shared.requests.begin());
    // A connection that broke unnoticed shows it at the first use: then it is dialled once more, before a byte left.
    let (connection, mut sender, receiver) = match open(shared, node).await {
        Err(AskError::Broken { .. }) => open(shared, node).await?,
        opened => opened?,
    };
    let broken = |reason: String| AskError::Broken { node, reason };
    framing::write(&mut sender, frame).await.map_err(|error| broken(chain(&error)))?;
    sender.finish().map_err(|error| broken(chain(&error)))?;
    let reader = FrameReader::new(receiver, MAX_FRAME);
    let shared = Arc::downgrade(shared);
    Ok(FrameStream { reader, ended: false, connection, _use: used, _request: request, shared })
}

async fn open(shared: &Arc<Shared>, node: NodeId) -> Result<(Connection, SendStream, RecvStream), AskError> {
    let connection = dial::connection(shared, node, Kind::Ask).await?;
    match tokio::time::timeout(limits::DIAL, connection.open_bi()).await {
        Ok(Ok((sender, receiver))) => Ok((connection, sender, receiver)),
        Ok(Err(error)) => {
            shared.lines.forget(node, Kind::Ask, connection.stable_id());
            Err(AskError::Broken { node, reason: chain(&error) })
        }
        Err(_) => {
            let reason = format!("{} requests are open already", limits::STREAMS);
            Err(AskError::Dial(DialError::Refused { node, reason }))
        }
    }
}

/// The way back to the node that asked. Dropping it without [`AnswerStream::finish`] breaks the answer off.
#[derive(Debug)]
pub struct AnswerStream {
    sender: Option<SendStream>,
    // A write that was dropped half-way leaves half a frame: nothing readable can follow it.
    torn: bool,
    connection: Connection,
    _request: Request,
    shared: Weak<Shared>,
}

/// Resolves when the asker stopped or the link broke. Independent of the stream that it came from.
pub struct AnswerWatcher(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for AnswerWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerWatcher")
    }
}

impl Future for AnswerWatcher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl AnswerStream {
    /// The relay that the answer passes just now, if it does.
    pub fn relay(&self) -> Option<Relay> {
        relay_of(&self.shared, &self.connection)
    }

    /// Sends one frame.
    pub async fn send(&mut self, frame: Frame) -> Result<(), PeerGone> {
        let sender = self.sender.as_mut().filter(|_| !self.torn).ok_or(PeerGone)?;
        self.torn = true;
        let body = hither_wire::encode_frame(&frame).map_err(|error| {
            tracing::error!(%error, "a frame cannot be said; answer broken off");
            PeerGone
        })?;
        let size = body.len();
        let frame = framing::frame(body, MAX_FRAME).ok_or_else(|| {
            tracing::error!(size, most = MAX_FRAME, "a frame is too large; answer broken off");
            PeerGone
        })?;
        framing::write(sender, frame).await.map_err(|_| PeerGone)?;
        self.torn = false;
        Ok(())
    }

    /// Ends the answer and waits a moment until the asker has all of it.
    pub async fn finish(mut self) {
        let Some(mut sender) = self.sender.take() else { return };
        if self.torn {
            let _ = sender.reset(Code::Broken.into());
            return;
        }
        if sender.finish().is_ok() {
            // Whether or not it was acknowledged in time, there is nothing more to do about it.
            let _ = tokio::time::timeout(limits::ANSWER_FLUSH, sender.stopped()).await;
        }
    }

    /// Resolves when the asker stopped or the link broke.
    pub async fn gone(&mut self) {
        self.watcher().await;
    }

    /// The same as [`AnswerStream::gone`], to be waited for by somebody else.
    pub fn watcher(&self) -> AnswerWatcher {
        match &self.sender {
            Some(sender) => {
                let stopped = sender.stopped();
                AnswerWatcher(Box::pin(async move {
                    let _ = stopped.await;
                }))
            }
            None => AnswerWatcher(Box::pin(std::future::ready(()))),
        }
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        if let Some(mut sender) = self.sender.take() {
            // It fails only if the stream is closed already.
            let _ = sender.reset(Code::Broken.into());
        }
    }
}

/// Serves the requests of one connection until it ends.
pub(crate) async fn serve(shared: &Arc<Shared>, from: NodeId, connection: Connection) {
    let mut heads = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((sender, receiver)) => {
                    heads.spawn(head(shared.clone(), from, connection.clone(), sender, receiver));
                }
                Err(_) => return,
            },
            Some(_) = heads.join_next() => {}
        }
    }
}

/// Reads an ask and hands it to the driver.
async fn head(shared: Arc<Shared>, from: NodeId, connection: Connection, sender: SendStream, receiver: RecvStream) {
    let (connected, request) = (connection.clone(), shared.requests.begin());
    let weak = Arc::downgrade(&shared);
    let answer =
        AnswerStream { sender: Some(sender), torn: false, connection: connected, _request: request, shared: weak };
    let Ok(_place) = shared.heads.acquire().await else { return };
    let mut reader = FrameReader::new(receiver, MAX_FRAME);
    let body = match tokio::time::timeout(limits::ASK_HEAD, reader.next()).await {
        Ok(Ok(Some(body))) => body,
        // The asker changed its mind.
        Ok(Ok(None)) | Ok(Err(FramingError::Read(_) | FramingError::Truncated)) => return,
        Ok(Err(error @ FramingError::TooLarge { .. })) => {
            tracing::warn!(peer = %from.short(), %error, "a request is too large; connection closed");
            return dial::close(&connection, Code::Garbage, "request too large");
        }
        Err(_) => {
            tracing::warn!(peer = %from.short(), "a request did not arrive in time; dropped");
            return reader.stop(Code::Slow as u32);
        }
    };
    match hither_wire::decode_ask(&body) {
        Ok(ask) => {
            // If the driver is gone, the answer breaks off by being dropped.
            let _ = shared.events.send(SwarmEvent::Asked { from, ask, answer }).await;
        }
        Err(error) => {
            tracing::warn!(peer = %from.short(), %error, bytes = body.len(), "a request cannot be decoded; connection closed");
            dial::close(&connection, Code::Garbage, "request cannot be decoded");
        }
    }
}
