//! The only function that changes the state of a run: live and replayed state cannot differ.

use super::protocol::{
    Applied, Change, Event, KeepReason, Outcome, Phase, Prepared, Record, SkipReason, StopMode, StopReason,
};
use super::state::{Cell, ComponentStatus, Counts, LastApplied, State, Touch};
use super::undo;
use crate::failure::{Failure, FailureClass};
use crate::ids::ComponentId;
use crate::plan::graph::Graph;
use crate::plan::{FailurePolicy, Until};
use crate::time::Timestamp;

/// Takes over one event.
///
/// # Errors
/// Why the event cannot follow what came before; the state is then unchanged.
pub(super) fn apply(state: &mut State, graph: &Graph, record: &Record) -> Result<(), &'static str> {
    let at = record.at;
    if state.outcome.is_some() {
        return Err("comes after the end of the run");
    }
    if state.start.is_none() != matches!(record.event, Event::RunStarted { .. }) {
        return Err("is not the start of a run at its beginning, or is one later");
    }
    if blamed(&record.event).is_some_and(|component| component.index() >= state.cells.len()) {
        return Err("blames a component that the graph has not");
    }
    if let Some(component) = component_of(&record.event) {
        let cell = state.cells.get(component.index()).ok_or("names a component that the graph has not")?;
        if state.rollback.is_some() {
            let at = at.minus(state.gap);
            undo::apply(state, graph, (component, &record.event), at)?;
            state.last_at = record.at;
            return Ok(());
        }
        cell.check(&record.event)?;
        if matches!(record.event, Event::AttemptFailed { phase: Phase::Verify, .. })
            && !state.ending.verifying
        {
            return Err("comes before everything was ready");
        }
    }
    apply_to_run(state, graph, &record.event, at)?;
    state.last_at = at;
    Ok(())
}

/// Takes over an event that is not about the rollback of a component. `at` is a point of the clock.
fn apply_to_run(state: &mut State, graph: &Graph, event: &Event, at: Timestamp) -> Result<(), &'static str> {
    match event {
        Event::RunStarted { run } => {
            state.start = Some(run.clone());
            state.started_at = at;
            if run.undoes.is_some() { skip_all(state) } else { free_turns_come(state, graph, at) }
        }
        Event::Resumed => {
            if !sabotaged!(state, GapCounts) {
                state.gap += at.since(state.last_at);
            }
            if !sabotaged!(state, AnnouncedForgotten) {
                announced_may_have_arrived(state);
            }
            forget_findings(state);
        }
        Event::Stopping { reason } => stop(state, graph, *reason),
        Event::Finished { outcome } => {
            let undoing = match &state.rollback {
                Some(rollback) => rollback.counts.unfinished() > 0,
                None => state.ending.rolls_back,
            };
            let was_cut_off = state.curb.skips_look || state.curb.is_late;
            let fits = *outcome == state.verdict()
                || *outcome == Outcome::RollbackFailed && was_cut_off && state.is_put_back_unseen();
            if state.counts.unfinished() > 0 || undoing || !fits {
                return Err("does not fit how the components ended");
            }
            state.outcome = Some(*outcome);
        }
        Event::Prepared { .. }
        | Event::Announced { .. }
        | Event::Started { .. }
        | Event::Applied { .. }
        | Event::Waiting { .. }
        | Event::Ready { .. }
        | Event::AttemptFailed { .. }
        | Event::Interrupted { .. }
        | Event::Skipped { .. } => apply_to_component(state, graph, event, at.minus(state.gap)),
        Event::Verifying => verifying(state)?,
        Event::RollingBack => {
            let wanted = state.ending.rolls_back || state.undoes();
            if state.rollback.is_some() || !wanted || state.counts.unfinished() > 0 {
                return Err("comes where nothing is to be rolled back");
            }
            undo::begin(state, graph, at.minus(state.gap));
        }
        Event::Inherited { component, token, applied } => {
            if !state.undoes() {
                return Err("comes in a run that undoes no other");
            }
            let cell = state.cell_mut(*component);
            cell.touch = Touch::Written;
            cell.undo.clone_from(token);
            cell.applied = applied.clone().map_or(LastApplied::Nothing, LastApplied::Before);
        }
        Event::UndoStarted { .. } | Event::Undone { .. } | Event::UndoFailed { .. } | Event::Kept { .. } => {
            return Err("comes where nothing is rolled back");
        }
    }
    Ok(())
}

