//! Who belongs no more.

use std::time::{Duration, Instant};

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::node::{Node, PATIENCE, wait, watch};

/// How long a client listens to silence.
const SILENCE: Duration = Duration::from_secs(30);

/// By when every connected node has closed its connections.
const BOUND: Duration = Duration::from_secs(10);

/// Whether a node knows nothing of a site any more.
fn forgot(viewer: &Node, site: &str) -> bool {
    viewer.view().is_ok_and(|view| {
        view["nodes"].as_array().is_some_and(|all| all.iter().all(|node| node["member"]["site"] != site))
    })
}

pub(super) fn revoked(lab: &Lab) -> Result<String, String> {
    const WORDS: u32 = 200;
    let mut mesh = Mesh::of(lab, &["founder", "origin", "b", "c"])?;
    for holder in &mesh.nodes[2..] {
        holder.add_stub("talker", TALKER)?;
    }
    let reference = super::crash::said(&mesh, 2, "who belongs", WORDS)?;
    for holder in ["b", "c"] {
        wait("the origin knows the holders", PATIENCE, || super::crash::knows(&mesh, 1, holder))?;
    }
    let mut stream = mesh.nodes[1].stream("talker", "who belongs", WORDS)?;
    stream.until(10)?;
    let place = mesh.serving(1)?;
    let name = mesh.nodes[place].name.clone();
    if lab.broken {
        mesh.net.link(0).change_both(|shape| shape.cut = true);
    }
    mesh.nodes[0].run(&["member", "revoke", &name])?;
    let began = Instant::now();
    let when = {
        let others: Vec<&Node> = mesh.nodes.iter().filter(|node| node.name != name).collect();
        let [a, b, c] = &others[..] else { return Err("three nodes stay".to_owned()) };
        let look = |node: &Node| forgot(node, &name);
        watch(began, BOUND, &mut [&mut || look(a), &mut || look(b), &mut || look(c)])
    };
    let last = when.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let last = last.ok_or_else(|| format!("{name} is a member somewhere still, {} later", seconds(began.elapsed())))?;
    let heard = stream.rest(SILENCE)?;
    heard.is_whole(&reference)?;
    let (pause, _) = heard.pause();
    must(pause <= Duration::from_secs(1), || format!("a pause of {}", seconds(pause)))?;
    must(heard.number("migrations") == 1, || format!("told: {}", heard.told))?;
    // It comes back with the certificate that it had.
    mesh.nodes[place].kill();
    mesh.nodes[place].up()?;
    let told = |node: &Node| {
        let warnings = node.view().ok()?["warnings"].to_string();
        (warnings.contains("revoked") || warnings.contains("member")).then_some(())
    };
    wait("the revoked node is told", PATIENCE, || told(&mesh.nodes[place]))?;
    must(mesh.nodes.iter().filter(|node| node.name != name).all(|node| forgot(node, &name)), || {
        format!("{name} got back in")
    })?;
    Ok(format!(
        "whole, a pause of {}; forgotten everywhere {} after the command; refused after a restart",
        seconds(pause),
        seconds(last)
    ))
}
