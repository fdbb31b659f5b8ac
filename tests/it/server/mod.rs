//! The server itself: routes, HTTP, start and end, log and metrics.

mod auth_off;
mod bounds;
mod canary;
mod cors;
mod early_answers;
mod half_closed;
mod log;
mod malformed;
mod metrics;
mod routes;
mod shutdown;
mod smoke;
mod starting;
mod stopped;
