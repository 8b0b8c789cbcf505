//! Step 5: a site's power is cut while it serves; work goes to a lawful peer until the power is back.

use std::time::{Duration, Instant};

use hither_api::admin::{DoneDto, PowerDto};
use serde_json::json;

use super::show::Show;
use super::site::Site;
use super::talk::{Question, Talk};
use super::world::{CAP_W, IDLE_W, LANGUAGE_SLOT_W, World};
use super::{Figures, ensure, failed, figures};
use crate::output::Trouble;

/// Half a slot above idle: no stream fits.
const CUT_W: u32 = IDLE_W + LANGUAGE_SLOT_W / 2;

/// How long a sample of the view is good for.
const SAMPLE_EVERY: Duration = Duration::from_millis(25);

/// How long a site may take to show that it has slots again.
const RESTORE_MAX: Duration = Duration::from_secs(30);

/// Plays it.
pub(super) async fn play(world: &mut World, show: &Show) -> Result<Figures, Trouble> {
    show.step(5, &format!("paris' power is cut from {CAP_W} W to {CUT_W} W while it serves"));
    show.note(&format!(
        "The watts are those of a stated model, {IDLE_W} W idle + {LANGUAGE_SLOT_W} W per stream: no RAPL or NVML meter here."
    ));
    let question =
        Question { prompt: "List the steps to restart a pump after a power failure.", tokens: 100, prefer: None };
    let mut running = Talk::begin(&world.paris, &question).await?;
    let home = running.header("x-hither-served-by");
    ensure(home == "paris", || format!("before the cut, {home} answered and not paris"))?;
    running.until(20).await?;
    let before_w = watts(&world.paris).await?.0;
    set_cap(&world.paris, CUT_W).await?;
    let mut samples = Samples::default();
    // The running stream and a new one, with the watts sampled all the while.
    let (ran, new) = {
        let streams = async {
            let mut new = Talk::begin(&world.paris, &question).await?;
            let (a, b) = tokio::join!(running.read_out(), new.read_out());
            a?;
            b?;
            Ok::<_, Trouble>((running, new))
        };
        tokio::select! {
            done = streams => done?,
            stopped = samples.take(&world.paris) => return Err(stopped),
        }
    };
    ran.hold_complete(question.tokens)?;
    new.hold_complete(question.tokens)?;
    let moved = ran.end["migrations"].as_u64().unwrap_or(0);
    let elsewhere = new.header("x-hither-served-by");
    ensure(moved == 1, || format!("the running stream moved {moved} times, not once"))?;
    ensure(elsewhere == "munich", || format!("with paris cut, {elsewhere} answered and not munich"))?;
    ensure(samples.count > 0, || "no sample of the watts was taken".to_owned())?;
    ensure(samples.highest_w <= f64::from(CUT_W), || {
        format!("paris drew {:.1} W with a cap of {CUT_W} W", samples.highest_w)
    })?;
    show.good(&format!("{before_w:.0} W before; the running stream moved to munich, {} tokens, 0 lost", ran.ids.len()));
    show.good(&format!("a new stream is answered at {elsewhere}, rule {}", new.header("x-hither-rule")));
    show.good(&format!("{} samples after the cut: at most {:.1} W, cap {CUT_W} W", samples.count, samples.highest_w));
    let restored = Instant::now();
    set_cap(&world.paris, CAP_W).await?;
    let home_again = served_at_home(world, &question, restored).await?;
    show.good(&format!("restored to {CAP_W} W: answered at paris again after {home_again:.2} s"));
    Ok(figures(json!({
        "cap_w": CAP_W, "cut_w": CUT_W, "before_w": before_w, "highest_w_after_cut": samples.highest_w,
        "samples": samples.count, "meter": "stated model", "running_stream_moved": moved == 1,
        "new_served_by": elsewhere, "home_again_seconds": home_again,
    })))
}

async fn served_at_home(world: &World, question: &Question<'_>, since: Instant) -> Result<f64, Trouble> {
    let short = Question { tokens: 4, ..*question };
    let mut talk = Talk::begin(&world.paris, &short).await?;
    talk.read_out().await?;
    let home = talk.header("x-hither-served-by");
    ensure(home == "paris", || format!("with the power back, {home} answered and not paris"))?;
    ensure(since.elapsed() < RESTORE_MAX, || "the power was back, and paris took too long".to_owned())?;
    Ok(since.elapsed().as_secs_f64())
}

/// Sets a site's cap, and waits until it shows it.
pub(super) async fn set_cap(site: &Site, cap_w: u32) -> Result<(), Trouble> {
    let _done: DoneDto = site.operator().post("/hither/v1/power", &json!(PowerDto { cap_w: f64::from(cap_w) })).await?;
    site.wait_for("its new cap", RESTORE_MAX, |view| {
        view.nodes.first().is_some_and(|me| me.cap_mw == u64::from(cap_w) * 1000)
    })
    .await?;
    Ok(())
}

/// Power in use and cap, in watts.
async fn watts(site: &Site) -> Result<(f64, f64), Trouble> {
    let view = site.view().await?;
    let me = view.nodes.first().ok_or_else(|| failed("a view without its own node"))?;
    Ok((me.power_mw as f64 / 1000.0, me.cap_mw as f64 / 1000.0))
}

#[derive(Default)]
struct Samples {
    count: u32,
    highest_w: f64,
}

impl Samples {
    /// Samples until it is dropped; comes back only when the site cannot be asked.
    async fn take(&mut self, site: &Site) -> Trouble {
        let mut every = tokio::time::interval(SAMPLE_EVERY);
        loop {
            every.tick().await;
            match watts(site).await {
                Ok((watts, _)) => {
                    self.count += 1;
                    self.highest_w = self.highest_w.max(watts);
                }
                Err(trouble) => return trouble,
            }
        }
    }
}
