//! What can happen, drawn by chance.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::TenantId;

use super::ledger::Field;
use super::node::Node;
use super::world::World;
use crate::support::Dice;

/// So few that they clash.
const NAMES: [&str; 8] = ["web", "checkout", "billing", "search", "mail", "cart", "stock", "audit"];

#[derive(Debug, Clone)]
pub enum Step {
    Issue {
        node: usize,
        tenant: usize,
        name: &'static str,
        patience: Option<u64>,
    },
    Update {
        node: usize,
        key: usize,
        field: Field,
        patience: Option<u64>,
    },
    Rotate {
        node: usize,
        key: usize,
        ends_older: bool,
        patience: Option<u64>,
    },
    Revoke {
        node: usize,
        key: usize,
        patience: Option<u64>,
    },
    /// The same at once on every node.
    IssueEverywhere {
        tenant: usize,
        name: &'static str,
    },
    UpdateEverywhere {
        key: usize,
        field: Field,
    },
    RevokeAndUpdate {
        node: usize,
        other: usize,
        key: usize,
    },
    KeepUp {
        node: usize,
    },
    Sync {
        node: usize,
    },
    LookFor {
        node: usize,
        key: Option<usize>,
    },
    Receipt {
        node: usize,
        wait: Option<u64>,
    },
    Purge {
        node: usize,
    },
    Kill {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Pause {
        node: usize,
    },
    Resume {
        node: usize,
    },
    Cut {
        node: usize,
    },
    Mend {
        node: usize,
    },
    Weather {
        node: usize,
        faults: u64,
        weak_lists: bool,
    },
    Skew {
        node: usize,
        millis: i64,
    },
    RemoveFile {
        key: usize,
    },
    RestoreFile,
    Wait {
        millis: u64,
    },
    /// A node sleeps while the others go on, and the log is trimmed.
    Sleep {
        node: usize,
        minutes: u64,
    },
    Trim,
}

impl Step {
    /// The next step of a history with so many nodes, tenants and keys.
    pub fn draw(dice: &Dice, nodes: usize, tenants: usize, keys: usize) -> Self {
        let node = dice.index(nodes);
        let key = match dice.below(3) {
            0 => dice.index(keys),
            _ => keys.saturating_sub(1 + dice.index(4)), // What is new is what clashes.
        };
        let (tenant, name) = (dice.index(tenants), NAMES[dice.index(NAMES.len())]);
        let field = Field::ALL[dice.index(if dice.in_a_thousand(200) { 3 } else { 2 })];
        let patience = dice.in_a_thousand(100).then(|| dice.below(60));
        match dice.below(1000) {
            0..200 => Self::Issue { node, tenant, name, patience },
            200..310 => Self::Update { node, key, field, patience },
            310..350 => Self::Rotate { node, key, ends_older: dice.in_a_thousand(400), patience },
            350..430 => Self::Revoke { node, key, patience },
            430..450 => Self::Issue { node, tenant, name, patience },
            450..480 => Self::IssueEverywhere { tenant, name },
            480..520 => Self::UpdateEverywhere { key, field },
            520..560 => Self::RevokeAndUpdate { node, other: dice.index(nodes), key },
            560..630 => Self::KeepUp { node },
            630..650 => Self::Sync { node },
            650..690 => Self::LookFor { node, key: dice.in_a_thousand(500).then_some(key) },
            690..740 => Self::Receipt { node, wait: dice.in_a_thousand(300).then(|| dice.below(5000)) },
            740..750 => Self::Purge { node },
            750..765 => Self::Kill { node },
            765..795 => Self::Restart { node },
            795..810 => Self::Pause { node },
            810..840 => Self::Resume { node },
            840..855 => Self::Cut { node },
            855..885 => Self::Mend { node },
            885..900 => Self::Weather { node, faults: 10 + dice.below(90), weak_lists: dice.in_a_thousand(300) },
            900..930 => Self::Weather { node, faults: 0, weak_lists: false },
            930..937 => Self::Skew { node, millis: 120_000 - i64::try_from(dice.below(240_000)).unwrap() },
            937..941 => Self::RemoveFile { key },
            941..945 => Self::RestoreFile,
            945..985 => Self::Wait { millis: dice.below(3_000) },
            985..994 => Self::Wait { millis: dice.below(40_000) },
            994 => Self::Sleep { node, minutes: dice.below(200) },
            995 => Self::Trim,
            _ => Self::Wait { millis: 130_000 + dice.below(400_000) },
        }
    }

