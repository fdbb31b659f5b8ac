//! What a credential may do: `/api/v1/verify`, the places of a credential, streams, networks, limits.

mod agreement;
mod credentials;
mod networks;
mod rates;
mod rates_shared;
mod redis_tls;
mod scopes;
mod unknown_keys;
mod verify;
