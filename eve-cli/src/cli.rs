//! What can be said on the command line: flags only, no behaviour. `docs/reference/cli.md` is generated from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use eve_core::plan::FailurePolicy;
use eve_core::run::StopMode;
use eve_k8s::kinds::HelmHooks;
use eve_k8s::{BadObjectPattern, Grace, KindPattern, ObjectPattern, TakeOver, Trouble, UnknownTrouble};

use crate::exit;

/// The heading of flags that say which cluster.
const CLUSTER: &str = "Cluster";
/// The heading of flags that say which Vault.
const VAULT: &str = "Vault, for plans with secrets";
/// The heading of flags that every command has.
const GLOBAL: &str = "Global options";

/// Deploys plans and manifests to Kubernetes, each component the moment what it depends on is ready.
#[derive(Debug, Parser)]
#[command(name = "eve", version, propagate_version = false, arg_required_else_help = true)]
#[command(after_help = "Run `eve help COMMAND` for more about a command.")]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Say more on stderr: -v every step, -vv and -vvv what eve does inside (`EVE_LOG` sets that in detail)
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing but errors on stderr, and no summary
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// When to use colours; `auto` asks the terminal, `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
    /// The same as --color=never
    #[arg(long, global = true, help_heading = GLOBAL, conflicts_with = "color")]
    pub no_color: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that has not opted out.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deploy a plan or manifests, and wait until everything is healthy
    Apply(Box<Apply>),
    /// Show what `eve apply` would change, field by field; nothing is written
    Diff(Box<Diff>),
    /// Show what is not up and why, with events and log lines; nothing is written
    Explain(Box<Explain>),
    /// Remove what a plan or manifests made, in the reverse order, and wait until it is gone
    Delete(Box<Delete>),
    /// Show what is installed
    Get(Get),
    /// Show the runs that were started on this machine
    Runs(Runs),
    /// Show how a run stands, or how it ended
    Status(Status),
    /// Show what each component of a run did, when, and what it waited for
    Timeline(Timeline),
    /// Go on with a run whose process died
    Resume(Resume),
    /// Ask a run to stop
    Cancel(Cancel),
    /// Put back what a run changed, the last change first, as far as the run kept what was before
    Rollback(Box<Rollback>),
    /// Check a plan or manifests without a cluster, and show every problem
    Validate(Validate),
    /// Show the components of a plan or manifests, what waits for what, and why
    Graph(Graph),
    /// Show the version
    Version(Version),
    /// Write a completion script for a shell to stdout
    Completion(Completion),
}

/// `eve apply`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
pub struct Apply {
    /// What to deploy.
    #[command(flatten)]
    pub input: Input,
    /// Where to deploy it.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Where the values of its secrets are.
    #[command(flatten)]
    pub vault: Vault,
    /// Create the namespace first if it does not exist
    #[arg(long)]
    pub create_namespace: bool,
    /// Let objects of the input live in this namespace too (repeatable)
    #[arg(long = "allow-namespace", value_name = "NAMESPACE")]
    pub allow_namespaces: Vec<String>,
    /// Let the input write cluster-scoped objects of this kind: KIND or KIND.GROUP, either with /NAME (repeatable)
    #[arg(long = "allow-cluster-scoped", value_name = "KIND")]
    pub allow_cluster_scoped: Vec<KindPattern>,
    /// Count an object as ready once it is applied, and wait no further: applied=KIND/NAME; KIND may have a .GROUP, NAME
    /// a NAMESPACE/ before it (repeatable)
    #[arg(long = "until", value_name = "applied=KIND/NAME", value_parser = parse_waiver)]
    pub waived: Vec<ObjectPattern>,
    /// What a cause that keeps pods down is borne before it ends the wait: a duration, for `crash-loop` a number of
    /// restarts, or `never`; for example image-pull=5m. CAUSE is one of crash-loop, bad-config, image-pull,
    /// replica-failure, unschedulable and not-ready (repeatable)
    #[arg(long = "grace", value_name = "CAUSE=GRACE", value_parser = parse_grace)]
    pub graces: Vec<(Trouble, Grace)>,
    /// Take over an object that belongs to another plan: KIND/NAME; KIND may have a .GROUP, NAME a NAMESPACE/ before it;
    /// `*` takes over all (repeatable)
    #[arg(long = "take-over", value_name = "KIND/NAME")]
    pub take_over: Vec<TakeOver>,
    /// Take over fields that other managers own, as `forceConflicts: true` on every component does
    #[arg(long)]
    pub force_conflicts: bool,
    /// How long the whole run may take, for example 90s or 1h30m; time in which no process drives it does not count
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "1h")]
    pub timeout: Duration,
    /// How long a wait, or the undo of an object, may tell nothing new until it is given up, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "5m")]
    pub no_progress_timeout: Duration,
    /// What a failed component does to the run; overrides the plan
    #[arg(long, value_enum, value_name = "POLICY")]
    pub on_failure: Option<OnFailure>,
    /// How many calls that change or read one object may be under way at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ApplyOutput::Text)]
    pub output: ApplyOutput,
}

