//! The display for people: lines with the time on a pipe, a frame and the ends of components on a terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eve_core::failure::Cause;
use eve_core::ids::ComponentId;
use eve_core::plan::graph::Graph;
use eve_core::ports::{Clock, Reporter};
use eve_core::run::{Event, Record, RunView, StopMode};
use eve_core::time::Timestamp;

use super::board::Board;
use super::lines::line;
use super::live::{Size, frame};
use super::summary::Summary;
use super::text::{Precision, clean, cut_styled, rfc3339};
use super::{Ending, Printer, effect, leftover, report, style};
use crate::duration::show;
use crate::exit::Exit;
use crate::wiring::LeftOver;

/// How wide a terminal is that does not say.
const USUAL: Size = Size { width: 80, height: 24 };

/// Lines that come closer together share one drawing of the frame.
const DRAW_INTERVAL_MIN: Duration = Duration::from_millis(40);

/// Shows a run to people.
pub(crate) struct HumanReporter {
    printer: Arc<Printer>,
    clock: Arc<dyn Clock>,
    board: Mutex<Board>,
    /// When the frame was last drawn, in microseconds of the clock.
    drawn: AtomicU64,
}

impl HumanReporter {
    pub(crate) fn new(printer: Arc<Printer>, clock: Arc<dyn Clock>, graph: Arc<Graph>) -> Self {
        Self { printer, clock, board: Mutex::new(Board::new(graph)), drawn: AtomicU64::new(0) }
    }

    /// Takes over what happened before, and says nothing of it.
    pub(crate) fn recall(&self, records: &[Record]) {
        let mut board = self.board();
        for record in records {
            board.record(record);
        }
    }

    /// Draws the frame anew. To be called a few times a second.
    pub(crate) fn tick(&self) {
        if self.printer.is_live() {
            self.draw(&self.board());
        }
    }

    fn draw(&self, board: &Board) {
        let now = self.clock.now();
        self.drawn.store(now.as_micros(), Ordering::Relaxed);
        self.printer.frame(frame(board, size(), now));
    }

    fn take(&self, record: &Record) {
        let mut board = self.board();
        board.record(record);
        if self.printer.is_quiet() {
            return;
        }
        if let Some(line) = line(&board, record) {
            if !self.printer.is_live() {
                let at = rfc3339(record.at, Precision::Seconds);
                self.printer.err(&format!("{} {}", style::faint(at), line.text));
            } else if line.weight >= self.printer.weight_min() {
                let text = format!("{} {}", style::faint(since(&board, record.at)), line.text);
                // A frame below it counts on one row for a line; the report has it whole.
                self.printer.err(&cut_styled(&text, size().width));
                // So that line and frame agree; not for each line of a burst.
                let drawn = Timestamp::from_micros(self.drawn.load(Ordering::Relaxed));
                if self.clock.now().since(drawn) >= DRAW_INTERVAL_MIN {
                    self.draw(&board);
                }
            }
        }
        if matches!(record.event, Event::Finished { .. }) {
            self.printer.frame(Vec::new());
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The terminal that stderr is.
fn size() -> Size {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(USUAL, |(width, height)| Size { width: usize::from(width.0), height: usize::from(height.0) })
}

fn since(board: &Board, at: Timestamp) -> String {
    format!("{:>7}", show(at.since(board.started_at)))
}

impl Reporter for HumanReporter {
    fn record(&self, record: &Record, _view: &RunView<'_>) {
        self.take(record);
    }

    fn progress(&self, component: ComponentId, cause: &Cause) {
        let now = self.clock.now();
        let mut board = self.board();
        let is_news = board.undo_waits_anew(component, cause);
        board.waits_for(component, cause, now);
        if is_news && !self.printer.is_live() && !self.printer.is_quiet() {
            let (at, name) = (rfc3339(now, Precision::Seconds), style::strong(board.name(component)));
            self.printer.err(&format!("{} {name}: waiting: {}", style::faint(at), clean(&cause.message)));
        }
    }
}

impl Ending for HumanReporter {
    fn effect(&self, mode: StopMode) -> &'static str {
        effect(&self.board(), mode)
    }

    fn end(&self, _exit: Exit, left: &[LeftOver]) {
        let board = self.board();
        self.printer.frame(Vec::new());
        let summary = Summary::of(&board);
        let failures = report::failures(&board, &summary);
        if !failures.is_empty() {
            let gap = if self.printer.is_live() { "\n" } else { "" };
            self.printer.err(&format!("{gap}{}", failures.trim_end()));
        }
        if !self.printer.is_quiet() {
            let left = leftover::line(&board.graph, left);
            self.printer.out(&format!("{}{left}", report::figures(&board, &summary)));
        }
    }
}
