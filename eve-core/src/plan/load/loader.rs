//! Reads sources, tells plans from manifests, checks everything, expands.
//!
//! One pass that collects problems and goes on as long as going on can find more. Start with [`Loader::run`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::expressions::Known;
use super::loaded::{Inner, Loaded, finish};
use super::origin::{self, Inlined, Origin};
use super::plain::{Meant, meant};
use super::problems::FieldProblem;
use super::read::{self, Document};
use super::texts::{DocumentAt, Mark, Texts};
use super::{LoadOptions, Source, stream, words};
use crate::expr::{Budget, escape};
use crate::kind::{Expansion, Kind, Scope};
use crate::plan::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::plan::expand::{Written, expand};
use crate::plan::limits::Limits;
use crate::plan::{FailurePolicy, Settings};

pub(super) struct Loader<'a> {
    pub(super) options: &'a LoadOptions<'a>,
    pub(super) texts: Texts,
    pub(super) found: Vec<Diagnostic>,
    pub(super) has_errors: bool,
    /// How many errors there are besides those in `found`.
    pub(super) hidden: usize,
    /// Places of secrets that lead nowhere. With other errors they are told at once; without, with what asking tells.
    pub(super) misplaced: Vec<Diagnostic>,
    /// What the parts so far make, with the component and the field of its spec.
    pub(super) objects: BTreeMap<String, (usize, String)>,
    /// Specs in which the schema found a problem.
    pub(super) flawed: BTreeSet<String>,
    /// Whether strings may mean something else than they say.
    pub(super) has_templates: bool,
    /// What rendering may still cost.
    pub(super) budget: Budget,
}

pub(super) struct Found {
    pub(super) at: DocumentAt,
    pub(super) document: Document,
}

impl<'a> Loader<'a> {
    pub(super) fn new(options: &'a LoadOptions<'a>) -> Self {
        Self {
            options,
            texts: Texts::default(),
            found: Vec::new(),
            has_errors: false,
            hidden: 0,
            misplaced: Vec::new(),
            objects: BTreeMap::new(),
            flawed: BTreeSet::new(),
            has_templates: false,
            budget: Budget::PLAN,
        }
    }

    pub(super) fn run(mut self, sources: Vec<Source>) -> Result<Loaded, Diagnostics> {
        let mut documents = Vec::new();
        for source in sources {
            documents.extend(self.add(source));
        }
        let (plans, manifests): (Vec<Found>, Vec<Found>) =
            documents.into_iter().partition(|found| meant(&found.document.value) == Meant::Plan);
        self.check_given("-n", self.options.namespace.as_deref());
        self.check_given("--name", self.options.name.as_deref());
        let inner = match (plans, manifests) {
            (plans, manifests) if plans.is_empty() && manifests.is_empty() => {
                if !self.has_errors {
                    self.push(
                        Diagnostic::error("input.empty", "the input holds neither a plan nor a manifest")
                            .with_hint("every document is empty or a comment".to_owned()),
                    );
                }
                None
            }
            (plans, manifests) if plans.is_empty() => self.manifests(manifests),
            (plans, manifests) => {
                self.refuse_mixture(&plans, &manifests);
                plans.into_iter().next().and_then(|plan| self.plan(plan))
            }
        };
        match inner {
            Some(inner) if !self.has_errors => {
                let Self { texts, found: warnings, misplaced, .. } = self;
                Ok(Loaded::new(Inner { texts, warnings, misplaced, ..inner }))
            }
            _ => {
                self.found.append(&mut self.misplaced);
                Err(finish(&self.texts, (self.found, self.hidden), self.options.limits.problems_max))
            }
        }
    }

