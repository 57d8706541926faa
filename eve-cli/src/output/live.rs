//! The frame at the bottom of a terminal: what is under way, what it waits for, since when. Pure.

use std::time::Duration;

use eve_core::few::more;
use eve_core::ids::ComponentId;
use eve_core::run::StopReason;
use eve_core::time::Timestamp;

use super::board::{Board, Stage};
use super::style;
use super::text::{clean, cut, is_delete, width};
use super::undoing::{Tally, UndoStage};
use crate::duration::show_whole;

/// A terminal in columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A wait for one cause that takes longer than this is shown as one that needs attention: long enough to pull an image.
const LONG: Duration = Duration::from_mins(1);
/// Less than this of a cause says nothing.
const TEXT_COLUMNS_MIN: usize = 12;
/// The widest column of names.
const NAME_COLUMNS_MAX: usize = 40;

/// The frame: a line of figures, then what is under way, the oldest first. At most two thirds of the terminal's height
/// and never wider than the terminal; nothing once the run is over.
pub(crate) fn frame(board: &Board, size: Size, now: Timestamp) -> Vec<String> {
    if board.outcome.is_some() || board.run.is_none() {
        return Vec::new();
    }
    let mut lines = vec![style::strong(cut(&figures(board, now), size.width)).to_string()];
    let room = (size.height * 2 / 3).max(3) - 1;
    let mut open: Vec<ComponentId> = board.open.iter().copied().collect();
    // By seconds, so that those that began together stay in plan order.
    let age = |id| board.row(id).began_at.map(|at| at.since(board.started_at).as_secs());
    open.sort_by_key(|&id| age(id));
    let shown = if open.len() > room { room - 1 } else { open.len() };
    let shown = open.get(..shown).unwrap_or_default();
    let names = shown.iter().map(|id| width(short(board.name(*id)))).max().unwrap_or(0);
    let names = names.min(NAME_COLUMNS_MAX).min(size.width / 3);
    lines.extend(shown.iter().map(|id| row(board, *id, (names, size.width), now)));
    if let Some(more) = more(open.len() - shown.len()) {
        lines.push(style::faint(cut(&format!("  {more}"), size.width)).to_string());
    }
    lines
}

fn figures(board: &Board, now: Timestamp) -> String {
    let Board { ready, failed, left_out, total, open, .. } = board;
    let mut parts = vec![format!("{ready} of {total} ready"), format!("{} under way", open.len())];
    for (number, word) in [(failed, "failed"), (left_out, "skipped")] {
        if *number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    if open.is_empty() && ready + failed + left_out == 0 {
        parts = vec![format!("comparing with the cluster, {} of {total}", board.prepared)];
    }
    if board.rolling_back.is_some() {
        parts = vec![format!("rolling back, {}", Tally::of(board).text())];
    } else if board.verifying {
        parts.push("looking once more".to_owned());
    }
    match board.stopping {
        Some(StopReason::Failure { component }) => {
            parts.push(format!("stopping because {} failed", short(board.name(component))));
        }
        Some(_) => parts.push("stopping".to_owned()),
        None => {}
    }
    let elapsed = show_whole(now.since(board.started_at));
    format!("{} {elapsed}: {}", board.graph.name(), parts.join(", "))
}

/// What is said of a component that is put back.
fn undoing(board: &Board, id: ComponentId, now: Timestamp) -> (String, String, Duration) {
    let Some(undo) = board.undos.get(&id) else { return (String::new(), String::new(), Duration::ZERO) };
    let here = show_whole(now.since(undo.since));
    if let Some(at) = undo.retry_at.filter(|_| undo.stage == UndoStage::Pausing) {
        let why = undo.failure.as_ref().map(|(_, failure)| failure.message.as_str()).unwrap_or_default();
        let left = show_whole(at.since(now));
        let text = format!("attempt {} to undo failed: {}", undo.attempt, clean(why));
        return (format!("retry in {left:>7}"), text, Duration::ZERO);
    }
    let cause = undo.cause.as_ref().map(|cause| clean(&cause.message).into_owned());
    (format!("undoing  {here:>7}"), cause.unwrap_or_default(), Duration::ZERO)
}

fn row(board: &Board, id: ComponentId, (names, columns): (usize, usize), now: Timestamp) -> String {
    let row = board.row(id);
    let name = cut(short(board.name(id)), names);
    let name = format!("  {name}{:pad$}", "", pad = names.saturating_sub(width(&name)));
    let here = show_whole(now.since(row.since));
    let (state, text, same) = match row.stage {
        _ if board.undos.get(&id).is_some_and(|undo| undo.stage.is_open()) => undoing(board, id, now),
        Stage::Applying => {
            let doing = if is_delete(&board.graph, id) { "deleting" } else { "applying" };
            (format!("{doing} {here:>7}"), String::new(), Duration::ZERO)
        }
        Stage::Pausing => {
            let left = row.retry_at.map(|at| show_whole(at.since(now))).unwrap_or_default();
            let why = row.failure.as_ref().map(|(_, failure)| failure.message.as_str()).unwrap_or_default();
            let text = format!("attempt {} failed: {}", row.attempt, clean(why));
            (format!("retry in {left:>7}"), text, Duration::ZERO)
        }
        Stage::Waiting
        | Stage::Pending
        | Stage::Ready
        | Stage::Failed
        | Stage::Cancelled
        | Stage::Skipped => {
            let cause = row.cause.as_ref();
            let text = cause.map(|(cause, _)| clean(&cause.message).into_owned()).unwrap_or_default();
            let same = cause.map_or(Duration::ZERO, |(_, since)| now.since(*since));
            (format!("waiting  {here:>7}"), text, same)
        }
    };
    let begin = format!("{name}  {state}");
    let room = columns.saturating_sub(width(&begin) + 2);
    if text.is_empty() || room < TEXT_COLUMNS_MIN {
        return cut(&begin, columns).into_owned();
    }
    // Where it is as old as the wait itself, that is told already.
    let is_newer = !same.is_zero() && now.since(row.since).saturating_sub(same) > Duration::from_secs(1);
    let tail = if is_newer { format!(" (for {})", show_whole(same)) } else { String::new() };
    let text = cut_before(&text, &tail, room);
    let needs_attention = same > LONG || row.stage == Stage::Pausing;
    if needs_attention { format!("{begin}  {}", style::warning(text)) } else { format!("{begin}  {text}") }
}

/// The name without an end that only repeats its beginning: `web/deployment/web` is `web/deployment`.
fn short(name: &str) -> &str {
    let begin = name.split('/').next().unwrap_or(name);
    match name.rsplit_once('/') {
        Some((rest, end)) if end == begin && rest != begin => rest,
        _ => name,
    }
}

/// Cuts the text and keeps the tail behind it, where there is room for both.
fn cut_before(text: &str, tail: &str, room: usize) -> String {
    let left = room.saturating_sub(width(tail));
    if left < TEXT_COLUMNS_MIN { cut(text, room).into_owned() } else { format!("{}{tail}", cut(text, left)) }
}
