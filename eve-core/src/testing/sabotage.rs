//! What all simulators have: bugs that are planted, with a name, a budget and what finds them; and panics, which are told.

use std::any::Any;

/// What a panic says.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The enum of the bugs of a simulator: of each what then goes wrong, its name, its budget, and the invariants beside it that
/// find it.
macro_rules! bugs {
    ($($(#[doc = $text:literal])+ $bug:ident $name:literal $budget:literal [$($by:ident),+],)+) => {
        /// A bug that can be planted; the text says what then goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Sabotage {
            $($(#[doc = $text])+ $bug,)+
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// Within how many schedules it is found.
            pub const fn budget(self) -> u64 {
                match self {
                    $(Self::$bug => $budget,)+
                }
            }

            /// The invariants of which one finds it.
            pub const fn found_by(self) -> &'static [super::Invariant] {
                match self {
                    $(Self::$bug => &[$(super::Invariant::$by),+],)+
                }
            }
        }

        impl std::fmt::Display for Sabotage {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for Sabotage {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|bug| bug.name() == text);
                found.copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
                    format!("`{text}` is no planted bug; there are {}", names.join(", "))
                })
            }
        }
    };
}
