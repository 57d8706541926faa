//! One round: the contenders do a workload in turns, on the one control plane.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use eve_testbed::{ControlPlane, Entries, Options};
use tempfile::TempDir;

use super::contender::{Contender, Programs, Run, Spent};
use super::objects::Workload;
use super::player;

/// How large the workloads are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Deployments in their chain.
    pub deployments: usize,
    /// `ConfigMap`s in their chain.
    pub chain: usize,
    /// `ConfigMap`s without edges.
    pub fan: usize,
    /// How many of those may be under way at once.
    pub concurrency: usize,
    /// How often eve and the client by hand take turns in a round with `ConfigMap`s, which take a moment only.
    pub turns: usize,
    /// How long after a Deployment was made its status says that it is available.
    pub delay: Duration,
}

impl Sizes {
    /// How many objects a workload has.
    pub const fn count(&self, workload: Workload) -> usize {
        match workload {
            Workload::Deployments => self.deployments,
            Workload::Chain => self.chain,
            Workload::Fan => self.fan,
        }
    }
}

/// One run of one contender, as the clock and the audit log have it.
#[derive(Debug)]
pub struct Seen {
    /// Who.
    pub contender: Contender,
    /// What the process took.
    pub spent: Spent,
    /// All requests in the namespace of the run, of the contender (user `eve`) and of the player.
    pub entries: Entries,
}

/// A control plane without controllers, and what the contenders are given.
#[derive(Debug)]
pub struct Bench {
    control_plane: ControlPlane,
    programs: Programs,
    sizes: Sizes,
    inputs: TempDir,
}

impl Bench {
    /// Starts the control plane: etcd and the API server, nothing else, so that nobody works beside the contenders.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn start(programs: Programs, sizes: Sizes) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::start(Options::new().without_controllers()).await?;
        Ok(Self { control_plane, programs, sizes, inputs: tempfile::tempdir()? })
    }

    /// Who takes part, in the order of a round: each run of eve is next to one of the client by hand, and now one, now
    /// the other is first.
    pub fn order(&self, round: usize, workload: Workload) -> Vec<Contender> {
        let turns = if workload == Workload::Deployments { 1 } else { self.sizes.turns };
        let pair = |turn: usize| match turn % 2 {
            0 => [Contender::Eve, Contender::Hand],
            _ => [Contender::Hand, Contender::Eve],
        };
        let mut order: Vec<_> = (0..turns).flat_map(pair).collect();
        if self.programs.kubectl.is_some() {
            order.push(Contender::Kubectl);
        }
        if round % 2 == 1 {
            order.reverse();
        }
        order
    }

    /// The contenders do the workload, in order.
    ///
    /// # Errors
    /// A contender that fails, with what it said.
    pub async fn round(&self, round: usize, workload: Workload) -> anyhow::Result<Vec<Seen>> {
        let count = self.sizes.count(workload);
        let (file, files) = self.inputs(workload, count)?;
        let kubeconfig = self.control_plane.kubeconfig_path();
        let mut seen = Vec::new();
        for contender in self.order(round, workload) {
            let namespace = self.control_plane.namespace("hop").await;
            let run = Run {
                workload,
                count,
                concurrency: self.sizes.concurrency,
                namespace: &namespace,
                kubeconfig: &kubeconfig,
                file: &file,
                files: &files,
            };
            let spent = self.contend(contender, &run).await;
            let spent = spent.with_context(|| format!("{contender} in round {round} of {workload:?}"))?;
            let entries = self.control_plane.audit().settle().await.in_namespace(&namespace);
            seen.push(Seen { contender, spent, entries });
        }
        Ok(seen)
    }

    async fn contend(&self, contender: Contender, run: &Run<'_>) -> anyhow::Result<Spent> {
        if run.workload != Workload::Deployments {
            return self.programs.run(contender, run).await;
        }
        let admin = self.control_plane.admin_client().await;
        let playing = player::play(admin, run.namespace, run.count, self.sizes.delay);
        let (spent, played) = tokio::join!(self.programs.run(contender, run), playing);
        played?;
        spent
    }

    /// The objects in one file and in one file each, written once.
    fn inputs(&self, workload: Workload, count: usize) -> anyhow::Result<(PathBuf, Vec<PathBuf>)> {
        let folder = self.inputs.path().join(workload.plural()).join(count.to_string());
        let file = folder.join("all.yaml");
        let files: Vec<_> = (0..count).map(|index| folder.join(workload.name(index) + ".json")).collect();
        if !file.exists() {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&file, workload.text(count))?;
            for (index, path) in files.iter().enumerate() {
                std::fs::write(path, workload.object(index).to_string())?;
            }
        }
        Ok((file, files))
    }

    /// Ends the control plane.
    pub async fn stop(self) {
        self.control_plane.stop().await;
    }
}
