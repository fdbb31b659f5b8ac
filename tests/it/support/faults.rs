//! Which operations on a store go wrong, and how: scripted, seeded, or cut off at one of them. What was asked is
//! recorded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    Replace,
    Put,
    Read,
    List,
    /// A list of folders.
    Folders,
    Delete,
}

/// One operation, before it is carried out.
#[derive(Debug, Clone)]
pub struct Call {
    /// Counted from 1 since the faults were last set.
    pub number: u64,
    /// When it was begun.
    pub at: Instant,
    pub kind: Kind,
    /// The object, or the folder of a list.
    pub path: Path,
}

impl Call {
    pub fn is_write(&self) -> bool {
        !matches!(self.kind, Kind::Read | Kind::List | Kind::Folders)
    }

    /// Whether the name of the object contains this.
    pub fn is_about(&self, part: &str) -> bool {
        self.path.as_ref().contains(part)
    }
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the answer is an error.
    ErrorBefore,
    /// It is done, and the answer is an error.
    ErrorAfter,
    /// Nothing is done, and there is no answer.
    Hang,
    /// It is done, and there is no answer.
    HangAfter,
    /// A write: nothing is done, and the answer is 409, whatever is there.
    Conflict,
    /// A conditional write: done whatever is there.
    IgnoreCondition,
    /// A list: what the last honest list of that folder showed; at first, nothing.
    Stale,
    /// A list: its first half.
    Truncated,
}

/// How many operations of a thousand go wrong in each way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    pub error_before: u64,
    pub error_after: u64,
    pub hang: u64,
    pub hang_after: u64,
    pub conflict: u64,
    pub stale: u64,
    pub truncated: u64,
}

type Plan = Box<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;
type Hidden = Arc<dyn Fn(&Path) -> bool + Send + Sync>;
type Gate = (Box<dyn Fn(&Call) -> bool + Send + Sync>, Arc<Semaphore>);

/// The plan of what goes wrong. It can be changed while the store is in use.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
    latency: Duration,
    gate: Option<Gate>,
}

#[derive(Default)]
struct State {
    /// Operations since the faults were last set.
    number: u64,
    plan: Option<Plan>,
    hidden: Option<Hidden>,
    /// All operations.
    calls: Vec<Call>,
}

impl Faults {
    /// Nothing goes wrong, and every operation takes this long by the clock of tokio.
    pub fn slow(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// Nothing goes wrong, and every operation that `which` picks waits for a permit of its own.
    #[allow(dead_code)] // For the tests of ingest, in the library.
    pub fn gated(which: impl Fn(&Call) -> bool + Send + Sync + 'static, permits: Arc<Semaphore>) -> Self {
        Self { gate: Some((Box::new(which), permits)), ..Self::default() }
    }

    /// Nothing goes wrong from now on.
    pub fn none(&self) {
        let mut state = self.state.lock();
        state.number = 0;
        state.plan = None;
    }

    /// What goes wrong from now on.
    pub fn set(&self, plan: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) {
        let mut state = self.state.lock();
        state.number = 0;
        state.plan = Some(Box::new(plan));
    }

    /// One fault for every operation that `which` picks.
    pub fn inject(&self, fault: Fault, which: impl Fn(&Call) -> bool + Send + Sync + 'static) {
        self.set(move |call| which(call).then_some(fault));
    }

    /// Listings miss the objects that `which` picks, from now on and whatever else goes wrong.
    #[allow(dead_code)] // For the tests of sync, in the library.
    pub fn hide(&self, which: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        self.state.lock().hidden = Some(Arc::new(which));
    }

    /// The same faults for the same seed and the same order of operations.
    pub fn seeded(&self, seed: u64, odds: Odds) {
        self.set(move |call| odds.roll(mix(seed.wrapping_add(mix(call.number))), call));
    }

    /// The process "crashes" at operation `number`: neither it nor any later one is done.
    pub fn crash_at(&self, number: u64) {
        self.inject(Fault::ErrorBefore, move |call| call.number >= number);
    }

    /// The process "crashes" after operation `number`: it is done without an answer, and no later one is done.
    pub fn crash_after(&self, number: u64) {
        self.set(move |call| match call.number {
            before if before < number => None,
            last if last == number => Some(Fault::ErrorAfter),
            _ => Some(Fault::ErrorBefore),
        });
    }

    /// How many operations there were since the faults were last set.
    pub fn calls(&self) -> u64 {
        self.state.lock().number
    }

    /// How many operations `which` picks, since the start.
    #[allow(dead_code)] // For the tests of sync, in the library.
    pub fn count(&self, which: impl Fn(&Call) -> bool) -> usize {
        self.state.lock().calls.iter().filter(|call| which(call)).count()
    }

    /// When the operations that `which` picks were begun, since the start.
    pub fn times(&self, which: impl Fn(&Call) -> bool) -> Vec<Instant> {
        self.state.lock().calls.iter().filter(|call| which(call)).map(|call| call.at).collect()
    }

    /// Whether listings miss an object.
    pub(super) fn hidden(&self) -> impl Fn(&Path) -> bool + use<> {
        let hidden = self.state.lock().hidden.clone();
        move |path| hidden.as_ref().is_some_and(|hidden| hidden(path))
    }

    /// Records an operation, lets it wait as it should, and gives its fault.
    pub(super) async fn next(&self, kind: Kind, path: Path) -> Option<Fault> {
        let (call, fault) = self.record(kind, path);
        if let Some((which, permits)) = &self.gate
            && which(&call)
        {
            permits.acquire().await.unwrap().forget();
        }
        // One that is never answered hangs at once.
        if !self.latency.is_zero() && fault != Some(Fault::Hang) {
            tokio::time::sleep(self.latency).await;
        }
        fault
    }

    fn record(&self, kind: Kind, path: Path) -> (Call, Option<Fault>) {
        let mut state = self.state.lock();
        state.number += 1;
        let call = Call { number: state.number, at: Instant::now(), kind, path };
        state.calls.push(call.clone());
        let fault = state.plan.as_ref().and_then(|plan| plan(&call));
        (call, fault)
    }
}

impl Odds {
    fn roll(&self, random: u64, call: &Call) -> Option<Fault> {
        let (writes, lists) = (u64::from(call.is_write()), u64::from(call.kind == Kind::List));
        let mut left = random % 1000;
        let faults = [
            (Fault::ErrorBefore, self.error_before),
            (Fault::ErrorAfter, self.error_after),
            (Fault::Hang, self.hang),
            (Fault::HangAfter, self.hang_after),
            (Fault::Conflict, self.conflict * writes),
            (Fault::Stale, self.stale * lists),
            (Fault::Truncated, self.truncated * lists),
        ];
        for (fault, share) in faults {
            if left < share {
                return Some(fault);
            }
            left -= share;
        }
        None
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({} calls)", self.calls())
    }
}

/// Spreads a number over all numbers (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
