//! The paths of trainings: handed over, looked at, taken back. In OpenAI's form, so that its clients hand over what they have.
//!
//! What must stay true: the law, the filter, budgets and the ledger are those of any request that leaves; this hands in and
//! listens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_engine::work::{Piece, TrainWork, Work};
use hither_types::id::ModelName;
use hither_types::unit::Micros;
use serde_json::{Map, Value};

use super::{
    Begun, Left, NewTraining, Stage, Training, TrainingDto, TrainingError, TrainingId, TrainingStore, TrainingsDto,
    examples,
};
use crate::batches::{FileHead, Id, Page, answer, ask, caller, file_id, on_disk_thread, page};
use crate::body::check_depth;
use crate::callers::Caller;
use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, unsupported, wrong};
use crate::labels::{self, Asked};
use crate::limits::{PATIENCE_MAX_MS, TRAINING_OPTIONS_BYTES, TRAINING_SUFFIX_BYTES};
use crate::respond::{self, json};
use crate::routes::{App, Routes};
use crate::serving::{Model, Next, Serving};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/fine_tuning/jobs", get(list).post(create))
        .route("/v1/fine_tuning/jobs/{id}", get(show))
        .route("/v1/fine_tuning/jobs/{id}/cancel", post(cancel))
}

fn parse(id: &str) -> Result<TrainingId, Problem> {
    TrainingId::parse(id).ok_or_else(|| {
        let text = "there is no training of this id: ids are ftjob- and 32 hexadecimal digits";
        Problem::new(Code::UnknownTraining, text).help("GET /v1/fine_tuning/jobs")
    })
}

fn id_of(id: Id) -> Result<TrainingId, Problem> {
    parse(&id.map(|axum::extract::Path(id)| id).unwrap_or_default())
}

/// The record, and which training of it is meant.
fn wanted(app: &App, id: Id) -> Result<(Arc<dyn TrainingStore>, TrainingId), Problem> {
    Ok((app.door.trainings()?, id_of(id)?))
}

async fn list(State(app): State<App>, query: Page, request: Request) -> Response {
    let name = caller(&request);
    let listed = page(query).and_then(|page| {
        let unknown =
            |param: &str| Err(Problem::new(Code::OutOfRange, format!("the query has no {param}")).param(param));
        if page.is_ascending {
            return unknown("order");
        }
        if page.purpose.is_some() {
            return unknown("purpose");
        }
        let after = page.after.as_deref().map(parse).transpose()?;
        Ok((app.door.trainings()?.list(&name, after, page.limit + 1), page.limit))
    });
    answer(listed, |(all, limit)| {
        let data = all.iter().take(limit).map(TrainingDto::from).collect();
        json(&TrainingsDto { object: "list", data, has_more: all.len() > limit })
    })
}

async fn show(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let shown = match wanted(&app, id) {
        Ok((store, id)) => store.ask(name, id).await.map_err(|error| Problem::from(&error)),
        Err(problem) => Err(problem),
    };
    answer(shown, |training| json(&TrainingDto::from(&training)))
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let ended = match wanted(&app, id) {
        Ok((store, id)) => store.cancel(name, id).await.map_err(|error| Problem::from(&error)),
        Err(problem) => Err(problem),
    };
    answer(ended, |training| json(&TrainingDto::from(&training)))
}

async fn create(State(app): State<App>, request: Request) -> Response {
    answer(take(&app, request).await, |response| response)
}

/// What is asked of a training.
struct Wish {
    model: ModelName,
    file: String,
    suffix: Option<String>,
    /// What the server is told of it, an object of JSON.
    options: String,
}

/// What a client may say of a training and the server decides on.
const OPTIONS: [&str; 5] = ["hyperparameters", "metadata", "method", "seed", "suffix"];
const OTHERS: [&str; 4] = ["integrations", "model", "training_file", "validation_file"];

