//! Many nodes on one bucket, and every kind of bad luck: histories of thousands of steps, checked in the style of
//! Jepsen.
//!
//! 1. [`crate::support::dice`], [`time`]: chance and time, both controlled by the test.
//! 2. [`store`]: one store, reached by each node over a line that fails, lies, hangs and is cut.
//! 3. [`node`]: a keystore that follows, and that can be killed.
//! 4. [`ledger`]: what was promised.
//! 5. [`world`], [`step`]: nodes, and what happens to them.
//! 6. [`checks`]: what must hold.
//! 7. [`crash`], [`cases`]: every point at which a node can die, and single strokes of bad luck.

mod cases;
mod checks;
mod crash;
mod ledger;
mod node;
mod step;
mod store;
pub mod time;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::support::Dice;
use step::Step;
use world::World;

/// How many histories are tried, unless `KEYLOFT_HISTORY_SEEDS` says more.
const SEEDS: u64 = 24;
/// How many steps one has.
const STEPS: usize = 400;

/// What came of a history.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    failed: u64,
    keys: usize,
}

/// One history. What broke first, and all that led to it, when something did.
fn history(seed: u64, steps: usize, liar: bool) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let count = 3 + dice.index(3);
        let world = World::new(seed, count, liar).await;
        let calm = dice.in_a_thousand(200);
        for number in 0..steps {
            let keys = world.ledger.open().promises.len();
            let step = Step::draw(&dice, count, world.tenants.len(), keys);
            if calm && step.is_bad_luck() {
                continue;
            }
            world.ledger.open().tell(world.now(), &format!("{number}: {step:?}"));
            step.begin(&world).await;
            world.spare_the_lost();
            tokio::time::sleep(Duration::from_millis(dice.below(if dice.in_a_thousand(300) { 600 } else { 12 }))).await;
            world.check();
            verdict(&world, seed)?;
        }
        become_well(&world).await;
        verdict(&world, seed)?;
        world.check_end().await;
        verdict(&world, seed)
    })
}

/// Repairs everything, lets running work finish, and makes every node reconcile.
async fn become_well(world: &Arc<World>) {
    for (at, node) in world.nodes().into_iter().enumerate() {
        if node.line.is_dead() {
            world.restart(at);
        }
        node.line.pause(false);
        node.line.cut(false);
        node.line.weather(0, false);
        node.clock.set(0);
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.check();
    for node in world.nodes() {
        if let Err(error) = node.sync().await {
            world.broken(format!("{} cannot sync although all is well: {error:?}", node.id));
        }
        node.catch_up().await;
    }
    for node in world.nodes() {
        node.catch_up().await;
    }
    world.check();
}

fn verdict(world: &World, seed: u64) -> Result<Tally, String> {
    let pages = world.ledger.open();
    let Some(first) = pages.broken.first() else {
        let (acknowledged, failed, keys) = (pages.acknowledged, pages.failed, pages.promises.len());
        return Ok(Tally { acknowledged, failed, keys });
    };
    let mut report = format!("KEYLOFT_HISTORY_SEED={seed}: {first}\n");
    for node in world.nodes() {
        let (applied, kept_up) = (node.keystore.replica().applied_seq(), node.kept_up());
        let _ = writeln!(report, "  {} has applied {applied}, kept up {kept_up:?}", node.id);
    }
    for event in &pages.events {
        let _ = writeln!(report, "  {event}");
    }
    Err(report)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn many_nodes_on_one_bucket_keep_every_promise() {
    let replay = number("KEYLOFT_HISTORY_SEED").map(|seed| (seed, seed + 1));
    let from = number("KEYLOFT_HISTORY_FROM").unwrap_or(1);
    let (from, to) = replay.unwrap_or((from, from + number("KEYLOFT_HISTORY_SEEDS").unwrap_or(SEEDS)));
    let mut total = Tally::default();
    for seed in from..to {
        match history(seed, STEPS, false) {
            Ok(tally) => {
                total.acknowledged += tally.acknowledged;
                total.failed += tally.failed;
                total.keys += tally.keys;
            }
            Err(report) => panic!("{report}"),
        }
    }
    println!("{} histories of {STEPS} steps: {total:?}", to - from);
}

#[test]
fn a_store_that_ignores_conditions_is_found_out() {
    let found = (1..=20).filter(|seed| history(*seed, STEPS, true).is_err()).count();
    assert!(found >= 10, "only {found} of 20 histories on a lying store broke a promise");
}