/// `eve diff`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
pub struct Diff {
    /// What to compare.
    #[command(flatten)]
    pub input: Input,
    /// With what to compare it.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Where the values of its secrets are.
    #[command(flatten)]
    pub vault: Vault,
    /// Let objects of the input live in this namespace too (repeatable)
    #[arg(long = "allow-namespace", value_name = "NAMESPACE")]
    pub allow_namespaces: Vec<String>,
    /// Let the input hold cluster-scoped objects of this kind: KIND or KIND.GROUP, either with /NAME (repeatable)
    #[arg(long = "allow-cluster-scoped", value_name = "KIND")]
    pub allow_cluster_scoped: Vec<KindPattern>,
    /// Take over an object that belongs to another plan, as `eve apply` does with the same flag (repeatable)
    #[arg(long = "take-over", value_name = "KIND/NAME")]
    pub take_over: Vec<TakeOver>,
    /// Take over fields that other managers own, as `forceConflicts: true` on every component does
    #[arg(long)]
    pub force_conflicts: bool,
    /// Show what a failure would undo under this policy; overrides the plan
    #[arg(long, value_enum, value_name = "POLICY")]
    pub on_failure: Option<OnFailure>,
    /// Exit with 1 if something would change, or cannot be verified yet
    #[arg(long)]
    pub exit_code: bool,
    /// How many objects may be compared at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = DiffOutput::Text)]
    pub output: DiffOutput,
}

/// `eve explain`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
pub struct Explain {
    /// Only these: a component of the plan, or an object as KIND/NAME (repeatable)
    #[arg(value_name = "COMPONENT")]
    pub what: Vec<String>,
    /// What should be up: a plan or manifests, as for `eve apply` (repeatable)
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present = "plan")]
    pub filenames: Vec<PathBuf>,
    /// Also read the folders within folders, each after the files beside it
    #[arg(short = 'R', long, conflicts_with = "plan")]
    pub recursive: bool,
    /// What to do with objects that only Helm runs (`helm.sh/hook`)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Hooks::Refuse, conflicts_with = "plan")]
    pub helm_hooks: Hooks,
    /// Look at what is there of this plan, found by its labels; no file is needed
    #[arg(long, value_name = "NAME", conflicts_with = "filenames")]
    pub plan: Option<String>,
    /// The namespace. A plan states its own, which must be the same; otherwise that of the kubeconfig's context, else
    /// `default`
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of the plan that plain manifests make; by default the namespace
    #[arg(long, value_name = "NAME", conflicts_with = "plan")]
    pub name: Option<String>,
    /// Values for its expressions.
    #[command(flatten)]
    pub values: Values,
    /// Where to look.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Look at objects in this namespace too (repeatable)
    #[arg(long = "allow-namespace", value_name = "NAMESPACE")]
    pub allow_namespaces: Vec<String>,
    /// Look at cluster-scoped objects of this kind too: KIND or KIND.GROUP, either with /NAME (repeatable)
    #[arg(long = "allow-cluster-scoped", value_name = "KIND")]
    pub allow_cluster_scoped: Vec<KindPattern>,
    /// Count an object as up once it is there: applied=KIND/NAME; KIND may have a .GROUP, NAME a NAMESPACE/ before it
    /// (repeatable)
    #[arg(long = "until", value_name = "applied=KIND/NAME", value_parser = parse_waiver, conflicts_with = "plan")]
    pub waived: Vec<ObjectPattern>,
    /// How many objects may be looked at at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}

