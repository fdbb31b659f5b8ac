//! How large a set may be.

/// Policies in a set.
pub const MAX_POLICIES: usize = 200;
/// Actions in a set.
pub const MAX_ACTIONS: usize = 500;
/// Entity definitions in a set.
pub const MAX_ENTITIES: usize = 100;
/// Mitigations in a set.
pub const MAX_MITIGATIONS: usize = 50;
/// Bytes of the document of a set.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Characters of the name of a part.
pub const MAX_NAME_CHARS: usize = 63;
/// Fields of an entity.
pub const MAX_KEY_FIELDS: usize = 8;
/// Actions that a policy names.
pub const MAX_ACTIONS_OF_A_POLICY: usize = 100;
/// Streams of traffic, or patterns of them.
pub const MAX_TRAFFIC_STREAMS: usize = 100;
/// Names in the map of a traffic format.
pub const MAX_MAPPED_FIELDS: usize = 200;
/// Characters of a name in that map.
pub const MAX_MAPPED_NAME_CHARS: usize = 256;
/// Characters of the comment of a version.
pub const MAX_COMMENT_CHARS: usize = 1000;

/// The longest window.
pub const MAX_WINDOW_SECONDS: u32 = 3600;
/// The highest threshold of a window.
pub const MAX_THRESHOLD: u32 = 100_000;
/// The highest threshold of a window that counts different values: so many are kept of an entity.
pub const MAX_DISTINCT: u32 = 128;
/// The lowest precedence of a policy.
pub const MAX_PRIORITY: u32 = 1_000_000;
/// The longest that a mitigation holds an entity, and that a clearance is good for: 30 days.
pub const MAX_HOLD_SECONDS: u32 = 30 * 24 * 3600;

/// Cost units of one policy, in each of its expressions together.
pub const MAX_POLICY_COST: u32 = 10_000;
/// Cost units of a set.
pub const MAX_SET_COST: u32 = 100_000;
