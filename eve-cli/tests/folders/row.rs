//! What a row of the table says about a folder. Data only.

/// Where the folders are.
pub(crate) const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/folders/input");

/// A folder, and what is done to it.
#[derive(Debug)]
pub(crate) struct Row {
    /// The folder's name, the plan's name, and what its namespace is called after.
    pub(crate) name: &'static str,
    /// How many objects there are in it.
    pub(crate) objects: usize,
    /// Namespaces of its own.
    pub(crate) namespaces: &'static [&'static str],
    /// Who reports about its custom resources.
    pub(crate) operators: &'static [Operator],
    /// What its author changes.
    pub(crate) edit: Edit,
    /// What others change, one after the other.
    pub(crate) foreign: &'static [Foreign],
}

/// A change of a file.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    /// Stands once in the file.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// The end of the path of the only object that may be written then.
    pub(crate) written: &'static str,
}

/// A change by somebody else.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// The field manager.
    pub(crate) by: &'static str,
    pub(crate) how: How,
    /// The end of the object's path, maybe with a subresource behind it.
    pub(crate) path: &'static str,
    /// JSON.
    pub(crate) body: &'static str,
    pub(crate) then: Then,
}

/// How somebody writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// A merge patch, as `kubectl edit`, `scale`, `label` and controllers do.
    Update,
    /// A server-side apply that takes fields over.
    Apply,
    /// It is deleted, and gone before the next step.
    Delete,
}

/// What the next `eve apply` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: no field of the input is concerned.
    Nothing,
    /// It writes this one object.
    PutRight,
    /// It creates this one object, which needs no dry run.
    Create,
    /// It fails, names the manager and writes nothing; after this change by the same manager it writes this one object.
    Conflict(&'static str),
}

/// Somebody who reports that resources of this collection are ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    /// Below `/apis/`, such as `example.dev/v1/things`: in all namespaces.
    pub(crate) collection: &'static str,
    /// What it holds its resources with until it has cleaned up.
    pub(crate) finalizer: Option<&'static str>,
    pub(crate) report: Report,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// These conditions, in the status.
    Conditions(&'static [&'static str]),
    /// `Accepted` and `ResolvedRefs` for each parent of a route.
    Parents,
}
