//! Rules of the scheduler: who runs, who is told, what is kept.

mod answers;
mod numbers;
mod rig;
mod rules;
mod store;
