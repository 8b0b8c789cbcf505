//! Personal data and secrets in a text: where they are, and the text without them.
//!
//! What must stay true: no input makes it panic; time and memory grow with the text and no faster; a span lies on the
//! borders of characters; a text that was masked shows no finding any more. Names of people, addresses of homes and
//! whatever else has no form are not found: a pattern cannot.

mod candidates;
mod checks;
mod dates;
mod limits;
mod mask;
mod national;
mod numbers;
mod phones;
mod secrets;
mod skeleton;
#[cfg(test)]
mod tests;
mod words;

pub use candidates::{Kinds, Span, find};
pub use limits::TEXT_MAX;
pub use mask::Masker;