/// `eve delete`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
pub struct Delete {
    /// What to remove: a plan or manifests, as for `eve apply` (repeatable)
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present = "plan")]
    pub filenames: Vec<PathBuf>,
    /// Also read the folders within folders, each after the files beside it
    #[arg(short = 'R', long, conflicts_with = "plan")]
    pub recursive: bool,
    /// What to do with objects that only Helm runs (`helm.sh/hook`)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Hooks::Refuse, conflicts_with = "plan")]
    pub helm_hooks: Hooks,
    /// Remove what is there of this plan, found by its labels; no file is needed
    #[arg(long, value_name = "NAME", conflicts_with = "filenames")]
    pub plan: Option<String>,
    /// The namespace. A plan states its own, which must be the same; otherwise that of the kubeconfig's context, else
    /// `default`
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of the plan that plain manifests make; by default the namespace
    #[arg(long, value_name = "NAME", conflicts_with = "plan")]
    pub name: Option<String>,
    /// Values for its expressions.
    #[command(flatten)]
    pub values: Values,
    /// Where to remove it.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Also remove objects that were there before eve (annotation `eve.dev/adopted`)
    #[arg(long)]
    pub adopted: bool,
    /// Remove objects of the plan in this namespace too (repeatable)
    #[arg(long = "allow-namespace", value_name = "NAMESPACE")]
    pub allow_namespaces: Vec<String>,
    /// Remove cluster-scoped objects of this kind too: KIND or KIND.GROUP, either with /NAME (repeatable)
    #[arg(long = "allow-cluster-scoped", value_name = "KIND")]
    pub allow_cluster_scoped: Vec<KindPattern>,
    /// How long the whole run may take, for example 90s or 1h30m; time in which no process drives it does not count
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "1h")]
    pub timeout: Duration,
    /// How long a wait, or the undo of an object, may tell nothing new until it is given up, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "5m")]
    pub no_progress_timeout: Duration,
    /// What a failed component does to the run; overrides the plan
    #[arg(long, value_enum, value_name = "POLICY")]
    pub on_failure: Option<OnFailure>,
    /// How many calls that change or read one object may be under way at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ApplyOutput::Text)]
    pub output: ApplyOutput,
}

/// `eve get`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Get {
    /// Of what.
    #[command(subcommand)]
    pub what: GetWhat,
}

/// What `eve get` shows.
#[derive(Debug, Subcommand)]
pub enum GetWhat {
    /// The plans that are installed
    Plans(Installed),
    /// The objects of plans, with the components that they belong to
    Components(Components),
}

/// `eve get plans`.
#[derive(Debug, Args)]
pub struct Installed {
    /// The namespace; by default that of the kubeconfig's context, else `default`
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// All namespaces, and objects of the cluster
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = GetOutput::Text)]
    pub output: GetOutput,
}

/// `eve get components`.
#[derive(Debug, Args)]
pub struct Components {
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub installed: Installed,
    /// Only those of this plan
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
}

/// `eve runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// Only runs of plans in this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = GetOutput::Text)]
    pub output: GetOutput,
}

/// `eve status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The run: its name or the beginning of it; by default the newest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = GetOutput::Text)]
    pub output: GetOutput,
}

