//! Every bound of this crate, each with the reason for its number.

/// Bytes of a bundle. One that lists ten thousand files has two million.
pub(crate) const BUNDLE_BYTES: u64 = 16 << 20;
/// Bytes of a file with keys or certificates. All authorities of an operating system together have a quarter of it.
pub(crate) const PEM_BYTES: usize = 1 << 20;
/// What one bundle may list: files, or parts of them. A bundle of the largest size has about as many.
pub(crate) const RESOURCES: usize = 100_000;
/// Paths that are left out. A repository has tens.
pub(crate) const LEFT_OUT: usize = 10_000;
/// Bytes of a name: what file systems take as a path.
pub(crate) const NAME_BYTES: usize = 4096;
/// Certificates of a bundle. Chains have two or three.
pub(crate) const CHAIN: usize = 16;
/// Certificates that are believed. An operating system believes a hundred and fifty.
pub(crate) const AUTHORITIES: usize = 1024;
/// Certificates between the signer's and an authority's.
pub(crate) const STEPS: usize = 8;
/// Signatures of certificates that are tried until a way to an authority is found: a chain with namesakes has several ways.
pub(crate) const TRIES: u32 = 256;
/// Folders and files of a model that are looked at. The largest repositories have thousands.
pub(crate) const ENTRIES: usize = 1_000_000;
/// Folders within each other.
pub(crate) const DEPTH: usize = 64;
/// Bytes that are read at once.
pub(crate) const READ: usize = 1 << 17;
/// Names that an error lists: as many as a person reads.
pub(crate) const LISTED: usize = 8;
