//! A request between the protocols and the door: handed in once, then followed to its end.

use bytes::Bytes;
use hither_engine::work::{Piece, Work};
use hither_types::id::{AppName, Digest, ModelName, RequestId};
use hither_types::model::Manifest;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, Quality, RequestKind};
use hither_types::unit::ByteCount;
use tokio::sync::mpsc;

use crate::door::{Answer, Route, Submission, Summary};
use crate::errors::{Code, Problem};
use crate::labels::Asked;
use crate::routes::App;

/// A request that was handed in. Dropping it cancels the request everywhere.
pub(crate) struct Serving {
    /// Its id.
    pub(crate) request: RequestId,
    /// The digest of the model.
    pub(crate) model: Digest,
    /// Who serves it, once a place does.
    pub(crate) route: Option<Route>,
    answers: mpsc::Receiver<Answer>,
}

/// What comes next.
pub(crate) enum Next {
    /// A part of the answer.
    Piece(Piece),
    /// The end.
    Done(Summary),
}

/// The entry of a model in the catalog.
pub(crate) fn manifest(app: &App, name: &str) -> Result<Manifest, Problem> {
    let unknown = |name: ModelName| Problem::from(&Refusal::UnknownModel(name));
    let parsed = ModelName::parse(name).map_err(|error| {
        Problem::new(Code::UnknownModel, format!("no model can have this name: {error}"))
            .help("hither models ls")
            .param("model")
    })?;
    let view = app.door.view();
    let found = view.borrow().models.iter().find(|manifest| manifest.name == parsed).cloned();
    found.ok_or_else(|| unknown(parsed))
}

impl Serving {
    /// Hands the work in.
    pub(crate) fn begin(app: &App, model: &Manifest, asked: Asked, work: &Work) -> Result<Self, Problem> {
        let payload = Bytes::from(work.encode());
        let envelope = Envelope {
            app: AppName::parse("anonymous").expect("it is a name"),
            model: model.name.clone(),
            label: asked.label,
            kind: match work {
                Work::Infer(_) => RequestKind::Infer,
                Work::Generate(_) => RequestKind::Generate,
            },
            size: ByteCount(payload.len() as u64),
            priority: asked.priority,
            prefer: asked.prefer,
            quality: Quality::Exact,
        };
        let submission = Submission { envelope, patience: asked.patience, payload };
        let reception = app.door.submit(submission).map_err(|refusal| Problem::from(&refusal))?;
        Ok(Self { request: reception.request, model: model.digest, route: None, answers: reception.answers })
    }

    /// Waits for the next part of the answer.
    pub(crate) async fn next(&mut self) -> Result<Next, Problem> {
        loop {
            match self.answers.recv().await {
                Some(Answer::Routed(route)) => self.route = Some(route),
                Some(Answer::Piece(piece)) => return Ok(Next::Piece(piece)),
                Some(Answer::Done(summary)) => return Ok(Next::Done(summary)),
                Some(Answer::Refused(refusal)) => return Err(self.name(Problem::from(&refusal))),
                Some(Answer::Failed(failure)) => return Err(self.fail(&failure)),
                None => {
                    let lost =
                        Problem::new(Code::EngineFailed, "the node stopped working on the request without a word");
                    return Err(self.name(lost));
                }
            }
        }
    }

    /// A fault of this request, with its id and how to ask about it.
    pub(crate) fn name(&self, mut problem: Problem) -> Problem {
        problem.request = Some(self.request.to_string());
        problem.help(format!("hither explain {}", self.request))
    }

    fn fail(&self, failure: &Failure) -> Problem {
        self.name(Problem::from(failure))
    }
}
