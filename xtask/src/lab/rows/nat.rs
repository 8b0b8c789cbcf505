//! Machines behind routers that hide them.

use std::time::{Duration, Instant};

use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::net::Nat;
use crate::lab::node::{Node, wait};
use crate::lab::queue::Shape;

/// The number of a relay, over TCP and UDP.
const RELAY: u16 = 7844;

/// How long a pair may take to find a path without the relay: the transport tries at once, and again every 5 s.
const DIRECT: Duration = Duration::from_secs(20);

/// Who holds the model of a name is the only one who does.
fn hold(nodes: &[Node]) -> Result<(), String> {
    let mut nodes = nodes.iter().zip(5000..);
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
    cut_if_broken(lab, mesh);
    Ok(join_founder(&mesh.nodes[0], &mesh.nodes[1..]))
}

fn cut_if_broken(lab: &Lab, mesh: &Mesh) {
    if lab.broken {
        mesh.net.link(0).change_both(|shape| shape.cut = true);
    }
}

/// Lets nodes that run join; says who did not.
fn join_founder(founder: &Node, nodes: &[Node]) -> Vec<String> {
    let mut outside = Vec::new();
    for node in nodes {
        let began = Instant::now();
        if let Err(error) = node.join(founder) {
            outside.push(format!("{} did not join ({} after {})", node.name, reason(&error), seconds(began.elapsed())));
        }
    }
    outside
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

/// Over which path one node reaches another: `direct` or `relayed`, and the middle of the round trips in words.
fn path(from: &Node, to: &str) -> Result<(String, String), String> {
    let pong = from.run(&["ping", to, "--count", "3"])?;
    let path = pong["path"].as_str().unwrap_or("none").to_owned();
    let millis = pong["p50_us"].as_u64().unwrap_or_default() as f64 / 1000.0;
    Ok((path, format!("{millis:.1} ms")))
}

/// Waits until pairs of hidden nodes speak without the relay, and says after how long.
fn go_direct(mesh: &Mesh, hidden: &[(usize, usize)]) -> Result<String, String> {
    let mut told = String::new();
    for (from, to) in hidden {
        let (from, to) = (&mesh.nodes[*from], &mesh.nodes[*to].name);
        let direct = || path(from, to).ok().filter(|(path, _)| path == "direct");
        let ((_, rtt), took) = wait(&format!("{} reaches {to} without a relay", from.name), DIRECT, direct)
            .map_err(|error| format!("{error}; it is {:?}", path(from, to)))?;
        told += &format!("; {} and {to} direct, {rtt}, {} later", from.name, seconds(took));
    }
    Ok(told)
}

pub(super) fn two_nats(lab: &Lab) -> Result<String, String> {
    let mut mesh = behind_two(lab)?;
    mesh.site(lab, "hub", Shape::default(), Nat::Open)?;
    let hub = mesh.nodes.len() - 1;
    let listen = mesh.nodes[hub].at(RELAY);
    mesh.nodes[hub].relay = Some(listen.clone());
    mesh.nodes[hub].up()?;
    let view = mesh.nodes[hub].view()?;
    let key = view["me"]["node"].as_str().ok_or("a node shows its key")?;
    mesh.nodes[0].configure(&format!("[mesh]\nrelays = [\"{key}@{listen}\"]\n"))?;
    mesh.nodes[0].found()?;
    mesh.nodes[0].up()?;
    cut_if_broken(lab, &mesh);
    // The relay is a member like any other, and the first: the others need it to join.
    let mut outside = Vec::new();
    let began = Instant::now();
    if let Err(error) = mesh.nodes[hub].join(&mesh.nodes[0]) {
        outside.push(format!("hub did not join ({} after {})", reason(&error), seconds(began.elapsed())));
    }
    for node in &mut mesh.nodes[1..hub] {
        node.up()?;
    }
    outside.extend(join_founder(&mesh.nodes[0], &mesh.nodes[1..hub]));
    let hidden = |node: usize| node != hub;
    hold(&mesh.nodes[..hub])?;
    let text = told(&outside, pairs(&mesh, |from, to| hidden(from) && hidden(to)))?;
    Ok(text + &go_direct(&mesh, &[(0, 2), (1, 2)])?)
}

pub(super) fn forwarded(lab: &Lab) -> Result<String, String> {
    let mut mesh = behind_two(lab)?;
    let inside = mesh.nodes[0].mesh.replace(":7000", "");
    let outside = mesh.net.forward_port(0, "udp", 7000, &inside)?;
    let relay = mesh.net.forward_port(0, "udp", RELAY, &inside)?;
    mesh.net.forward_port(0, "tcp", RELAY, &inside)?;
    mesh.nodes[0].configure(&format!(
        "[mesh]\nadvertise = [\"{outside}\"]\n[mesh.relay]\nlisten = \"{inside}:{RELAY}\"\nadvertise = [\"{relay}\"]\n"
    ))?;
    let outside = join(lab, &mut mesh)?;
    hold(&mesh.nodes)?;
    let text = told(&outside, pairs(&mesh, |_, _| true))?;
    let text = text + &go_direct(&mesh, &[(2, 0)])?;
    // The relay stands behind the same router as vienna and sees it from inside: nobody can say how its router shows it, so
    // nobody outside can send the packet that lets vienna's in.
    let (path, rtt) = path(&mesh.nodes[1], "paris")?;
    Ok(format!("{text}; vienna and paris {path}, {rtt}"))
}

/// Whether a founder has a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relay {
    Runs,
    Absent,
}

