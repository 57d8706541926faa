//! The components of a plan as they are written, without their specs: what the graph needs to find edges to nowhere
//! and cycles in the words of the plan, even where other things are wrong.

use std::sync::Arc;

use serde_json::Value;

use super::expressions::Use;
use super::origin::dependency_name;
use super::words;
use crate::plan::{Action, ClassLimit, Component, Dependency, FailurePolicy, Plan, Settings, Until};

pub(super) struct Skeleton {
    components: Vec<Bone>,
    nothing: Arc<Value>,
}

struct Bone {
    name: String,
    dependencies: Vec<Dependency>,
    class: Option<ClassLimit>,
    nothing: Arc<Value>,
}

impl Skeleton {
    /// Reads what can be read: components without a usable name are left out, as are dependencies without one.
    /// `references` are the components that each refers to, by its position.
    pub(super) fn of(components: &[Value], references: &[Vec<Use>]) -> Self {
        let nothing = Arc::new(Value::Null);
        let mut skeleton = Self { components: Vec::with_capacity(components.len()), nothing };
        let mut seen = std::collections::BTreeSet::new();
        for (index, component) in components.iter().enumerate() {
            let Some(name) = component.get("name").and_then(Value::as_str) else { continue };
            if words::bad_label(name).is_none() && seen.insert(name) {
                let mut bone = skeleton.bone(name, component);
                let references = references.get(index).into_iter().flatten();
                bone.dependencies.extend(references.map(|one| Dependency::ready(one.component.clone())));
                skeleton.components.push(bone);
            }
        }
        skeleton
    }

    fn bone(&self, name: &str, component: &Value) -> Bone {
        let entries = component.get("dependsOn").and_then(Value::as_array);
        // An entry that is no name keeps its position: the graph counts positions.
        let dependencies = entries.into_iter().flatten().map(|entry| {
            let named = dependency_name(entry).filter(|name| words::bad_label(name).is_none());
            Dependency { component: named.unwrap_or(IGNORED).to_owned(), until: Until::Ready }
        });
        let class = component.get("class").and_then(|class| {
            let limit =
                class.get("limit").and_then(Value::as_u64).and_then(|limit| u32::try_from(limit).ok())?;
            let name = class.get("name").and_then(Value::as_str)?;
            (limit > 0 && !name.is_empty()).then(|| ClassLimit { name: name.to_owned(), limit })
        });
        Bone {
            name: name.to_owned(),
            dependencies: dependencies.collect(),
            class,
            nothing: Arc::clone(&self.nothing),
        }
    }
}

/// Stands for a dependency that was already reported: no component can have this name.
pub(super) const IGNORED: &str = "";

impl Plan for Skeleton {
    fn name(&self) -> &'static str {
        ""
    }

    fn namespace(&self) -> &'static str {
        ""
    }

    fn on_failure(&self) -> FailurePolicy {
        FailurePolicy::default()
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        self.components.iter().for_each(|component| visit(component));
    }
}

impl Component for Bone {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        ""
    }

    fn spec(&self) -> Arc<Value> {
        Arc::clone(&self.nothing)
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.dependencies.clone()
    }

    fn settings(&self) -> Settings {
        Settings { action: Action::None, class: self.class.clone(), ..Settings::default() }
    }
}
