//! The one integration binary: sources, each against a real server on loopback. Nothing beyond loopback is asked.

mod beside;
mod hub;
mod local;
mod registry;
mod rig;
mod server;
mod tls;
mod web;
