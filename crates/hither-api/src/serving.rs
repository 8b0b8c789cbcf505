//! A request between the protocols and the door: handed in once, then followed to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hither_engine::work::{CacheScope, GenerateWork, Piece, Prompt, Work};
use hither_types::id::{AppName, Digest, ModelName, RequestId};
use hither_types::label::DataClass;
use hither_types::model::{Device, Manifest};
use hither_types::refusal::Refusal;
use hither_types::request::{Envelope, Quality, RequestKind};
use hither_types::unit::ByteCount;
use hither_types::view::View;
use tokio::sync::{mpsc, watch};

use crate::callers::ANONYMOUS;
use crate::door::{Answer, Route, Submission, Summary};
use crate::errors::{Code, Problem};
use crate::labels::Asked;
use crate::metrics::Course;
use crate::routes::App;

mod tally;

use tally::Tally;

/// A request that was handed in. Dropping it cancels the request everywhere.
pub(crate) struct Serving {
    /// Its id.
    pub(crate) request: RequestId,
    /// Who serves it, once a place does.
    pub(crate) route: Option<Route>,
    /// The model that was asked for.
    asked: Model,
    /// The smaller one of its family that answers instead, if one does.
    smaller: Option<Model>,
    /// The version that answers, if the name means one of another name for this request.
    version: Option<Model>,
    view: watch::Receiver<Arc<View>>,
    /// Of texts and vectors: tensors are counted with their rows, where those are known.
    course: Option<Course>,
    answers: mpsc::Receiver<Answer>,
    /// What came together and was not read yet.
    together: VecDeque<Answer>,
    tally: Tally,
    _leaving: Box<dyn Send + Sync>,
}

/// A model as an answer names it.
#[derive(Debug)]
pub(crate) struct Model {
    /// What people call it.
    pub(crate) name: ModelName,
    /// Its weights; unknown if the catalog lost it since.
    pub(crate) digest: Option<Digest>,
}

/// What comes next.
pub(crate) enum Next {
    /// A part of the answer.
    Piece(Piece),
    /// The end.
    Done(Summary),
}

