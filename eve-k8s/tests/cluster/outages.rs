//! What happens to the API server while eve waits, and what must not come of it: a failure, or a second write.

use std::sync::Arc;
use std::time::Duration;

use eve_core::plan::Until;
use eve_core::ports::{Executor, Step};
use eve_core::run::Applied;
use eve_k8s::{KubeConfigOptions, KubeExecutor, connect};
use eve_testbed::{ControlPlane, DELAY, Entries, Server};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard, OnceCell, watch};

use crate::common::{Told, graph, step, write};
use crate::{client, deployment};

/// Only to end a test that would hang.
const LIMIT: Duration = Duration::from_secs(90);

/// A control plane that one test at a time may do anything to.
async fn unsteady() -> MutexGuard<'static, ControlPlane> {
    static UNSTEADY: OnceCell<Mutex<ControlPlane>> = OnceCell::const_new();
    let start = async || Mutex::new(ControlPlane::start(eve_testbed::Options::new()).await.unwrap());
    UNSTEADY.get_or_init(start).await.lock().await
}

fn slow(delay: &str) -> Value {
    let mut object = deployment("web", "ready", 1);
    object["spec"]["template"]["metadata"]["annotations"][DELAY] = json!(delay);
    object
}

/// Waits until the Deployment was seen to be unavailable, so that everything is watched, and then does what `disturb`
/// does while the wait goes on. Answers what was told.
async fn wait(
    executor: &KubeExecutor,
    step: &Step,
    applied: &Applied,
    disturb: impl Future<Output = ()>,
) -> String {
    let (cx, told) = Told::context();
    let disturbed = async {
        while !told.texts().contains("0 of 1 replica") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        disturb.await;
    };
    let waited = async { tokio::join!(executor.wait(step, applied, Until::Ready, &cx), disturbed).0 };
    let ended = tokio::time::timeout(LIMIT, waited).await;
    ended.unwrap_or_else(|_| panic!("the wait did not end: {}", told.texts())).unwrap();
    told.texts()
}

/// What eve asked for in this namespace. A request that an API server was killed over never ends in the log, so that it
/// is read as it is: eve is done with its requests here, and the server writes them down before it answers them.
fn asked(control_plane: &ControlPlane, namespace: &str) -> Entries {
    let entries = Entries::from_file(&control_plane.audit_log_path()).unwrap();
    entries.by_user("eve").in_namespace(namespace)
}

#[tokio::test]
async fn a_restart_of_the_api_server_is_waited_out_and_nothing_is_written_again() {
    let control_plane = unsteady().await;
    let namespace = control_plane.namespace("restart").await;
    let executor = KubeExecutor::builder(client(&control_plane).await).build();
    let step = step(&graph(namespace.name(), [slow("3s")]), 0);
    let (_, applied) = write(&executor, &step).await.unwrap();
    wait(&executor, &step, &applied, async {
        control_plane.restart_api_server().await.unwrap();
    })
    .await;
    let writes = asked(&control_plane, namespace.name()).writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
}

#[tokio::test]
async fn an_api_server_that_hangs_for_a_while_is_waited_out_and_nothing_is_written_again() {
    let control_plane = unsteady().await;
    let namespace = control_plane.namespace("pause").await;
    let executor = KubeExecutor::builder(client(&control_plane).await).build();
    let step = step(&graph(namespace.name(), [slow("3s")]), 0);
    let (_, applied) = write(&executor, &step).await.unwrap();
    wait(&executor, &step, &applied, async {
        control_plane.pause(Server::KubeApiserver).unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        control_plane.resume(Server::KubeApiserver).unwrap();
    })
    .await;
    let writes = asked(&control_plane, namespace.name()).writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
}

/// The way from eve to the API server, which can be closed: connections break, and no new ones come through.
struct Gate {
    port: u16,
    open: watch::Sender<bool>,
}

impl Gate {
    async fn to(control_plane: &ControlPlane) -> Self {
        let server = control_plane.url().trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (server, mut is_open) = (server.clone(), is_open.clone());
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { port, open }
    }

    /// A kubeconfig of eve that leads through here.
    fn kubeconfig(&self, control_plane: &ControlPlane) -> tempfile::NamedTempFile {
        let text = std::fs::read_to_string(control_plane.kubeconfig_path()).unwrap();
        let mut config = serde_json::to_value(Kubeconfig::from_yaml(&text).unwrap()).unwrap();
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{}", self.port));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        file
    }
}

#[tokio::test]
async fn what_happened_while_the_server_forgot_is_found_by_a_new_list() {
    let control_plane = unsteady().await;
    let namespace = control_plane.namespace("forgot").await;
    let gate = Gate::to(&control_plane).await;
    let kubeconfig = gate.kubeconfig(&control_plane);
    let options = KubeConfigOptions::default().with_kubeconfig(kubeconfig.path().to_owned());
    let executor = KubeExecutor::builder(connect(&options).await.unwrap()).build();
    let step = step(&graph(namespace.name(), [slow("2s")]), 0);
    let (_, applied) = write(&executor, &step).await.unwrap();
    let lists = |entries: Entries| entries.verb("list").resource("deployments").len();
    let before = Arc::new(Mutex::new(0));
    let noted = Arc::clone(&before);
    wait(&executor, &step, &applied, async {
        *noted.lock().await = lists(asked(&control_plane, namespace.name()));
        gate.open.send(false).unwrap();
        until_available(&control_plane, namespace.name()).await;
        control_plane.compact_etcd().await.unwrap();
        // The API server remembers some time itself, but not across a restart.
        control_plane.restart_api_server().await.unwrap();
        gate.open.send(true).unwrap();
    })
    .await;
    let entries = asked(&control_plane, namespace.name());
    assert_eq!(entries.writes().len(), 1, "{entries:?}");
    assert_eq!(lists(entries.clone()), *before.lock().await + 1, "{entries:?}");
}

async fn until_available(control_plane: &ControlPlane, namespace: &str) {
    use k8s_openapi::api::apps::v1::Deployment;
    let api = kube::Api::<Deployment>::namespaced(control_plane.admin_client().await, namespace);
    let is_available =
        |deployment: Deployment| deployment.status.and_then(|status| status.available_replicas) == Some(1);
    while !is_available(api.get("web").await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
