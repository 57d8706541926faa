//! Who may write to stdout and stderr: results to the one, everything else to the other, and a frame of lines at the
//! bottom of a terminal that is drawn anew while other lines scroll above it.
//!
//! A thread of its own does the writing, so that a pager that does not read, or a terminal that was stopped with Ctrl-S,
//! never holds up a run. It rests between bursts of lines, so that a run of many components does not wake it for each.
//! A closed pipe is no error: who closed it has seen enough. Every other failure to write to
//! stdout is kept for the end.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice, adapter};

use super::lines::Weight;
use crate::cli::{Color, Global};
use crate::diagnose::Colour;

/// How long the writing thread rests after a burst of lines: what nobody sees, and what hundreds of lines fit into.
const REST: Duration = Duration::from_millis(10);

/// The most bytes that are kept to be written as one.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// The two streams of the process. Shared by everything that shows something; never blocks but in
/// [`Printer::finish`].
pub(crate) struct Printer {
    sender: Sender<Message>,
    writer: Thread,
    shared: Arc<Shared>,
    live: bool,
    quiet: bool,
    weight_min: Weight,
    colour: Colour,
}

/// What the writing thread is told.
enum Message {
    Out(String),
    Err(String),
    /// There is a frame to draw in [`Shared::frame`].
    Frame,
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Shared {
    /// The frame that is to be drawn next: only the latest counts.
    frame: Mutex<Option<Vec<String>>>,
    /// The first failure to write to stdout.
    failed: Mutex<Option<io::Error>>,
}

/// What the writing thread has.
struct Streams {
    out: Sink,
    err: Sink,
    /// Lines of the frame that stand at the bottom of the terminal now, styled.
    frame: Vec<String>,
}

struct Sink {
    write: Box<dyn Write + Send>,
    /// What is to be written next, in one write.
    pending: String,
    colour: bool,
    failed: Option<io::Error>,
}

impl Printer {
    /// The streams of this process, with colours and frames where the flags and the terminal want them.
    pub(crate) fn for_process(flags: &Global) -> Self {
        let colour = |auto: ColorChoice| match flags.color {
            _ if flags.no_color => false,
            Color::Auto => auto != ColorChoice::Never,
            Color::Always => true,
            Color::Never => false,
        };
        let out = colour(AutoStream::choice(&io::stdout()));
        let err = colour(AutoStream::choice(&io::stderr()));
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let streams =
            Streams { out: Sink::of(io::stdout(), out), err: Sink::of(io::stderr(), err), frame: Vec::new() };
        Self {
            live: io::stderr().is_terminal() && !dumb && !flags.quiet,
            quiet: flags.quiet,
            weight_min: if flags.verbose == 0 { Weight::Landmark } else { Weight::Step },
            ..Self::on(streams, REST)
        }
    }

    /// Starts the writing thread, which ends when the printer is dropped.
    fn on(streams: Streams, rest: Duration) -> Self {
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared::default());
        let colour = if streams.err.colour { Colour::Always } else { Colour::Never };
        let theirs = Arc::clone(&shared);
        let writer = thread::spawn(move || streams.serve(&receiver, &theirs, rest)).thread().clone();
        Self { sender, writer, shared, live: false, quiet: false, weight_min: Weight::Landmark, colour }
    }

    /// Which lines are shown above a frame.
    pub(crate) const fn weight_min(&self) -> Weight {
        self.weight_min
    }

    /// Whether there is a terminal that a frame can be drawn on.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// Whether nothing but errors and results in machine form is wanted.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether text for stderr may have colours.
    pub(crate) const fn colour(&self) -> Colour {
        self.colour
    }

    /// Writes lines to stdout; the last line break is added.
    pub(crate) fn out(&self, text: &str) {
        self.send(Message::Out(text.to_owned()));
    }

    /// Writes lines to stderr; the last line break is added.
    pub(crate) fn err(&self, text: &str) {
        self.send(Message::Err(text.to_owned()));
    }

    /// Replaces the frame at the bottom of the terminal; an empty one takes it away. Lines must fit the terminal.
    pub(crate) fn frame(&self, lines: Vec<String>) {
        if self.live && lock(&self.shared.frame).replace(lines).is_none() {
            self.send(Message::Frame);
        }
    }

