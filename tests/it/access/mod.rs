//! What a credential may do: `/api/v1/verify`, the places of a credential, streams, networks, limits.

mod credentials;
mod networks;
mod rates;
mod rates_shared;
mod scopes;
mod unknown_keys;
mod verify;