/// `eve timeline`.
#[derive(Debug, Args)]
pub struct Timeline {
    /// The run: its name or the beginning of it; by default the newest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = GetOutput::Text)]
    pub output: GetOutput,
}

/// `eve resume`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
#[command(
    long_about = "Go on with a run whose process died, as it was called then.\n\nOf its `--timeout` it has left what it had \
                  when its process died: time in which no process drives a run does not count."
)]
pub struct Resume {
    /// The run: its name or the beginning of it; by default the one that was interrupted, if it is the only one
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Read the plan here, and not where it was read before; it must be the same plan (repeatable)
    #[arg(short, long = "filename", value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ApplyOutput::Text)]
    pub output: ApplyOutput,
}

/// `eve cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The run: its name or the beginning of it; by default the one that is under way, if it is the only one
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// How it is to end
    #[arg(long, value_enum, value_name = "MODE", default_value_t = CancelMode::Now)]
    pub mode: CancelMode,
    /// Have it undo then what it changed, where its plan has the policy `rollback`
    #[arg(long, conflicts_with = "mode")]
    pub rollback: bool,
    /// How long to wait until it has ended; 0 does not wait
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = "1m")]
    pub timeout: Duration,
}

/// `eve rollback`.
#[derive(Debug, Args)]
#[command(after_help = exit::help())]
#[command(
    long_about = "Put back what a run changed, the last change first, as far as the run kept what was before.\n\nThe run must be \
                  over, and its plan, a component or `--on-failure` must have had the policy `rollback`: only then is kept \
                  what was before. What the run created is removed, what it changed is changed back, what it deleted is \
                  made again; each is read afterwards. What somebody else has changed since is named and left alone. No \
                  file of the plan is needed. A rollback is a run of its own: it can be looked at, stopped and resumed."
)]
pub struct Rollback {
    /// The run: its name or the beginning of it
    #[arg(value_name = "RUN")]
    pub run: String,
    /// How long the rollback may take, for example 90s or 1h30m; time in which no process drives it does not count
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "1h")]
    pub timeout: Duration,
    /// How long a wait, or the undo of an object, may tell nothing new until it is given up, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout, default_value = "5m")]
    pub no_progress_timeout: Duration,
    /// How many calls that change or read one object may be under way at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The form of the results on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = ApplyOutput::Text)]
    pub output: ApplyOutput,
}

/// How a run is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CancelMode {
    /// Finish the calls in flight, give up waits
    Now,
    /// Start nothing new, let what runs come to its end, waits included
    Drain,
}

impl Cancel {
    /// What is asked of the run.
    pub fn stop_mode(&self) -> StopMode {
        match self.mode {
            _ if self.rollback => StopMode::Rollback,
            CancelMode::Now => StopMode::Now,
            CancelMode::Drain => StopMode::Drain,
        }
    }
}

/// `eve validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// What to check.
    #[command(flatten)]
    pub input: Input,
    /// Allow objects in this namespace too, as with `eve apply` (repeatable)
    #[arg(long = "allow-namespace", value_name = "NAMESPACE")]
    pub allow_namespaces: Vec<String>,
    /// Allow cluster-scoped objects of this kind too: KIND or KIND.GROUP, either with /NAME; `*` for all (repeatable)
    #[arg(long = "allow-cluster-scoped", value_name = "KIND")]
    pub allow_cluster_scoped: Vec<KindPattern>,
}

/// `eve graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// What to show.
    #[command(flatten)]
    pub input: Input,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = GraphOutput::Text)]
    pub output: GraphOutput,
    /// Show the parts that components are made of, and the joins between them
    #[arg(long)]
    pub parts: bool,
    /// Leave out edges that other edges imply (at most 5,000 components)
    #[arg(long)]
    pub reduce: bool,
}

/// `eve version`.
#[derive(Debug, Args)]
pub struct Version {
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = VersionOutput::Text)]
    pub output: VersionOutput,
}

