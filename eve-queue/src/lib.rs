//! Where plans come from, and who is told how they ended.
//!
//! ```text
//!   directory ─┐                                        ┌─▶ function   its answer is final
//!              ├─▶ PlanSource ─▶ core ─▶ Notifier ──────┼─▶ webhook    CloudEvents, signed
//!   SQS + S3 ──┘                   │                    ├─▶ SQS        an answer queue
//!                                  └─▶ Executor         └─▶ directory  a file beside the plan
//!                                       `function`: a step of a plan
//! ```
//!
//! Nothing here loops or tries again: each request is made once, within a time, and what went wrong is classified. The core
//! decides what follows. Redirects are never followed, answers are bounded, link-local addresses are refused. Why it is so: ADR 15.
//!
//! Where to start: [`DirectorySource`] and [`DirectoryNotifier`] need nothing but a folder; `aws` (feature `aws`) has
//! the queue, its payloads and the ways to credentials; [`FunctionClient`] and [`WebhookNotifier`] call out.

mod address;
mod call;
mod directory;
mod function;
mod stop;
mod webhook;

#[cfg(feature = "aws")]
pub mod aws;

pub use address::{Address, AddressError, Allowed};
pub use directory::{DirectoryNotifier, DirectoryOptions, DirectorySource, Ignored};
pub use function::{
    FunctionAnswer, FunctionCall, FunctionClient, FunctionExecutor, FunctionKeys, FunctionKind,
    FunctionNotifier, KeyFor, KeyMap, address as function_address,
};
pub use webhook::{WebhookNotifier, WebhookOptions};