fn wish(body: &[u8]) -> Result<Wish, Problem> {
    check_depth(body)?;
    let fields = Fields::parse(body)?;
    fields.refuse_unknown(&[&OPTIONS, &OTHERS])?;
    let model: String = fields.need("model")?;
    let model = ModelName::parse(&model).map_err(|error| {
        Problem::new(Code::UnknownModel, format!("no model can have this name: {error}")).param("model")
    })?;
    for name in ["integrations", "validation_file"] {
        if fields.raw(name).is_some_and(|raw| raw.get() != "[]") {
            return Err(unsupported(name, "one file of examples is handed over, and nothing beside it"));
        }
    }
    let suffix: Option<String> = fields.get("suffix")?;
    if suffix.as_ref().is_some_and(|suffix| suffix.is_empty() || suffix.len() > TRAINING_SUFFIX_BYTES) {
        return Err(wrong("suffix", format!("it takes 1 to {TRAINING_SUFFIX_BYTES} bytes")));
    }
    for name in ["hyperparameters", "metadata"] {
        let _: Option<Map<String, Value>> = fields.get(name)?;
    }
    let _: Option<u32> = fields.get("seed")?;
    let method: Option<Map<String, Value>> = fields.get("method")?;
    if method.is_some_and(|method| method.get("type").and_then(Value::as_str) != Some("supervised")) {
        return Err(unsupported("method", "the examples are chats, and the method for them is supervised"));
    }
    let mut options = Map::new();
    for name in OPTIONS {
        if let Some(value) = fields.get::<Value>(name)? {
            options.insert(name.to_owned(), value);
        }
    }
    let options = Value::Object(options).to_string();
    if options.len() > TRAINING_OPTIONS_BYTES {
        let text = format!("what is said of the training has more than {TRAINING_OPTIONS_BYTES} bytes");
        return Err(Problem::new(Code::TooLarge, text));
    }
    Ok(Wish { model, file: fields.need("training_file")?, suffix, options })
}

async fn take(app: &App, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let store = app.door.trainings()?;
    let mut asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    if !parts.headers.contains_key("x-hither-timeout-ms") {
        // Who hands over a long file waits for it.
        asked.patience = Micros::from_millis(PATIENCE_MAX_MS);
    }
    asked.whole = true;
    let body = app.bodies.read(&parts.headers, body).await?;
    let wish = wish(&body.bytes)?;
    drop(body);
    asked.admission.caller().may_use(&wish.model)?;
    let (head, examples) = read_file(app, &asked, &wish).await?;
    let new = NewTraining {
        app: asked.app().clone(),
        class: asked.label.class,
        model: wish.model.clone(),
        file: head.id,
        examples: u32::try_from(examples.len()).unwrap_or(u32::MAX),
        suffix: wish.suffix.clone(),
        fingerprint: fingerprint(&wish, &asked, &examples),
    };
    let id = match begin(&store, new).await? {
        Begun::New(id) => id,
        Begun::Known(training) => return Ok(json(&TrainingDto::met(&training))),
    };
    let mut open = Open { store: &store, id, trouble: "the client left before it was handed over" };
    let work = Work::Train(TrainWork { training: id.0, examples, options: wish.options });
    let model = Model { name: wish.model, digest: None };
    let app_name = asked.app().clone();
    let handed = hand_over(app, model, asked, work).await;
    let (serving, summary) = match handed {
        Ok(handed) => handed,
        Err(problem) => {
            let known = store.show(&app_name, id);
            open.trouble = "it was not handed over";
            return Err(with_whereabouts(problem, known.ok()));
        }
    };
    if let Some(route) = &serving.route {
        let (store, left) = (Arc::clone(&store), Left { rule: route.rule.clone(), bytes: summary.egress });
        on_disk(move || store.answered(id, left)).await?;
    }
    let training = store.show(&app_name, id).map_err(|error| Problem::from(&error))?;
    let mut response = json(&TrainingDto::from(&Training { is_open: false, ..training }));
    respond::set_route(response.headers_mut(), &serving);
    respond::set_summary(response.headers_mut(), &summary);
    Ok(response)
}

