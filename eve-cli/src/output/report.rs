//! The last words on a run, for people: each failure with its reason, what it cost, and the figures. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use eve_core::few::few;
use eve_core::ids::ComponentId;
use eve_core::run::{Outcome, Phase, StopReason};

use super::board::Board;
use super::style;
use super::summary::Summary;
use super::text::{ENTRIES_MAX, clean, count, is_delete, unlisted};
use super::undoing::{self, Tally};
use crate::duration::show;

/// Steps of the critical path that are shown: those that took longest, in their order.
const STEPS_MAX: usize = 12;
/// Steps that are too short to be of interest.
const SHORT: Duration = Duration::from_millis(100);

/// What went wrong; empty if nothing did.
pub(crate) fn failures(board: &Board, summary: &Summary) -> String {
    let mut text = String::new();
    for &id in summary.failures.iter().take(ENTRIES_MAX) {
        failure(board, summary, id, &mut text);
    }
    if let Some(rest) = summary.failures.get(ENTRIES_MAX..).filter(|rest| !rest.is_empty()) {
        let _ = writeln!(text, "{} {}", style::error("failed too:"), names(board, rest));
    }
    for (message, ids) in given_up(board, summary) {
        let _ = writeln!(text, "{}: {}", style::warning(clean(message)), names(board, &ids));
    }
    if board.outcome.is_none() && !board.open.is_empty() {
        let open: Vec<ComponentId> = board.open.iter().copied().collect();
        let _ = writeln!(text, "{} {}", style::error("left as they were under way:"), names(board, &open));
    }
    if let Some(ids) = summary.skips.get(&None) {
        // In a run that undoes another, nothing was to be started.
        let untouched: Vec<ComponentId> =
            ids.iter().copied().filter(|id| !board.row(*id).is_touched()).collect();
        if board.undoes.is_none() && !untouched.is_empty() {
            let _ = writeln!(text, "{} {}", style::warning("not started:"), names(board, &untouched));
        }
    }
    let unseen = unseen(board, summary);
    if !unseen.is_empty() {
        let what = "may have been written, and nobody has looked since:";
        let _ = writeln!(text, "{} {}", style::warning(what), names(board, &unseen));
    }
    text.push_str(&undoing::remains(board));
    text
}

/// Skipped components of which a write may have begun before, and that no rollback puts back, in plan order.
fn unseen(board: &Board, summary: &Summary) -> Vec<ComponentId> {
    let is_unseen = |id: &ComponentId| board.row(*id).is_touched() && !board.undos.contains_key(id);
    let mut unseen: Vec<ComponentId> = summary.skips.values().flatten().copied().filter(is_unseen).collect();
    unseen.sort_unstable();
    unseen
}

/// Components that were given up, by what is said about them, in the order of the first of each.
fn given_up<'a>(board: &'a Board, summary: &Summary) -> Vec<(&'a str, Vec<ComponentId>)> {
    let mut groups: Vec<(&str, Vec<ComponentId>)> = Vec::new();
    for &id in &summary.given_up {
        let message =
            board.row(id).failure.as_ref().map_or("given up", |(_, failure)| failure.message.as_str());
        match groups.iter_mut().find(|(known, _)| *known == message) {
            Some((_, ids)) => ids.push(id),
            None => groups.push((message, vec![id])),
        }
    }
    groups
}

fn failure(board: &Board, summary: &Summary, id: ComponentId, text: &mut String) {
    let row = board.row(id);
    let Some((phase, failure)) = &row.failure else { return };
    let attempt = match row.attempt.get() {
        1 => String::new(),
        number => format!(" in attempt {number}"),
    };
    let _ = writeln!(
        text,
        "{} {} {}{attempt}: {}",
        style::strong(board.name(id)),
        style::error("failed"),
        to_do(board, id, *phase),
        clean(&failure.message)
    );
    for line in failure.lines().flat_map(str::lines) {
        let _ = writeln!(text, "    {}", clean(line));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  {} {}", style::hint("hint:"), clean(hint));
    }
    if let Some(ids) = summary.skips.get(&Some(id)) {
        let _ = writeln!(text, "  {} {}", style::warning("skipped because of it:"), names(board, ids));
    }
}

/// What did not work, for people.
pub(crate) fn to_do(board: &Board, component: ComponentId, phase: Phase) -> &'static str {
    match (phase, is_delete(&board.graph, component)) {
        (Phase::Prepare, _) => "to be compared with the cluster",
        (Phase::Apply, false) => "to be applied",
        (Phase::Apply, true) => "to be deleted",
        (Phase::Wait, false) => "to become ready",
        (Phase::Wait, true) => "to go",
        (Phase::Verify, false) => "to be ready still",
        (Phase::Verify, true) => "to be gone still",
        (Phase::Undo, _) => "to be undone",
    }
}

