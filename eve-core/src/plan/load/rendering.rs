//! Takes the expressions that must wait out of the specs of parts, and the escapes of those that are none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::expressions::{Found, IN_SPECS, Known, Use};
use super::loader::Loader;
use super::origin::Origin;
use super::texts::{DocumentAt, Mark};
use crate::expr::{Budget, ExprError, Names, Template};
use crate::kind::{Expansion, Part};
use crate::plan::Action;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::expand::Written;
use crate::plan::expressions::{Expressions, OutputSource};

impl Loader<'_> {
    /// Afterwards what is text in a spec is what it says, and what is not stands in [`Part::expressions`].
    pub(super) fn set_aside(&mut self, written: &mut [Written], origins: &[Origin], known: &Known) {
        if !self.has_templates {
            return;
        }
        let sources: BTreeMap<String, OutputSource> =
            written.iter().map(|one| (one.name.clone(), source_of(one))).collect();
        for (one, origin) in written.iter_mut().zip(origins) {
            for part in &mut one.expansion.parts {
                if let Err(error) = split(part, known, &sources) {
                    let message =
                        format!("the kind of `{}` makes a bad expression: {}", origin.name, error.message);
                    let place = origin.spec_field(&self.texts, "", "");
                    self.push(Diagnostic::error(error.kind.code(), message).at(place));
                }
            }
        }
    }

    /// `self` is one object.
    pub(super) fn check_condition_fits(&mut self, expansion: &Expansion, origin: &Origin) {
        let parts = expansion.parts.iter().filter(|part| part.action != Action::None).count();
        if parts == 1 {
            return;
        }
        let message = format!("`readyWhen` of `{}` speaks of one object, and it has {parts}", origin.name);
        let place = origin.field(&self.texts, "/readyWhen", Mark::Value, "");
        let hint = "put the object that is meant into a component of its own".to_owned();
        self.push(Diagnostic::error("plan.ready-when", message).at(place).with_hint(hint));
    }

    /// Outputs that are used must be there, as far as that is known.
    pub(super) fn check_outputs(&mut self, at: DocumentAt, uses: &[Vec<Use>], known: &Outputs) {
        for one in uses.iter().flatten() {
            let (Some(Some(outputs)), Some(output)) = (known.get(&one.component), &one.output) else {
                continue;
            };
            if !outputs.contains(output) {
                self.unknown_output(at, one, outputs);
            }
        }
    }
}

/// The outputs of components whose specs are good; nothing where they are known only when it runs.
pub(super) type Outputs = BTreeMap<String, Option<BTreeSet<String>>>;

/// What a component puts out, if that is known.
pub(super) fn outputs_of(expansion: &Expansion) -> Option<BTreeSet<String>> {
    let all = expansion.parts.iter().map(|part| part.outputs.as_ref()).collect::<Option<Vec<_>>>()?;
    Some(all.into_iter().flatten().cloned().collect())
}

/// The parts that put something out.
fn source_of(written: &Written) -> OutputSource {
    let has_outputs = |part: &&Part| part.outputs.as_ref().is_none_or(|outputs| !outputs.is_empty());
    let name = |part: &Part| match part.name.as_str() {
        "" => written.name.clone(),
        part => format!("{}/{part}", written.name),
    };
    let parts = written.expansion.parts.iter().filter(has_outputs).map(name).collect();
    OutputSource { component: written.name.clone(), parts }
}

fn split(part: &mut Part, known: &Known, sources: &BTreeMap<String, OutputSource>) -> Result<(), ExprError> {
    let mut found = Found::default();
    found.search(&part.spec, &mut String::new(), &|_| false);
    if found.strings.is_empty() {
        return Ok(());
    }
    let mut spec = Value::clone(&part.spec);
    let mut waiting = Expressions::new(Arc::clone(&known.constants));
    for pointer in found.strings {
        let Some(place) = spec.pointer_mut(&pointer) else { continue };
        let template = Template::parse(place.as_str().unwrap_or_default(), &IN_SPECS)?;
        if template.is_text() {
            *place = template.render(&Names::new(), &mut Budget::COMPONENT.clone())?;
        } else {
            waiting.add(pointer, template);
        }
    }
    part.spec = Arc::new(spec);
    if !waiting.is_empty() {
        let used = waiting.components().into_iter().filter_map(|name| sources.get(name).cloned()).collect();
        waiting.set_sources(used);
        part.expressions = Some(Arc::new(waiting));
    }
    Ok(())
}