    /// Takes the frame away, waits until everything is written, but no longer than `patience`, and says whether
    /// everything reached stdout as far as that is known.
    pub(crate) fn finish(&self, patience: Duration) -> io::Result<()> {
        self.frame(Vec::new());
        // An error says that there is nobody to wait for, or that it took too long.
        let _ = self.ask_to_flush().recv_timeout(patience);
        match lock(&self.shared.failed).take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until everything that was said before is written.
    pub(crate) fn flush(&self) {
        // An error says that there is nobody to wait for.
        let _ = self.ask_to_flush().recv();
    }

    /// Ends the rest of the writing thread, which answers when everything that was said before is written.
    fn ask_to_flush(&self) -> Receiver<()> {
        let (done, written) = sync_channel(1);
        self.send(Message::Flush(done));
        self.writer.unpark();
        written
    }

    fn send(&self, message: Message) {
        // The thread is there as long as the printer.
        let _ = self.sender.send(message);
    }
}

/// A thread that panicked while it held one of these leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    fn serve(mut self, messages: &Receiver<Message>, shared: &Shared, rest: Duration) {
        while let Ok(first) = messages.recv() {
            for message in std::iter::once(first).chain(messages.try_iter()) {
                self.carry_out(message, shared);
            }
            // A burst is one write: who reads a pipe is woken once.
            self.out.send();
            self.err.send();
            // Who sends meanwhile wakes nobody; who waits for an answer ends the rest.
            thread::park_timeout(rest);
        }
    }

    fn carry_out(&mut self, message: Message, shared: &Shared) {
        match message {
            Message::Out(text) => {
                let frame = self.erase();
                self.err.send();
                self.out.line(&text);
                self.draw(frame);
            }
            Message::Err(text) => {
                self.out.send();
                let frame = self.erase();
                self.err.line(&text);
                self.draw(frame);
            }
            Message::Frame => {
                self.out.send();
                let frame = lock(&shared.frame).take();
                if let Some(frame) = frame {
                    self.redraw(frame);
                }
            }
            Message::Flush(done) => {
                self.out.send();
                self.err.send();
                if let Some(error) = self.out.failed.take() {
                    lock(&shared.failed).get_or_insert(error);
                }
                // Who asked may have lost patience.
                let _ = done.send(());
            }
        }
    }

    /// Takes the frame from the terminal and returns it.
    fn erase(&mut self) -> Vec<String> {
        let frame = std::mem::take(&mut self.frame);
        if !frame.is_empty() {
            self.err.raw(&format!("\x1b[{}A\r\x1b[J", frame.len()));
        }
        frame
    }

    fn draw(&mut self, frame: Vec<String>) {
        if !frame.is_empty() {
            self.out.send();
            let text: String = frame.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            let text = self.err.styled(&text);
            self.err.raw(&text);
            self.frame = frame;
        }
    }

    /// Draws over the old frame line by line, in one write, so that nothing flickers.
    fn redraw(&mut self, frame: Vec<String>) {
        if frame == self.frame {
            return;
        }
        let mut text = String::new();
        if !self.frame.is_empty() {
            text = format!("\x1b[{}A\r", self.frame.len());
        }
        for line in &frame {
            text.push_str(&self.err.styled(line));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.err.raw(&text);
        self.frame = frame;
    }
}

impl Sink {
    fn of(write: impl Write + Send + 'static, colour: bool) -> Self {
        Self { write: Box::new(write), pending: String::new(), colour, failed: None }
    }

    fn styled(&self, text: &str) -> String {
        if self.colour { text.to_owned() } else { adapter::strip_str(text).to_string() }
    }

    fn line(&mut self, text: &str) {
        let text = self.styled(text);
        self.raw(&format!("{text}\n"));
    }

    fn raw(&mut self, text: &str) {
        self.pending.push_str(text);
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.send();
        }
    }

    /// Writes what is pending. After the first failure nothing more is tried.
    fn send(&mut self) {
        if !self.pending.is_empty() && self.failed.is_none() {
            let written = self.write.write_all(self.pending.as_bytes()).and_then(|()| self.write.flush());
            self.failed = written.err();
        }
        self.pending.clear();
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").field("live", &self.live).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// What was written to a stream.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_mins(1);

    fn printer(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Printer {
        let streams = Streams { out: Sink::of(out, false), err: Sink::of(err, false), frame: Vec::new() };
        // Longer than any test: nothing here may wait for the end of a rest.
        Printer { live: true, ..Printer::on(streams, PATIENCE * 60) }
    }

    #[test]
    fn lines_scroll_above_the_frame() {
        let err = Written::default();
        let printer = printer(io::sink(), err.clone());
        printer.frame(vec!["one".into(), "two".into()]);
        printer.flush();
        printer.err("line");
        printer.flush();
        assert_eq!(err.text(), "one\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[2A\r\x1b[Jline\none\ntwo\n");
    }

    #[test]
    fn a_frame_that_did_not_change_is_not_drawn_again() {
        let err = Written::default();
        let printer = printer(io::sink(), err.clone());
        printer.frame(vec!["one".into()]);
        printer.flush();
        let before = err.text();
        printer.frame(vec!["one".into()]);
        printer.flush();
        assert_eq!(err.text(), before);
    }

    #[test]
    fn styles_are_taken_out_where_colours_are_not_wanted() {
        let out = Written::default();
        let printer = printer(out.clone(), io::sink());
        printer.out(&super::super::style::error("no").to_string());
        printer.flush();
        assert_eq!(out.text(), "no\n");
    }

    /// A stream that nobody reads until the other end is dropped.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_does_not_read_holds_up_nobody() {
        let (reader, stuck) = channel();
        let printer = printer(Stuck(stuck), io::sink());
        for _ in 0..1000 {
            printer.out("text");
        }
        printer.finish(Duration::from_millis(1)).unwrap();
        drop(reader);
        printer.finish(PATIENCE).unwrap();
    }

    /// Counts writes; the first waits.
    struct Counting(Arc<Mutex<u32>>, Receiver<()>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv();
            *self.0.lock().unwrap() += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_burst_of_lines_is_one_write() {
        let (gate, waits) = channel();
        let writes = Arc::new(Mutex::new(0));
        let printer = printer(io::sink(), Counting(Arc::clone(&writes), waits));
        printer.err("first");
        for _ in 0..1000 {
            printer.err("line");
        }
        drop(gate);
        printer.flush();
        assert!(*writes.lock().unwrap() <= 2, "{writes:?}");
    }

    #[test]
    fn who_asks_for_everything_does_not_wait_for_the_end_of_a_rest() {
        let out = Written::default();
        let printer = printer(out.clone(), io::sink());
        for text in ["one", "two", "three"] {
            printer.out(text);
            printer.finish(PATIENCE).unwrap();
            assert!(out.text().ends_with(&format!("{text}\n")), "{}", out.text());
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_but_a_full_disk_is() {
        for (kind, ok) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
            let printer = printer(Broken(kind), io::sink());
            printer.out("text");
            assert_eq!(printer.finish(PATIENCE).is_ok(), ok, "{kind:?}");
        }
    }
}
