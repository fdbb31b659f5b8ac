//! Tests of what every part of the policies builds on.

mod field;
