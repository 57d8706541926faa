//! One command per file, and what they have in common: what is shown before and after the work.

use std::sync::Arc;
use std::time::Duration;

use eve_core::plan::diagnostic::{Diagnostic, Diagnostics};
use eve_core::plan::load::Loaded;
use eve_k8s::Inventory;
use eve_store::RunState;

use crate::cli::{Cli, Command};
use crate::diagnose;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::{Printer, clean, state_word, style};
use crate::wiring;

mod admit;
mod apply;
mod cancel;
mod completion;
mod delete;
mod diff;
mod drive;
mod explain;
mod foreseen;
mod forget;
mod get;
mod graph;
mod lines;
mod resume;
mod rollback;
mod runs;
mod status;
mod timeline;
mod validate;
mod version;

/// Does what the command line says, and shows what went wrong. `arguments` are those that `cli` was parsed from, without
/// the program: they are recorded with a run, so that it can be resumed.
pub fn execute(cli: Cli, arguments: Vec<String>) -> Exit {
    let printer = Arc::new(Printer::for_process(&cli.global));
    let result = wiring::start_logging(&cli.global, &printer).and_then(|()| match cli.command {
        Command::Apply(args) => apply::run(&args, arguments, &printer),
        Command::Diff(args) => diff::run(&args, &printer),
        Command::Delete(args) => delete::run(&args, arguments, &printer),
        Command::Explain(args) => explain::run(&args, &printer),
        Command::Get(args) => get::run(&args, &printer),
        Command::Runs(args) => runs::run(&args, &printer),
        Command::Status(args) => status::run(&args, &printer),
        Command::Timeline(args) => timeline::run(&args, &printer),
        Command::Resume(args) => resume::run(&args, &printer),
        Command::Cancel(args) => cancel::run(&args, &printer),
        Command::Rollback(args) => rollback::run(&args, arguments, &printer),
        Command::Validate(args) => validate::run(&args, &printer),
        Command::Graph(args) => graph::run(&args, &printer),
        Command::Version(args) => version::run(&args, &printer),
        Command::Completion(args) => completion::run(&args, &printer),
    });
    let exit = result.unwrap_or_else(|halt| {
        printer.err(&halt.render(printer.colour()));
        halt.exit()
    });
    // Somebody who aborts waits for nobody.
    let is_abort = matches!(exit, Exit::Interrupted | Exit::Terminated);
    let patience = if is_abort { Duration::from_millis(500) } else { Duration::MAX };
    match printer.finish(patience) {
        Ok(()) => exit,
        Err(error) => {
            printer.err(&format!("{}: cannot write to stdout: {error}", style::error("error")));
            let _ = printer.finish(patience);
            if exit == Exit::Succeeded { Exit::Internal } else { exit }
        }
    }
}

/// Shows a refusal to programs as well, where they read stdout.
fn or_json<Form: PartialEq>(
    result: Result<Exit, Halt>,
    (asked, json): (Form, Form),
    printer: &Printer,
) -> Result<Exit, Halt> {
    if let (Err(halt), true) = (&result, asked == json) {
        printer.out(&halt.json().to_string());
    }
    result
}

/// One line for each kind that could not be looked at.
fn unseen(inventory: &Inventory) -> impl Iterator<Item = String> {
    let line = |unseen: &String| format!("{}: not looked at: {}", style::warning("warning"), clean(unseen));
    inventory.unseen.iter().map(line)
}

/// How a run ended, for a sentence that begins with `it`.
fn ended(state: &RunState) -> String {
    match state_word(state) {
        word @ ("cancelled" | "superseded" | "interrupted" | "rolled back") => format!("was {word}"),
        "rollback failed" => "was to be rolled back, and not all of it is".to_owned(),
        word => word.to_owned(),
    }
}

/// Shows the warnings about an input, unless nothing but errors is wanted.
fn warn(plan: &Loaded, printer: &Printer) {
    show(&plan.warnings(), printer);
}

/// A plan that says which request it is runs once where it is delivered, and here each time: whoever wrote it may count on that.
fn warn_of_request(plan: &Loaded, printer: &Printer) {
    if plan.request_id().is_some() {
        let message =
            "`spec.requestId` has no meaning here: `eve apply` applies a plan each time that it is called";
        let warning = Diagnostic::error("plan.request-unused", message)
            .as_warning()
            .at(plan.request_place())
            .with_hint("it counts where plans are delivered to `eve-daemon`".to_owned());
        show(&plan.diagnostics(vec![warning]), printer);
    }
}

fn show(warnings: &Diagnostics, printer: &Printer) {
    if !warnings.is_empty() && !printer.is_quiet() {
        printer.err(diagnose::render(warnings, printer.colour()).trim_end());
    }
}
