//! Newtypes for the identifiers and counters of the engine, so that one can never be taken for another.
//!
//! Nothing here allocates or validates names; names live in [`Graph`](crate::plan::graph::Graph).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A component as a dense index into its [`Graph`](crate::plan::graph::Graph): `0..graph.len()`, in plan order.
///
/// It means something only together with the graph that gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentId(u32);

impl ComponentId {
    /// The component at `index` of the graph.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index as a number usable for slices.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The index as it is stored.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// One try of a component, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(u32);

impl Attempt {
    /// The attempt that every component begins with.
    pub const FIRST: Self = Self(1);

    /// The attempt with this number; the first is 1.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number, from 1.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of a record in the log of its run, counted from 1 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// The place of the first record of a log.
    pub const FIRST: Self = Self(1);

    /// The place with this number; the first is 1.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, from 1.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One execution of a plan. Chosen by whoever starts the run; unique in the store that keeps it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// A run with this identifier, which is opaque to the engine.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
