//! The names that an expression may use, and which of them it does use: found without evaluating it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::ast::{Expr, Node};
use super::error::ExprError;
use crate::plan::graph::closest;

/// A name that stands for something from outside of the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// `inputs`: the values that the plan, or whoever starts it, states.
    Inputs,
    /// `secrets`: the values of the secrets that the plan declares.
    Secrets,
    /// `components`: what other components have put out.
    Components,
    /// `plan`: its `name` and `namespace`.
    Plan,
    /// `run`: its `id`.
    Run,
    /// `cluster`: the `name` that the plan states.
    Cluster,
    /// `self`: the live object.
    Itself,
}

impl Root {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 7] =
        [Self::Inputs, Self::Secrets, Self::Components, Self::Plan, Self::Run, Self::Cluster, Self::Itself];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Secrets => "secrets",
            Self::Components => "components",
            Self::Plan => "plan",
            Self::Run => "run",
            Self::Cluster => "cluster",
            Self::Itself => "self",
        }
    }

    /// The fields that it has; `None` where a plan says which.
    const fn fields(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Plan => Some(&["name", "namespace"]),
            Self::Run => Some(&["id"]),
            Self::Cluster => Some(&["name"]),
            Self::Inputs | Self::Secrets | Self::Components | Self::Itself => None,
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.name() == name)
    }
}

/// One use of a name from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub root: Root,
    /// The fields that follow, as far as they are written out: of `components.db.ports[0]` it is `db`, `ports`.
    pub path: Vec<String>,
    /// Where it stands in the text that was parsed.
    pub at: Range<usize>,
}

/// The values of names, for one evaluation.
#[derive(Clone, Default)]
pub struct Names<'a>(BTreeMap<&'static str, Cow<'a, Value>>);

impl<'a> Names<'a> {
    /// No names.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a name for a value that somebody else keeps.
    #[must_use]
    pub fn with(mut self, root: Root, value: &'a Value) -> Self {
        self.0.insert(root.name(), Cow::Borrowed(value));
        self
    }

    /// The same with a name for a value made for it.
    #[must_use]
    pub fn with_owned(mut self, root: Root, value: Value) -> Self {
        self.0.insert(root.name(), Cow::Owned(value));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for Names<'_> {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// All references of an expression. `allowed` are the names that it may use.
///
/// # Errors
/// The first name that does not exist, or that is used in a way that hides what it refers to.
pub(super) fn references(node: &Node, allowed: &[Root]) -> Result<Vec<Reference>, ExprError> {
    let mut walk = Walk { allowed, bound: Vec::new(), found: Vec::new() };
    walk.node(node)?;
    Ok(walk.found)
}

struct Walk<'a> {
    allowed: &'a [Root],
    /// Names of loops.
    bound: Vec<&'a str>,
    found: Vec<Reference>,
}

impl<'a> Walk<'a> {
    /// Recursion is bounded by the height of the tree.
    fn node(&mut self, node: &'a Node) -> Result<(), ExprError> {
        if let Some((name, path, dynamic)) = chain(node)
            && !self.bound.contains(&name)
        {
            self.root(name, path, node)?;
            return dynamic.into_iter().try_for_each(|inner| self.node(inner));
        }
        if let Expr::Loop(one) = &node.expr {
            self.node(&one.range)?;
            self.bound.push(&one.name);
            self.node(&one.body)?;
            one.result.iter().try_for_each(|result| self.node(result))?;
            self.bound.pop();
            return Ok(());
        }
        node.children().into_iter().try_for_each(|child| self.node(child))
    }

    fn root(&mut self, name: &str, path: Vec<String>, node: &Node) -> Result<(), ExprError> {
        let at = node.at.clone();
        let Some(root) = Root::of(name).filter(|root| self.allowed.contains(root)) else {
            return Err(self.unknown(name, node));
        };
        match (root, path.first()) {
            (Root::Components | Root::Secrets, None) => {
                let what = if root == Root::Secrets { "secret" } else { "component" };
                let message = format!("it must be written which {what} is meant");
                let hint = format!("write `{name}.NAME`, or `{name}['NAME']`");
                return Err(ExprError::unknown(at, message).with_hint(hint));
            }
            (_, Some(field)) => {
                if let Some(known) = root.fields().filter(|known| !known.contains(&field.as_str())) {
                    let message = format!("`{name}` has no field `{}`", field.escape_debug());
                    let meant = closest(field, known.iter().copied());
                    let hint = meant.map_or_else(
                        || format!("it has `{}`", known.join("` and `")),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    return Err(ExprError::unknown(at, message).with_hint(hint));
                }
            }
            (_, None) => {}
        }
        self.found.push(Reference { root, path, at });
        Ok(())
    }

    fn unknown(&self, name: &str, node: &Node) -> ExprError {
        let known: Vec<&str> = self.allowed.iter().map(|root| root.name()).collect();
        let at = node.at.clone();
        if let Some(root) = Root::of(name) {
            let message = format!("`{}` cannot be used here", root.name());
            return ExprError::unknown(at, message).with_hint(format!("known are `{}`", known.join("`, `")));
        }
        let meant = closest(name, known.iter().copied().chain(self.bound.iter().copied()));
        let hint = meant.map_or_else(
            || format!("known are `{}`; a text stands in quotes", known.join("`, `")),
            |meant| format!("did you mean `{meant}`?"),
        );
        ExprError::unknown(at, format!("there is nothing named `{name}`")).with_hint(hint)
    }
}

/// A name with its fields, as far as they are written out, and what stands in brackets further on.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is, it is no chain")]
fn chain(node: &Node) -> Option<(&str, Vec<String>, Vec<&Node>)> {
    let mut links = Vec::new();
    let mut at = node;
    let name = loop {
        match &at.expr {
            Expr::Name(name) => break name,
            Expr::Select(of, field) | Expr::Has(of, field) => {
                links.push(Link::Field(field));
                at = of;
            }
            Expr::Index(pair) => {
                let [of, by] = &**pair;
                links.push(match &by.expr {
                    Expr::Literal(Value::String(field)) => Link::Field(field),
                    Expr::Literal(_) => Link::Item,
                    _ => Link::Dynamic(by),
                });
                at = of;
            }
            _ => return None,
        }
    };
    let (mut path, mut dynamic, mut is_plain) = (Vec::new(), Vec::new(), true);
    for link in links.into_iter().rev() {
        match link {
            Link::Field(field) if is_plain => path.push(field.to_owned()),
            Link::Field(_) => {}
            Link::Item => is_plain = false,
            Link::Dynamic(node) => {
                is_plain = false;
                dynamic.push(node);
            }
        }
    }
    Some((name, path, dynamic))
}

enum Link<'a> {
    Field(&'a str),
    Item,
    Dynamic(&'a Node),
}
