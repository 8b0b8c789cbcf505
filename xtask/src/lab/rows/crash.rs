//! Processes that end at once: of the serving peer and of the origin.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::node::{Node, PATIENCE, question, wait};

/// How long a client listens to silence.
const SILENCE: Duration = Duration::from_secs(30);

/// Words of a long answer.
const WORDS: u32 = 80;

/// Three sites, of which the second and third hold a model; and what it says to a prompt.
pub(super) fn with_two_holders(lab: &Lab, values: &str, prompt: &str, words: u32) -> Result<(Mesh, String), String> {
    let mesh = Mesh::of(lab, &["a", "b", "c"])?;
    for node in &mesh.nodes[1..] {
        node.add_stub("talker", values)?;
    }
    let reference = said(&mesh, 1, prompt, words)?;
    // The origin knows of both.
    for name in ["b", "c"] {
        wait("the origin knows who holds the model", PATIENCE, || knows(&mesh, 0, name))?;
    }
    Ok((mesh, reference))
}

/// Whether a node sees the model open at a site.
pub(super) fn knows(mesh: &Mesh, viewer: usize, site: &str) -> Option<()> {
    let view = mesh.nodes[viewer].view().ok()?;
    let node = view["nodes"].as_array()?.iter().find(|node| node["member"]["site"] == site)?.clone();
    node["models"].as_array()?.iter().any(|model| model["name"] == "talker" && model["stage"] == "ready").then_some(())
}

/// What a node itself answers: every holder of the model says the same.
pub(super) fn said(mesh: &Mesh, node: usize, prompt: &str, words: u32) -> Result<String, String> {
    let answer = mesh.nodes[node].chat("talker", prompt, words)?;
    let text = answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    must(answer.status == 200 && text.split_whitespace().count() == words as usize, || {
        format!("the calm answer: {} {}", answer.status, answer.body)
    })?;
    Ok(text)
}

pub(super) fn before_the_first_token(lab: &Lab) -> Result<String, String> {
    const READS: Duration = Duration::from_millis(1500);
    let values = format!("{TALKER} prefill_us={}", READS.as_micros());
    let (mut mesh, reference) = with_two_holders(lab, &values, "before the first", 20)?;
    let stream = mesh.nodes[0].stream("talker", "before the first", 20)?;
    let place = mesh.serving(0)?;
    mesh.nodes[place].kill();
    if lab.broken {
        mesh.nodes[3 - place].kill();
    }
    let killed = stream.age();
    let heard = stream.rest(SILENCE)?;
    heard.is_whole(&reference)?;
    let lost = heard.words[0].0.saturating_sub(killed + READS);
    must(lost <= Duration::from_secs(1), || format!("elsewhere after {}", seconds(lost)))?;
    must(heard.number("attempts") == 2, || format!("told: {}", heard.told))?;
    let request = heard.told["request"].clone();
    let records = mesh.nodes[0].ledger()?;
    let intents = records.iter().filter(|record| record["kind"] == "egress.intent" && record["req"] == request).count();
    must(intents == 2, || format!("{intents} attempts in the ledger"))?;
    Ok(format!("whole; elsewhere {} after the kill; 2 attempts in the ledger", seconds(lost)))
}

pub(super) fn in_the_middle(lab: &Lab) -> Result<String, String> {
    let (mut mesh, reference) = with_two_holders(lab, TALKER, "in the middle", WORDS)?;
    let moments: &[usize] = if lab.quick || lab.broken { &[1, 40] } else { &[1, 2, 5, 10, 20, 40, 79] };
    let mut longest = Duration::ZERO;
    for words in moments {
        let mut stream = mesh.nodes[0].stream("talker", "in the middle", WORDS)?;
        stream.until(*words)?;
        let place = mesh.serving(0)?;
        mesh.nodes[place].kill();
        if lab.broken {
            mesh.nodes[3 - place].kill();
        }
        let heard = stream.rest(SILENCE)?;
        let at = |what: String| {
            let why = explained(&mesh.nodes[0], &heard.fault["request"]);
            format!("killed {} after {words} words: {what}{why}", mesh.nodes[place].name)
        };
        heard.is_whole(&reference).map_err(at)?;
        let (pause, before) = heard.pause();
        must(pause <= Duration::from_secs(1), || at(format!("a pause of {} before word {before}", seconds(pause))))?;
        // The last words may all have been on their way.
        let migrations = heard.number("migrations");
        must(migrations == 1 || *words == 79 && migrations == 0, || at(format!("told: {}", heard.told)))?;
        longest = longest.max(pause);
        mesh.nodes[place].up()?;
        mesh.nodes[place].has("talker")?;
        let name = mesh.nodes[place].name.clone();
        wait("the origin knows the restarted holder", PATIENCE, || {
            (mesh.nodes[0].sees(&name) == Some(true)).then(|| knows(&mesh, 0, &name)).flatten()
        })?;
    }
    Ok(format!("{} kills: all whole, 1 migration each, longest pause {}", moments.len(), seconds(longest)))
}

