//! The worker protocol: frames over one inherited Unix socket between a node and a worker of the same binary.
//!
//! Each frame is a 32-bit little-endian length and a postcard body. Both ends are one build, so the form may change
//! from release to release.
