//! The names met in a request, as a tree: a name is a key and the object around it, and leads to one column. Looking
//! one up allocates nothing, and costs no hash either when events have their keys in the same order.

use std::collections::HashMap;

use super::refusal::{EventRefusal, Fault, quoted};
use crate::stream::schema::{MAX_FIELDS, RESERVED_PREFIX};

/// The longest flattened name, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// How many names, those of objects included, one request may have.
const MAX_NAMES: usize = 4 * MAX_FIELDS;

/// A name met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NameId(u32);

impl NameId {
    /// The event itself, in which all other names are.
    pub(super) const EVENT: Self = Self(0);

    fn at(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Name {
    parent: NameId,
    key: Box<str>,
    /// Flattened, as the field is called.
    path: Box<str>,
    /// The last event that had it, counted from 1, refused ones included.
    event: usize,
    /// The name that followed last time: a good guess for the next.
    next: NameId,
    column: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Names {
    names: Vec<Name>,
    children: HashMap<NameId, HashMap<Box<str>, NameId>>,
    /// The name looked up last.
    last: NameId,
}

impl Names {
    pub(super) fn new() -> Self {
        let event = Name {
            parent: NameId::EVENT,
            key: "".into(),
            path: "".into(),
            event: 0,
            next: NameId::EVENT,
            column: None,
        };
        Self { names: vec![event], children: HashMap::new(), last: NameId::EVENT }
    }

    /// The name of `key` in the object `parent`, met in the event with this number (from 1, refused ones included).
    pub(super) fn meet(&mut self, parent: NameId, key: &str, event: usize) -> Result<NameId, EventRefusal> {
        let guess = self.names[self.last.at()].next;
        // A name may be forgotten since it was guessed.
        let guessed = self.names.get(guess.at()).filter(|_| guess != NameId::EVENT);
        let id = if guessed.is_some_and(|guessed| guessed.parent == parent && *guessed.key == *key) {
            guess
        } else {
            let id = self.find_or_add(parent, key)?;
            self.names[self.last.at()].next = id;
            id
        };
        self.last = id;
        let name = &mut self.names[id.at()];
        if name.event == event {
            return Err(EventRefusal::duplicate(&name.path));
        }
        name.event = event;
        Ok(id)
    }

    /// The name of `key` in the object `parent`, not met yet.
    pub(super) fn find_or_add(&mut self, parent: NameId, key: &str) -> Result<NameId, EventRefusal> {
        match self.children.get(&parent).and_then(|keys| keys.get(key)) {
            Some(&id) => Ok(id),
            None => self.add(parent, key),
        }
    }

    /// How many names there are, for [`Names::forget_after`].
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Forgets the names that were added since there were `count`.
    pub(super) fn forget_after(&mut self, count: usize) {
        for (at, name) in self.names.drain(count..).enumerate() {
            let id = NameId(u32::try_from(count + at).unwrap_or(u32::MAX));
            self.children.remove(&id);
            if let Some(keys) = self.children.get_mut(&name.parent) {
                keys.remove(&name.key);
            }
        }
    }

    /// A new event begins, so that its first name is guessed from the first one of the event before.
    pub(super) fn rewind(&mut self) {
        self.last = NameId::EVENT;
    }

    fn add(&mut self, parent: NameId, key: &str) -> Result<NameId, EventRefusal> {
        if key.is_empty() {
            return Err(EventRefusal::new(Fault::FieldName, "a field has an empty name"));
        }
        let above = &self.names[parent.at()].path;
        let path = if above.is_empty() { key.to_owned() } else { format!("{above}_{key}") };
        check_path(&path)?;
        if self.names.len() > MAX_NAMES {
            let message = format!("a request has at most {MAX_NAMES} different names in it");
            return Err(EventRefusal::new(Fault::TooManyFields, message));
        }
        let id = NameId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.children.entry(parent).or_default().insert(key.into(), id);
        self.names.push(Name {
            parent,
            key: key.into(),
            path: path.into(),
            event: 0,
            next: NameId::EVENT,
            column: None,
        });
        Ok(id)
    }

    pub(super) fn path(&self, id: NameId) -> &str {
        &self.names[id.at()].path
    }

    /// The column a name leads to, once it is known to hold a value.
    pub(super) fn column(&self, id: NameId) -> Option<usize> {
        self.names[id.at()].column
    }

    pub(super) fn lead_to(&mut self, id: NameId, column: usize) {
        self.names[id.at()].column = Some(column);
    }

    /// The name, if it is still there, leads nowhere any more.
    pub(super) fn lead_nowhere(&mut self, id: NameId) {
        if let Some(name) = self.names.get_mut(id.at()) {
            name.column = None;
        }
    }
}

/// Whether a field may have this name, flattened.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn check_path(path: &str) -> Result<(), EventRefusal> {
    let name = || quoted(path);
    if path.is_empty() {
        return Err(EventRefusal::new(Fault::FieldName, "a field has an empty name"));
    }
    if path.len() > MAX_NAME_BYTES {
        let message = format!("the name of the field {} is longer than {MAX_NAME_BYTES} bytes", name());
        return Err(EventRefusal::new(Fault::FieldName, message));
    }
    if path.chars().any(char::is_control) {
        return Err(EventRefusal::new(
            Fault::FieldName,
            format!("the name of the field {} has control characters", name()),
        ));
    }
    if path.starts_with(RESERVED_PREFIX) {
        let message = format!("the field {} starts with {RESERVED_PREFIX}, which is reserved", name());
        return Err(EventRefusal::new(Fault::ReservedName, message));
    }
    Ok(())
}
