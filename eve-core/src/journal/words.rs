//! The words that stand in stored records for the values of plain enums: one table for each.

use serde::{Deserialize, Serialize};

use crate::failure::FailureClass;
use crate::ports::ComponentEnd;
use crate::run::{Change, Outcome, Phase, StopMode};

/// A stored word for each value, and the way there and back; a value without a word does not compile.
macro_rules! words {
    ($form:ident is $type:ident: $($value:ident = $word:literal),+) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
        pub(super) enum $form {
            $(#[serde(rename = $word)] $value),+
        }

        impl From<$type> for $form {
            fn from(value: $type) -> Self {
                match value {
                    $($type::$value => Self::$value),+
                }
            }
        }

        impl From<$form> for $type {
            fn from(word: $form) -> Self {
                match word {
                    $($form::$value => Self::$value),+
                }
            }
        }
    };
}

words!(ChangeWord is Change:
    None = "none", Create = "create", Update = "update", Replace = "replace", Delete = "delete", Unknown = "unknown");
words!(ClassWord is FailureClass:
    Transient = "transient", Permanent = "permanent", Cancelled = "cancelled", Misuse = "misuse");
words!(OutcomeWord is Outcome:
    Succeeded = "succeeded", Failed = "failed", Cancelled = "cancelled", Superseded = "superseded",
    RolledBack = "rolled-back", RollbackFailed = "rollback-failed");
words!(PartWord is ComponentEnd:
    Succeeded = "succeeded", Failed = "failed", Skipped = "skipped", NotUndone = "not-undone");
words!(PhaseWord is Phase: Prepare = "prepare", Apply = "apply", Wait = "wait", Verify = "verify", Undo = "undo");
words!(StopWord is StopMode: Drain = "drain", Now = "now", Supersede = "supersede", Rollback = "rollback");
