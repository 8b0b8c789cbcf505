//! The same question as a request between two members, as a node sends it to another.

use std::net::SocketAddr;
use std::time::Duration;

use hither_swarm::{AnswerStream, Multicast, Swarm, SwarmConfig, SwarmEvent};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, RequestId};
use hither_types::label::{DataClass, Label};
use hither_types::message::{Ask, Frame};
use hither_types::place::Jurisdiction;
use hither_types::request::{Envelope, Priority, Quality, RequestKind};
use hither_types::unit::{ByteCount, Micros};
use iroh::SecretKey;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::{CLIENT, Outcome, PATIENCE, PIECE, SERVER, until_told, wanted};

fn node(key: [u8; 32]) -> NodeId {
    NodeId(*SecretKey::from_bytes(&key).public().as_bytes())
}

async fn start(key: [u8; 32], bind: SocketAddr) -> Outcome<(Swarm, mpsc::Receiver<SwarmEvent>, TempDir)> {
    let dir = tempfile::tempdir()?;
    let config = SwarmConfig {
        secret_key: key,
        bind,
        blobs_dir: dir.path().to_owned(),
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    };
    let (swarm, events, _chunks) = Swarm::start(config).await?;
    Ok((swarm, events, dir))
}

pub(crate) async fn serve(address: SocketAddr) -> Outcome<()> {
    let (swarm, mut events, _dir) = start(SERVER, address).await?;
    swarm.admit(node(CLIENT), Vec::new());
    let serving = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let SwarmEvent::Asked { ask, answer, .. } = event {
                tokio::spawn(reply(ask, answer));
            }
        }
    });
    until_told("-").await;
    serving.abort();
    swarm.shutdown().await;
    Ok(())
}

async fn reply(ask: Ask, mut answer: AnswerStream) {
    let mut left = wanted(&ask.payload);
    while left > 0 {
        let now = left.min(PIECE);
        // An asker that left hears nothing more.
        if answer.send(Frame::Piece(vec![0xa5; now])).await.is_err() {
            return;
        }
        left -= now;
    }
    answer.finish().await;
}

/// A member that asks.
pub(crate) struct Asker {
    swarm: Swarm,
    number: u128,
    _dir: TempDir,
}

pub(crate) async fn dial(address: SocketAddr) -> Outcome<Asker> {
    let (swarm, mut events, dir) = start(CLIENT, ([0, 0, 0, 0], 0).into()).await?;
    swarm.admit(node(SERVER), vec![address.into()]);
    let up = async { while !matches!(events.recv().await, Some(SwarmEvent::LinkUp(_)) | None) {} };
    tokio::time::timeout(PATIENCE, up).await.map_err(|_| "no link comes up")?;
    // Nobody else looks at what happens from now on.
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    Ok(Asker { swarm, number: 0, _dir: dir })
}

impl Asker {
    pub(crate) async fn ask(&mut self, question: &[u8]) -> Outcome<usize> {
        self.number += 1;
        let mut frames = self.swarm.ask(node(SERVER), request(self.number, question.to_vec())?).await?;
        let mut heard = 0;
        while let Some(frame) = frames.next().await? {
            if let Frame::Piece(piece) = frame {
                heard += piece.len();
            }
        }
        Ok(heard)
    }

    pub(crate) async fn close(self) {
        self.swarm.shutdown().await;
    }
}

fn request(number: u128, payload: Vec<u8>) -> Outcome<Ask> {
    Ok(Ask {
        request: RequestId(number),
        attempt: Attempt(1),
        digest: Digest([1; 32]),
        envelope: Envelope {
            app: AppName::parse("wire")?,
            model: ModelName::parse("wire")?,
            label: Label {
                class: DataClass::Internal,
                tags: Vec::new(),
                subjects: vec![Jurisdiction::parse("DE")?],
                purpose: None,
            },
            kind: RequestKind::Infer,
            size: ByteCount(payload.len() as u64),
            priority: Priority::Normal,
            prefer: None,
            quality: Quality::Exact,
        },
        remaining: Micros::from_millis(Duration::from_secs(30).as_millis() as u64),
        resume: Vec::new(),
        payload,
        trace: None,
    })
}
