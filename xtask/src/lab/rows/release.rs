//! One release after another, on nodes that serve meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{TALKER, must};
use crate::lab::Lab;
use crate::lab::http::{Answer, Api};
use crate::lab::mesh::Mesh;
use crate::lab::node::{Node, PATIENCE, question, wait};
use crate::lab::page::NOT_RUN;

/// Words of each answer: a third of a second.
const WORDS: u32 = 15;

/// A node that has nothing to do but to end such answers has ended by then; one that waits for more cuts it off after 10 s.
const ENDS: Duration = Duration::from_secs(5);

/// All see all again after a step.
const TOGETHER: Duration = Duration::from_secs(30);

/// A client whose node does not listen looks again so soon.
const AGAIN: Duration = Duration::from_millis(20);

/// Who holds the model.
const HOLDERS: [&str; 2] = ["b", "c"];

/// A client beside one node: it asks whenever that node listens.
struct Client {
    space: String,
    data: PathBuf,
    name: String,
}

/// What came of its requests.
#[derive(Default)]
struct Got {
    whole: u32,
    dropped: Vec<Dropped>,
}

/// A request that was not answered whole.
struct Dropped {
    at: Instant,
    said: String,
    /// Its id, if it has one.
    request: Value,
}

impl Got {
    fn drops(&mut self, said: String, request: Value) {
        self.dropped.push(Dropped { at: Instant::now(), said, request });
    }
}

impl Client {
    fn asks(&self, reference: &str, over: &AtomicBool) -> Got {
        let mut got = Got::default();
        while !over.load(Ordering::Relaxed) {
            let address = std::fs::read_to_string(self.data.join("api.addr")).unwrap_or_default();
            let api = Api { space: self.space.clone(), address: address.trim().to_owned() };
            match api.ask("POST", "/v1/chat/completions", "", &question("talker", "roll on", WORDS)) {
                Ok(answer) if answer.status == 200 && text(&answer) == reference => got.whole += 1,
                // Nobody listens: nothing was taken, and a client would ask another node.
                Err(error) if error.contains("refused") || address.is_empty() => std::thread::sleep(AGAIN),
                // It said itself that it is stopping. What it has begun by then it ends, or it would take longer to end.
                Ok(answer) if is_stopping(&answer) => std::thread::sleep(AGAIN),
                Ok(answer) => {
                    let said = format!("{}: {} {}", self.name, answer.status, answer.body);
                    got.drops(said, answer.body["error"]["request"].clone());
                }
                Err(error) => got.drops(format!("{}: {error}", self.name), Value::Null),
            }
        }
        got
    }
}

fn is_stopping(answer: &Answer) -> bool {
    answer.status == 503 && answer.body["error"]["code"] == "E0506"
}

fn text(answer: &Answer) -> &str {
    answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

pub(super) fn rolled(lab: &Lab) -> Result<String, String> {
    let Some(previous) = &lab.previous else {
        return Err(format!(
            "{NOT_RUN}no program of a previous release; cargo xtask previous makes one, --previous names it"
        ));
    };
    let mut mesh = Mesh::of(&Lab { hither: previous.clone(), ..lab.clone_of() }, &["a", "b", "c"])?;
    for holder in &mesh.nodes[1..] {
        holder.add_stub("talker", TALKER)?;
    }
    for holder in HOLDERS {
        wait("a knows the holders", PATIENCE, || super::crash::knows(&mesh, 0, holder))?;
    }
    let reference = super::crash::said(&mesh, 1, "roll on", WORDS)?;
    let mut clients = Vec::new();
    for node in &mesh.nodes {
        clients.push(Client { space: node.api()?.space, data: node.data.clone(), name: node.name.clone() });
    }
    let over = AtomicBool::new(false);
    let mut stops = Vec::new();
    let (steps, got) = std::thread::scope(|scope| {
        let threads: Vec<_> = clients.iter().map(|client| scope.spawn(|| client.asks(&reference, &over))).collect();
        let steps = steps(lab, &mut mesh, previous, &mut stops);
        over.store(true, Ordering::Relaxed);
        let got: Vec<Got> = threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect();
        (steps, got)
    });
    let seen = steps?;
    let whole: Vec<u32> = got.iter().map(|got| got.whole).collect();
    let dropped: Vec<String> = mesh.nodes.iter().zip(&got).flat_map(|(node, got)| told(node, got, &stops)).collect();
    must(dropped.is_empty(), || format!("{} dropped beside {whole:?} whole: {}", dropped.len(), kinds(&dropped)))?;
    must(whole.iter().all(|whole| *whole > 0), || format!("a client had no answer: {whole:?}"))?;
    Ok(format!("{} answers, all whole, {whole:?} by client; between them {seen}", whole.iter().sum::<u32>()))
}

/// What was dropped at a node and when, the first with what the node says of it still.
fn told(node: &Node, got: &Got, stops: &[(Instant, String)]) -> Vec<String> {
    let said = |(place, dropped): (usize, &Dropped)| {
        let why = if place == 0 { super::crash::explained(node, &dropped.request) } else { String::new() };
        format!("{}, {}{why}", dropped.said, after(dropped.at, stops))
    };
    got.dropped.iter().enumerate().map(said).collect()
}

/// Each kind once, as far as it is the same in its first words, with how often it came.
fn kinds(dropped: &[String]) -> String {
    let mut kinds: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for said in dropped {
        kinds.entry(said.chars().take(60).collect()).or_insert((0, said.as_str())).0 += 1;
    }
    kinds.values().map(|(count, said)| format!("{count} × {said}")).collect::<Vec<_>>().join("; ")
}

/// Which stop was the last one before a moment.
fn after(at: Instant, stops: &[(Instant, String)]) -> String {
    let last = stops.iter().rev().find(|(begun, _)| *begun <= at);
    last.map_or("before any stop".to_owned(), |(begun, what)| format!("{:.1?} into {what}", at - *begun))
}

/// Every node becomes the new program, one after another, and then the old one again. Says what one showed half-way.
fn steps(lab: &Lab, mesh: &mut Mesh, previous: &Path, stops: &mut Vec<(Instant, String)>) -> Result<String, String> {
    let mut seen = String::new();
    for (program, stopped) in [(lab.hither.as_path(), "the earlier program"), (previous, "the new program")] {
        for at in 0..mesh.nodes.len() {
            stops.push((Instant::now(), format!("the stop of {} with {stopped}", mesh.nodes[at].name)));
            if lab.broken && at == 1 {
                mesh.nodes[1].kill();
                mesh.nodes[2].kill();
                mesh.nodes[2].up()?;
            } else {
                let began = Instant::now();
                mesh.nodes[at].stop()?;
                let (took, name) = (began.elapsed(), &mesh.nodes[at].name);
                must(took < ENDS, || format!("{name} took {took:.1?} to end"))?;
            }
            mesh.nodes[at].becomes(program);
            mesh.nodes[at].up()?;
            mesh.together(TOGETHER)?;
            for holder in HOLDERS {
                wait("all know the holders", PATIENCE, || super::crash::knows(mesh, 0, holder))?;
            }
            if seen.is_empty() {
                let view = mesh.nodes[0].view()?;
                let nodes = view["nodes"].as_array().into_iter().flatten();
                seen = nodes
                    .map(|node| format!("{} {}", node["member"]["site"], node["program"]))
                    .collect::<Vec<_>>()
                    .join(", ");
            }
        }
    }
    Ok(seen)
}
