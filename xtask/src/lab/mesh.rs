//! A mesh of real nodes, one for each machine, as the rows want it.

use std::time::Duration;

use super::Lab;
use super::net::{Nat, Net};
use super::node::{Node, is_there, wait};
use super::queue::Shape;

/// A mesh that does not come together within this is a finding of its own.
const TOGETHER: Duration = Duration::from_secs(30);

/// Nodes, and the network under them. Nodes go first.
pub(super) struct Mesh {
    /// The nodes, the founder first.
    pub(super) nodes: Vec<Node>,
    /// Their network.
    pub(super) net: Net,
    logs: std::path::PathBuf,
}

impl Mesh {
    /// A network without nodes.
    pub(super) fn empty(lab: &Lab) -> Result<Self, String> {
        std::fs::create_dir_all(&lab.scratch).map_err(|error| format!("{}: {error}", lab.scratch.display()))?;
        Ok(Self { nodes: Vec::new(), net: Net::new(lab.seed)?, logs: lab.logs.clone() })
    }

    /// Adds a site with one machine on it, without a process.
    pub(super) fn site(&mut self, lab: &Lab, name: &str, shape: Shape, nat: Nat) -> Result<(), String> {
        self.net.site(name, shape, nat)?;
        self.machine(lab, self.net.sites.len() - 1, name)
    }

    /// Adds a machine to a site, without a process.
    pub(super) fn machine(&mut self, lab: &Lab, site: usize, name: &str) -> Result<(), String> {
        let place = self.net.machine(site, name)?;
        self.nodes.push(Node::new(&lab.hither, &lab.scratch, name, place)?);
        Ok(())
    }

    /// A mesh of sites with a machine each: the first founds it, the others join, and all see one another.
    pub(super) fn of(lab: &Lab, names: &[&str]) -> Result<Self, String> {
        let mut mesh = Self::empty(lab)?;
        for name in names {
            mesh.site(lab, name, Shape::default(), Nat::Open)?;
        }
        mesh.begin()?;
        Ok(mesh)
    }

    /// Founds the mesh at the first node, lets the others join and waits until all see one another.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        self.nodes[0].found()?;
        for node in &mut self.nodes {
            node.up()?;
        }
        for node in &self.nodes[1..] {
            node.join(&self.nodes[0])?;
        }
        self.together(TOGETHER).map(drop)
    }

    /// Waits until every node sees every other as here, and no more than there are; says how long it took.
    pub(super) fn together(&self, bound: Duration) -> Result<Duration, String> {
        let began = std::time::Instant::now();
        for node in &self.nodes {
            let left = bound.saturating_sub(began.elapsed());
            wait(&format!("{} sees all", node.name), left, || self.complete(node).then_some(()))
                .map_err(|error| format!("{error}; it sees {}", seen(node)))?;
        }
        Ok(began.elapsed())
    }

    fn complete(&self, node: &Node) -> bool {
        let Ok(view) = node.view() else { return false };
        let Some(seen) = view["nodes"].as_array() else { return false };
        seen.len() == self.nodes.len() && seen.iter().all(is_there)
    }

    /// The number of the node with this name.
    pub(super) fn index(&self, name: &str) -> Result<usize, String> {
        self.nodes.iter().position(|node| node.name == name).ok_or(format!("there is no node {name:?}"))
    }

    /// Waits until the one open request of a node runs elsewhere, and says where.
    pub(super) fn serving(&self, origin: usize) -> Result<usize, String> {
        let look = || {
            let name = self.nodes[origin].route()?;
            let place = self.index(&name).ok()?;
            (place != origin && self.nodes[place].busy()? > 0).then_some(place)
        };
        wait("a peer serves", Duration::from_secs(10), look).map(|(place, _)| place)
    }

    /// Waits until one node no longer sees another as here.
    pub(super) fn lost(&self, viewer: usize, other: usize, bound: Duration) -> Result<Duration, String> {
        let (viewer, other) = (&self.nodes[viewer], &self.nodes[other].name);
        wait(&format!("{} sees that {other} is gone", viewer.name), bound, || {
            (viewer.sees(other) == Some(false)).then_some(())
        })
        .map(|((), took)| took)
    }
}

/// Sites and whether they are there, as a node shows them.
fn seen(node: &Node) -> String {
    let view = node.view().unwrap_or_default();
    let nodes = view["nodes"].as_array().into_iter().flatten();
    let told: Vec<String> = nodes.map(|other| format!("{} {}", other["member"]["site"], other["presence"])).collect();
    told.join(", ")
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Logs are for whoever looks into a failure; a run without them is a run all the same.
        let _ = std::fs::create_dir_all(&self.logs);
        for node in &self.nodes {
            let _ = std::fs::write(self.logs.join(format!("{}.log", node.name)), node.log());
        }
    }
}
