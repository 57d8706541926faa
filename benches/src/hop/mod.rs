//! What eve adds to the cluster's own time: eve beside clients written by hand, on one control plane, in turns.
//!
//! Start with [`Bench::round`]. Every contender is a process of its own and acts as the user `eve`, each run in a
//! namespace of its own; the audit log says what was asked for and when. Only ratios and differences of neighbouring
//! runs mean something, since the machine is never the same twice. [`hand`] holds the hand-written clients, [`player`]
//! who sets the status of Deployments, [`figures`] what is made of it all, [`table`] how it is shown.

mod bench;
mod contender;
pub mod figures;
pub mod hand;
pub mod objects;
pub mod player;
pub mod table;

pub use bench::{Bench, Seen, Sizes};
pub use contender::{Contender, Programs, Spent};
