//! `eve version`.

use serde_json::json;

use crate::cli::{Version, VersionOutput};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::Printer;

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(super) fn run(args: &Version, printer: &Printer) -> Result<Exit, Halt> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    printer.out(&match args.output {
        VersionOutput::Text => format!("eve {version} ({os} {arch})"),
        VersionOutput::Json => json!({"version": version, "os": os, "arch": arch}).to_string(),
    });
    Ok(Exit::Succeeded)
}
