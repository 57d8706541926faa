//! Which object of one input needs which: edges, each with the rule that made it and the field that says so. Pure.
//!
//! An edge is *written* when an annotation asks for it and *inferred* when a field of an object names, selects or
//! intercepts another. Written edges win: an inferred one that would close a cycle is left out and named. Where many
//! meet many, a join stands between, so that edges stay linear in the objects. Only objects of the input count.
//! `rules` is the table of all rules; start with `infer`.

use std::fmt;

use eve_core::plan::Until;
use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use crate::object::at as value_at;

mod acyclic;
mod annotations;
mod base;
mod builder;
mod network;
mod operated;
mod pods;
mod rules;
mod selector;
mod served;
mod storage;
mod subject;
#[cfg(test)]
mod tests;

pub(crate) use rules::Rule;
pub use rules::markdown;
pub(crate) use subject::Subject;

use builder::Builder;

/// What an input needs.
#[derive(Debug, Default)]
pub(crate) struct Inferred {
    /// Joins between objects, by name: unique, and never the name of an object's part. Node `n` is the object `n`, or
    /// the join `n - objects`.
    pub(crate) joins: Vec<String>,
    /// Each pair of nodes at most once; without a cycle.
    pub(crate) edges: Vec<Edge>,
    /// What is wrong with annotations, and which edges were left out.
    pub(crate) problems: Vec<SpecProblem>,
}

/// One node must come before another.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// How far `before` must have come.
    pub(crate) until: Until,
    pub(crate) rule: &'static Rule,
    /// The field that the edge comes from, as a JSON Pointer into the spec.
    pub(crate) pointer: String,
}

/// The edges among these objects.
pub(crate) fn infer(subjects: &[Subject<'_>]) -> Inferred {
    let mut builder = Builder::new(subjects);
    annotations::add(&mut builder);
    for node in 0..subjects.len() {
        network::add(&mut builder, node);
        storage::add(&mut builder, node);
        pods::add(&mut builder, node);
        base::add(&mut builder, node);
    }
    builder.close_gates();
    served::add(&mut builder);
    operated::add(&mut builder);
    builder.finish()
}

/// The text at a pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value_at(value, pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The items of the list at a pointer, with their positions.
fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value_at(value, pointer).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// A key as a segment of a JSON Pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Where a field stands, written only when there is an edge.
type At<'a> = fmt::Arguments<'a>;
