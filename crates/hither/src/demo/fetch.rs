//! Step 2: a model that is elsewhere answers from there, comes here meanwhile, and answers here next time.

use std::time::{Duration, Instant};

use hither_api::admin::{ExplanationDto, StageDto};
use hither_types::unit::ByteCount;
use serde_json::json;

use super::show::Show;
use super::talk::{Question, Talk};
use super::world::{World, held};
use super::{Figures, LANGUAGE_MODEL, ensure, failed, figures};
use crate::output::Trouble;

/// 98 MB over loopback, hashed on both sides and opened once, take seconds.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(2, "paris asks a language model that only munich has");
    let question = Question { prompt: "Why is the sky blue? Answer in one sentence.", tokens: 48, prefer: None };
    let began = Instant::now();
    let mut talk = Talk::begin(&world.paris, &question).await?;
    let (first, fetched) = tokio::join!(
        async {
            talk.read_out().await?;
            Ok::<_, Trouble>(talk)
        },
        watch(world, show, began)
    );
    let first = first?;
    let served_by = first.header("x-hither-served-by");
    let rule = first.header("x-hither-rule");
    ensure(served_by == "munich", || format!("the first answer came from {served_by}, not from munich"))?;
    first.hold_complete(question.tokens)?;
    show.quote(&first.text);
    show.good(&format!(
        "FR → DE-BY: served by {served_by}, rule {rule}; first token after {:.0} ms, {} tokens streamed",
        first.first_token_ms(),
        first.ids.len()
    ));
    let fetched = fetched?.since(fetch_began(world, &first, began).await?);
    show.good(&format!(
        "meanwhile paris fetched {LANGUAGE_MODEL} peer to peer: {} in {:.2} s, at least {:.0} MB/s; ready {:.2} s after the question",
        ByteCount(fetched.bytes),
        fetched.seconds,
        fetched.bytes as f64 / 1e6 / fetched.seconds,
        fetched.ready_seconds
    ));
    let mut talk = Talk::begin(&world.paris, &question).await?;
    talk.read_out().await?;
    let served_next = talk.header("x-hither-served-by");
    ensure(served_next == "paris", || format!("the next answer came from {served_next}, not from paris"))?;
    talk.hold_complete(question.tokens)?;
    let same = talk.ids == first.ids;
    show.good(&format!(
        "the next is answered at {served_next}; first token after {:.0} ms; the same words: {}",
        talk.first_token_ms(),
        if same { "yes" } else { "no" }
    ));
    Ok(figures(json!({
        "served_by": served_by, "rule": rule, "first_token_ms": first.first_token_ms(),
        "fetched_bytes": fetched.bytes, "fetch_seconds": fetched.seconds,
        "fetch_mb_per_s": fetched.bytes as f64 / 1e6 / fetched.seconds, "ready_seconds": fetched.ready_seconds,
        "next_served_by": served_next, "next_first_token_ms": talk.first_token_ms(), "same_tokens": same,
    })))
}

/// When paris began to fetch, by its own account of the request that made it.
async fn fetch_began(world: &World, talk: &Talk, asked: Instant) -> Result<Instant, Trouble> {
    let path = format!("/hither/v1/requests/{}", talk.header("x-hither-request"));
    let explanation: ExplanationDto = world.paris.operator().get(&path).await?;
    let step = explanation.steps.iter().find(|step| step.kind == "fetch_begun");
    let step = step.ok_or_else(|| failed("paris does not say that the first request made it fetch the model"))?;
    Ok(asked + Duration::from_micros(step.after_us))
}

/// When the model was seen whole, and when ready. A view is at most a tenth of a second old, and looked at every
/// twentieth: the time is too long by that, never too short.
struct Seen {
    bytes: u64,
    stored: Instant,
    ready_seconds: f64,
}

/// How the model came.
struct Fetched {
    bytes: u64,
    seconds: f64,
    ready_seconds: f64,
}

impl Seen {
    fn since(self, began: Instant) -> Fetched {
        let seconds = self.stored.duration_since(began).as_secs_f64();
        Fetched { bytes: self.bytes, seconds, ready_seconds: self.ready_seconds }
    }
}

async fn watch(world: &World, show: &Show, began: Instant) -> Result<Seen, Trouble> {
    let size = std::fs::metadata(&world.assets.language).map(|data| data.len()).unwrap_or_default();
    let bar = show.bar(size, "paris ← munich");
    let mut stored = None;
    world
        .paris
        .wait_for("the language model as ready at paris", FETCH_MAX, |view| {
            let Some(held) = held(view, "paris", LANGUAGE_MODEL) else { return false };
            if held.stage == StageDto::Fetching {
                bar.set_position(held.fetched);
                return false;
            }
            stored.get_or_insert_with(Instant::now);
            bar.set_position(size);
            held.stage == StageDto::Ready
        })
        .await?;
    bar.finish_and_clear();
    let stored = stored.unwrap_or_else(Instant::now);
    Ok(Seen { bytes: size, stored, ready_seconds: began.elapsed().as_secs_f64() })
}
