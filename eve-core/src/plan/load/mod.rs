//! From text to a plan: YAML and JSON, plans and plain manifests, every problem at once, each with its place.
//!
//! Pure: files that a plan names are asked for through [`FileReader`]. Start with [`load`].

use std::fmt;

use super::diagnostic::Diagnostics;
use super::limits::Limits;
use crate::failure::Failure;
use crate::kind::Kinds;
use crate::secret::SecretRef;

mod document;
mod expressions;
mod files;
mod glance;
mod index;
mod inputs;
mod lines;
mod loaded;
mod loader;
mod origin;
mod plain;
mod pointer;
mod problems;
mod read;
mod redact;
mod rendering;
mod salvage;
mod scalar;
mod schema;
mod secrets;
mod skeleton;
mod stream;
mod syntax;
mod texts;
mod words;
mod written;

pub use document::{Document, DocumentOptions, Overlay, document};
pub use glance::{Glance, glance};
pub use loaded::{Loaded, LoadedEdge};
pub use schema::plan_schema;

pub use super::diagnostic::Source;

/// What surrounds an input: which namespace and name it is to have, which kinds there are, what it may cost.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadOptions<'a> {
    /// The namespace that was asked for (`-n`). A plan that states another one is an error.
    pub namespace: Option<String>,
    /// The namespace for plain manifests when none was asked for, for example that of the kubeconfig's context.
    pub default_namespace: Option<String>,
    /// The name of the plan that plain manifests make (`--name`); the namespace if `None`. A plan that states another
    /// one is an error.
    pub name: Option<String>,
    /// The kinds that a plan may use.
    pub kinds: &'a Kinds,
    /// What the input may cost.
    pub limits: Limits,
    /// Reads files that a plan names.
    pub files: &'a dyn FileReader,
    /// Files with inputs: each is a map, and what stands in a later one counts.
    pub input_files: Vec<Source>,
    /// Inputs by name, as a command line gives them (`--set`); they count more than files. Each is read as a YAML scalar,
    /// but as text where the plan's own value is a text.
    pub inputs: Vec<(String, String)>,
    /// What is wrong with the place of a secret, as far as its backend can tell by looking at it. Told with the other
    /// problems of the plan; where there are none, with those that asking for the secrets tells
    /// ([`Loaded::misplaced_secrets`]).
    pub secret_places: &'a PlaceCheck,
}

/// Judges where a secret is kept, without I/O. Its words never repeat the reference: it may be the secret itself.
pub type PlaceCheck = dyn Fn(&SecretRef) -> Result<(), Failure> + Send + Sync;

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("namespace", &self.namespace)
            .field("default_namespace", &self.default_namespace)
            .field("name", &self.name)
            .field("kinds", &self.kinds)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<'a> LoadOptions<'a> {
    /// Options with these kinds, default limits, and no files.
    pub fn new(kinds: &'a Kinds) -> Self {
        Self {
            namespace: None,
            default_namespace: None,
            name: None,
            kinds,
            limits: Limits::default(),
            files: &NoFiles,
            input_files: Vec::new(),
            inputs: Vec::new(),
            secret_places: &|_| Ok(()),
        }
    }

    /// The same with a namespace that was asked for.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Option<String>) -> Self {
        self.namespace = namespace;
        self
    }

    /// The same with a namespace for plain manifests when none was asked for.
    #[must_use]
    pub fn with_default_namespace(mut self, namespace: Option<String>) -> Self {
        self.default_namespace = namespace;
        self
    }

    /// The same with a name for the plan that plain manifests make.
    #[must_use]
    pub fn with_name(mut self, name: Option<String>) -> Self {
        self.name = name;
        self
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with inputs from files, and with single ones that count more.
    #[must_use]
    pub fn with_inputs(mut self, files: Vec<Source>, single: Vec<(String, String)>) -> Self {
        (self.input_files, self.inputs) = (files, single);
        self
    }

    /// The same with a judge of the places of secrets.
    #[must_use]
    pub fn with_secret_places(mut self, check: &'a PlaceCheck) -> Self {
        self.secret_places = check;
        self
    }

    /// The same with a reader for the files that a plan names.
    #[must_use]
    pub fn with_files(mut self, files: &'a dyn FileReader) -> Self {
        self.files = files;
        self
    }
}

/// Reads the files that a plan names.
pub trait FileReader {
    /// The file at `path`, as it stands in the plan, relative to the source named `from`; all files of a folder, in
    /// the order of their names.
    ///
    /// # Errors
    /// Why it cannot be read: a lowercase fragment, for example `no such file`.
    fn read(&self, from: &str, path: &str) -> Result<Vec<Source>, String>;
}

/// For doors that take no files: refuses each.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl FileReader for NoFiles {
    fn read(&self, _from: &str, _path: &str) -> Result<Vec<Source>, String> {
        Err("files cannot be read here; only the command line inlines them".into())
    }
}

/// Reads plans or manifests. All sources together are one plan: either one document of kind `Plan`, or manifests.
///
/// # Errors
/// Every problem found, with warnings in between.
pub fn load(sources: Vec<Source>, options: &LoadOptions<'_>) -> Result<Loaded, Diagnostics> {
    loader::Loader::new(options).run(sources)
}