/// `eve completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The input of a command, and the namespace it is for.
#[derive(Clone, Debug, Args)]
pub struct Input {
    /// A plan or manifests: a file, a folder (its *.yaml, *.yml and *.json by name), or - for stdin (repeatable)
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filenames: Vec<PathBuf>,
    /// Also read the folders within folders, each after the files beside it
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// What to do with objects that only Helm runs (`helm.sh/hook`)
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Hooks::Refuse)]
    pub helm_hooks: Hooks,
    /// The namespace. A plan states its own, which must be the same; manifests otherwise take that of the kubeconfig's
    /// context, else `default`
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The name of the plan that plain manifests make; by default the namespace
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Values for its expressions.
    #[command(flatten)]
    pub values: Values,
}

/// Values for the expressions of a plan.
#[derive(Clone, Debug, Default, Args)]
pub struct Values {
    /// Give an input of the plan a value, read as a YAML scalar, or as text where the plan's own value is a text
    /// (repeatable; counts more than --inputs)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_set)]
    pub set: Vec<(String, String)>,
    /// Give inputs of the plan the values of a file: YAML or JSON, a map (repeatable: what a later file says counts)
    #[arg(long = "inputs", value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
}

/// What is done with Helm's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// They are problems
    Refuse,
    /// Leave them out, with a warning each
    Skip,
}

impl From<Hooks> for HelmHooks {
    fn from(hooks: Hooks) -> Self {
        match hooks {
            Hooks::Refuse => Self::Refuse,
            Hooks::Skip => Self::Skip,
        }
    }
}

/// Which cluster, and as whom. Empty values mean: as the kubeconfig says.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// The kubeconfig file (repeatable: the first that says something counts); otherwise KUBECONFIG, else
    /// ~/.kube/config, else the service account of the pod
    #[arg(help_heading = CLUSTER, long, value_name = "FILE")]
    pub kubeconfig: Vec<PathBuf>,
    /// The context of the kubeconfig to use
    #[arg(help_heading = CLUSTER, long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// The user to impersonate
    #[arg(help_heading = CLUSTER, long = "as", value_name = "USER")]
    pub as_user: Option<String>,
    /// A group to impersonate (repeatable)
    #[arg(help_heading = CLUSTER, long = "as-group", value_name = "GROUP", requires = "as_user")]
    pub as_groups: Vec<String>,
    /// How long one request may take, for example 10s
    #[arg(help_heading = CLUSTER, long, value_name = "DURATION", value_parser = parse_timeout, default_value = "30s")]
    pub request_timeout: Duration,
}

/// Which Vault, and how to log in there.
#[derive(Clone, Debug, Args)]
pub struct Vault {
    /// The address of Vault, for example `https://vault.example.com:8200`; otherwise `VAULT_ADDR`
    #[arg(help_heading = VAULT, long, value_name = "URL")]
    pub vault_addr: Option<String>,
    /// The namespace in Vault; otherwise `VAULT_NAMESPACE`
    #[arg(help_heading = VAULT, long, value_name = "NAMESPACE")]
    pub vault_namespace: Option<String>,
    /// Trust the certificates in this PEM file, and no others; otherwise `VAULT_CACERT`
    #[arg(help_heading = VAULT, long, value_name = "FILE")]
    pub vault_ca_file: Option<PathBuf>,
    /// The file with the token; otherwise `VAULT_TOKEN`, else the file that `VAULT_TOKEN_FILE` names, else
    /// ~/.vault-token
    #[arg(help_heading = VAULT, long, value_name = "FILE", conflicts_with = "vault_role")]
    pub vault_token_file: Option<PathBuf>,
    /// Log in as this role of the Kubernetes auth method, with the token of the pod's service account
    #[arg(help_heading = VAULT, long, value_name = "ROLE")]
    pub vault_role: Option<String>,
    /// Where the Kubernetes auth method is mounted
    #[arg(help_heading = VAULT, long, value_name = "PATH", default_value = "kubernetes", requires = "vault_role")]
    pub vault_mount: String,
    /// Let the token and the secrets go over plain HTTP to another machine
    #[arg(help_heading = VAULT, long)]
    pub vault_plain_http: bool,
}

