//! The program `eve-testbed`: keeps a control plane running, runs a command beside one, or only builds the servers.
//! All it does is parse, call the library and pass exit codes on.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use clap::{Parser, Subcommand};
use eve_testbed::progress::say;
use eve_testbed::{Aws, ControlPlane, Options, Server, TestbedError, Vault, servers};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Real servers on this machine, for tests, a Kubernetes control plane first of all: built from source once, started in
/// seconds.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a control plane, print how to reach it, and keep it until Ctrl-C or SIGTERM.
    Up {
        /// How many nodes it has, each with 64 CPUs, 256 GiB and room for 500 pods.
        #[arg(long, default_value_t = 3)]
        nodes: u16,
        /// What else is started; its variables are printed too.
        #[arg(long, value_enum, value_delimiter = ',')]
        with: Vec<Extra>,
    },
    /// Start a control plane, run a command with `KUBECONFIG` and `EVE_TESTBED_AUDIT_LOG` set, tear it down.
    ///
    /// Exits with the code of the command, 128+n if signal n ended it, 127 if there is no such command, and 125 if the
    /// control plane does not start. `EVE_TESTBED_ADMIN_KUBECONFIG` names the kubeconfig of a second user, `admin`, whose
    /// requests can be told from those of `eve` in the audit log.
    Exec {
        /// How many nodes it has, each with 64 CPUs, 256 GiB and room for 500 pods.
        #[arg(long, default_value_t = 3)]
        nodes: u16,
        /// What else is started; its variables are set too.
        #[arg(long, value_enum, value_delimiter = ',')]
        with: Vec<Extra>,
        /// The command and its arguments.
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Build servers where they are missing, and print the path of each.
    Build {
        /// Which servers; without any, those that the tests use. `kubectl` can be built too.
        #[arg(value_enum)]
        servers: Vec<Server>,
    },
}

/// A server beside the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Extra {
    /// SQS, S3, STS and IAM, as moto plays them; any credentials will do. Sets `AWS_ENDPOINT_URL`, `AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    Aws,
    /// Vault, in which accounts of the control plane can log in (`auth/kubernetes`). Sets `VAULT_ADDR`, `VAULT_TOKEN` (of
    /// root), and `EVE_TESTBED_VAULT_AUDIT_LOG`.
    Vault,
}

/// What was started, and how to reach it.
struct Testbed {
    control_plane: ControlPlane,
    aws: Option<Aws>,
    vault: Option<Vault>,
}

/// The testbed itself failed: the code that other programs which run programs use for that (`env`, `timeout`, docker).
const TESTBED_FAILED: u8 = 125;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Verb::Up { nodes, with } => up(nodes, &with).await,
        Verb::Exec { nodes, with, command } => exec(nodes, &with, &command).await,
        Verb::Build { servers } => build(servers).await,
    };
    result.unwrap_or_else(|error| {
        say(&error.chain());
        ExitCode::from(TESTBED_FAILED)
    })
}

impl Testbed {
    async fn start(nodes: u16, with: &[Extra]) -> Result<Self, TestbedError> {
        say("starting etcd, kube-apiserver, controllers, scheduler and kwok");
        let begun = std::time::Instant::now();
        let control_plane = ControlPlane::start(Options::new().nodes(nodes)).await?;
        say(&format!("ready after {:.1} s at {}", begun.elapsed().as_secs_f32(), control_plane.url()));
        let mut aws = None;
        if with.contains(&Extra::Aws) {
            say("starting moto");
            let begun = std::time::Instant::now();
            let started = Aws::start().await?;
            say(&format!("ready after {:.1} s at {}", begun.elapsed().as_secs_f32(), started.url()));
            aws = Some(started);
        }
        let mut vault = None;
        if with.contains(&Extra::Vault) {
            say("starting Vault");
            let begun = std::time::Instant::now();
            let started = Vault::start().await?;
            started.enable_kubernetes_auth(&control_plane).await?;
            say(&format!("ready after {:.1} s at {}", begun.elapsed().as_secs_f32(), started.address()));
            vault = Some(started);
        }
        Ok(Self { control_plane, aws, vault })
    }