/// A founder whose address all know, and one machine behind each of two NATs.
fn public(lab: &Lab, nat: Nat, relay: Relay) -> Result<(Mesh, Vec<String>), String> {
    let mut mesh = Mesh::empty(lab)?;
    mesh.site(lab, "munich", Shape::default(), Nat::Open)?;
    mesh.site(lab, "vienna", Shape::default(), nat)?;
    mesh.site(lab, "paris", Shape::default(), nat)?;
    if relay == Relay::Runs {
        let listen = mesh.nodes[0].at(RELAY);
        mesh.nodes[0].configure(&format!("[mesh.relay]\nlisten = \"{listen}\"\n"))?;
    }
    let outside = join(lab, &mut mesh)?;
    hold(&mesh.nodes)?;
    Ok((mesh, outside))
}

pub(super) fn public_founder(lab: &Lab) -> Result<String, String> {
    let (mesh, outside) = public(lab, Nat::Masquerade, Relay::Runs)?;
    let text = told(&outside, pairs(&mesh, |_, _| true))?;
    Ok(text + &go_direct(&mesh, &[(1, 2)])?)
}

pub(super) fn behind_drawn_ports(lab: &Lab) -> Result<String, String> {
    let (mesh, outside) = public(lab, Nat::Random, Relay::Runs)?;
    let text = told(&outside, pairs(&mesh, |_, _| true))?;
    let (path, rtt) = path(&mesh.nodes[1], "paris")?;
    Ok(format!("{text}; vienna and paris {path}, {rtt}"))
}

pub(super) fn pairs_with_the_founder(lab: &Lab) -> Result<String, String> {
    let (mesh, outside) = public(lab, Nat::Masquerade, Relay::Absent)?;
    let with_founder = |from: usize, to: usize| from == 0 || to == 0;
    let first = told(&outside, pairs(&mesh, with_founder))?;
    // Longer than Linux keeps the mapping of a UDP flow that was not answered (30 s).
    std::thread::sleep(Duration::from_secs(if lab.quick { 5 } else { 40 }));
    told(&outside, pairs(&mesh, with_founder)).map_err(|error| format!("after the silence: {error}"))?;
    Ok(format!("{first}; the same after the silence"))
}
