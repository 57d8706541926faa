//! Where the keys of functions come from: by the address of the function, as the plan writes it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::SecretResolver;
use eve_core::secret::{SecretRef, SecretValue};

/// Knows the keys of functions.
///
/// - **Idempotent**; the future may be dropped at any await. **Who retries**: the core.
#[async_trait]
pub trait FunctionKeys: Send + Sync {
    /// The key of the function at this address, as the plan or the configuration writes it; `None` if it needs none.
    ///
    /// # Errors
    /// A classified [`Failure`] when it is not known whether there is one.
    async fn key(&self, url: &str) -> Result<Option<SecretValue>, Failure>;
}

/// Keys in memory.
#[derive(Clone, Debug, Default)]
pub struct KeyMap(BTreeMap<String, SecretValue>);

impl KeyMap {
    /// None.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The same with the key of one more function.
    #[must_use]
    pub fn with(mut self, url: impl Into<String>, key: SecretValue) -> Self {
        self.0.insert(url.into(), key);
        self
    }
}

#[async_trait]
impl FunctionKeys for KeyMap {
    async fn key(&self, url: &str) -> Result<Option<SecretValue>, Failure> {
        Ok(self.0.get(url).cloned())
    }
}

/// Keys that are asked for when they are needed.
#[derive(Clone)]
pub struct ResolvedKeys {
    resolver: Arc<dyn SecretResolver>,
    references: BTreeMap<String, SecretRef>,
}

impl ResolvedKeys {
    /// The keys of these functions, by address, out of `resolver`.
    pub fn new(resolver: Arc<dyn SecretResolver>, references: BTreeMap<String, SecretRef>) -> Self {
        Self { resolver, references }
    }
}

impl fmt::Debug for ResolvedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedKeys").field("references", &self.references).finish_non_exhaustive()
    }
}

#[async_trait]
impl FunctionKeys for ResolvedKeys {
    async fn key(&self, url: &str) -> Result<Option<SecretValue>, Failure> {
        let Some(reference) = self.references.get(url) else { return Ok(None) };
        match self.resolver.resolve(std::slice::from_ref(reference)).await {
            Ok(values) => Ok(values.into_iter().next().map(|resolved| resolved.value)),
            Err(bad) => Err(bad.into_iter().next().map_or_else(
                || Failure::misuse("function.key", "there is no key, and no reason for it"),
                |bad| {
                    let message = format!("the key of the function: {bad}");
                    bad.failure.with_message(message)
                },
            )),
        }
    }
}
