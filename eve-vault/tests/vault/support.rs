//! What the tests share: everything that is logged, roles on a real Vault, and the watch over canaries.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use eve_core::ports::{BadReference, Resolved, SecretResolver as _};
use eve_core::secret::SecretRef;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_testbed::Vault as Server;
use eve_vault::{Login, Vault, VaultConfig, VaultResolver};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Only to end a test that would hang.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A number that no other call in this process gets.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A canary of this process alone.
pub(crate) fn canary() -> Canary {
    Canary::new((u64::from(std::process::id()) << 32) | unique())
}

/// Everything that this process logged at any level, by way of `tracing` and of `log`.
static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLogs;

impl io::Write for ToLogs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGS.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for ToLogs {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
        LOGS.lock().unwrap_or_else(PoisonError::into_inner).extend(line.bytes());
    }

    fn flush(&self) {}
}

fn capture_logs() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| ToLogs)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log::set_logger(&ToLogs).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// What was logged so far.
pub(crate) fn logs() -> String {
    String::from_utf8_lossy(&LOGS.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

thread_local! {
    /// The values that this test, which has a thread of its own, has given to a Vault.
    static HIDDEN: RefCell<Vec<Canary>> = const { RefCell::new(Vec::new()) };
}

/// A value for a Vault, each time another one; looked for in all that comes out of the test.
pub(crate) fn hidden() -> String {
    hide(&Canary::plain(u64::from(std::process::id()) << 32 | unique()))
}

/// The value of a canary that is looked for in all that comes out of the test.
pub(crate) fn hide(canary: &Canary) -> String {
    HIDDEN.with_borrow_mut(|hidden| hidden.push(canary.clone()));
    canary.value().to_owned()
}

/// Sees, when it is dropped, that neither these secrets nor what the test has hidden came out: whoever has a login has one.
pub(crate) struct Lookout {
    secrets: Vec<Canary>,
    since: usize,
}

impl Lookout {
    pub(crate) fn over(secrets: impl IntoIterator<Item = Canary>) -> Self {
        capture_logs();
        let since = LOGS.lock().unwrap_or_else(PoisonError::into_inner).len();
        tracing::trace!("what comes from here on is looked through");
        Self { secrets: secrets.into_iter().collect(), since }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut scan = CanaryScan::new(self.secrets.drain(..).chain(HIDDEN.with_borrow(Clone::clone)));
        let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        scan.sink("the logs, and what was told", logs.get(self.since..).unwrap_or_default());
        drop(logs);
        scan.assert_clean();
    }
}

/// What is told of references that are all bad; it is looked through with the logs.
pub(crate) async fn refused(resolver: &VaultResolver, references: &[SecretRef]) -> Vec<BadReference> {
    let bad = resolver.resolve(references).await.expect_err("nothing resolves");
    for bad in &bad {
        tracing::trace!("told: {bad} {bad:?} {}", serde_json::to_string(&bad.failure).unwrap());
    }
    bad
}

/// Sees that canaries come out nowhere but in values.
pub(crate) struct Watch {
    scan: CanaryScan,
}

impl Watch {
    /// Begins to log, too; so it comes first in a test.
    pub(crate) fn over(canaries: impl IntoIterator<Item = Canary>) -> Self {
        capture_logs();
        Self { scan: CanaryScan::new(canaries) }
    }

    pub(crate) fn saw(&mut self, name: &str, content: impl AsRef<[u8]>) {
        self.scan.sink(name, content);
    }

    /// Everything that can be shown of an answer of the resolver.
    pub(crate) fn resolved(&mut self, end: &Result<Vec<Resolved>, Vec<BadReference>>) {
        match end {
            Ok(resolved) => self.saw("Debug of what was resolved", format!("{resolved:?} {resolved:#?}")),
            Err(bad) => {
                for bad in bad {
                    self.saw("a bad reference", format!("{bad} {bad:?} {:?}", bad.failure));
                    self.saw("a stored failure", serde_json::to_vec(&bad.failure).unwrap());
                }
            }
        }
    }

    pub(crate) fn debug(&mut self, what: &impl Debug) {
        self.saw("a Debug text", format!("{what:?} {what:#?}"));
    }

    /// Looks at the logs as well, and ends the test if anything was found.
    #[track_caller]
    pub(crate) fn assert_clean(mut self) {
        let logs = logs();
        assert!(!logs.is_empty(), "nothing was logged, so nothing is proved");
        self.scan.sink("the logs", logs);
        self.scan.assert_clean();
    }

    /// What was found, the logs included.
    pub(crate) fn leaks(mut self) -> Vec<String> {
        self.scan.sink("the logs", logs());
        self.scan.leaks().iter().map(|leak| leak.sink.clone()).collect()
    }
}

pub(crate) fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

pub(crate) fn references(texts: &[String]) -> Vec<SecretRef> {
    texts.iter().map(|text| reference(text)).collect()
}

/// The values of references that are all good.
pub(crate) async fn values(resolver: &VaultResolver, texts: &[String]) -> Vec<(String, Option<u64>)> {
    let found = resolver.resolve(&references(texts)).await.unwrap_or_else(|bad| panic!("{bad:#?}"));
    tracing::trace!("resolved: {found:?}");
    let plain = |resolved: &Resolved| {
        (resolved.value.expose().to_owned(), resolved.version.map(eve_core::secret::SecretVersion::get))
    };
    found.iter().map(plain).collect()
}

/// The codes of references that are all bad, in order.
pub(crate) async fn codes(resolver: &VaultResolver, texts: &[String]) -> Vec<String> {
    let bad = refused(resolver, &references(texts)).await;
    bad.iter().map(|bad| bad.failure.code.clone().into_owned()).collect()
}

pub(crate) fn client(server: &Server) -> Vault {
    Vault::new(&VaultConfig::new(server.address())).unwrap()
}

/// A role of `AppRole` on a real Vault, at a mount of its own.
pub(crate) struct Role {
    pub login: Login,
    pub mount: String,
    pub secret_id_file: PathBuf,
    /// The secret of the role.
    pub secret_id: Canary,
    _folder: TempDir,
    _lookout: Lookout,
}

/// Makes a role that may read what is below `paths`; `settings` are those of Vault for it.
pub(crate) async fn role(server: &Server, paths: &[&str], settings: Value) -> Role {
    let mount = format!("approle-{}", unique());
    let policy: String = paths.iter().fold(String::new(), |policy, path| {
        policy + "path \"" + path + "/*\" { capabilities = [\"read\"] }\n"
    });
    server.write(&format!("sys/policies/acl/{mount}"), &json!({ "policy": policy })).await.unwrap();
    server.write(&format!("sys/auth/{mount}"), &json!({ "type": "approle" })).await.unwrap();
    let mut role = json!({ "token_policies": [mount] });
    role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let path = format!("auth/{mount}/role/run");
    server.write(&path, &role).await.unwrap();
    let text = |value: Value, pointer: &str| value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let role_id = text(server.read(&format!("{path}/role-id")).await.unwrap(), "/data/role_id");
    let secret_id =
        text(server.write(&format!("{path}/secret-id"), &json!({})).await.unwrap(), "/data/secret_id");
    let folder = tempfile::tempdir().unwrap();
    let secret_id_file = folder.path().join("secret-id");
    std::fs::write(&secret_id_file, format!("{secret_id}\n")).unwrap();
    let login = Login::app_role(role_id, &secret_id_file).mounted_at(&mount);
    let secret_id = Canary::of(secret_id);
    let lookout = Lookout::over([secret_id.clone()]);
    Role { login, mount, secret_id_file, secret_id, _folder: folder, _lookout: lookout }
}

impl Role {
    pub(crate) fn resolver(&self, server: &Server) -> VaultResolver {
        client(server).resolver(self.login.clone()).unwrap()
    }

    /// How often somebody logged in with it.
    pub(crate) fn logins(&self, server: &Server) -> usize {
        count(server, &format!("auth/{}/login", self.mount))
    }
}

/// How many requests for this path Vault has answered.
pub(crate) fn count(server: &Server, path: &str) -> usize {
    server.audit().iter().filter(|entry| entry.path == path).count()
}

/// Writes a secret of version 2 of the engine, with these keys.
pub(crate) async fn put(server: &Server, mount: &str, path: &str, data: Value) {
    server.write(&format!("{mount}/data/{path}"), &json!({ "data": data })).await.unwrap();
}

/// Waits until `so` holds.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
