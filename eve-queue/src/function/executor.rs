//! The component kind `function`: a function that is called as a step of a plan.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::Until;
use eve_core::plan::problem::SpecProblem;
use eve_core::ports::{Context, Executor, Notice, Step, Verdict};
use eve_core::run::{Applied, Change, Outputs, Prepared, TOKEN_BYTES_MAX};
use serde_json::{Value, json};

use super::kind::Spec;
use super::{FunctionAnswer, FunctionCall, FunctionClient, FunctionKeys, KeyFor, keys};
use crate::address::{Address, Allowed};

/// Calls functions as components of kind `function`.
///
/// The spec is `{url, payload?, timeoutSeconds?}`: an address that the operator allows, without its key; a JSON object, empty by
/// default, which is the body; 1 to 3,600 s, by default 300.
///
/// - **At least once, with one identity**: what was sent is sent again only when nobody knows how it went: after a crash, after silence
///   or after an answer that is none. `Idempotency-Key` is `RUN/COMPONENT/ATTEMPT`; it is the same after a crash, since the
///   attempt is. `Eve-Step` is `RUN/COMPONENT`, the same for all attempts.
/// - `success` and `noop` are success; the outputs are `result` and `messages`, of which as many are kept as fit into 1 KiB.
/// - What it repeats of the secrets of the run is taken out of what it says.
/// - `failed` is a permanent failure with the messages as its notes.
/// - **Rollback**: a call that was made is not undone, and what it depends on stays with it, unless every attempt has certainly left
///   nothing behind: it never went out, or the function said `failed` or `noop`.
/// - Reads nothing: what it would change is not known before, and after it there is nothing to wait for.
#[derive(Clone)]
pub struct FunctionExecutor {
    client: FunctionClient,
    keys: Arc<dyn FunctionKeys>,
    allowed: Allowed,
}

impl FunctionExecutor {
    /// Calls what is allowed, with the keys that are known.
    pub fn new(client: FunctionClient, keys: Arc<dyn FunctionKeys>, allowed: Allowed) -> Self {
        Self { client, keys, allowed }
    }

    fn read(&self, spec: &Value) -> Result<(Spec, Address), Box<SpecProblem>> {
        let spec = Spec::read(spec)?;
        let address = spec.address()?;
        if self.allowed.allows(&address) {
            Ok((spec, address))
        } else {
            let message = format!("{address} is not among the functions that may be called");
            let problem = SpecProblem::new("function.not-allowed", "/url", message);
            Err(problem.with_hint("whoever runs eve says which functions plans may call").into())
        }
    }
}

impl fmt::Debug for FunctionExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionExecutor").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

#[async_trait]
impl Executor for FunctionExecutor {
    fn check(&self, spec: &Value) -> Vec<SpecProblem> {
        self.read(spec).err().into_iter().map(|problem| *problem).collect()
    }

    async fn apply(&self, step: &Step, _: &Prepared, cx: &Context) -> Result<Applied, Failure> {
        let (spec, address) = self.read(step.spec()).map_err(|problem| {
            let message = format!("component {}: {}", step.name(), problem.message);
            Failure::permanent(problem.code, message).with_nothing_left()
        })?;
        let stable = format!("{}/{}", step.run(), step.name());
        let limit = spec.limit().min(cx.remaining());
        let body = Value::Object(spec.payload);
        let call = FunctionCall {
            address: &address,
            key: None,
            identity: ascii(&format!("{stable}/{}", step.attempt())),
            headers: vec![("eve-step", ascii(&stable))],
            body: &body,
            limit,
            mask: step.mask(),
        };
        let wanted = KeyFor { url: &spec.url, run: Some(step.run()) };
        end(&address, keys::call(&self.client, &*self.keys, wanted, call).await?)
    }

    async fn wait(&self, _: &Step, applied: &Applied, _: Until, _: &Context) -> Result<Outputs, Failure> {
        let outputs = applied.token.as_deref().and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(outputs.into_iter().fold(Outputs::NONE, |all, (name, value)| all.with(name, value)))
    }
}

/// Header lines hold ASCII: names of components and plans may hold more.
fn ascii(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet = percent_encoding::CONTROLS.add(b' ').add(b'%');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}

/// What follows from an answer.
fn end(address: &Address, answer: FunctionAnswer) -> Result<Applied, Failure> {
    let FunctionAnswer { verdict, mut messages } = answer;
    let change = match verdict {
        Verdict::Success => Change::Update,
        Verdict::Noop => Change::None,
        Verdict::Failed => {
            let said = messages.first().map_or_else(String::new, |message| format!(": {message}"));
            let failure = Failure::new(
                FailureClass::Permanent,
                "function.failed",
                format!("function {address} says that it failed{said}"),
            );
            let failure = failure.with_nothing_left();
            return Err(messages.into_iter().skip(1).fold(failure, Failure::with_note));
        }
    };
    messages.truncate(Notice::MESSAGES_MAX);
    let mut token = json!({ "result": verdict.as_str(), "messages": messages });
    while token.to_string().len() > TOKEN_BYTES_MAX && messages.pop().is_some() {
        token = json!({ "result": verdict.as_str(), "messages": messages, "cut": true });
    }
    Ok(Applied { change, token: Some(Box::new(token)) })
}
