//! The actions that an expression may name, and which of them an event is.

use std::cell::Cell;
use std::collections::BTreeMap;

/// The place of an action in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionSlot(u16);

impl ActionSlot {
    /// The slot of the action at this place; `None` beyond [`ActionBits::MAX`].
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().filter(|slot| usize::from(*slot) < ActionBits::MAX).map(Self)
    }

    /// Its place.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The actions of a set by name, for the expressions that may ask for them with `action("login")`.
#[derive(Debug, Clone, Default)]
pub struct Actions {
    names: Option<BTreeMap<Box<str>, ActionSlot>>,
    asked: Cell<ActionBits>,
}

impl Actions {
    /// For expressions that may ask for these.
    pub fn named<'a>(names: impl IntoIterator<Item = (&'a str, ActionSlot)>) -> Self {
        let names = names.into_iter().map(|(name, slot)| (name.into(), slot)).collect();
        Self { names: Some(names), asked: Cell::default() }
    }

    /// For expressions that may not ask: those of the actions themselves, and those that are judged before them.
    pub fn none() -> Self {
        Self::default()
    }

    /// The slot of an action.
    pub(super) fn get(&self, name: &str) -> Option<ActionSlot> {
        let slot = self.names.as_ref()?.get(name).copied()?;
        let mut asked = self.asked.get();
        asked.set(slot);
        self.asked.set(asked);
        Some(slot)
    }

    /// Those that expressions asked for since this was called the last time.
    pub fn take_asked(&self) -> ActionBits {
        self.asked.take()
    }

    /// All names; `None` where no action may be asked for.
    pub(super) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        self.names.as_ref().map(|names| names.keys().map(|name| &**name))
    }
}

/// Which actions an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionBits([u64; 8]);

impl ActionBits {
    /// How many actions there can be.
    pub const MAX: usize = 512;

    /// Notes that the event is this action.
    pub fn set(&mut self, slot: ActionSlot) {
        if let Some(word) = self.0.get_mut(slot.index() / 64) {
            *word |= 1 << (slot.index() % 64);
        }
    }

    /// Whether the event is this action.
    #[inline]
    pub fn has(&self, slot: ActionSlot) -> bool {
        self.0.get(slot.index() / 64).is_some_and(|word| word >> (slot.index() % 64) & 1 == 1)
    }

    /// Whether the event is one of these actions.
    #[inline]
    pub fn intersects(&self, others: &Self) -> bool {
        self.0.iter().zip(&others.0).any(|(one, other)| one & other != 0)
    }
}