/// What depends on nothing may begin.
fn free_turns_come(state: &mut State, graph: &Graph, at: Timestamp) {
    let free = |id: &ComponentId| state.cell(*id).pending == 0;
    let free: Vec<ComponentId> = graph.ids().filter(free).collect();
    for id in free {
        turn_comes(state, id, at);
    }
}

/// The run undoes another: nothing of its own plan is carried out.
fn skip_all(state: &mut State) {
    for cell in &mut state.cells {
        cell.status = ComponentStatus::Skipped;
    }
    state.counts = Counts { skipped: state.counts.blocked, ..Counts::default() };
}

/// Everything is ready, or undone: from here on it is looked at afresh.
fn verifying(state: &mut State) -> Result<(), &'static str> {
    let all_ready = state.is_all_ready();
    let (begins, is_verifying) = match &mut state.rollback {
        Some(rollback) => (rollback.is_to_be_looked_at(), &mut rollback.verifying),
        None => (all_ready, &mut state.ending.verifying),
    };
    if !begins || std::mem::replace(is_verifying, true) {
        return Err("comes where nothing is to be looked at");
    }
    Ok(())
}

/// What was announced may have begun, and the process have died before it could say so.
fn announced_may_have_arrived(state: &mut State) {
    for cell in state.cells.iter_mut().filter(|cell| cell.touch == Touch::Announced) {
        cell.touch = Touch::Written;
    }
}

/// What was found before a gap may not be so any more: what has not begun is looked at again. A finding of "nothing to
/// do" would otherwise pass over an object that somebody has removed meanwhile.
fn forget_findings(state: &mut State) {
    let not_begun =
        |cell: &&mut Cell| matches!(cell.status, ComponentStatus::Blocked | ComponentStatus::Runnable);
    for cell in state.cells.iter_mut().filter(not_begun) {
        cell.prepared = None;
        if !cell.is_begun() {
            cell.foreseen = None;
            cell.undo = None;
        }
    }
}

/// The component that an event names as the reason.
const fn blamed(event: &Event) -> Option<ComponentId> {
    match event {
        Event::Stopping { reason: StopReason::Failure { component } }
        | Event::Skipped { because: SkipReason::Dependency { component }, .. }
        | Event::Kept { because: KeepReason::Dependant { component }, .. } => Some(*component),
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Prepared { .. }
        | Event::Announced { .. }
        | Event::Started { .. }
        | Event::Applied { .. }
        | Event::Waiting { .. }
        | Event::Ready { .. }
        | Event::AttemptFailed { .. }
        | Event::Interrupted { .. }
        | Event::Skipped { .. }
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::UndoStarted { .. }
        | Event::Undone { .. }
        | Event::UndoFailed { .. }
        | Event::Kept { .. }
        | Event::Finished { .. } => None,
    }
}

/// The component that an event is about.
pub(super) const fn component_of(event: &Event) -> Option<ComponentId> {
    match event {
        Event::Prepared { component, .. }
        | Event::Announced { component }
        | Event::Started { component, .. }
        | Event::Applied { component, .. }
        | Event::Waiting { component, .. }
        | Event::Ready { component, .. }
        | Event::AttemptFailed { component, .. }
        | Event::Interrupted { component, .. }
        | Event::Skipped { component, .. }
        | Event::Inherited { component, .. }
        | Event::UndoStarted { component, .. }
        | Event::Undone { component, .. }
        | Event::UndoFailed { component, .. }
        | Event::Kept { component, .. } => Some(*component),
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Finished { .. } => None,
    }
}

