//! Starts server processes so that none of them outlives this process, however it ends, and removes their folder.
//! It knows nothing about what the servers do.
//!
//! A small shell script, the shepherd, reads from a pipe whose only write end is in this process. When this process ends
//! — normally, by a panic, by SIGKILL — the kernel closes the pipe, the script sees the end of its input, kills every
//! server and removes the folder. The servers are direct children of this process, so that an early death is noticed.
//!
//! A server writes its own process id into `pids/` before it becomes the server, and gives up if it cannot; the
//! shepherd first renames `pids/` and only then reads it. So whichever comes first, no server is missed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::TestbedError;
use crate::servers::Server;

/// Runs until its standard input ends. `$1` is the folder. Killed servers may still write for a moment, hence the loop.
const SHEPHERD: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
mv "$1/pids" "$1/closed"
for file in "$1"/closed/*; do
    [ -f "$file" ] && read -r pid < "$file" && kill -9 "$pid" 2>/dev/null
done
tries=0
while [ -e "$1" ] && [ "$tries" -lt 20 ]; do
    rm -rf "$1" 2>/dev/null || sleep 0.1 2>/dev/null || sleep 1
    tries=$((tries + 1))
done
"#;

/// Becomes the server. `$1` is the file for the process id, the rest is the command.
const LAUNCHER: &str = r#"file=$1; shift; echo $$ > "$file.new" && mv "$file.new" "$file" && exec "$@""#;

/// How long a process may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Guards the processes of one folder; dropping it ends them and removes the folder.
#[derive(Debug)]
pub(crate) struct Shepherd {
    folder: PathBuf,
    script: Child,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    server: Server,
    child: Child,
    pid_file: PathBuf,
    log: PathBuf,
}

/// A signal that the testbed sends to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Stop,
    Continue,
}

impl Shepherd {
    /// Starts the script; from now on `folder` is its to remove.
    pub(crate) fn start(folder: &Path) -> Result<Self, TestbedError> {
        for name in ["pids", "logs"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).map_err(TestbedError::io(format!("create {}", path.display())))?;
        }
        let script = Command::new("/bin/sh")
            .args(["-c", SHEPHERD, "eve-testbed-shepherd"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The folder may be the current one of nobody, or it could not be removed.
            .current_dir("/")
            // Its own process group: Ctrl-C at the terminal must not end it before its work is done.
            .process_group(0)
            .spawn()
            .map_err(TestbedError::io("start /bin/sh as shepherd of the servers"))?;
        Ok(Self { folder: folder.to_owned(), script })
    }

    /// Starts `program` with `args`; its output goes to the end of `logs/<server>.log`.
    pub(crate) fn spawn(
        &self,
        server: Server,
        program: &Path,
        args: &[String],
    ) -> Result<Process, TestbedError> {
        let name = server.name();
        let log = self.folder.join("logs").join(format!("{name}.log"));
        let pid_file = self.folder.join("pids").join(name);
        let act = || format!("start {}", program.display());
        let output = File::options().create(true).append(true).open(&log).map_err(TestbedError::io(act()))?;
        let child = Command::new("/bin/sh")
            .args(["-c", LAUNCHER, name])
            .arg(&pid_file)
            .arg(program)
            .args(args)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(TestbedError::io(act()))?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(TestbedError::io(act()))?;
        Ok(Process { server, child, pid_file, log })
    }
}

impl Drop for Shepherd {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // The script is bounded by its own count of tries; an error here means that it is gone already.
        let _ = self.script.wait();
    }
}

impl Process {
    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error that tells of its early end, if it has ended.
    pub(crate) fn death(&mut self) -> Option<TestbedError> {
        let status = self.ended()?;
        Some(TestbedError::Died {
            server: self.server.name(),
            status: status.to_string(),
            log: tail(&self.log),
        })
    }

    /// Sends a signal through the shell, since the standard library sends only SIGKILL.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), TestbedError> {
        let (name, act) = match signal {
            Signal::Stop => ("STOP", "pause"),
            Signal::Continue => ("CONT", "resume"),
        };
        let status = Command::new("/bin/sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &self.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .map_err(TestbedError::io(format!("{act} {}", self.server.name())))?;
        let what = || format!("{act} {}", self.server.name());
        if !status.success() {
            let source = std::io::Error::other("no such process");
            return Err(TestbedError::Io { what: what(), source });
        }
        // The kernel stops each thread when its turn comes; on a busy machine it answers until then.
        let begun = Instant::now();
        while signal == Signal::Stop && runs(self.id()) {
            if begun.elapsed() > STOP_LIMIT {
                let source = std::io::Error::other("it runs on");
                return Err(TestbedError::Io { what: what(), source });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Ends it with SIGKILL and waits for it.
    pub(crate) fn kill(mut self) {
        // The order matters: until it is waited for, its process id cannot be given to another process, which the
        // shepherd would then kill.
        let _ = self.child.kill();
        let _ = fs::remove_file(&self.pid_file);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    /// Reaps what the shepherd, or [`Process::kill`], has ended; if neither has, ends it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a thread of a process is not stopped. Only Linux tells; elsewhere none is said to run.
fn runs(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        // A thread that has ended since does not run. The name, in brackets, may have brackets in it.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|state| !state.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// The last 15 lines of a log, or why it cannot be read.
pub(crate) fn tail(log: &Path) -> String {
    match fs::read_to_string(log) {
        Ok(text) => {
            let lines: Vec<_> = text.lines().collect();
            lines
                .iter()
                .skip(lines.len().saturating_sub(15))
                .fold(String::new(), |tail, line| tail + "  " + line + "\n")
        }
        Err(error) => format!("  (no log: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paused_has_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let shepherd = Shepherd::start(folder.path()).unwrap();
        let args = ["-c".to_owned(), "while :; do :; done".to_owned()];
        let process = shepherd.spawn(Server::Vault, Path::new("/bin/sh"), &args).unwrap();
        for _ in 0..50 {
            process.signal(Signal::Stop).unwrap();
            assert!(!runs(process.id()));
            process.signal(Signal::Continue).unwrap();
        }
        process.kill();
    }
}