fn names(board: &Board, ids: &[ComponentId]) -> String {
    few(ids.iter().map(|id| board.name(*id)))
}

/// The figures.
pub(crate) fn figures(board: &Board, summary: &Summary) -> String {
    let mut text = String::new();
    if board.undoes.is_some() {
        return format!("{} in {}: {}", outcome(board), show(summary.wall), Tally::of(board).text());
    }
    if summary.components == 0 {
        return format!("{} in {}: nothing to do", outcome(board), show(summary.wall));
    }
    // Where all is to be removed, the changes say how it ended.
    let only_removals = summary.removals > 0 && summary.removals == summary.components;
    let mut ends = if only_removals { Vec::new() } else { vec![format!("{} ready", summary.ready)] };
    for (number, word) in
        [(summary.failed, "failed"), (summary.cancelled, "given up"), (summary.skipped, "skipped")]
    {
        if number > 0 {
            ends.push(format!("{number} {word}"));
        }
    }
    let ends = if ends.is_empty() { String::new() } else { format!("; {}", ends.join(", ")) };
    let _ = write!(
        text,
        "{} in {}: {}{ends} of {}",
        outcome(board),
        show(summary.wall),
        changes(summary),
        count(summary.components, "component"),
    );
    if board.rolling_back.is_some() {
        let _ = write!(text, "; {}", Tally::of(board).text());
    }
    text.push_str(&critical_path(board, summary));
    for (heading, all) in [("stays:", &summary.kept), ("took over:", &summary.taken_over)] {
        let heading = style::warning(heading);
        for (id, said) in all.iter().take(ENTRIES_MAX) {
            let _ = write!(text, "\n{heading} {}: {}", board.name(*id), clean(said));
        }
        if let Some(more) = unlisted(all.len()) {
            let _ = write!(text, "\n{heading} {more}");
        }
    }
    if !summary.no_status.is_empty() {
        let unseen = names(board, &summary.no_status);
        let heading = style::faint("ready as soon as applied, for no status is reported:");
        let _ = write!(text, "\n{heading} {unseen}");
    }
    text
}

/// What was written and removed: of each only where the plan has it.
fn changes(summary: &Summary) -> String {
    let Summary { created, changed, unchanged, deleted, absent, .. } = summary;
    let mut parts = Vec::new();
    if summary.removals < summary.components {
        parts.push(format!("{created} created, {changed} changed, {unchanged} unchanged"));
    }
    if summary.removals > 0 {
        parts.push(format!("{deleted} deleted, {absent} were not there, {} stay", summary.kept.len()));
    }
    parts.join("; ")
}

fn outcome(board: &Board) -> String {
    match (board.outcome, board.stopping) {
        (Some(Outcome::Succeeded), _) => style::good("succeeded").to_string(),
        (Some(Outcome::Failed), Some(StopReason::Deadline)) => {
            style::error("failed, out of time").to_string()
        }
        (Some(Outcome::Failed), _) => style::error("failed").to_string(),
        (Some(Outcome::Superseded), _) => style::warning("superseded").to_string(),
        (Some(Outcome::RolledBack), _) if board.undoes.is_some() => style::good("rolled back").to_string(),
        (Some(Outcome::RollbackFailed), _) if board.undoes.is_some() => {
            style::error("not all is rolled back").to_string()
        }
        (Some(Outcome::RolledBack), Some(StopReason::Asked { .. })) => {
            style::warning("cancelled, rolled back").to_string()
        }
        (Some(Outcome::RolledBack), _) => style::error("failed, rolled back").to_string(),
        (Some(Outcome::RollbackFailed), _) => style::error("failed, and not all is rolled back").to_string(),
        (Some(_), _) => style::warning("cancelled").to_string(),
        (None, _) => style::error("aborted").to_string(),
    }
}

fn critical_path(board: &Board, summary: &Summary) -> String {
    let path = &summary.critical_path;
    let total: Duration = path.iter().map(|(_, took)| *took).sum();
    let took = |index: &usize| path.get(*index).map_or(Duration::ZERO, |(_, took)| *took);
    let mut longest: Vec<usize> = (0..path.len()).filter(|index| took(index) >= SHORT).collect();
    if longest.is_empty() {
        return String::new();
    }
    longest.sort_by_key(|&index| std::cmp::Reverse(took(&index)));
    longest.truncate(STEPS_MAX);
    longest.sort_unstable();
    let mut text = format!("\ncritical path, {}:", show(total));
    for (id, took) in longest.iter().filter_map(|&index| path.get(index)) {
        let _ = write!(text, "\n  {:>7}  {}", show(*took), board.name(*id));
    }
    if path.len() > longest.len() {
        let shown: Duration = longest.iter().map(took).sum();
        let _ = write!(
            text,
            "\n  {:>7}  in {}",
            show(total.saturating_sub(shown)),
            count(path.len() - longest.len(), "shorter step")
        );
    }
    text
}
