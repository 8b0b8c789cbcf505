//! The forms.
