//! Who takes part, and how one run of each is carried out and watched from outside.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use super::objects::Workload;
use crate::memory::peak_in;

/// How often the memory of a process is read; the kernel keeps the peak, so only its last moments can be missed.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// `eve apply`.
    Eve,
    /// The client of [`hand`](super::hand): the yardstick.
    Hand,
    /// `kubectl apply --server-side`; between Deployments `kubectl wait`.
    Kubectl,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eve => "eve",
            Self::Hand => "by hand",
            Self::Kubectl => "kubectl",
        })
    }
}

/// Where the programs are. The first of each is the program, the rest are arguments that come before all others.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The command line of eve.
    pub eve: Vec<OsString>,
    /// The program that calls [`hand::run`](super::hand::run) with `WORKLOAD NAMESPACE COUNT CONCURRENCY`.
    pub hand: Vec<OsString>,
    /// kubectl, if it takes part.
    pub kubectl: Option<PathBuf>,
}

/// One run of one contender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) workload: Workload,
    pub(super) count: usize,
    pub(super) concurrency: usize,
    pub(super) namespace: &'a str,
    pub(super) kubeconfig: &'a Path,
    /// All objects in one file, and one file for each, by index.
    pub(super) file: &'a Path,
    pub(super) files: &'a [PathBuf],
}

/// What a run took: from the start of the process to its end, or from the first of several to the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Time by the clock on the wall.
    pub time: Duration,
    /// The most resident memory of a process, in bytes, as the kernel counts it (`VmHWM`); 0 where it does not tell.
    pub peak_bytes: u64,
}

impl Programs {
    pub(super) async fn run(&self, contender: Contender, run: &Run<'_>) -> anyhow::Result<Spent> {
        match contender {
            Contender::Eve => self.eve(run).await,
            Contender::Hand => self.hand(run).await,
            Contender::Kubectl => self.kubectl(run).await,
        }
    }

    async fn eve(&self, run: &Run<'_>) -> anyhow::Result<Spent> {
        let mut command = command(&self.eve, run)?;
        command.args(["apply", "--name", "hop", "-n", run.namespace, "--concurrency"]);
        command.arg(run.concurrency.to_string()).arg("-f").arg(run.file);
        spend(command).await
    }

    async fn hand(&self, run: &Run<'_>) -> anyhow::Result<Spent> {
        let mut command = command(&self.hand, run)?;
        let workload = clap::ValueEnum::to_possible_value(&run.workload).context("a workload has a name")?;
        command.args([workload.get_name(), run.namespace]);
        command.args([run.count.to_string(), run.concurrency.to_string()]);
        spend(command).await
    }

    async fn kubectl(&self, run: &Run<'_>) -> anyhow::Result<Spent> {
        let program = [self.kubectl.clone().context("there is no kubectl")?.into_os_string()];
        let call = async |args: &[&str], file: Option<&Path>| {
            let mut command = command(&program, run)?;
            command.args(args).args(["-n", run.namespace]);
            if let Some(file) = file {
                command.arg("-f").arg(file);
            }
            spend(command).await
        };
        let apply = ["apply", "--server-side"];
        if run.workload != Workload::Deployments {
            return call(&apply, Some(run.file)).await;
        }
        let begun = Instant::now();
        let mut peak_bytes = 0;
        for (index, file) in run.files.iter().enumerate() {
            let applied = call(&apply, Some(file)).await?;
            let what = format!("deployment/{}", run.workload.name(index));
            let waited = call(&["wait", "--for=condition=Available", &what], None).await?;
            peak_bytes = peak_bytes.max(applied.peak_bytes).max(waited.peak_bytes);
        }
        Ok(Spent { time: begun.elapsed(), peak_bytes })
    }
}

/// The program in an environment that knows the control plane and nothing else.
fn command(program: &[OsString], run: &Run<'_>) -> anyhow::Result<Command> {
    let (program, args) = program.split_first().context("no program")?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("KUBECONFIG", run.kubeconfig)
        .env("HOME", run.file.parent().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Runs a command to its end, which must be a success.
async fn spend(mut command: Command) -> anyhow::Result<Spent> {
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut err = child.stderr.take().context("stderr is piped")?;
    let said = tokio::spawn(async move {
        let mut text = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut err, &mut text).await.map(|_| text)
    });
    let peak_bytes = peak_until_end(&mut child).await?;
    let time = begun.elapsed();
    let status = child.wait().await?;
    if !status.success() {
        bail!("{command:?} ended with {status}:\n{}", String::from_utf8_lossy(&said.await??));
    }
    Ok(Spent { time, peak_bytes })
}

async fn peak_until_end(child: &mut Child) -> anyhow::Result<u64> {
    let status = child.id().map(|id| PathBuf::from(format!("/proc/{id}/status")));
    let mut peak = 0;
    loop {
        tokio::select! {
            biased;
            ended = child.wait() => return ended.map(|_| peak).map_err(Into::into),
            () = tokio::time::sleep(SAMPLE_EVERY) => {
                let text = status.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
                peak = peak.max(text.as_deref().and_then(peak_in).unwrap_or_default());
            }
        }
    }
}
