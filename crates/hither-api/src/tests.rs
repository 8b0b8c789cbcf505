//! What the tests of this crate share: a door with a script behind it, and a client of the router.

pub(crate) mod fake;
pub(crate) mod lab;
