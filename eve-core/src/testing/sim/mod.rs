//! A simulator for runs: the real engine in a world where everything that can go wrong does, and that is the same every
//! time.
//!
//! ```text
//!   Choices ──▶ Scenario: plan, options, scripts, faults
//!      │             │
//!      └──────────▶ Sim: virtual time ─ disk that forgets ─ cluster of scripted objects ─ processes that die
//!                    │ every step
//!                    └──▶ Invariants, and at the end the outcome oracle ──▶ Report
//! ```
//!
//! All randomness comes from one trait, [`Choices`]: [`Seeded`] for swarms, [`Enumerated`] for everything that a small plan
//! can come to, [`Recorded`] to see a schedule again. What must hold is named in [`Invariant`]; that it is found when it
//! does not is proved with [`Sabotage`]. [`Scenario`] shows how to simulate a plan of one's own; [`check`] is a whole swarm
//! schedule.
//!
//! What is real here: [`Run`](crate::run::Run), the graph, and the form of the records. The loop around the run is the
//! simulator's own copy of the driver's. Not simulated: the clients, the store's file format, and more than one run at a
//! time; runs that undo others come one after the other.

mod calls;
mod choices;
mod cluster;
mod coverage;
mod disk;
mod faults;
mod invariants;
mod lives;
mod oracle;
mod process;
mod report;
mod sabotage;
mod scenario;
mod script;
mod shrink;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use choices::pick;
pub use choices::{Chance, Choices, Enumerated, Recorded, Recorder, Replay, Seeded, Stream};
pub use coverage::{Coverage, Met, Stand, Told, impossible};
pub use faults::{Fault, Faults, Tally};
pub use invariants::{Invariant, Violation};
pub use report::{Kind, Report, check, check_twice, enumerate, simulate, traced};
pub use sabotage::Sabotage;
pub use scenario::Scenario;
pub use script::{Found, Misbehaviour, Script};
pub use shrink::shrunk;

use world::Sim;
