//! Files that a component lists: read through the caller's reader, and inlined.

use serde_json::{Map, Value};

use super::Source;
use super::loader::Loader;
use super::origin::Origin;
use super::plain::{Meant, meant};
use super::texts::Mark;
use crate::expr::escape;
use crate::kind::FileList;
use crate::plan::diagnostic::Diagnostic;

impl Loader<'_> {
    /// Puts the documents of the files that a spec names into its list of objects. Whether there is anything to judge:
    /// a list that is empty because its files are broken is not.
    pub(super) fn inline(
        &mut self,
        files: FileList,
        spec: &mut Map<String, Value>,
        origin: &mut Origin,
    ) -> bool {
        let paths = spec.remove(files.paths);
        origin.inlined.list = format!("/{}", files.into);
        origin.inlined.own = spec.get(files.into).and_then(Value::as_array).map_or(0, Vec::len);
        let Some(Value::Array(paths)) = paths else { return true };
        let before = self.found.len();
        let mut objects = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let Some(path) = path.as_str() else { continue };
            let from = origin.document.and_then(|at| self.texts.source(at.source)).map(Source::name);
            let field = format!("/{}/{index}", files.paths);
            match self.options.files.read(from.unwrap_or_default(), path) {
                Err(reason) => {
                    let message = format!("cannot read `{}`: {reason}", path.escape_debug());
                    let place = origin.spec_field(&self.texts, &field, "");
                    self.push(Diagnostic::error("plan.file", message).at(place));
                }
                Ok(sources) => {
                    for source in sources {
                        self.inline_source(source, &field, origin, &mut objects);
                    }
                }
            }
        }
        let is_whole = self.found.len() == before || origin.inlined.own > 0 || !objects.is_empty();
        match spec.get_mut(files.into) {
            Some(Value::Array(own)) => own.append(&mut objects),
            Some(Value::Null) | None => drop(spec.insert(files.into.to_owned(), Value::Array(objects))),
            Some(_) => {}
        }
        is_whole
    }

    fn inline_source(&mut self, source: Source, field: &str, origin: &mut Origin, objects: &mut Vec<Value>) {
        let name = source.name().to_owned();
        let errors = self.found.len();
        let documents = self.add(source);
        if documents.is_empty() && self.found.len() == errors {
            let message = format!("`{}` holds no manifest", name.escape_debug());
            let place = origin.spec_field(&self.texts, field, "");
            self.push(Diagnostic::error("plan.empty-file", message).at(place).as_warning());
        }
        for found in documents {
            if meant(&found.document.value) == Meant::Plan {
                let place = self.texts.field(found.at, "/kind", Mark::Value, "");
                let named = origin.spec_field(&self.texts, field, "named here");
                let diagnostic =
                    Diagnostic::error("plan.plan-in-file", "a plan cannot stand inside of a plan")
                        .at(place)
                        .with_related(named)
                        .with_hint("only manifests can be listed here".to_owned());
                self.push(diagnostic);
            } else {
                origin.inlined.documents.push(found.at);
                let mut object = found.document.value;
                // In a manifest nothing is an expression.
                self.has_templates |= escape(&mut object);
                objects.push(object);
            }
        }
    }
}
