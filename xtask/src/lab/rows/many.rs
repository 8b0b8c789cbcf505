//! Many nodes at once, and one node twice.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::net::Nat;
use crate::lab::node::wait;
use crate::lab::queue::Shape;

/// Sites of the storm.
const SITES: usize = 4;

pub(super) fn storm(lab: &Lab) -> Result<String, String> {
    let (each, rounds) = if lab.quick || lab.broken { (2, 1) } else { (5, 5) };
    let mut mesh = Mesh::empty(lab)?;
    for site in 0..SITES {
        mesh.site(lab, &format!("s{site}"), Shape::default(), Nat::Open)?;
        for machine in 1..each {
            mesh.machine(lab, site, &format!("s{site}m{machine}"))?;
        }
    }
    mesh.begin()?;
    let bound = Duration::from_secs(15);
    let mut took = Vec::new();
    for round in 0..rounds {
        for node in &mut mesh.nodes {
            node.kill();
        }
        let began = Instant::now();
        let left = mesh.nodes.len() - usize::from(lab.broken);
        for node in &mut mesh.nodes[..left] {
            node.start()?;
        }
        for node in &mut mesh.nodes[..left] {
            node.ready()?;
        }
        // Looked for thrice as long, so that a miss says by how much.
        mesh.together(bound * 3).map_err(|error| format!("round {round}: {error}"))?;
        took.push(began.elapsed());
    }
    let all = took.iter().map(|took| seconds(*took)).collect::<Vec<_>>().join(", ");
    let told = format!("{} nodes: all saw all after {all}", mesh.nodes.len());
    must(took.iter().all(|took| *took <= bound), || told.clone())?;
    Ok(told)
}

pub(super) fn copied(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::of(lab, &["a", "b"])?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    mesh.site(lab, "copy", Shape::default(), Nat::Open)?;
    let (from, to) = (mesh.nodes[1].data.clone(), mesh.nodes[2].data.clone());
    let copy =
        Command::new("cp").arg("-r").arg(from.join(".")).arg(&to).status().map_err(|error| format!("cp: {error}"))?;
    must(copy.success(), || format!("cp: {copy}"))?;
    for name in ["log", "api.addr", "api.sock", "lock"] {
        let _ = std::fs::remove_file(to.join(name));
    }
    if !lab.broken {
        mesh.nodes[2].start()?;
    }
    let began = Instant::now();
    let mut flips = 0;
    let mut was = None;
    let noticed = wait("anybody notices", Duration::from_secs(20), || {
        let now = mesh.nodes[0].sees("b");
        flips += u32::from(now != was);
        was = now;
        let said = |node: &crate::lab::node::Node| {
            let text = node.view().map(|view| view["warnings"].to_string()).unwrap_or_default() + &node.log();
            let text = text.to_lowercase();
            ["identity", "same key", "twice", "clone", "copied", "another machine"]
                .iter()
                .any(|word| text.contains(word))
        };
        (said(&mesh.nodes[1]) && said(&mesh.nodes[2])).then_some(())
    });
    let ended = mesh.nodes[2].ended().map_or("runs".to_owned(), |status| format!("ended, {status}"));
    let answer = |node: usize| {
        mesh.nodes[node].chat("talker", "who are you", 5).map_or_else(|error| error, |answer| answer.status.to_string())
    };
    let told = format!(
        "after {} the copy {ended} and answers {}, the first answers {}, and a member that asks b is answered {}; its view of \
         b changed {flips} times",
        seconds(began.elapsed()),
        answer(2),
        answer(1),
        answer(0)
    );
    let ((), took) = noticed.map_err(|_| format!("nobody noticed; {told}"))?;
    must(took <= Duration::from_secs(10), || told.clone())?;
    must(answer(2) == "503" && answer(1) == "200", || told.clone())?;
    let served = || (answer(0) == "200").then_some(());
    let ((), back) = wait("a member is served by the first", Duration::from_secs(10), served)
        .map_err(|error| format!("{told}; {error}"))?;
    Ok(format!("both noticed after {}; {told}; a member is served by the first {} later", seconds(took), seconds(back)))
}

pub(super) fn started_again(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::empty(lab)?;
    for name in ["a", "b"] {
        mesh.site(lab, name, Shape::default(), Nat::Open)?;
    }
    mesh.nodes[0].found()?;
    for node in &mut mesh.nodes {
        node.up()?;
    }
    mesh.nodes[1].join(&mesh.nodes[0])?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let served = |mesh: &Mesh| {
        let mut last = String::new();
        wait("a is served by b", Duration::from_secs(10), || {
            let answer = mesh.nodes[0].chat("talker", "again", 5).ok()?;
            last = format!("{} {}", answer.status, answer.body["error"]["message"]);
            (answer.status == 200).then_some(())
        })
        .map_err(|error| format!("{error}; the last answer: {last}"))
    };
    served(&mesh).map_err(|error| format!("before the restart: {error}"))?;
    mesh.nodes[1].stop()?;
    if !lab.broken {
        mesh.nodes[1].up()?;
        mesh.nodes[1].has("talker")?;
    }
    let audit =
        |mesh: &Mesh| mesh.nodes[1].log().lines().rfind(|line| line.contains("audit-damaged")).map(str::to_owned);
    let ((), took) = served(&mesh).map_err(|error| format!("{error}; b says: {}", audit(&mesh).unwrap_or_default()))?;
    Ok(format!("served again {} after it was ready", seconds(took)))
}

pub(super) fn back_at_once(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::of(lab, &["a", "b"])?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    wait("a is served by b", Duration::from_secs(10), || {
        mesh.nodes[0].chat("talker", "calm", 5).ok().filter(|answer| answer.status == 200)
    })?;
    let (mut told, mut wrong) = (Vec::new(), 0);
    for _ in 0..if lab.quick || lab.broken { 1 } else { 5 } {
        mesh.nodes[1].kill();
        if !lab.broken {
            mesh.nodes[1].up()?;
            mesh.nodes[1].has("talker")?;
        }
        wait("a shows b as there", Duration::from_secs(10), || (mesh.nodes[0].sees("b") == Some(true)).then_some(()))?;
        let ready = Instant::now();
        let mut answers: Vec<(u16, String, Duration)> = Vec::new();
        let (_, took) = wait("b serves a", Duration::from_secs(30), || {
            let answer = mesh.nodes[0].chat("talker", "at once", 5).ok()?;
            let code = answer.header("x-hither-code").to_owned();
            if answers.last().is_none_or(|(_, last, _)| *last != code) {
                answers.push((answer.status, code, ready.elapsed()));
            }
            (answer.status == 200).then_some(())
        })?;
        wrong += u32::from(answers.len() > 1 || took > Duration::from_secs(1));
        let said = answers.iter().map(|(status, code, at)| format!("{status} {code} after {}", seconds(*at)));
        told.push(said.collect::<Vec<_>>().join(", then "));
    }
    must(wrong == 0, || told.join("; "))?;
    Ok(told.join("; "))
}
