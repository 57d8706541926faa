//! Limits on what a plan may cost, each with a unit and a default.
//!
//! They are checked while reading, so that a hostile input is refused before it is held in memory.

/// Limits on a plan and on the files it is read from. Embedders may change each; the defaults are generous for people
/// and small for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one input file or stream. Default 64 MiB: the largest known public manifest folders are under 10 MiB.
    pub input_bytes_max: u64,
    /// YAML documents in one input. Default 100,000.
    pub documents_max: usize,
    /// Levels of nesting of one document. Default 64, as much as the YAML reader's own budget.
    pub depth_max: usize,
    /// Values that aliases (`*name`) may copy in one document. Default 100,000.
    pub alias_values_max: usize,
    /// Components, joins included. Default 100,000.
    pub components_max: usize,
    /// Edges after expansion. Default 1,000,000.
    pub edges_max: usize,
    /// Bytes of a component's name, parts included. Default 512: a DNS label, a kind and an object name of 253.
    pub name_bytes_max: usize,
    /// Problems that are reported; the rest is counted. Default 100.
    pub problems_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes_max: 64 * 1024 * 1024,
            documents_max: 100_000,
            depth_max: 64,
            alias_values_max: 100_000,
            components_max: 100_000,
            edges_max: 1_000_000,
            name_bytes_max: 512,
            problems_max: 100,
        }
    }
}
