//! Tests of what is old enough to go.