/// `at` is time with a process.
fn apply_to_component(state: &mut State, graph: &Graph, event: &Event, at: Timestamp) {
    let Some(id) = component_of(event) else { return };
    match event {
        Event::Prepared { prepared, .. } => take_prepared(state, graph, (id, prepared), at),
        Event::Announced { .. } => {
            let cell = state.cell_mut(id);
            cell.touch = cell.touch.max(Touch::Announced);
        }
        Event::Started { .. } => {
            let cell = state.cell_mut(id);
            cell.turn_at.get_or_insert(at);
            cell.retry_at = None;
            cell.touch = cell.touch.max(Touch::Begun);
            hold_class(state, graph, id);
            set_status(state, id, ComponentStatus::Applying);
        }
        Event::Applied { applied, .. } => {
            take_applied(state, id, applied);
            begin_wait(state, id, at);
            open(state, graph, id, Until::Applied, at);
            planted!(state, ReleasedOnApplied, { open(state, graph, id, Until::Ready, at) });
            planted!(state, OwnWriteAsBefore, { state.cell_mut(id).changed = Some(applied.change) });
        }
        Event::Waiting { cause, .. } => {
            let cell = state.cell_mut(id);
            cell.cause = Some(cause.clone());
            if !sabotaged!(state, NoProgressNeverReset) {
                state.cell_mut(id).progressed_at = at;
            }
        }
        Event::Ready { outputs, .. } => {
            state.cell_mut(id).outputs = outputs.clone();
            end(state, graph, id, ComponentStatus::Ready);
            open(state, graph, id, Until::Applied, at);
            open(state, graph, id, Until::Ready, at);
        }
        Event::AttemptFailed { phase, failure, retry_at, .. } => {
            attempt_failed(state, graph, id, (*phase, failure, *retry_at));
        }
        Event::Skipped { .. } => end(state, graph, id, ComponentStatus::Skipped),
        Event::Interrupted { .. } => {
            let cell = state.cell_mut(id);
            if cell.status == ComponentStatus::Applying {
                // It may have arrived; the next one then finds nothing to change.
                cell.touch = Touch::Written;
            }
        }
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::UndoStarted { .. }
        | Event::Undone { .. }
        | Event::UndoFailed { .. }
        | Event::Kept { .. }
        | Event::Finished { .. } => {}
    }
}

fn take_prepared(state: &mut State, graph: &Graph, (id, prepared): (ComponentId, &Prepared), at: Timestamp) {
    let replaces = sabotaged!(state, OwnWriteAsToken) && prepared.undo.is_some();
    let cell = state.cell_mut(id);
    let foreseen = cell.foreseen.replace(prepared.change);
    if prepared.change == Change::None && cell.touch == Touch::Written {
        // A write of which the end is not known has arrived.
        cell.changed = cell.changed.or(foreseen);
    }
    cell.prepared = Some(Prepared { undo: None, ..prepared.clone() });
    if !cell.is_begun() || replaces {
        cell.undo.clone_from(&prepared.undo);
    }
    cell.retry_at = None;
    if prepared.change == Change::None && cell.status == ComponentStatus::Runnable {
        begin_wait(state, id, at);
        open(state, graph, id, Until::Applied, at);
    }
}

fn take_applied(state: &mut State, id: ComponentId, applied: &Applied) {
    let cell = state.cell_mut(id);
    match applied.change {
        Change::None => cell.foreseen = Some(Change::None),
        Change::Unknown => cell.changed = cell.changed.or(cell.foreseen),
        change @ (Change::Create | Change::Update | Change::Replace | Change::Delete) => {
            cell.changed.get_or_insert(change);
        }
    }
    if applied.change != Change::None {
        cell.touch = Touch::Written;
    }
    cell.applied = LastApplied::Now(applied.clone());
}

fn attempt_failed(
    state: &mut State,
    graph: &Graph,
    id: ComponentId,
    (phase, failure, retry_at): (Phase, &Failure, Option<Timestamp>),
) {
    let cell = state.cell_mut(id);
    cell.failure = Some(Box::new(failure.clone()));
    if phase == Phase::Apply && !failure.left_nothing {
        cell.touch = Touch::Written;
    }
    if phase == Phase::Verify {
        match retry_at {
            Some(_) => cell.attempt = cell.attempt.next(),
            None => set_status(state, id, ComponentStatus::Failed),
        }
    } else if let Some(retry_at) = retry_at {
        cell.retry_at = Some(retry_at);
        try_again(state, graph, id, phase);
    } else if failure.class == FailureClass::Cancelled && state.stopping.is_some() {
        end(state, graph, id, ComponentStatus::Cancelled);
    } else {
        end(state, graph, id, ComponentStatus::Failed);
    }
}

fn set_status(state: &mut State, id: ComponentId, status: ComponentStatus) {
    let before = std::mem::replace(&mut state.cell_mut(id).status, status);
    *state.counts.of(before) -= 1;
    *state.counts.of(status) += 1;
    state.moved.push(id);
}

fn begin_wait(state: &mut State, id: ComponentId, at: Timestamp) {
    let cell = state.cell_mut(id);
    cell.turn_at.get_or_insert(at);
    cell.progressed_at = at;
    cell.cause = None;
    set_status(state, id, ComponentStatus::Waiting);
}