    pub(super) fn limits(&self) -> &'a Limits {
        &self.options.limits
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.has_errors |= diagnostic.severity == Severity::Error;
        self.found.push(diagnostic);
    }

    /// Reads one source.
    pub(super) fn add(&mut self, source: Source) -> Vec<Found> {
        let (bytes, bad_byte) = (source.text().len() as u64, source.bad_byte());
        let index = self.texts.add(stream::separated(source));
        let most = self.limits().input_bytes_max;
        if bytes > most {
            let name = self.texts.source(index).map(Source::name).unwrap_or_default().to_owned();
            let message = format!("`{name}` has {bytes} bytes; at most {most} are read");
            self.push(Diagnostic::error("input.too-large", message));
            return Vec::new();
        }
        if let Some(byte) = bad_byte {
            let place = self.texts.place(index, byte..byte + 1, "");
            let message = format!("byte {byte} of the input is no UTF-8");
            let hint = "save the file as UTF-8".to_owned();
            self.push(Diagnostic::error("input.not-utf8", message).at(place).with_hint(hint));
            return Vec::new();
        }
        let text = self.texts.source(index).cloned();
        let read = read::read(text.as_ref().map(Source::text).unwrap_or_default(), self.limits());
        self.hidden += read.hidden;
        if !read.problems.is_empty() {
            self.texts.mark_broken(index);
        }
        for problem in read.problems {
            let place = self.texts.place(index, problem.span, "");
            let related = problem.related.and_then(|(span, label)| self.texts.place(index, span, label));
            self.push(
                Diagnostic::error(problem.code, problem.message)
                    .at(place)
                    .with_related(related)
                    .with_hint(problem.hint),
            );
        }
        let at = |document: &Document| DocumentAt { source: index, number: document.number };
        read.documents.into_iter().map(|document| Found { at: at(&document), document }).collect()
    }

    /// Names that were given beside the input.
    fn check_given(&mut self, flag: &str, given: Option<&str>) {
        let Some((given, reason)) = given.and_then(|given| Some((given, words::bad_label(given)?))) else {
            return;
        };
        let message = format!("`{flag} {}` is no valid name: {reason}", given.escape_debug());
        self.push(
            Diagnostic::error("plan.bad-name", message)
                .with_hint(words::as_label(given).map(|label| format!("for example `{label}`"))),
        );
    }

    fn refuse_mixture(&mut self, plans: &[Found], manifests: &[Found]) {
        let head = |loader: &Self, found: &Found, label: &str| {
            loader.texts.field(found.at, "/kind", Mark::Value, label)
        };
        let [plan, others @ ..] = plans else { return };
        for other in others {
            let diagnostic = Diagnostic::error("input.many-plans", "the input holds more than one plan")
                .at(head(self, other, ""))
                .with_related(head(self, plan, "the first plan"))
                .with_hint("give each plan to its own run".to_owned());
            self.push(diagnostic);
        }
        if let Some(manifest) = manifests.first() {
            let count = manifests.len();
            let message = if count == 1 {
                "the input holds a manifest beside a plan".to_owned()
            } else {
                format!("the input holds {count} manifests beside a plan")
            };
            let diagnostic = Diagnostic::error("input.mixed", message)
                .at(head(self, manifest, ""))
                .with_related(head(self, plan, "the plan"))
                .with_hint("put the manifest into a component of kind `manifests`".to_owned());
            self.push(diagnostic);
        }
    }

    /// A plan made of plain manifests.
    fn manifests(&mut self, manifests: Vec<Found>) -> Option<Inner> {
        self.refuse_inputs();
        let Some(kind) = self.options.kinds.manifests().cloned() else {
            let message = "plain manifests are not taken here";
            self.push(Diagnostic::error("input.no-manifests", message));
            return None;
        };
        let namespace = self.options.namespace.clone().or_else(|| self.options.default_namespace.clone());
        if namespace.is_none() {
            let message = "plain manifests need a namespace";
            let hint = "give it with `-n NAMESPACE`".to_owned();
            self.push(Diagnostic::error("input.no-namespace", message).with_hint(hint));
        }
        let namespace = namespace.unwrap_or_default();
        let list = kind.files().map(|files| files.into).unwrap_or_default();
        let mut origin = Origin {
            name: String::new(),
            document: None,
            component: String::new(),
            spec: String::new(),
            inlined: Inlined { list: format!("/{list}"), own: 0, documents: Vec::new() },
        };
        let mut objects = Vec::with_capacity(manifests.len());
        for found in manifests {
            origin.inlined.documents.push(found.at);
            let mut object = found.document.value;
            // In a manifest nothing is an expression.
            self.has_templates |= escape(&mut object);
            objects.push(object);
        }
        let spec = Value::Object(Map::from_iter([(list.to_owned(), Value::Array(objects))]));
        let expansion = self.expansion(kind.as_ref(), spec, &origin, &namespace)?;
        let mut written = [Written {
            name: String::new(),
            dependencies: Vec::new(),
            settings: Settings::default(),
            expansion,
            references: Vec::new(),
        }];
        let origins = vec![origin];
        self.set_aside(&mut written, &origins, &Known::none());
        let name = self.options.name.clone().unwrap_or_else(|| namespace.clone());
        Some(Inner {
            texts: Texts::default(),
            name,
            namespace,
            on_failure: FailurePolicy::default(),
            request_id: None,
            cluster: None,
            secrets: BTreeMap::new(),
            is_manifests: true,
            origins,
            components: expand(written.into(), self.limits().components_max),
            warnings: Vec::new(),
            misplaced: Vec::new(),
            limits: self.limits().clone(),
            names: OnceLock::new(),
        })
    }

    /// Checks a spec, then expands it if nothing is wrong with it.
    pub(super) fn expansion(
        &mut self,
        kind: &dyn Kind,
        spec: Value,
        origin: &Origin,
        namespace: &str,
    ) -> Option<Expansion> {
        let scope = Scope { namespace, component: &origin.name };
        let mut is_good = true;
        for problem in kind.check(&spec, &scope) {
            // A misspelt field is the reason why the spec as a whole seems to lack something.
            if problem.pointer.is_empty() && self.flawed.contains(&origin.spec) {
                continue;
            }
            is_good &= problem.severity == Severity::Warning;
            let diagnostic = origin.diagnose(&self.texts, problem);
            self.push(diagnostic);
        }
        is_good.then(|| kind.expand(spec, &scope))
    }

    pub(super) fn report(&mut self, at: DocumentAt, problem: FieldProblem) {
        let diagnostic = origin::diagnose(&self.texts, at, problem);
        self.push(diagnostic);
    }
}
