//! Documents that are generated from the command line are not stale. `EVE_BLESS=1` writes them anew.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use eve_cli::cli::Cli;
use eve_cli::exit;

fn check(name: &str, wanted: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    if std::env::var_os("EVE_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is stale: run this test with EVE_BLESS=1", path.display());
}

fn section(command: &mut Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", tidy(&help));
}

/// Without spaces at the ends of lines, which editors would take away.
fn tidy(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[test]
fn the_reference_of_the_command_line_is_not_stale() {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = String::from(
        "# The command line of `eve`\n\nGenerated from `eve-cli/src/cli.rs`; do not edit. Exit codes: \
         [exit-codes.md](exit-codes.md). Output of `eve apply -o json`: [apply-json.md](apply-json.md).\n",
    );
    section(&mut root, "eve", &mut text);
    for command in root.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let name = format!("eve {}", command.get_name());
        section(command, &name, &mut text);
    }
    check("cli.md", &text);
}

#[test]
fn the_reference_of_exit_codes_is_not_stale() {
    check("exit-codes.md", &exit::markdown());
}
