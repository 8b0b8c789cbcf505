//! The law as the program sees it: read, tested, proved, compared, ready to be put in force.

pub use hither_core::policy::cells::{Cell, Part, Ruling, TooMany, is_rest, places};
pub use hither_core::policy::changes::{Change, Changes, changes};
pub use hither_core::policy::proof::{Against, Proof, prove};
pub use hither_core::policy::reach::{Reach, reach_from, reach_of};
pub use hither_core::policy::{FailedTest, failing_tests};
pub use hither_law::{LawError, parse};
