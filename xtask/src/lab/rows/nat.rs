//! Machines behind routers that hide them.

use std::time::{Duration, Instant};

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::net::Nat;
use crate::lab::queue::Shape;

/// Who holds the model of a name is the only one who does.
fn hold(mesh: &Mesh) -> Result<(), String> {
    let mut nodes = mesh.nodes.iter().zip(5000..);
    nodes.try_for_each(|(node, context)| {
        node.add_stub(&format!("of-{}", node.name), &format!("{TALKER} context={context}"))
    })
}

/// Starts all, and lets each join by an invite of the first; says who did not.
fn join(lab: &Lab, mesh: &mut Mesh) -> Result<Vec<String>, String> {
    mesh.nodes[0].found()?;
    for node in &mut mesh.nodes {
        node.up()?;
    }
    if lab.broken {
        mesh.net.link(0).change_both(|shape| shape.cut = true);
    }
    let mut outside = Vec::new();
    for node in &mesh.nodes[1..] {
        let began = Instant::now();
        if let Err(error) = node.join(&mesh.nodes[0]) {
            outside.push(format!("{} did not join ({} after {})", node.name, reason(&error), seconds(began.elapsed())));
        }
    }
    Ok(outside)
}

/// The words of the program alone.
fn reason(error: &str) -> String {
    let text = error.rsplit_once("\"message\":\"").map_or(error, |(_, rest)| rest.split('"').next().unwrap_or(rest));
    text.chars().take(220).collect()
}

/// Asks every node for the model of every other: who was served, and who was not.
fn pairs(mesh: &Mesh, wanted: impl Fn(usize, usize) -> bool) -> (Vec<String>, Vec<String>) {
    let (mut served, mut not) = (Vec::new(), Vec::new());
    for (from, node) in mesh.nodes.iter().enumerate() {
        for (to, other) in mesh.nodes.iter().enumerate().filter(|(to, _)| *to != from && wanted(from, *to)) {
            let model = format!("of-{}", other.name);
            // A member that just joined is known to the others a moment later.
            let began = Instant::now();
            let mut last = String::new();
            let is_served = loop {
                match node.chat(&model, "who is there", 5) {
                    Ok(answer) if answer.status == 200 && answer.header("x-hither-served-by") == other.name => {
                        break true;
                    }
                    Ok(answer) => last = format!("{} {}", answer.status, answer.header("x-hither-code")),
                    Err(error) => last = error,
                }
                if began.elapsed() > Duration::from_secs(8) {
                    break false;
                }
                std::thread::sleep(Duration::from_millis(250));
            };
            let pair = format!("{} by {}", node.name, mesh.nodes[to].name);
            if is_served { served.push(pair) } else { not.push(format!("{pair} ({last})")) }
        }
    }
    (served, not)
}

fn told(outside: &[String], (served, not): (Vec<String>, Vec<String>)) -> Result<String, String> {
    let list = |what: &str, pairs: &[String]| {
        if pairs.is_empty() { String::new() } else { format!("; {what}: {}", pairs.join(", ")) }
    };
    let text = format!("{} pairs served{}{}", served.len(), list("served", &served), list("not served", &not));
    let text = outside.iter().fold(text, |text, who| format!("{text}; {who}"));
    must(not.is_empty() && outside.is_empty(), || text.clone())?;
    Ok(text)
}

/// The founder and another behind one NAT, the third behind another.
fn behind_two(lab: &Lab) -> Result<Mesh, String> {
    let mut mesh = Mesh::empty(lab)?;
    mesh.site(lab, "munich", Shape::default(), Nat::Masquerade)?;
    mesh.machine(lab, 0, "vienna")?;
    mesh.site(lab, "paris", Shape::default(), Nat::Masquerade)?;
    Ok(mesh)
}

pub(super) fn two_nats(lab: &Lab) -> Result<String, String> {
    let mut mesh = behind_two(lab)?;
    let outside = join(lab, &mut mesh)?;
    hold(&mesh)?;
    told(&outside, pairs(&mesh, |_, _| true))
}

pub(super) fn forwarded(lab: &Lab) -> Result<String, String> {
    let mut mesh = behind_two(lab)?;
    let inside = mesh.nodes[0].mesh.replace(":7000", "");
    let outside = mesh.net.forward_port(0, 7000, &inside)?;
    mesh.nodes[0].advertise(&outside)?;
    let outside = join(lab, &mut mesh)?;
    hold(&mesh)?;
    told(&outside, pairs(&mesh, |_, _| true))
}

/// A founder whose address all know, and one machine behind each of two NATs.
fn public(lab: &Lab) -> Result<(Mesh, Vec<String>), String> {
    let mut mesh = Mesh::empty(lab)?;
    mesh.site(lab, "munich", Shape::default(), Nat::Open)?;
    mesh.site(lab, "vienna", Shape::default(), Nat::Masquerade)?;
    mesh.site(lab, "paris", Shape::default(), Nat::Masquerade)?;
    let outside = join(lab, &mut mesh)?;
    hold(&mesh)?;
    Ok((mesh, outside))
}

pub(super) fn public_founder(lab: &Lab) -> Result<String, String> {
    let (mesh, outside) = public(lab)?;
    told(&outside, pairs(&mesh, |_, _| true))
}

pub(super) fn pairs_with_the_founder(lab: &Lab) -> Result<String, String> {
    let (mesh, outside) = public(lab)?;
    let with_founder = |from: usize, to: usize| from == 0 || to == 0;
    let first = told(&outside, pairs(&mesh, with_founder))?;
    // Longer than Linux keeps the mapping of a UDP flow that was not answered (30 s).
    std::thread::sleep(Duration::from_secs(if lab.quick { 5 } else { 40 }));
    told(&outside, pairs(&mesh, with_founder)).map_err(|error| format!("after the silence: {error}"))?;
    Ok(format!("{first}; the same after the silence"))
}
