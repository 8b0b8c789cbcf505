//! Recall and precision on a corpus that others labelled.
