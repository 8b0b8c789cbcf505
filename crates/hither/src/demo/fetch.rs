//! Step 2: a model that is elsewhere answers from there, comes here meanwhile, and answers here next time.

use std::time::{Duration, Instant};

use hither_api::admin::StageDto;
use hither_types::unit::ByteCount;
use serde_json::json;

use super::show::Show;
use super::talk::{Question, Talk};
use super::world::{World, held};
use super::{Figures, LANGUAGE_MODEL, ensure, figures};
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
    let fetched = fetched?;
    show.good(&format!(
        "meanwhile paris fetched {LANGUAGE_MODEL} peer to peer: {} in {:.2} s, {:.0} MB/s; ready {:.2} s after the question",
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

/// How the model came.
struct Fetched {
    bytes: u64,
    seconds: f64,
    ready_seconds: f64,
}

async fn watch(world: &World, show: &Show, began: Instant) -> Result<Fetched, Trouble> {
    let size = std::fs::metadata(&world.assets.language).map(|data| data.len()).unwrap_or_default();
    let bar = show.bar(size, "paris ← munich");
    let mut first_seen = None;
    let mut stored = None;
    world
        .paris
        .wait_for("the language model as ready at paris", FETCH_MAX, |view| {
            let Some(held) = held(view, "paris", LANGUAGE_MODEL) else { return false };
            match held.stage {
                StageDto::Fetching => {
                    first_seen.get_or_insert_with(Instant::now);
                    bar.set_position(held.fetched);
                    false
                }
                StageDto::Stored => {
                    stored.get_or_insert_with(Instant::now);
                    bar.set_position(size);
                    false
                }
                StageDto::Ready => {
                    stored.get_or_insert_with(Instant::now);
                    true
                }
            }
        })
        .await?;
    bar.finish_and_clear();
    let end = stored.unwrap_or_else(Instant::now);
    // A fetch that is over before the first look is counted from the question: too slow rather than too fast.
    let start = first_seen.unwrap_or(began);
    Ok(Fetched {
        bytes: size,
        seconds: end.duration_since(start).as_secs_f64(),
        ready_seconds: began.elapsed().as_secs_f64(),
    })
}
