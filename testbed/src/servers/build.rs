//! Runs `go build` for the servers of one module: checks the toolchain, keeps other builders out, shows progress.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::Server;
use super::module::Module;
use crate::error::TestbedError;
use crate::progress::say;

/// The paths of `servers`, all of one module, built if they are missing.
pub(super) fn ensure_module(
    cache: &Path,
    module: &Module,
    servers: &[Server],
) -> Result<Vec<(Server, PathBuf)>, TestbedError> {
    let source =
        cache.join("modules").join(format!("{}-{}", module.name, hash(&[module.go_mod, module.go_sum])));
    write_module(&source, module)?;
    let version = go_version(&source, module)?;
    let key = hash(&[module.go_mod, module.go_sum, module.ldflags, &version]);
    let bin = cache.join(key).join("bin");
    let wanted: Vec<_> = servers.iter().map(|&server| (server, bin.join(server.name()))).collect();
    let missing = || -> Vec<Server> {
        wanted.iter().filter(|(_, path)| !path.is_file()).map(|(server, _)| *server).collect()
    };
    if missing().is_empty() {
        return Ok(wanted);
    }

    fs::create_dir_all(&bin).map_err(TestbedError::io(format!("create {}", bin.display())))?;
    let _lock = lock_builder(cache)?;
    // Another process may have built them while this one waited for the lock.
    let missing = missing();
    if !missing.is_empty() {
        build(&source, &bin, module, &missing)?;
    }
    Ok(wanted)
}

/// Puts `go.mod` and `go.sum` where `go` can see them. Writers race with equal content, so each file is renamed into place.
fn write_module(source: &Path, module: &Module) -> Result<(), TestbedError> {
    fs::create_dir_all(source).map_err(TestbedError::io(format!("create {}", source.display())))?;
    for (name, content) in [("go.mod", module.go_mod), ("go.sum", module.go_sum)] {
        let path = source.join(name);
        if fs::read_to_string(&path).is_ok_and(|present| present == content) {
            continue;
        }
        let temporary = source.join(format!(".{name}.{}", std::process::id()));
        fs::write(&temporary, content)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(TestbedError::io(format!("write {}", path.display())))?;
    }
    Ok(())
}

/// The version of the toolchain that will build the module, such as `go1.26.8`.
///
/// Asked inside the module's folder, where `go` switches to (and downloads) a newer toolchain by itself if it may.
fn go_version(source: &Path, module: &Module) -> Result<String, TestbedError> {
    let wanted = module.go_wanted();
    let refuse = |found: String| TestbedError::Go { found, wanted: wanted.to_owned() };
    let output = go(source).args(["env", "GOVERSION"]).output().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        refuse(if missing {
            "there is no `go` on PATH".to_owned()
        } else {
            format!("`go` does not start ({error})")
        })
    })?;
    if !output.status.success() {
        return Err(refuse(format!("`go env` says: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if release_of(&version) < release_of(wanted) {
        return Err(refuse(format!("`go` on PATH is {version}")));
    }
    Ok(version)
}

/// The numbers of a Go version: `go1.26.8` and `1.26.8` are `[1, 26, 8]`; a suffix such as `rc1` ends the reading.
fn release_of(version: &str) -> Vec<u32> {
    version
        .trim_start_matches("go")
        .split('.')
        .map_while(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}

/// A `go` command in the module's folder that settings of the user's own projects cannot mislead.
fn go(source: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(source)
        .stdin(Stdio::null())
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off");
    command
}

/// Waits until no other process of this user builds. The lock ends with the returned file, or with the process.
pub(super) fn lock_builder(cache: &Path) -> Result<File, TestbedError> {
    let path = cache.join("builder.lock");
    let act = || format!("lock {}", path.display());
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(TestbedError::io(act()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            say("waiting for another process that builds servers");
            file.lock().map_err(TestbedError::io(act()))?;
        }
        Err(fs::TryLockError::Error(error)) => return Err(TestbedError::io(act())(error)),
    }
    Ok(file)
}

/// Builds into a temporary folder beside `bin` and renames each program into place, so that nobody sees half a program.
fn build(source: &Path, bin: &Path, module: &Module, servers: &[Server]) -> Result<(), TestbedError> {
    let names = servers.iter().map(|server| server.name()).collect::<Vec<_>>().join(", ");
    say(&format!("building {names} (once per user; usually {} with cold caches)", module.usual));
    let begun = Instant::now();
    let temporary = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(bin)
        .map_err(TestbedError::io(format!("create a folder in {}", bin.display())))?;
    let mut command = go(source);
    command.args(["build", "-trimpath", "-ldflags", module.ldflags, "-o"]);
    match servers {
        // One package may have a name of its own choice; several are named after their folders, which fits.
        [server] => command.arg(temporary.path().join(server.name())),
        _ => command.arg(format!("{}/", temporary.path().display())),
    };
    command.args(servers.iter().map(|server| server.package()));
    // Everything `go` says is progress; standard output belongs to the program that uses this library.
    let status = command.stdout(std::io::stderr()).status().map_err(TestbedError::io("start go build"))?;
    if !status.success() {
        return Err(TestbedError::Build { servers: names, status: status.to_string() });
    }
    for server in servers {
        let target = bin.join(server.name());
        fs::rename(temporary.path().join(server.name()), &target)
            .map_err(TestbedError::io(format!("move the new {} into place", target.display())))?;
    }
    say(&format!("built {names} in {} s", begun.elapsed().as_secs()));
    Ok(())
}

/// The first 16 hexadecimal digits of SHA-256 over the parts, each preceded by its length so that parts cannot run together.
pub(super) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_not_by_letter() {
        for (older, newer) in
            [("go1.9", "1.26.0"), ("go1.25.11", "1.26.0"), ("go1.26.2", "go1.26.10"), ("go1.26rc1", "1.26.0")]
        {
            assert!(release_of(older) < release_of(newer), "{older} should be older than {newer}");
        }
        assert!(release_of("go1.26.8") >= release_of("1.26.0"));
        assert!(release_of("go1.27rc2 X:nocoverageredesign") >= release_of("1.26.0"));
    }

    #[test]
    fn every_module_says_which_go_it_wants_and_pins_what_it_builds() {
        for server in Server::ALL {
            let Some(module) = server.module() else { continue };
            assert!(module.go_mod.contains(&format!("\ngo {}\n", module.go_wanted())), "{}", module.name);
            assert!(module.go_mod.contains(server.package()), "{} has no tool line", server.name());
            assert!(!module.go_sum.is_empty());
        }
    }

    #[test]
    fn hash_depends_on_where_parts_end() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["ab", "c"]), hash(&["ab", "c"]));
    }
}