/// What a failed component does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Start nothing new, let what runs come to its end
    Drain,
    /// Skip only what depends on it
    Continue,
    /// As drain, then undo what the run changed, the last change first
    Rollback,
}

impl From<OnFailure> for FailurePolicy {
    fn from(policy: OnFailure) -> Self {
        match policy {
            OnFailure::Drain => Self::Drain,
            OnFailure::Continue => Self::Continue,
            OnFailure::Rollback => Self::Rollback,
        }
    }
}

/// The forms of the results of `eve apply`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ApplyOutput {
    /// For people: progress on stderr, the summary on stdout
    #[default]
    Text,
    /// JSON lines on stdout: one object per record of the run, and a summary at the end
    Json,
}

/// The forms of `eve diff`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiffOutput {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// The forms of `eve explain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// The forms of `eve get`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GetOutput {
    /// A table
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// The forms of `eve graph`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphOutput {
    /// A list in an order in which it can be deployed
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// A Mermaid flowchart
    Mermaid,
    /// One JSON object
    Json,
}

/// The forms of `eve version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VersionOutput {
    /// One line
    #[default]
    Text,
    /// One JSON object
    Json,
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let duration = crate::duration::parse(text)?;
    if duration.is_zero() { Err("must be more than zero".into()) } else { Ok(duration) }
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `applied=KIND/NAME`.
fn parse_waiver(text: &str) -> Result<ObjectPattern, String> {
    match text.split_once('=') {
        Some(("applied", object)) => object.parse().map_err(|error: BadObjectPattern| error.to_string()),
        Some(("ready", _)) => Err("ready is what is waited for anyway".into()),
        _ => Err("write applied=KIND/NAME".into()),
    }
}

/// `image-pull=5m`, `crash-loop=10`, `crash-loop=never`.
fn parse_grace(text: &str) -> Result<(Trouble, Grace), String> {
    let (cause, grace) = text.split_once('=').ok_or("write CAUSE=GRACE")?;
    let trouble: Trouble = cause.parse().map_err(|error: UnknownTrouble| error.to_string())?;
    let grace = match grace {
        "never" => Grace::Never,
        // Between two crashes a container runs: there is no length of time without a break.
        _ if trouble == Trouble::CrashLoop => {
            let restarts = grace.parse().map_err(|_| "write a number of restarts, or never")?;
            Grace::Restarts(restarts)
        }
        _ => Grace::After(crate::duration::parse(grace)?),
    };
    Ok((trouble, grace))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_grace_is_a_length_of_time_a_number_of_restarts_or_never() {
        let after = |s| Grace::After(Duration::from_secs(s));
        for (text, expected) in [
            ("image-pull=5m", Some((Trouble::ImagePull, after(300)))),
            ("unschedulable=2m", Some((Trouble::Unschedulable, after(120)))),
            ("bad-config=0", Some((Trouble::BadConfig, after(0)))),
            ("not-ready=never", Some((Trouble::NotReady, Grace::Never))),
            ("crash-loop=10", Some((Trouble::CrashLoop, Grace::Restarts(10)))),
            ("crash-loop=never", Some((Trouble::CrashLoop, Grace::Never))),
            ("crash-loop=5m", None),
            ("image-pull=5", None),
            ("image-pull", None),
            ("k8s.pod.image-pull=5m", None),
            ("quota=5m", None),
        ] {
            assert_eq!(parse_grace(text).ok(), expected, "{text}");
        }
        let unknown = parse_grace("quota=5m").unwrap_err();
        assert!(Trouble::all().all(|trouble| unknown.contains(trouble.name())), "{unknown}");
        let help = Cli::command().find_subcommand_mut("apply").unwrap().render_long_help().to_string();
        assert!(Trouble::all().all(|trouble| help.contains(trouble.name())), "{help}");
    }
}
