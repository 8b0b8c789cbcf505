//! The words of Hither: ids, units, labels, places, requests, facts, and the view that people are shown.
//!
//! Nothing here depends on anything, is serializable, or does anything. Each boundary owns its own encoding.

pub mod authority;
pub mod fact;
pub mod filter;
pub mod id;
pub mod incarnation;
pub mod kernel;
pub mod label;
pub mod law;
pub mod member;
pub mod message;
pub mod model;
pub mod near;
pub mod place;
pub mod refusal;
pub mod request;
pub mod rollout;
pub mod spending;
pub mod time;
pub mod trace;
pub mod unit;
pub mod version;
pub mod view;
pub mod witness;
