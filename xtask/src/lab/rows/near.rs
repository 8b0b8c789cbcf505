//! A stolen key that is used from another continent.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::http::Answer;
use crate::lab::mesh::Mesh;
use crate::lab::net::Nat;
use crate::lab::node::{Node, PATIENCE, question, wait, watch};
use crate::lab::queue::Shape;

/// Special data go where it was measured that the machine is near, and nowhere else.
const POLICY: &str = r#"version = 1
[default]
unlabelled = "internal"
[[permit]]
id = "internal"
action = ["infer"]
class = ["internal"]
target = ["EEA"]
[[permit]]
id = "special-if-near"
action = ["infer"]
class = ["special"]
target = ["FR"]
assurance = 2
"#;

/// What the link of the thief adds one way: with the others' 5 ms its round trips are 130 ms, as over an ocean.
const OCEAN_MS: u64 = 60;

/// By when a member that was started is measured.
const MEASURED: Duration = Duration::from_secs(20);

/// By when everybody is told that a key is used elsewhere.
const TOLD: Duration = Duration::from_secs(60);

/// Asks for special data to be worked on.
fn special(node: &Node) -> Result<Answer, String> {
    node.api()?.ask("POST", "/v1/chat/completions", "x-hither-class: special\r\n", &question("talker", "near", 5))
}

/// A member as a node shows it.
fn shown(viewer: &Node, site: &str) -> Option<Value> {
    let view = viewer.view().ok()?;
    view["nodes"].as_array()?.iter().find(|node| node["member"]["site"] == site).cloned()
}

/// Whether a node holds a member for near.
fn is_near(viewer: &Node, site: &str) -> bool {
    shown(viewer, site).is_some_and(|node| node["member"]["assurance"] == "near")
}

/// The warning of a node about a site, if it has one.
fn alarm(viewer: &Node, site: &str) -> Option<String> {
    let view = viewer.view().ok()?;
    let mut texts = view["warnings"].as_array()?.iter().filter_map(Value::as_str);
    texts.find(|text| text.starts_with(&format!("member-moved: {site} "))).map(str::to_owned)
}

/// The round trips to a site, as those of its country measured them, in milliseconds.
fn round_trips(viewer: &Node, site: &str) -> String {
    let node = shown(viewer, site).unwrap_or_default();
    let samples = node["evidence"]["samples"].as_array().cloned().unwrap_or_default();
    let told = |sample: &Value| {
        let millis = sample["rtt_us"].as_f64().unwrap_or_default() / 1000.0;
        format!("{millis:.1} ms {}", sample["weight"].as_str().unwrap_or("?"))
    };
    samples.iter().map(told).collect::<Vec<_>>().join(", ")
}

pub(super) fn stolen(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::empty(lab)?;
    for name in ["founder", "b", "c", "d"] {
        mesh.site(lab, name, Shape::default(), Nat::Open)?;
    }
    for node in &mesh.nodes {
        let file = node.data.join("policy.toml");
        std::fs::write(&file, POLICY).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    mesh.begin()?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let served = |mesh: &Mesh| special(&mesh.nodes[0]).ok().filter(|answer| answer.status == 200);
    let (answer, first) = wait("special data are worked on by b, which is near", PATIENCE, || served(&mesh))?;
    must(answer.header("x-hither-served-by") == "b", || format!("by {}", answer.header("x-hither-served-by")))?;
    let before = round_trips(&mesh.nodes[0], "b");

    // The thief has what the disk of b had; b is stopped, so that nobody hears two.
    let (_, thief) = (mesh.nodes[1].stop()?, thief(lab, &mut mesh)?);
    mesh.nodes[1] = thief;
    mesh.nodes[1].up()?;
    let began = Instant::now();
    mesh.nodes[1].has("talker")?;
    wait("the founder shows the thief as there", MEASURED, || (mesh.nodes[0].sees("b") == Some(true)).then_some(()))?;
    // Other data go there: it is a member, and its key is the right one.
    wait("the thief answers as b", MEASURED, || {
        mesh.nodes[0].chat("talker", "near", 5).ok().filter(|answer| answer.status == 200)
    })?;
    let (mut asked, mut leaked) = (0, 0);
    let mut ask = || {
        if let Ok(answer) = special(&mesh.nodes[0]) {
            asked += 1;
            leaked += u32::from(answer.status == 200);
        }
        let founder = &mesh.nodes[0];
        alarm(founder, "b").is_some()
    };
    let others = [2, 3].map(|number| &mesh.nodes[number]);
    let told = watch(
        began,
        TOLD,
        &mut [&mut ask, &mut || alarm(others[0], "b").is_some(), &mut || alarm(others[1], "b").is_some()],
    );
    let after = round_trips(&mesh.nodes[0], "b");
    must(leaked == 0, || format!("{leaked} of {asked} requests with special data were answered there; {after}"))?;
    let told = told.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let told = told.ok_or_else(|| format!("not all are warned within {}; {after}", seconds(TOLD)))?;
    let text = alarm(&mesh.nodes[0], "b").unwrap_or_default();
    must(text.contains("hither member revoke"), || text.clone())?;
    must(!is_near(&mesh.nodes[0], "b"), || "b is near still".to_owned())?;
    let recorded =
        || mesh.nodes[0].ledger().ok().filter(|all| all.iter().any(|record| record["kind"] == "member.moved"));
    wait("it is on the record", MEASURED, recorded)?;
    Ok(format!(
        "near {} after the mesh was whole ({before}); the thief was asked for other data, and for special ones never: {asked} \
         refused; all warned {} after its start ({after})",
        seconds(first),
        seconds(told)
    ))
}

/// The directory of b on a machine far away, with no process yet.
fn thief(lab: &Lab, mesh: &mut Mesh) -> Result<Node, String> {
    let away = if lab.broken { Shape::default() } else { Shape::delay_ms(OCEAN_MS) };
    mesh.net.site("away", away, Nat::Open)?;
    let place = mesh.net.machine(mesh.net.sites.len() - 1, "thief")?;
    let mut thief = Node::new(&lab.hither, &lab.scratch, "thief", place)?;
    let copied = Command::new("cp").arg("-aT").arg(&mesh.nodes[1].data).arg(&thief.data).status();
    let copied = copied.map_err(|error| format!("cp: {error}"))?;
    must(copied.success(), || format!("cp: {copied}"))?;
    thief.name = "b".to_owned();
    Ok(thief)
}
