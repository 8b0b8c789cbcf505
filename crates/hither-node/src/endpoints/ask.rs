//! The hand that asks a server outside the mesh, and carries what it says to the client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hither_api::endpoint::{Answering, Cleared, EndpointError};
use hither_api::trainings::TrainingId;
use hither_core::Event;
use hither_engine::work::{Piece, TrainWork, Work};
use hither_types::filter::Withheld;
use hither_types::id::{NodeId, SiteName, Task};
use hither_types::refusal::{Bar, Failure, InputFault, Refusal};
use hither_types::request::Cost;
use hither_types::unit::{ByteCount, Micros};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::server::{Busy, Server};
use crate::clearing;
use crate::driver::Inbound;
use crate::limits::{BEAT, BEAT_FROM_PIECES, ENDPOINT_PROBE, ENDPOINT_PULSE};
use crate::session::{Delivery, Session};
use crate::trainings::hand_over;

/// Asks a server and carries what it says to the client.
pub(super) async fn ask(
    server: Arc<Server>,
    there: (NodeId, String),
    task: Task,
    session: Arc<Session>,
    inbox: mpsc::Sender<Inbound>,
) {
    let busy = Busy::enter(&server);
    let mut told = 0;
    let ended = tokio::select! {
        ended = read((&server, &there), task, &session, &inbox, &mut told) => ended,
        () = server.dies() => Err(Broken::Server(EndpointError::Unreachable("it shows no life".to_owned()))),
        () = beat(&server, task, &inbox) => return,
    };
    drop(busy);
    let event = match ended {
        Ok(cost) => Event::Done { task, cost },
        Err(Broken::Unwanted) => return,
        Err(Broken::Withheld(why)) => {
            let refusal = Refusal::Withheld { site: server.config.name.clone(), why };
            Event::Failed { task, failure: Failure::Declined(refusal) }
        }
        Err(Broken::Old) => Event::Failed { task, failure: Failure::Engine("another copy answered first".into()) },
        Err(Broken::Server(error)) => Event::Failed { task, failure: failed(&server, error, told > 0) },
    };
    // A closed inbox means that the node is stopping.
    let _ = inbox.send(Inbound::Event(event)).await;
}

/// Why no answer came.
enum Broken {
    Server(EndpointError),
    /// Its filter lets nothing leave for it.
    Withheld(Withheld),
    /// The client left.
    Unwanted,
    /// The attempt was given up.
    Old,
}

/// Beats while the server lives: whether it advances is not to be seen from here, so life is taken for progress.
async fn beat(server: &Server, task: Task, inbox: &mpsc::Sender<Inbound>) {
    let mut progress = 0;
    loop {
        tokio::time::sleep(BEAT).await;
        if server.silence() < ENDPOINT_PULSE + ENDPOINT_PROBE {
            progress += 1;
        }
        if inbox.send(Inbound::Event(Event::Beat { task, progress })).await.is_err() {
            return;
        }
    }
}

/// What may be sent: what the filter made of it before it went on the record. To a server on this machine nothing leaves, and
/// nothing is on the record: it is read now.
async fn cleared(
    (server, node): (&Server, NodeId),
    task: Task,
    session: &Session,
    inbox: &mpsc::Sender<Inbound>,
) -> Result<Arc<Cleared>, Broken> {
    let verdict = match session.cleared(task.attempt, node) {
        Some(verdict) => verdict,
        None if server.filter().is_none() || server.is_here() => {
            let verdict = clearing::read(server.filter().copied(), session.payload.clone()).await;
            if server.filter().is_some() {
                session.fix_cleared(task.attempt, node, verdict.clone());
            }
            let masked = verdict.as_ref().ok().map(|cleared| cleared.masked()).filter(|masked| !masked.is_empty());
            if let Some(findings) = masked.cloned() {
                let event = Event::Masked { request: task.request, site: server.config.name.clone(), findings };
                let _ = inbox.send(Inbound::Event(event)).await;
            }
            verdict
        }
        // Nothing comes here that was not read.
        None => Err(Withheld::Unreadable(clearing::UNREAD)),
    };
    verdict.map_err(Broken::Withheld)
}