/// All its dependencies have come far enough. Returns through `moved` what there is to do.
fn turn_comes(state: &mut State, id: ComponentId, at: Timestamp) {
    if state.cell(id).prepared.as_ref().is_some_and(|prepared| prepared.change == Change::None) {
        begin_wait(state, id, at);
    } else {
        set_status(state, id, ComponentStatus::Runnable);
    }
}

/// Opens the edges of one kind that start here, and of components that thereby count as applied, without recursion.
fn open(state: &mut State, graph: &Graph, id: ComponentId, until: Until, at: Timestamp) {
    if until == Until::Applied && std::mem::replace(&mut state.cell_mut(id).opened_applied, true) {
        return;
    }
    let mut left = vec![(id, until)];
    while let Some((id, until)) = left.pop() {
        for edge in graph.dependants(id) {
            if edge.until != until {
                continue;
            }
            let cell = state.cell_mut(edge.component);
            cell.pending -= 1;
            if cell.pending > 0 || cell.status != ComponentStatus::Blocked {
                continue;
            }
            turn_comes(state, edge.component, at);
            let cell = state.cell_mut(edge.component);
            if cell.status == ComponentStatus::Waiting && !cell.opened_applied {
                cell.opened_applied = true;
                left.push((edge.component, Until::Applied));
            }
        }
    }
}

pub(super) fn hold_class(state: &mut State, graph: &Graph, id: ComponentId) {
    let class = graph.node(id).class_index();
    let slot = class.and_then(|class| state.class_use.get_mut(class));
    if let Some(slot) = slot {
        *slot += 1;
        state.cell_mut(id).holds_class = true;
    }
}

pub(super) fn release_class(state: &mut State, graph: &Graph, id: ComponentId) {
    if std::mem::take(&mut state.cell_mut(id).holds_class)
        && let Some(class) = graph.node(id).class_index()
        && let Some(slot) = state.class_use.get_mut(class)
    {
        *slot -= 1;
    }
}

fn try_again(state: &mut State, graph: &Graph, id: ComponentId, phase: Phase) {
    release_class(state, graph, id);
    let cell = state.cell_mut(id);
    cell.attempt = cell.attempt.next();
    cell.prepared = None;
    if let LastApplied::Now(applied) = std::mem::replace(&mut cell.applied, LastApplied::Nothing) {
        cell.applied = LastApplied::Before(applied);
    }
    cell.cause = None;
    let blocked = phase == Phase::Prepare && cell.pending > 0;
    set_status(state, id, if blocked { ComponentStatus::Blocked } else { ComponentStatus::Runnable });
}

fn end(state: &mut State, graph: &Graph, id: ComponentId, status: ComponentStatus) {
    release_class(state, graph, id);
    let cell = state.cell_mut(id);
    cell.prepared = None;
    cell.retry_at = None;
    if cell.touch == Touch::Announced {
        // The process that announced it knows that it has not begun.
        cell.touch = Touch::Never;
    }
    if !cell.is_begun() {
        cell.undo = None;
    }
    set_status(state, id, status);
}

fn stop(state: &mut State, graph: &Graph, reason: StopReason) {
    state.stopping.get_or_insert(reason);
    let was_to_be_rolled_back = state.ending.rolls_back || state.undoes();
    match reason {
        StopReason::Failure { component } => {
            let policy = graph.node(component).on_failure().unwrap_or(graph.on_failure());
            state.ending.rolls_back |= policy == FailurePolicy::Rollback && !state.ending.asked;
        }
        StopReason::Deadline if state.rollback.is_some() => state.curb.is_late = true,
        StopReason::Deadline => {
            state.deadline_reached = true;
            state.ending.rolls_back |= graph.on_failure() == FailurePolicy::Rollback && !state.ending.asked;
        }
        StopReason::Asked { mode } => {
            state.ending.asked = true;
            state.gives_up_waits |= mode != StopMode::Drain;
            state.superseded |= mode == StopMode::Supersede;
            if mode == StopMode::Rollback {
                state.ending.rolls_back = true;
            } else if was_to_be_rolled_back && !sabotaged!(state, CancelInRollbackLost) {
                state.curb.keeps_rest = true;
                state.curb.skips_look |= mode != StopMode::Drain;
            }
        }
    }
}
