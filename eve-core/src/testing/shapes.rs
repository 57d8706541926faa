//! Plans of a shape, made as they are visited: a million components cost no memory before they are in the graph.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use crate::plan::{Component, Dependency, FailurePolicy, Plan, Settings};

/// How the components of a [`ShapedPlan`] depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each on the one before.
    Chain,
    /// All on the first.
    Fanout,
    /// Layers of 1,000; each component on three of the layer before.
    Layered,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "chain",
            Self::Fanout => "fanout",
            Self::Layered => "layered",
        })
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "chain" => Ok(Self::Chain),
            "fanout" => Ok(Self::Fanout),
            "layered" => Ok(Self::Layered),
            other => Err(format!("`{other}` is no shape; there are chain, fanout and layered")),
        }
    }
}

/// A plan of one shape whose components are all of kind `noop`.
#[derive(Clone, Debug)]
pub struct ShapedPlan {
    shape: Shape,
    len: usize,
}

impl ShapedPlan {
    /// How many components a layer has.
    pub const LAYER: usize = 1000;

    /// A plan of `len` components.
    pub const fn new(shape: Shape, len: usize) -> Self {
        Self { shape, len }
    }
}

impl Plan for ShapedPlan {
    fn name(&self) -> &'static str {
        "shaped"
    }

    fn namespace(&self) -> &'static str {
        "shaped"
    }

    fn on_failure(&self) -> FailurePolicy {
        FailurePolicy::Drain
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        let spec = Arc::new(Value::Null);
        for index in 0..self.len {
            visit(&ShapedComponent { name: name(index), shape: self.shape, index, spec: Arc::clone(&spec) });
        }
    }
}

fn name(index: usize) -> String {
    format!("component-{index}")
}

struct ShapedComponent {
    name: String,
    shape: Shape,
    index: usize,
    spec: Arc<Value>,
}

impl Component for ShapedComponent {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "noop"
    }

    fn spec(&self) -> Arc<Value> {
        Arc::clone(&self.spec)
    }

    fn dependencies(&self) -> Vec<Dependency> {
        let on = |index: usize| Dependency::ready(name(index));
        match self.shape {
            Shape::Chain => self.index.checked_sub(1).map(on).into_iter().collect(),
            Shape::Fanout => (self.index > 0).then(|| on(0)).into_iter().collect(),
            Shape::Layered => {
                let Some(above) = (self.index / ShapedPlan::LAYER).checked_sub(1) else { return Vec::new() };
                let column = |step: usize| (self.index % ShapedPlan::LAYER + step) % ShapedPlan::LAYER;
                [0, 1, 7].map(|step| on(above * ShapedPlan::LAYER + column(step))).into()
            }
        }
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }
}
