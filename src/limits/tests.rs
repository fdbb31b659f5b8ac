//! The limiter under a clock that is told to move.
