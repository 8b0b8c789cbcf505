//! The hand that hands over: a file to the server, then a training that reads it. What it knows of either is on record before
//! it goes on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hither_api::endpoint::{Cleared, EndpointError};
use hither_api::trainings::TrainingId;
use hither_types::trace::TraceParent;

use super::Book;
use crate::endpoints::Server;

/// Hands examples over to a server. `model` is its name there.
pub(crate) async fn hand_over(
    server: &Arc<Server>,
    model: &str,
    id: TrainingId,
    cleared: &Cleared,
    trace: Option<TraceParent>,
) -> Result<(), EndpointError> {
    let (book, site) = (Arc::clone(server.book()), server.site().clone());
    let there = site.clone();
    let leaves = tokio::task::spawn_blocking(move || book.leaving(id, &there)).await;
    match leaves.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(true) => {}
        Ok(false) => return Err(EndpointError::Failed("nobody waits for it any more".to_owned())),
        Err(error) => return Err(EndpointError::Failed(format!("its record cannot be written here: {error}"))),
    }
    let begun = Arc::new(AtomicBool::new(false));
    let (life, went) = (Arc::clone(server), Arc::clone(&begun));
    let on_part = move |_| {
        went.store(true, Ordering::Relaxed);
        life.hear();
    };
    let file = match server.endpoint().upload(cleared, trace, on_part).await {
        Ok(file) => file,
        Err(error) => {
            let keeps_none = !begun.load(Ordering::Relaxed) || is_clear_no(&error);
            let text = error.to_string();
            write(server, move |book| if keeps_none { book.stays(id) } else { book.broke(id, &text) }).await;
            return Err(error);
        }
    };
    server.hear();
    let (there, lying) = (site, file.clone());
    write(server, move |book| book.lies(id, &there, &lying)).await;
    match server.endpoint().begin_training(model, cleared, &file).await {
        Ok(there) => {
            server.hear();
            write(server, move |book| book.handed(id, there)).await;
            Ok(())
        }
        Err(error) => {
            let text = format!("no training began: {error}");
            // Whether one began after all is not known if nobody said no: its file stays.
            let gone = is_clear_no(&error) && server.endpoint().delete_file(&file).await.is_ok();
            write(server, move |book| if gone { book.withdrawn(id, Some(text)) } else { book.broke(id, &text) }).await;
            Err(error)
        }
    }
}

/// Whether a server said no, and so does not have it.
fn is_clear_no(error: &EndpointError) -> bool {
    match error {
        EndpointError::Cannot(_) | EndpointError::Wrong(_) | EndpointError::Full(_) | EndpointError::Forbidden(_) => {
            true
        }
        EndpointError::Failed(_) | EndpointError::Unreachable(_) => false,
        _ => false,
    }
}

/// Writes down what happened. If the disk does not take it, the hand goes on: what was on record before says that something may
/// lie there, and that is still so.
async fn write(server: &Server, change: impl FnOnce(&Book) -> io::Result<()> + Send + 'static) {
    let book = Arc::clone(server.book());
    let done = tokio::task::spawn_blocking(move || change(&book)).await;
    if let Err(error) = done.unwrap_or_else(|error| Err(io::Error::other(error))) {
        tracing::warn!(%error, endpoint = %server.site(), "what became of a training is not on the disk");
    }
}
