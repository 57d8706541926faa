//! What a row of the table says about a folder. Data only.

/// Where the folders are.
pub const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/folders/input");

/// A folder, and what is done to it.
#[derive(Debug)]
pub struct Row {
    /// The folder's name, the plan's name, and what its namespace is called after.
    pub name: &'static str,
    /// How many objects there are in it.
    pub objects: usize,
    /// Namespaces of its own.
    pub namespaces: &'static [&'static str],
    /// Who reports about its custom resources.
    pub operators: &'static [Operator],
    /// What its author changes.
    pub edit: Edit,
    /// What others change, one after the other.
    pub foreign: &'static [Foreign],
}

/// A change of a file.
#[derive(Debug)]
pub struct Edit {
    pub file: &'static str,
    /// Stands once in the file.
    pub from: &'static str,
    pub to: &'static str,
    /// The end of the path of the only object that may be written then.
    pub written: &'static str,
}

/// A change by somebody else.
#[derive(Debug)]
pub struct Foreign {
    /// The field manager.
    pub by: &'static str,
    pub how: How,
    /// The end of the object's path, maybe with a subresource behind it.
    pub path: &'static str,
    /// JSON.
    pub body: &'static str,
    pub then: Then,
}

/// How somebody writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A merge patch, as `kubectl edit`, `scale`, `label` and controllers do.
    Update,
    /// A server-side apply that takes fields over.
    Apply,
}

/// What the next `eve apply` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing: no field of the input is concerned.
    Nothing,
    /// It writes this one object.
    PutRight,
    /// It fails, names the manager and writes nothing; after this change by the same manager it writes this one object.
    Conflict(&'static str),
}

/// Somebody who reports that resources of this collection are ready.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Below `/apis/`, such as `example.dev/v1/things`: in all namespaces.
    pub collection: &'static str,
    /// What it holds its resources with until it has cleaned up.
    pub finalizer: Option<&'static str>,
    pub report: Report,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// These conditions, in the status.
    Conditions(&'static [&'static str]),
    /// `Accepted` and `ResolvedRefs` for each parent of a route.
    Parents,
}
