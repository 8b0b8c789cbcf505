//! The law, by enumeration of small worlds.