/// Who may share what an engine has read: those of one app with data of one class and the same salts. The key is drawn once per program, so
/// that nobody elsewhere can name a scope of this node. Callers without a name cannot be told apart: they share only
/// if they bring a salt.
pub(crate) fn cache_scope(app: &AppName, class: DataClass, salts: Option<&[String; 2]>) -> Option<CacheScope> {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    if app.as_str() == ANONYMOUS && salts.is_none() {
        return None;
    }
    let mut scope = [0; 16];
    for (half, key) in scope.chunks_exact_mut(8).zip(&*KEYS) {
        half.copy_from_slice(&key.hash_one((app.as_str(), class, salts)).to_le_bytes());
    }
    Some(CacheScope(scope))
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
        let model = Model { name: model.name.clone(), digest: Some(model.digest) };
        Self::begin_as(app, model, asked, work)
    }

    /// Hands work in for a model that need not be in the catalog.
    pub(crate) fn begin_as(app: &App, model: Model, asked: Asked, work: &Work) -> Result<Self, Problem> {
        asked.admission.caller().may_use(&model.name)?;
        let payload = Bytes::from(work.encode());
        let envelope = Envelope {
            app: asked.app().clone(),
            model: model.name.clone(),
            label: asked.label,
            kind: match work {
                // A call with one answer and no stream to go on with, whatever the model.
                Work::Infer(_) | Work::Embed(_) => RequestKind::Infer,
                Work::Generate(_) => RequestKind::Generate,
                Work::Train(_) => RequestKind::Train,
            },
            size: ByteCount(payload.len() as u64),
            priority: asked.priority,
            prefer: asked.prefer,
            quality: asked.quality,
        };
        let operation = match work {
            Work::Infer(_) => "infer",
            Work::Embed(_) => "embeddings",
            Work::Generate(GenerateWork { prompt: Prompt::Chat(_), .. }) => "chat",
            Work::Generate(_) => "text_completion",
            Work::Train(_) => "fine_tuning",
        };
        let rows = match work {
            Work::Infer(_) | Work::Train(_) => None,
            Work::Embed(embed) => Some(embed.inputs.len() as u64),
            Work::Generate(_) => Some(1),
        };
        let mut course = rows.map(|rows| Course::begin(Arc::clone(&app.metrics), operation, rows));
        let tally = Tally::new(asked.admission, work, payload.len());
        let Asked { patience, trace, whole, referrer, .. } = asked;
        let submission = Submission { envelope, patience, payload, operation, trace, whole, referrer };
        let reception = app.door.submit(submission).map_err(|refusal| {
            let problem = Problem::from(&refusal);
            if let Some(course) = &mut course {
                course.failed(&model.name, &problem.code);
            }
            problem
        })?;
        Ok(Self {
            request: reception.request,
            route: None,
            asked: model,
            smaller: None,
            version: None,
            view: app.door.view(),
            course,
            answers: reception.answers,
            together: VecDeque::new(),
            tally,
            _leaving: reception.leaving,
        })
    }

    /// What the model runs on at the place that serves it, as that place said last.
    pub(crate) fn device(&self) -> Option<Device> {
        let (route, digest) = (self.route.as_ref()?, self.model().digest?);
        let view = self.view.borrow();
        let place = view.nodes.iter().find(|node| node.member.node == route.served_by.node)?;
        place.models.iter().find(|model| model.digest == digest)?.device
    }

    /// The model that was asked for.
    pub(crate) fn asked(&self) -> &Model {
        &self.asked
    }

    /// The model that answers.
    pub(crate) fn model(&self) -> &Model {
        self.smaller.as_ref().or(self.version.as_ref()).unwrap_or(&self.asked)
    }

    /// Whether the model that answers is the one that was asked for.
    pub(crate) fn quality(&self) -> Quality {
        if self.smaller.is_some() { Quality::Family } else { Quality::Exact }
    }

    fn routed(&mut self, mut route: Route) {
        let view = self.view.borrow();
        let named = |name: ModelName| {
            let digest = view.models.iter().find(|model| model.name == name).map(|model| model.digest);
            Model { name, digest }
        };
        (self.smaller, self.version) = (route.instead.take().map(named), route.version.take().map(named));
        drop(view);
        self.route = Some(route);
    }

    /// Waits for the next part of the answer.
    pub(crate) async fn next(&mut self) -> Result<Next, Problem> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next part of the answer, if it is there.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, Problem>> {
        loop {
            let answer = match self.together.pop_front() {
                Some(answer) => Some(answer),
                None => ready!(self.answers.poll_recv(context)),
            };
            return Poll::Ready(match answer {
                Some(Answer::Together(answers)) => {
                    self.together.extend(answers);
                    continue;
                }
                Some(Answer::Routed(route)) => {
                    self.routed(route);
                    continue;
                }
                Some(Answer::Piece(piece)) => {
                    let tokens = self.tally.piece(&piece);
                    if let Some(course) = &mut self.course {
                        course.tokens(tokens);
                    }
                    Ok(Next::Piece(piece))
                }
                Some(Answer::Done(summary)) => {
                    self.tally.done(&summary);
                    if let Some(course) = &mut self.course {
                        course.answered(&self.asked.name, &summary.cost);
                    }
                    Ok(Next::Done(summary))
                }
                Some(Answer::Refused(refusal)) => Err(self.fail(Problem::from(&refusal))),
                Some(Answer::Failed(failure)) => Err(self.fail(Problem::from(&failure))),
                None => {
                    let lost =
                        Problem::new(Code::EngineFailed, "the node stopped working on the request without a word");
                    Err(self.fail(lost))
                }
            });
        }
    }

    /// A fault of this request, with its id and how to ask about it.
    pub(crate) fn name(&self, mut problem: Problem) -> Problem {
        problem.request = Some(self.request.to_string());
        problem.help(format!("hither explain {}", self.request))
    }

    fn fail(&mut self, problem: Problem) -> Problem {
        if let Some(course) = &mut self.course {
            course.failed(&self.asked.name, &problem.code);
        }
        self.name(problem)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(course) = &mut self.course {
            course.left(&self.asked.name);
        }
    }
}
