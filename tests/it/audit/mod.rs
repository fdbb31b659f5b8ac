//! The change log read as an audit: who did what, when, from where, and what is different since.

mod differences;
