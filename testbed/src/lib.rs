//! Real servers for the tests of eve: a Kubernetes control plane and Vault, built from source once per user, started in
//! seconds; and AWS, as moto plays it.
//! It knows nothing of eve, so that every crate of the workspace may test with it.
//!
//! ```no_run
//! # async fn test() {
//! use eve_testbed::ControlPlane;
//!
//! let control_plane = ControlPlane::shared().await; // one per test process
//! let namespace = control_plane.namespace("apply").await; // one per test
//! let client = control_plane.eve_client().await; // or hand `kubeconfig_path()` to a program
//! // … act as `eve`, then ask who did what:
//! let audit = control_plane.audit().settle().await;
//! assert_eq!(audit.by_user("eve").in_namespace(&namespace).writes().len(), 0);
//! # let _ = client;
//! # }
//! ```
//!
//! # What runs
//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler as they are; [KWOK](https://kwok.sigs.k8s.io) plays
//! the nodes and their pods. No container runs, no image is pulled: what pods do is chosen by annotations on the pod or
//! pod template.
//!
//! | [`STAGE`] (`testbed.eve.dev/stage`) | what becomes of the pod | [`DELAY`] (`testbed.eve.dev/delay`) |
//! |---|---|---|
//! | absent, `ready` | runs and is ready | until then (at once) |
//! | `slow` | the same | until then (5 s) |
//! | `complete`; pods of a Job by default | runs, then succeeds | how long it runs (not at all) |
//! | `job-failed` | runs, then fails with exit code 1 | how long it runs (not at all) |
//! | `failed` | fails with exit code 1 and was never ready | until then (at once) |
//! | `crash-loop` | `CrashLoopBackOff`; three restarts within 1 s, then one every 2 s | until the first crash (at once) |
//! | `image-pull` | `ErrImagePull`, then `ImagePullBackOff` | until then (at once) |
//! | `bad-config` | `CreateContainerConfigError` | until then (at once) |
//! | `never-ready` | runs, is not ready | until it runs (at once) |
//! | `flapping` | ready and not ready in turn | how long each lasts (1 s) |
//!
//! `testbed.eve.dev/container` names the one container that fails (default: all of them), `testbed.eve.dev/termination`
//! how long a deleted pod stays (default: it goes at once). Durations are written as in Go: `250ms`, `3s`. A pod that is
//! to crash again and again needs a `restartPolicy` other than `Never`: the API server lets no other restart.
//!
//! A Service of type `LoadBalancer` gets an address and a claim of the storage classes `standard` (default) and `late`
//! (`WaitForFirstConsumer`) gets a volume, both after [`DELAY`] (at once), neither with the stage `never-ready`. Logs of
//! containers can be read and always say the same.
//!
//! # Beside a control plane
//! [`Aws`] is moto, a server that speaks SQS, S3, STS and IAM; it needs Python, and no control plane. [`Receiver`] is a small HTTP server
//! within the test that records what it is sent and answers as it is told, faults included.
//! # Vault
//! [`Vault::shared`] is a real Vault, initialised and unsealed, with an audit log of its own; [`Vault::kv`] gives a test a
//! mount of its own, [`Vault::enable_kubernetes_auth`] lets accounts of a control plane log in. It can be sealed, paused
//! and killed.
//!
//! # What a test can rely on
//! * It never skips: a server that cannot be built or started makes the test fail with the reason and the way out.
//! * Everything listens on 127.0.0.1 and lives in a temporary folder. Both go with the process, however it ends.
//! * The audit log records every request of every user, without bodies; `eve` is a user of its own.

mod api;
pub mod audit;
mod aws;
mod certificates;
mod control_plane;
mod error;
mod launch;
mod objects;
pub mod progress;
mod receiver;
pub mod servers;
mod shepherd;
mod stages;
mod vault;

pub use audit::{Audit, Entries, Entry, Mark};
pub use aws::Aws;
pub use control_plane::{ControlPlane, Options, TestNamespace};
pub use error::TestbedError;
pub use receiver::{Received, Receiver, Reply};
pub use servers::Server;
pub use stages::{DELAY, STAGE};
pub use vault::{KvVersion, Vault, VaultEntry};
