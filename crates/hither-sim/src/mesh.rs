//! A stand-in for the mesh of the scenarios, with its types only, until that one is here.

use hither_types::request::Priority;

/// Where a node stands, and what it can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub site: u32,
    pub x: u32,
    pub y: u32,
    /// Per mille.
    pub speed: u32,
    pub slots: u16,
    /// Per mille of the mean.
    pub demand: u32,
    pub jurisdiction: u16,
}

/// All nodes, and how far they are from each other.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub spots: Vec<Spot>,
}

impl Mesh {
    /// In microseconds.
    pub(crate) fn one_way(&self, a: usize, b: usize) -> u64 {
        let (a, b) = (&self.spots[a], &self.spots[b]);
        let apart = a.x.abs_diff(b.x).max(a.y.abs_diff(b.y));
        if a.site == b.site { 250 } else { 500 + u64::from(apart) }
    }

    pub(crate) fn nearest(&self, of: usize, count: usize) -> Vec<u32> {
        let mut others: Vec<u32> = (0..self.spots.len() as u32).filter(|other| *other as usize != of).collect();
        others.sort_by_key(|other| (self.one_way(of, *other as usize), *other));
        others.truncate(count);
        others
    }
}

/// A request that comes to a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// In microseconds.
    pub at: u64,
    pub node: u32,
    /// In microseconds at speed 1000.
    pub work: u64,
    pub priority: Priority,
    /// Microseconds allowed.
    pub deadline: u64,
}