async fn read(
    (server, (node, model)): (&Arc<Server>, &(NodeId, String)),
    task: Task,
    session: &Session,
    inbox: &mpsc::Sender<Inbound>,
    told: &mut u64,
) -> Result<Cost, Broken> {
    let cleared = cleared((server, *node), task, session, inbox).await?;
    let begun = Instant::now();
    let trace = session.trace.onwards(task.attempt);
    if let Work::Train(TrainWork { training, .. }) = cleared.work() {
        hand_over(server, model, TrainingId(*training), &cleared, trace).await.map_err(Broken::Server)?;
        return match session.hold(task.attempt, Piece::Outputs(Vec::new())) {
            Delivery::Delivered => Ok(Cost { decode: micros(begun.elapsed()), ..Cost::default() }),
            Delivery::ClientGone => Err(Broken::Unwanted),
            Delivery::Old | Delivery::Gap | Delivery::Full => Err(Broken::Old),
        };
    }
    let mut answer: Answering =
        server.endpoint().ask(model, &cleared, session.whole, trace).await.map_err(Broken::Server)?;
    drop(cleared);
    server.refuses.store(false, Ordering::Relaxed);
    server.hear();
    let (mut bytes, mut first, mut beaten) = (0, None, Instant::now());
    while let Some(piece) = answer.next().await.map_err(Broken::Server)? {
        let first = *first.get_or_insert_with(|| begun.elapsed());
        if beaten.elapsed() >= BEAT_FROM_PIECES {
            server.hear();
            beaten = Instant::now();
            let progress = u64::try_from(first.as_millis()).unwrap_or(0) + bytes;
            let _ = inbox.send(Inbound::Event(Event::Beat { task, progress })).await;
        }
        let size = size_of(&piece);
        bytes += size;
        if !server.is_here() {
            session.add_answer(task.attempt, size);
        }
        let delivery = match session.whole {
            true => session.hold(task.attempt, piece),
            false => session.deliver_wait(task.attempt, piece).await,
        };
        match delivery {
            Delivery::Delivered => *told += 1,
            Delivery::ClientGone => return Err(Broken::Unwanted),
            Delivery::Old | Delivery::Gap | Delivery::Full => return Err(Broken::Old),
        }
    }
    server.hear();
    let totals = answer.totals();
    // Of an answer that came whole nobody knows how long its prompt was read, and no place is preferred for it.
    let prefill = first.filter(|_| !session.whole).unwrap_or_default();
    Ok(Cost {
        prefill: micros(prefill),
        decode: micros(begun.elapsed().saturating_sub(prefill)),
        prompt_tokens: totals.prompt_tokens,
        output_tokens: totals.output_tokens,
        answer: ByteCount(bytes),
        ..Cost::default()
    })
}

fn micros(time: Duration) -> Micros {
    Micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Bytes of what was said, as the ledger counts an answer.
fn size_of(piece: &Piece) -> u64 {
    match piece {
        Piece::Tokens { text, .. } => text.len() as u64,
        Piece::Outputs(tensors) => tensors.iter().map(|tensor| tensor.data.len() as u64).sum(),
        Piece::End { calls, .. } => calls.iter().map(|call| (call.name.len() + call.arguments.len()) as u64).sum(),
    }
}

/// What a failure means to the mind. `told`: the client has a part of the answer, which no other place can go on with.
fn failed(server: &Server, error: EndpointError, told: bool) -> Failure {
    let name = &server.config.name;
    if let EndpointError::OtherKey(text) = &error {
        server.shows_other_key(text);
    }
    if let EndpointError::Unreachable(_) | EndpointError::OtherKey(_) = error {
        server.lost();
    }
    if let EndpointError::Forbidden(_) = error {
        server.refuses.store(true, Ordering::Relaxed);
        tracing::error!(endpoint = %name, %error, "look at its key_file: a changed file is read within a second");
    }
    if told {
        return Failure::Severed(format!("endpoint {name}: {error}"));
    }
    match error {
        EndpointError::Unreachable(_) | EndpointError::OtherKey(_) => Failure::Unreachable,
        EndpointError::Full(wait) => {
            let retry_after = wait.map_or(Micros::from_millis(1000), micros);
            Failure::Declined(Refusal::Overloaded { retry_after })
        }
        EndpointError::Forbidden(status) => barred(name, Bar::Key(status)),
        EndpointError::Absent(_) => barred(name, Bar::NoModel),
        EndpointError::Wrong(_) | EndpointError::Cannot(_) => {
            Failure::BadInput(InputFault::Other(format!("endpoint {name} does not take this: {error}")))
        }
        other => Failure::Engine(format!("endpoint {name}: {other}")),
    }
}

/// It did nothing, and would do nothing for the next request. For how long it is left alone the mind says.
fn barred(site: &SiteName, why: Bar) -> Failure {
    Failure::Declined(Refusal::Barred { site: site.clone(), why, again: Micros(0) })
}
