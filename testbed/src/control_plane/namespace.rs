//! The handle of a namespace that belongs to one test. Data only.

/// A namespace of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestNamespace {
    pub(super) name: String,
}

impl TestNamespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::ops::Deref for TestNamespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for TestNamespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}
