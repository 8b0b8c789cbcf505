//! Models as files: kept, served to members, and fetched from several at once. Nothing unverified reaches the disk.

pub(crate) mod chunks;
pub(crate) mod fetch;
pub(crate) mod half;
pub(crate) mod plan;
pub(crate) mod serve;
pub(crate) mod store;
