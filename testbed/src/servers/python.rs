//! Installs the one server that is written in Python, from pinned and hashed packages, once per user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::build::{hash, lock_builder};
use crate::error::TestbedError;
use crate::progress::say;

/// Every package with its version and the hashes of its files, as `pip-compile --generate-hashes --strip-extras` writes them from
/// `requirements.in` beside it.
const REQUIREMENTS: &str = include_str!("../../servers/moto/requirements.txt");

/// The oldest Python that all of the packages support.
const WANTED: (u32, u32) = (3, 11);

/// The interpreter of an environment that has moto; made if it is missing.
pub(super) fn ensure_moto(cache: &Path) -> Result<PathBuf, TestbedError> {
    let version = python_version()?;
    let key = hash(&["moto", REQUIREMENTS, &version]);
    let environment = cache.join(key).join("environment");
    let interpreter = environment.join("bin").join("python");
    if interpreter.exists() {
        return Ok(interpreter);
    }
    fs::create_dir_all(cache).map_err(TestbedError::io(format!("create {}", cache.display())))?;
    let _lock = lock_builder(cache)?;
    // Another process may have made it while this one waited for the lock.
    if !interpreter.exists() {
        install(&environment)?;
    }
    Ok(interpreter)
}

/// The version of `python3` on `PATH`, such as `3.11.7`.
fn python_version() -> Result<String, TestbedError> {
    let refuse = |found: String| TestbedError::Python { found, wanted: format!("{}.{}", WANTED.0, WANTED.1) };
    let script = "import platform; print(platform.python_version())";
    let output = Command::new("python3").args(["-I", "-c", script]).output().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        refuse(if missing {
            "there is no `python3` on PATH".to_owned()
        } else {
            format!("`python3` does not start ({error})")
        })
    })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < WANTED {
        return Err(refuse(format!("`python3` on PATH is {version}")));
    }
    Ok(version)
}

/// Installs into a temporary folder beside `environment` and renames it, so that nobody sees half of it. An environment may be moved as
/// long as its interpreter is started by its path.
fn install(environment: &Path) -> Result<(), TestbedError> {
    say("installing moto (once per user; usually half a minute)");
    let begun = Instant::now();
    let home = environment.parent().unwrap_or(environment);
    fs::create_dir_all(home).map_err(TestbedError::io(format!("create {}", home.display())))?;
    let temporary = tempfile::Builder::new()
        .prefix(".installing-")
        .tempdir_in(home)
        .map_err(TestbedError::io(format!("create a folder in {}", home.display())))?;
    let requirements = temporary.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)
        .map_err(TestbedError::io(format!("write {}", requirements.display())))?;
    let made = temporary.path().join("environment");
    run("python3 -m venv", Command::new("python3").args(["-I", "-m", "venv"]).arg(&made))?;
    let mut pip = Command::new(made.join("bin").join("python"));
    pip.args(["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--require-hashes", "--only-binary=:all:", "-r"])
        .arg(&requirements);
    run("pip install", &mut pip)?;
    fs::rename(&made, environment)
        .map_err(TestbedError::io(format!("move the new {} into place", environment.display())))?;
    say(&format!("installed moto in {} s", begun.elapsed().as_secs()));
    Ok(())
}

fn run(what: &str, command: &mut Command) -> Result<(), TestbedError> {
    // Everything it says is progress; standard output belongs to the program that uses this library.
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(TestbedError::io(format!("start {what}")))?;
    if status.success() {
        return Ok(());
    }
    Err(TestbedError::Install { what: what.to_owned(), status: status.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_and_hashed() {
        let packages = REQUIREMENTS.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
        for line in packages {
            assert!(line.starts_with('#') || (line.contains("==") && line.ends_with('\\')), "{line}");
        }
        assert!(REQUIREMENTS.contains("moto==5.2.5 \\\n    --hash=sha256:"));
    }
}
