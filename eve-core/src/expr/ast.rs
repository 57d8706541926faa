//! The tree of an expression.

use std::ops::Range;

use serde_json::Value;

use super::functions::Function;

/// A part of an expression, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) expr: Expr,
    pub(super) at: Range<usize>,
    /// Levels of the tree below and including this one.
    pub(super) height: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Expr {
    Literal(Value),
    Name(Box<str>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Select(Box<Node>, Box<str>),
    /// `has(a.b)`: of `a` the field `b`.
    Has(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// Condition, then, else.
    Choice(Box<[Node; 3]>),
    /// What a method is called on is the first argument.
    Call(&'static Function, Vec<Node>),
    Loop(Box<Loop>),
}

/// `range.map(name, body)` and its like.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) kind: LoopKind,
    pub(super) range: Node,
    pub(super) name: Box<str>,
    pub(super) body: Node,
    /// The third argument of `map`: then `body` says which items are taken.
    pub(super) result: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

impl LoopKind {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "map" => Self::Map,
            "filter" => Self::Filter,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Negate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Binary {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

impl Node {
    /// Its parts.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.expr {
            Expr::Literal(_) | Expr::Name(_) => Vec::new(),
            Expr::List(items) | Expr::Call(_, items) => items.iter().collect(),
            Expr::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Expr::Select(of, _) | Expr::Has(of, _) | Expr::Unary(_, of) => vec![of],
            Expr::Index(pair) | Expr::Binary(_, pair) | Expr::And(pair) | Expr::Or(pair) => {
                pair.iter().collect()
            }
            Expr::Choice(all) => all.iter().collect(),
            Expr::Loop(one) => {
                [Some(&one.range), Some(&one.body), one.result.as_ref()].into_iter().flatten().collect()
            }
        }
    }

    /// How it is written, where that is a name with fields: `inputs.tags`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only names and fields are a path")]
    pub(super) fn path(&self) -> Option<String> {
        match &self.expr {
            Expr::Name(name) => Some(name.to_string()),
            Expr::Select(of, field) => Some(format!("{}.{field}", of.path()?)),
            Expr::Index(pair) => {
                let [of, by] = &**pair;
                match &by.expr {
                    Expr::Literal(Value::String(key)) => {
                        Some(format!("{}['{}']", of.path()?, key.escape_debug()))
                    }
                    Expr::Literal(index @ Value::Number(_)) => Some(format!("{}[{index}]", of.path()?)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
