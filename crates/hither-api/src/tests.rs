//! What the tests of this crate, and the fuzz targets, share: a door with a script behind it, and a client of the router.

#[cfg_attr(not(test), expect(dead_code, reason = "tests use the rest"))]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod lab;
