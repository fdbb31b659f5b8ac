//! Histories of a stream: three real processes that ingest, merge, delete and answer all the time, while they are
//! killed and stopped and their store fails. Each query is checked in the style of Jepsen.
//!
//! 1. [`world`]: nodes on one store, and their clients.
//! 2. [`faults`]: what happens to them.
//! 3. [`ledger`]: what clients were promised, and what an answer may be by that.
//!
//! A seed decides what is done and when; processes take turns as they like, so that a seed repeats what was done and
//! not always what came of it. `KEYLOFT_HISTORY_SEED` repeats one, `scripts/stream-histories.sh` runs many.

#![allow(clippy::print_stdout)] // What came of many histories is worth a line.

mod faults;
mod ledger;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use faults::{Damage, Gate};
use ledger::Tally;
use world::{Kind, NODES, WEB, World};

/// How many histories are tried, unless `KEYLOFT_HISTORY_SEEDS` says more.
const SEEDS: u64 = 10;
/// How many run at once, unless `KEYLOFT_HISTORY_AT_ONCE` says more.
const AT_ONCE: u64 = 3;
/// How many ask at once.
const READERS: u64 = 4;
/// How long things go wrong, unless `KEYLOFT_HISTORY_MS` says longer.
const TROUBLE_MS: u64 = 4500;
/// How long it may take, when all is well again, until all nodes agree and objects are merged.
const SETTLED: Duration = Duration::from_secs(60);
/// How many objects a stream may have at rest on one day: seven of ingest, and seven merged ones of each small class.
const AT_REST: usize = 7 + 2 * 7;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One history. What broke first, and all that led to it, when something did.
async fn history(seed: u64, kind: Kind, damage: Option<Damage>) -> Result<Tally, String> {
    let world = World::new(seed, kind).await;
    world.ledger.tell("all nodes are ready");
    let (mut clients, mut trouble, gate) = (JoinSet::new(), JoinSet::new(), Gate::default());
    for place in 0..NODES {
        clients.spawn(world.clone().write(place));
        trouble.spawn(world.clone().trouble(place, gate.clone()));
    }
    for reader in 0..READERS {
        clients.spawn(world.clone().read(reader));
    }
    trouble.spawn(world.clone().outages(gate));
    trouble.spawn(world.clone().deletions());
    if let Some(damage) = damage {
        trouble.spawn(world.clone().damage(damage));
    }
    tokio::time::sleep(Duration::from_millis(number("KEYLOFT_HISTORY_MS").unwrap_or(TROUBLE_MS))).await;
    world.stop();
    trouble.join_all().await;
    clients.join_all().await;
    world.fleet.until_ready().await;
    world.ledger.tell("all is well");
    if !world.ledger.is_broken()
        && let Err(why) = settle(&world).await
    {
        world.ledger.broken(why);
    }
    let story = world.ledger.story();
    if number("KEYLOFT_HISTORY_SEED").is_some() {
        println!("{kind:?}:\n{story}");
    }
    match world.ledger.first_broken() {
        Some(why) => Err(format!("KEYLOFT_HISTORY_SEED={seed} {kind:?}: {why}\n{story}")),
        None => Ok(world.ledger.tally()),
    }
}

/// What must be so once all is well: every node answers, all give the same and right answer, and objects are few.
async fn settle(world: &World) -> Result<(), String> {
    let end = Instant::now() + SETTLED;
    for place in 0..NODES {
        while !world.send(place, 1, None).await {
            in_time(end, || format!("node {place} does not take events"))?;
        }
    }
    // Requests that nobody waits for any more may still be on their way: nodes agree once these have come or failed.
    loop {
        let mut answers = Vec::new();
        for place in 0..NODES {
            let is_right = world.numbers(place, "SELECT n, text FROM web", None).await?
                && world.numbers(place, "SELECT n, p_timestamp FROM web ORDER BY p_timestamp", None).await?
                && world.sum(place).await?;
            let sum = world.query(place, "SELECT count(*) AS c, sum(n) AS s, min(n) AS l FROM web", None).await?;
            answers.push(sum.filter(|_| is_right));
        }
        if answers[0].is_some() && answers.iter().all(|answer| *answer == answers[0]) {
            break;
        }
        in_time(end, || format!("nodes do not agree: {answers:?}"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let objects = world.objects(0).await.unwrap_or_default();
        let days: std::collections::BTreeSet<_> =
            objects.iter().filter_map(|object| object["object"].as_str()?.split("date=").nth(1)?.get(..10)).collect();
        if !objects.is_empty() && objects.len() <= AT_REST * days.len() {
            let merged = objects.iter().filter(|object| !object["rows"].is_null()).count() as u64;
            world.ledger.count(|tally| tally.merged = merged);
            break;
        }
        in_time(end, || format!("{} objects are left", objects.len()))?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for place in 0..NODES {
        world.numbers(place, "SELECT n, text FROM web", None).await?;
        let (status, shown) = world.fleet.admin(place, "GET", WEB, None).await.ok_or("no answer")?;
        if status != 200 {
            return Err(format!("node {place} shows the stream with {status}: {shown}"));
        }
    }
    Ok(())
}

fn in_time(end: Instant, what: impl FnOnce() -> String) -> Result<(), String> {
    if Instant::now() < end { Ok(()) } else { Err(format!("{SETTLED:?} after all is well, {}", what())) }
}

/// Many histories, some at once. Prints what came of them, and every one that broke.
async fn histories(kind: Kind) {
    let first = if kind == Kind::Ceph { 1 + SEEDS } else { 1 };
    let from = number("KEYLOFT_HISTORY_SEED").or(number("KEYLOFT_HISTORY_FROM")).unwrap_or(first);
    let count =
        if number("KEYLOFT_HISTORY_SEED").is_some() { 1 } else { number("KEYLOFT_HISTORY_SEEDS").unwrap_or(SEEDS) };
    let at_once = number("KEYLOFT_HISTORY_AT_ONCE").unwrap_or(AT_ONCE);
    let turns = Arc::new(tokio::sync::Semaphore::new(usize::try_from(at_once).unwrap()));
    let (start, mut running, mut total, mut broken) = (Instant::now(), JoinSet::new(), Tally::default(), 0);
    for seed in from..from + count {
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let ended = tokio::spawn(history(seed, kind, None)).await;
            ended.unwrap_or_else(|error| Err(format!("KEYLOFT_HISTORY_SEED={seed} {kind:?}: {error}")))
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            Ok(tally) => total += tally,
            Err(report) => {
                println!("{report}");
                broken += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs();
    println!("{kind:?}: {count} histories from seed {from} in {seconds} s, {broken} broken: {total:?}");
    assert_eq!(broken, 0, "so many of {count} histories broke a promise: their stories stand above");
    assert!(total.acknowledged > 50 * count && total.answers >= 2 * count, "little was tried: {total:?}");
    assert!(total.merged >= count.div_ceil(2), "little was merged: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_event_is_lost_or_counted_twice_by_any_query_at_any_moment_in_a_directory() {
    histories(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_event_is_lost_or_counted_twice_by_any_query_at_any_moment_in_ceph() {
    histories(Kind::Ceph).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_loses_or_copies_objects_is_found_out() {
    let lost: &[_] = &["events lost", "are none of", "it is missing"];
    for (damage, found_out) in [(Damage::Lost, lost), (Damage::Copied, &["events counted twice", "are none of"])] {
        let report = history(1, Kind::Directory, Some(damage)).await.expect_err("no promise is broken");
        assert!(found_out.iter().any(|words| report.contains(words)), "{report}");
    }
}
