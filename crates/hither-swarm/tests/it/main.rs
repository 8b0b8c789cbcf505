//! Real nodes on loopback: every promise of the swarm that another node can see.

mod admission;
mod asks;
mod blobs;
mod hellos;
mod hostile;
mod links;
mod relays;
mod versions;
mod world;
