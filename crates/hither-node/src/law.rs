//! The law as the program sees it: read, tested, ready to be put in force.

pub use hither_core::policy::{FailedTest, failing_tests};
pub use hither_law::{LawError, parse};
