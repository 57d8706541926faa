//! What people and programs get to see. [`Printer`] is the only one that writes to stdout and stderr; `board` knows the
//! run, `human` and `json` are the two reporters, everything else makes text.

mod board;
mod explanation;
mod human;
mod json;
mod leftover;
mod lines;
mod live;
mod printer;
mod recorded;
mod remedy;
mod report;
mod stopping;
pub(crate) mod style;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod times;
mod undoing;

pub(crate) use board::Board;
pub(crate) use explanation::{Explained, Findings, object};
pub(crate) use human::HumanReporter;
pub(crate) use json::{
    JsonReporter, left_over as left_over_json, rollback as rollback_json, summary as summary_json,
};
pub(crate) use leftover::words as left_over_words;
pub(crate) use printer::Printer;
pub(crate) use recorded::{Standing, header_json, requests_json, state_word, status};
pub(crate) use stopping::effect;
pub(crate) use table::table;
pub(crate) use text::{clean, count};
pub(crate) use timeline::Timeline;

use eve_core::run::StopMode;

use crate::exit::Exit;
use crate::wiring::LeftOver;

/// Says the last words on a run.
pub(crate) trait Ending {
    /// What a request to stop does to the run, as it stands.
    fn effect(&self, mode: StopMode) -> &'static str;

    /// Called once, when nothing more will be reported. `left` is of the plan, and not in the input.
    fn end(&self, exit: Exit, left: &[LeftOver]);
}