    /// The variables that say how to reach everything.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |path: PathBuf| path.display().to_string();
        let mut variables = vec![
            ("KUBECONFIG", path(self.control_plane.kubeconfig_path())),
            ("EVE_TESTBED_ADMIN_KUBECONFIG", path(self.control_plane.admin_kubeconfig_path())),
            ("EVE_TESTBED_AUDIT_LOG", path(self.control_plane.audit_log_path())),
        ];
        if let Some(aws) = &self.aws {
            variables.extend([
                ("AWS_ENDPOINT_URL", aws.url()),
                ("AWS_REGION", Aws::REGION.to_owned()),
                ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
            ]);
        }
        if let Some(vault) = &self.vault {
            variables.extend([
                ("VAULT_ADDR", vault.address()),
                ("VAULT_TOKEN", vault.root_token().to_owned()),
                ("EVE_TESTBED_VAULT_AUDIT_LOG", path(vault.audit_log_path())),
            ]);
        }
        variables
    }

    async fn stop(self) {
        if let Some(aws) = self.aws {
            aws.stop().await;
        }
        if let Some(vault) = self.vault {
            vault.stop().await;
        }
        self.control_plane.stop().await;
    }
}

async fn up(nodes: u16, with: &[Extra]) -> Result<ExitCode, TestbedError> {
    let testbed = Testbed::start(nodes, with).await?;
    let mut signals = Signals::new()?;
    for (name, value) in testbed.variables() {
        out(&format!("export {name}={value}\n"));
    }
    say(&format!(
        "logs of the servers are in {}; Ctrl-C ends it all",
        testbed.control_plane.folder().join("logs").display()
    ));
    signals.next().await;
    say("stopping");
    testbed.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn exec(nodes: u16, with: &[Extra], command: &[OsString]) -> Result<ExitCode, TestbedError> {
    let Some((program, args)) = command.split_first() else {
        return Ok(ExitCode::from(TESTBED_FAILED));
    };
    let testbed = Testbed::start(nodes, with).await?;
    let mut signals = Signals::new()?;
    let spawned = Command::new(program).args(args).envs(testbed.variables()).spawn();
    let code = match spawned {
        Ok(mut child) => {
            let status = outlive(&mut child, &mut signals).await;
            status.map_or(TESTBED_FAILED, exit_code)
        }
        Err(error) => {
            say(&format!("cannot run {}: {error}", program.display()));
            if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
        }
    };
    testbed.stop().await;
    Ok(ExitCode::from(code))
}

/// Waits for the command. Ctrl-C reaches it through the terminal; SIGTERM is passed on; either way it decides when to end.
async fn outlive(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            kind = signals.next() => {
                if let (Received::Terminate, Some(id)) = (kind, child.id()) {
                    let id = id.to_string();
                    Command::new("/bin/sh").args(["-c", r#"kill -s TERM "$1""#, "sh", &id]).status().await?;
                }
            }
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

async fn build(wanted: Vec<Server>) -> Result<ExitCode, TestbedError> {
    let wanted = if wanted.is_empty() { Server::TESTS.to_vec() } else { wanted };
    let programs = tokio::task::spawn_blocking(move || servers::ensure(&wanted))
        .await
        .map_err(|error| TestbedError::Io { what: "build the servers".to_owned(), source: error.into() })??;
    for (_, path) in programs.iter() {
        out(&format!("{}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes results to standard output. That it may be closed is no reason to fail.
fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The signals that ask a program to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

enum Received {
    Interrupt,
    Terminate,
}

impl Signals {
    fn new() -> Result<Self, TestbedError> {
        let listen = |kind| {
            signal(kind).map_err(|source| TestbedError::Io { what: "listen to signals".to_owned(), source })
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.interrupt.recv() => Received::Interrupt,
            _ = self.terminate.recv() => Received::Terminate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_the_commands_or_tells_its_signal() {
        // Raw wait statuses as in wait(2): the code in the second byte, the signal in the first.
        for (raw, code) in [(0, 0), (7 << 8, 7), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), code);
        }
    }

    #[test]
    fn command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