    /// Begins it; what takes time goes on while other steps follow.
    pub async fn begin(self, world: &Arc<World>) {
        let nodes = world.nodes();
        match self {
            Self::Issue { node, tenant, name, patience } => {
                let tenant = world.tenants[tenant].clone();
                begin(
                    world,
                    &nodes[node],
                    patience,
                    |world, node| async move { world.issue(&node, tenant, name).await },
                );
            }
            Self::Update { node, key, field, patience } => {
                begin(
                    world,
                    &nodes[node],
                    patience,
                    |world, node| async move { world.update(&node, key, field).await },
                );
            }
            Self::Rotate { node, key, ends_older, patience } => {
                begin(world, &nodes[node], patience, |world, node| async move {
                    world.rotate(&node, key, ends_older).await;
                });
            }
            Self::Revoke { node, key, patience } => {
                begin(world, &nodes[node], patience, |world, node| async move { world.revoke(&node, key).await });
            }
            Self::IssueEverywhere { tenant, name } => {
                for node in &nodes {
                    let tenant: TenantId = world.tenants[tenant].clone();
                    begin(world, node, None, |world, node| async move { world.issue(&node, tenant, name).await });
                }
            }
            Self::UpdateEverywhere { key, field } => {
                for node in &nodes {
                    begin(world, node, None, |world, node| async move { world.update(&node, key, field).await });
                }
            }
            Self::RevokeAndUpdate { node, other, key } => {
                begin(world, &nodes[node], None, |world, node| async move { world.revoke(&node, key).await });
                let field = Field::Source;
                begin(world, &nodes[other], None, |world, node| async move { world.update(&node, key, field).await });
            }
            Self::KeepUp { node } => {
                begin(world, &nodes[node], None, |_, node| async move { _ = node.keystore.poll().await });
            }
            Self::Sync { node } => begin(world, &nodes[node], None, |_, node| async move { _ = node.sync().await }),
            Self::LookFor { node, key } => {
                begin(
                    world,
                    &nodes[node],
                    None,
                    |world, node| async move { world.look_up_if_needed(&node, key).await },
                );
            }
            Self::Receipt { node, wait } => {
                let wait = wait.map(Duration::from_millis);
                begin(world, &nodes[node], None, |world, node| async move { world.check_receipt(&node, wait).await });
            }
            Self::Purge { node } => {
                begin(world, &nodes[node], None, |_, node| async move { _ = node.keystore.purge().await });
            }
            Self::Kill { node } => world.kill(node),
            Self::Restart { node } => world.restart(node),
            Self::Pause { node } => nodes[node].line.pause(true),
            Self::Resume { node } => nodes[node].line.pause(false),
            Self::Cut { node } => nodes[node].line.cut(true),
            Self::Mend { node } => nodes[node].line.cut(false),
            Self::Weather { node, faults, weak_lists } => {
                // At the start there is nothing but the listing to go by.
                let started = nodes[node].kept_up().is_some();
                nodes[node].line.weather(faults, weak_lists && started);
            }
            Self::Skew { node, millis } => nodes[node].clock.set(millis),
            Self::RemoveFile { key } => world.remove_file(key).await,
            Self::RestoreFile => world.restore_file().await,
            Self::Sleep { node, minutes } => {
                nodes[node].line.pause(true);
                tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
                world.trim().await;
                world.spare_the_lost();
                nodes[node].line.pause(false);
            }
            Self::Trim => world.trim().await,
            Self::Wait { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
    }
}

/// Lets a node do something in the background; somebody without patience hangs up before the end.
fn begin<F>(world: &Arc<World>, node: &Arc<Node>, patience: Option<u64>, work: impl FnOnce(Arc<World>, Arc<Node>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let work = work(world.clone(), node.clone());
    tokio::spawn(async move {
        match patience {
            Some(millis) => _ = tokio::time::timeout(Duration::from_millis(millis), work).await,
            None => work.await,
        }
    });
}

impl Step {
    /// Whether it is the world that goes wrong, and not people who want something.
    pub fn is_bad_luck(&self) -> bool {
        matches!(
            self,
            Self::Kill { .. }
                | Self::Pause { .. }
                | Self::Cut { .. }
                | Self::Weather { .. }
                | Self::Skew { .. }
                | Self::Sleep { .. }
                | Self::RemoveFile { .. }
        )
    }
}
