//! What an expression may cost. Every number has a unit and says where it comes from.

/// The longest expression, in bytes (DESIGN: at most 1 KiB each).
pub const EXPRESSION_BYTES_MAX: usize = 1024;

/// How deep an expression may be nested, in levels of its tree. A chain of operators (`a + b + c`) counts one for each.
pub const DEPTH_MAX: usize = 32;

/// How deep `map`, `filter`, `all`, `exists` and `exists_one` may stand within each other.
pub const LOOPS_MAX: usize = 3;

/// The largest result of an expression, and of a string with expressions, in bytes. A Kubernetes object may have 1.5 MiB
/// in all (the default request limit of etcd).
pub const RESULT_BYTES_MAX: usize = 1024 * 1024;

/// What the evaluation of expressions may still cost: the rest of an allowance.
///
/// A step is one operation of the tree, one item compared, or 32 bytes searched; bytes are those of all values that are
/// made on the way, whether they are kept or not. So neither time nor memory depends on what an expression says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub(super) steps: u64,
    pub(super) bytes: u64,
}

impl Budget {
    /// What one expression may cost: 50,000 steps (a few milliseconds) and 4 MiB.
    pub const EXPRESSION: Self = Self { steps: 50_000, bytes: 4 * 1024 * 1024 };
    /// What all expressions of one component may cost: 1,000,000 steps and 8 MiB.
    pub const COMPONENT: Self = Self { steps: 1_000_000, bytes: 8 * 1024 * 1024 };
    /// What all expressions of one plan may cost before it runs: 5,000,000 steps and 32 MiB.
    pub const PLAN: Self = Self { steps: 5_000_000, bytes: 32 * 1024 * 1024 };

    pub(super) fn least(self, other: Self) -> Self {
        Self { steps: self.steps.min(other.steps), bytes: self.bytes.min(other.bytes) }
    }

    /// Takes off what was used of `given`, of which `left` is left.
    pub(super) fn spend(&mut self, given: Self, left: Self) {
        self.steps -= given.steps - left.steps;
        self.bytes -= given.bytes - left.bytes;
    }
}
