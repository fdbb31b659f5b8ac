//! How an event came to us: what the key and the server say about it, not the event itself.

/// By which way an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// A source asked before it answered a request, or reported the answer later.
    Decide,
    /// The gateway is about to pass on the request.
    Gateway,
    /// A line of traffic that a shipper sent, or a line of a log: request and response in one.
    Ingest,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Decide, Self::Gateway, Self::Ingest];

    /// The word of expressions and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Gateway => "gateway",
            Self::Ingest => "ingest",
        }
    }
}

/// How an event came to us.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The source of the key.
    pub source_id: Option<&'a str>,
    /// How far the operator trusts that source.
    pub trust_level: Option<&'a str>,
    /// The key.
    pub key_id: Option<&'a str>,
    /// By which way.
    pub door: Door,
    /// When, in milliseconds since 1970: the time of an event that says none.
    pub received_at_ms: i64,
    /// How many bits of an IPv6 address are the network of the client, from 48 to 64.
    pub ipv6_network_bits: u8,
}

impl Arrival<'_> {
    /// An event about which only its way and time are known.
    pub const fn new(door: Door, received_at_ms: i64) -> Self {
        Self { source_id: None, trust_level: None, key_id: None, door, received_at_ms, ipv6_network_bits: 64 }
    }
}
