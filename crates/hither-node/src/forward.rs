//! The two ends of a request between nodes: asking a peer, and answering one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hither_core::Event;
use hither_engine::work::Piece;
use hither_swarm::{AnswerStream, FrameStream, Swarm};
use hither_types::id::{NodeId, Task};
use hither_types::message::{Ask, Frame};
use hither_types::refusal::Failure;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::driver::Inbound;
use crate::limits::{BEAT, BEAT_FROM_PIECES};
use crate::session::{AskSession, Delivery, Session};

/// Sends a request of this node to a peer and carries what comes back to its client.
pub(crate) async fn ask_peer(
    swarm: Swarm,
    peer: NodeId,
    task: Task,
    ask: Ask,
    session: Arc<Session>,
    inbox: mpsc::Sender<Inbound>,
) {
    let ended = match swarm.ask(peer, ask).await {
        Ok(mut stream) => {
            // Asked before and after: a connection may find another path meanwhile, and one over a relay counts.
            session.passed(task.attempt, stream.relay().map(|relay| relay.node));
            let ended = read_answer(&mut stream, task, &session, &inbox).await;
            session.passed(task.attempt, stream.relay().map(|relay| relay.node));
            ended
        }
        Err(error) => {
            tracing::debug!(request = %task.request, peer = %peer.short(), %error, "a peer cannot be asked");
            Some(Event::Failed { task, failure: Failure::Unreachable })
        }
    };
    if let Some(event) = ended {
        // A closed inbox means that the node is stopping.
        let _ = inbox.send(Inbound::Event(event)).await;
    }
}

/// Reads frames until the end. `None`: nobody needs to be told.
async fn read_answer(
    stream: &mut FrameStream,
    task: Task,
    session: &Session,
    inbox: &mpsc::Sender<Inbound>,
) -> Option<Event> {
    let mut progress = 0_u64;
    let mut told = Instant::now();
    let mut look = tokio::time::interval(BEAT);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut packets, mut heard) = (stream.packets(), Instant::now());
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = look.tick() => {
                // On a path with loss frames may be held up for longer than a silence lasts, while the peer speaks.
                let before = std::mem::replace(&mut packets, stream.packets());
                if heard.elapsed() >= BEAT && packets > before {
                    inbox.send(Inbound::Event(Event::Beat { task, progress })).await.ok()?;
                }
                continue;
            }
        };
        heard = Instant::now();
        let frame = match next {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(_) => return Some(Event::Failed { task, failure: Failure::Unreachable }),
        };
        let tell = match frame {
            Frame::Accepted => true,
            Frame::Beat { progress: now } => {
                progress = progress.max(now);
                true
            }
            Frame::Piece(bytes) => {
                progress += 1;
                session.add_answer(task.attempt, bytes.len() as u64);
                let delivery = match Piece::decode(&bytes) {
                    Ok(piece) => session.deliver_wait(task.attempt, piece).await,
                    Err(_) => Delivery::Gap,
                };
                match delivery {
                    Delivery::Delivered => told.elapsed() >= BEAT_FROM_PIECES,
                    Delivery::ClientGone => return None,
                    // Of an attempt that was given up the mind does not want to know.
                    Delivery::Old => {
                        let failure = Failure::Engine("another copy answered first".into());
                        return Some(Event::Failed { task, failure });
                    }
                    Delivery::Gap | Delivery::Full => {
                        let failure = Failure::Engine("the peer skipped or repeated a token".into());
                        return Some(Event::Failed { task, failure });
                    }
                }
            }
            Frame::Done(cost) => return Some(Event::Done { task, cost }),
            Frame::Declined(refusal) => return Some(Event::Failed { task, failure: Failure::Declined(refusal) }),
            Frame::Failed(failure) => return Some(Event::Failed { task, failure }),
        };
        if tell {
            told = Instant::now();
            inbox.send(Inbound::Event(Event::Beat { task, progress })).await.ok()?;
        }
    }
}

/// Answers a peer: carries frames to its stream, and beats while the request runs or waits here.
pub(crate) async fn answer_peer(
    mut answer: AnswerStream,
    task: Task,
    ask: Arc<AskSession>,
    mut frames: mpsc::Receiver<Frame>,
    inbox: mpsc::Sender<Inbound>,
) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut accepted = false;
    let gone = answer.watcher();
    tokio::pin!(gone);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => return,
            },
            _ = beat.tick(), if accepted => Frame::Beat { progress: ask.progress.load(Ordering::Relaxed) },
            () = &mut gone => break,
        };
        let last = match &frame {
            Frame::Accepted => {
                accepted = true;
                false
            }
            Frame::Beat { .. } => false,
            Frame::Piece(bytes) => {
                // Counted before it is sent: the record may say too much of a broken answer, never too little.
                ask.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                false
            }
            Frame::Done(_) | Frame::Declined(_) | Frame::Failed(_) => true,
        };
        if answer.send(frame).await.is_err() {
            break;
        }
        if last {
            answer.finish().await;
            return;
        }
    }
    let _ = inbox.send(Inbound::Event(Event::AskerGone(task))).await;
}
