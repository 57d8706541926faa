//! What people and programs get to see. [`Printer`] is the only one that writes to stdout and stderr; `board` knows the
//! run, `human` and `json` are the two reporters, everything else makes text.

mod board;
mod explanation;
mod human;
mod json;
mod lines;
mod live;
mod printer;
mod report;
pub(crate) mod style;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use explanation::{Explained, Findings, object};
pub(crate) use human::HumanReporter;
pub(crate) use json::JsonReporter;
pub(crate) use printer::Printer;
pub(crate) use text::{clean, count};

use crate::exit::Exit;

/// Says the last words on a run.
pub(crate) trait Ending {
    /// Called once, when nothing more will be reported.
    fn end(&self, exit: Exit);
}