/// What became of the attempts at a request, in the words of `hither explain`.
pub(super) fn explained(node: &Node, request: &Value) -> String {
    let Some(request) = request.as_str() else { return String::new() };
    let shown = node.run(&["explain", request]).unwrap_or_default();
    let steps = shown["steps"].as_array().cloned().unwrap_or_default();
    let wanted =
        |step: &&Value| ["chosen", "started", "attempt_failed", "passed_over"].iter().any(|kind| step["kind"] == *kind);
    let told = |step: &Value| {
        format!("{} ms {}", step["after_us"].as_u64().unwrap_or(0) / 1000, step["text"].as_str().unwrap_or(""))
    };
    format!("; explained: {}", steps.iter().filter(wanted).map(told).collect::<Vec<_>>().join(", "))
}

pub(super) fn origin(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::of(lab, &["a", "b"])?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    wait("the origin knows who holds the model", PATIENCE, || knows(&mesh, 0, "b"))?;
    let mut slowest = Duration::ZERO;
    let times = if lab.quick || lab.broken { 1 } else { 5 };
    for time in 0..times {
        let api = mesh.nodes[0].api()?;
        let job = json!({
            "deadline_s": 600,
            "request": {"url": "/v1/chat/completions", "body": question("talker", &format!("job {time}"), 100)},
        });
        let accepted = api.ask("POST", "/v1/jobs", "", &job)?;
        must(accepted.status == 202, || format!("the job: {} {}", accepted.status, accepted.body))?;
        let id = accepted.body["id"].as_str().unwrap_or_default().to_owned();
        let mut stream = mesh.nodes[0].stream("talker", "of the origin", 1000)?;
        // Anywhere in the first second and a half.
        stream.until(1 + (lab.seed.wrapping_mul(31).wrapping_add(time * 17) % 60) as usize)?;
        let killed = Instant::now();
        if !lab.broken {
            mesh.nodes[0].kill();
        }
        let idle =
            wait("the peer has cancelled", Duration::from_secs(6), || (mesh.nodes[1].busy()? == 0).then_some(()));
        let cancelled = killed.elapsed();
        idle?;
        let heard = stream.rest(Duration::from_secs(5))?;
        must(heard.broke.is_some() && !heard.done, || "the client's connection lives".to_owned())?;
        slowest = slowest.max(cancelled);
        mesh.nodes[0].up()?;
        let done = || {
            let shown = mesh.nodes[0].api().ok()?.get(&format!("/v1/jobs/{id}")).ok()?;
            (shown.body["status"] != "queued" && shown.body["status"] != "running").then_some(shown.body)
        };
        let (job, _) = wait("the job ends after the restart", Duration::from_secs(60), done)?;
        must(job["status"] == "done", || format!("the job: {job}"))?;
        let ledger = mesh.nodes[0].data.join("ledger");
        mesh.nodes[0].run(&["ledger", "verify", &ledger.to_string_lossy()])?;
    }
    must(slowest <= Duration::from_secs(2), || {
        format!("the peer's engines were busy until {} after the kill; jobs and ledger were right", seconds(slowest))
    })?;
    Ok(format!("{times} kills: cancelled within {}; jobs done; ledgers verify", seconds(slowest)))
}
