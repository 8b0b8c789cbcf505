//! Signs in, deeds out.
