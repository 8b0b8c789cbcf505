//! Step 4: the place that speaks dies, or freezes, in mid-sentence; the sentence goes on.

use std::time::{Duration, Instant};

use hither_api::admin::ExplanationDto;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::show::Show;
use super::talk::{Question, Talk};
use super::world::{SETTLE_MAX, World};
use super::{Figures, ensure, failed, figures};
use crate::cli::explanation_text;
use crate::output::{Colour, Trouble};

/// What munich is asked by a client of paris.
const QUESTION: Question<'static> = Question {
    prompt: "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    tokens: 120,
    prefer: Some("munich"),
};

/// The token after which munich is lost.
const LOST_AFTER: usize = 30;

/// What the client may wait on top of the new place's reading of prompt and tokens.
const GAP_MS_MAX: f64 = 1000.0;

/// How often munich is asked whether it answers again.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(4, "a client of paris streams from munich, and munich is lost");
    let mut whole = Talk::begin(&world.paris, &QUESTION).await?;
    whole.read_out().await?;
    whole.hold_complete(QUESTION.tokens)?;
    is_of_munich(world, &whole).await?;
    show.note(&format!("uninterrupted, for comparison: {} tokens from munich", whole.ids.len()));

    let killed = lose(world, show, &whole, Loss::Killed).await?;
    let restarted = Instant::now();
    world.munich.start().await?;
    world.munich_is_back().await?;
    let back_s = restarted.elapsed().as_secs_f64();
    show.good(&format!("munich is back with its models {back_s:.1} s after its start"));
    answers_again(world).await?;

    let frozen = lose(world, show, &whole, Loss::Frozen).await?;
    let thawed = Instant::now();
    world.munich.signal(Signal::CONT)?;
    world.munich_is_back().await?;
    answers_again(world).await?;
    let thawed_s = thawed.elapsed().as_secs_f64();
    show.good(&format!("munich thaws; {thawed_s:.1} s later it answers clients of paris again"));
    Ok(figures(json!({
        "tokens": QUESTION.tokens, "killed": killed, "frozen": frozen, "back_seconds": back_s, "thawed_seconds": thawed_s,
    })))
}

/// An answer is munich's, as its client wished; if not, the node says why.
async fn is_of_munich(world: &World, talk: &Talk) -> Result<(), Trouble> {
    let served_by = talk.header("x-hither-served-by");
    if served_by == "munich" {
        return Ok(());
    }
    let path = format!("/hither/v1/requests/{}", talk.header("x-hither-request"));
    let explanation: ExplanationDto = world.paris.operator().get(&path).await?;
    let why = explanation_text(&explanation, Colour::Off);
    Err(failed(format!("with x-hither-prefer: munich, {served_by} answered\n{why}")))
}

/// Asks until munich answers a client of paris: a place that just failed is left alone for a moment.
async fn answers_again(world: &World) -> Result<(), Trouble> {
    let short = Question { tokens: 1, ..QUESTION };
    let asking = async {
        let mut every = tokio::time::interval(ASK_EVERY);
        loop {
            every.tick().await;
            let mut talk = Talk::begin(&world.paris, &short).await?;
            talk.read_out().await?;
            if talk.header("x-hither-served-by") == "munich" {
                return Ok(());
            }
        }
    };
    let late = || failed(format!("munich is back, and answers no client of paris within {} s", SETTLE_MAX.as_secs()));
    tokio::time::timeout(SETTLE_MAX, asking).await.map_err(|_| late())?
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Killed,
    Frozen,
}

async fn lose(world: &mut World, show: &Show, whole: &Talk, loss: Loss) -> Result<Value, Trouble> {
    let mut talk = Talk::begin(&world.paris, &QUESTION).await?;
    is_of_munich(world, &talk).await?;
    talk.until(LOST_AFTER).await?;
    let lost_at = Instant::now();
    match loss {
        Loss::Killed => world.munich.kill().await?,
        Loss::Frozen => world.munich.signal(Signal::STOP)?,
    }
    let before = talk.text.clone();
    let delivered = talk.ids.len();
    talk.read_out().await?;
    talk.hold_complete(QUESTION.tokens)?;
    let migrations = talk.end["migrations"].as_u64().unwrap_or(0);
    ensure(migrations == 1, || format!("the node counts {migrations} migrations, not 1: {}", talk.end))?;
    let gap_ms = talk.largest_pause_around(lost_at).as_secs_f64() * 1000.0;
    let prefill_ms = prefill_ms(&talk.end)?;
    let over_ms = gap_ms - prefill_ms;
    let same_text = talk.text == whole.text;
    let same_until = talk.ids.iter().zip(&whole.ids).take_while(|(a, b)| a == b).count();
    let (what, how) = match loss {
        Loss::Killed => ("killed", "kill -9"),
        Loss::Frozen => ("frozen", "kill -STOP"),
    };
    show.quote(&format!("{} ▌ {}", tail(&before), talk.text.get(before.len()..).unwrap_or_default()));
    show.good(&format!(
        "munich {what} ({how}) after token {delivered}: goes on at paris; {} tokens, 0 lost, 0 doubled",
        talk.ids.len()
    ));
    show.note(&format!(
        "the client waited {gap_ms:.0} ms, of which paris read prompt and tokens for {prefill_ms:.0} ms: {over_ms:.0} ms \
         to notice and move (at most {GAP_MS_MAX:.0})"
    ));
    show.note(&if same_text {
        "the text is the same, letter for letter, as without the loss".to_owned()
    } else {
        format!("the text is the same as without the loss for {same_until} tokens, then differs (not promised)")
    });
    ensure(over_ms <= GAP_MS_MAX, || {
        format!("{over_ms:.0} ms were needed to notice and move, more than {GAP_MS_MAX:.0}")
    })?;
    Ok(json!({
        "lost_after_token": delivered, "tokens": talk.ids.len(), "contiguous": true, "migrations": migrations,
        "gap_ms": gap_ms, "prefill_ms": prefill_ms, "gap_without_prefill_ms": over_ms, "same_text": same_text,
        "same_tokens_until": same_until,
    }))
}

/// What the last place took to read prompt and delivered tokens, as the node said at the end of the stream.
fn prefill_ms(end: &Value) -> Result<f64, Trouble> {
    end["prefill_us"]
        .as_f64()
        .map(|us| us / 1000.0)
        .ok_or_else(|| failed(format!("the end of the stream does not give the prefill: {end}")))
}

/// The last words before the loss.
fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(60)).collect()
}
