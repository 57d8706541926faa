//! Rules of the scheduler: who runs, who is told, what is kept.

mod answers;
mod rig;
mod rules;
mod store;