/// The examples of a file. Its class holds for the training, too: a label can only be tightened.
async fn read_file(app: &App, asked: &Asked, wish: &Wish) -> Result<(FileHead, Vec<String>), Problem> {
    let id = file_id(&wish.file).map_err(|problem| problem.param("training_file"))?;
    let (name, class) = (asked.app().clone(), asked.label.class);
    let (head, read) = ask(app, move |store| {
        let head = store.file(&name, id)?;
        if class < head.class {
            let text = format!(
                "a label can only be tightened: the file was sent as {}, and the training is {class}",
                head.class
            );
            let loosened = Problem::new(Code::LabelLoosened, text)
                .help(format!("send x-hither-class: {} or a higher class", head.class))
                .param("x-hither-class");
            return Ok((head, Err(loosened)));
        }
        let read = examples::read(store, head.clone())?;
        Ok((head, read))
    })
    .await?;
    Ok((head, read?))
}

/// Of what is handed over, and where to.
fn fingerprint(wish: &Wish, asked: &Asked, examples: &[String]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let site = asked.prefer.as_ref().map_or("", |site| site.as_str());
    let said = [wish.model.as_str(), site, &wish.options];
    for text in said.into_iter().chain(examples.iter().map(String::as_str)) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().into()
}

/// Takes it in. Of the same that was handed over before the server is asked first: it may have ended since.
async fn begin(store: &Arc<dyn TrainingStore>, new: NewTraining) -> Result<Begun, Problem> {
    let (kept, again) = (Arc::clone(store), new.clone());
    let known = match on_disk(move || kept.begin(again)).await? {
        Begun::New(id) => return Ok(Begun::New(id)),
        Begun::Known(training) => training,
    };
    match Arc::clone(store).ask(new.app.clone(), known.id).await {
        Ok(training) if !training.is_there() => {
            let kept = Arc::clone(store);
            on_disk(move || kept.begin(new)).await
        }
        Ok(training) => Ok(Begun::Known(Box::new(training))),
        // What was known of it last is as true as anything.
        Err(_) => Ok(Begun::Known(known)),
    }
}

/// On a thread that may wait for a disk.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrainingError> + Send + 'static,
) -> Result<T, Problem> {
    on_disk_thread(move || Ok(work())).await?.map_err(|error| Problem::from(&error))
}

/// Somebody is at a hand-over as long as this is there.
struct Open<'a> {
    store: &'a Arc<dyn TrainingStore>,
    id: TrainingId,
    trouble: &'static str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.store.let_go(self.id, self.trouble);
    }
}

async fn hand_over(app: &App, model: Model, asked: Asked, work: Work) -> Result<(Serving, Summary), Problem> {
    let mut serving = Serving::begin_as(app, model, asked, &work)?;
    drop(work);
    loop {
        match serving.next().await? {
            Next::Piece(Piece::Outputs(_) | Piece::Tokens { .. } | Piece::End { .. }) => {}
            Next::Done(summary) => return Ok((serving, summary)),
        }
    }
}

/// What went wrong, and what lies where because of that.
fn with_whereabouts(mut problem: Problem, training: Option<Training>) -> Problem {
    if problem.code == Code::Unlawful.as_str() {
        // To bring the model here trains nothing.
        problem.help = vec![
            "permit both at the place of the endpoint: action = [\"infer\", \"enqueue\"], for data to train with are worked \
             on there and rest there"
                .to_owned(),
        ];
        let explain = problem.request.as_ref().map(|request| format!("hither explain {request}"));
        problem.help.extend(explain);
    }
    if problem.code == Code::NoCapacity.as_str() {
        "the server that trains it may be asked, and cannot be now: it is busy, or was not heard lately"
            .clone_into(&mut problem.message);
    }
    let Some(training) = training.filter(|training| training.stage != Stage::New) else { return problem };
    let Some(whereabouts) = training.whereabouts() else { return problem };
    let because = training.trouble.as_deref().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    problem.message = format!("{}; {whereabouts}{because}", problem.message);
    match &training.stage {
        Stage::Withdrawn { .. } => problem,
        Stage::New | Stage::Leaving { .. } | Stage::Lying { .. } | Stage::Handed { .. } => problem
            .help(format!("hither jobs show {}", training.id))
            .help(format!("hither jobs cancel {}  (gives it up; then the same can be handed over again)", training.id)),
    }
}
