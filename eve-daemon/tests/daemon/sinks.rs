//! Everything that comes out of a daemon, sink by sink, to be looked through for secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eve_core::testing::canary::{Canary, CanaryScan};
use eve_testbed::{ControlPlane, Received, Receiver};
use serde_json::Value;

use crate::desk::Desk;

/// What a daemon serves.
const SERVED: [&str; 4] = ["/livez", "/readyz", "/metrics", "/undelivered"];
/// The collections of a namespace in which something of a plan is, or of what became of it.
const COLLECTIONS: [(&str, &str); 6] = [
    ("api/v1", "configmaps"),
    ("api/v1", "secrets"),
    ("api/v1", "pods"),
    ("api/v1", "events"),
    ("apis/apps/v1", "deployments"),
    ("apis/apps/v1", "replicasets"),
];

/// The secrets that a daemon is given, and who hears from it. Kept by its desk, which looks for them when it is dropped.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    canaries: Vec<Canary>,
    /// The files that they are given in.
    given: Vec<String>,
    answers: Vec<(String, String)>,
    receivers: Vec<Arc<Receiver>>,
    queues: Vec<Taken>,
}

/// What was taken out of queues so far, with the name of the queue.
pub(crate) type Taken = Arc<Mutex<Vec<(String, Value)>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// A secret that must not come out, in this file if it is given in one.
    pub(crate) fn over(&self, canary: Canary, file: Option<&str>) {
        let mut watched = lock(&self.0);
        watched.canaries.push(canary);
        watched.given.extend(file.map(str::to_owned));
    }

    pub(crate) fn receiver(&self, receiver: &Arc<Receiver>) {
        lock(&self.0).receivers.push(Arc::clone(receiver));
    }

    pub(crate) fn queues(&self, taken: &Taken) {
        lock(&self.0).queues.push(Arc::clone(taken));
    }

    /// What a path of this address answers: the head, and the body.
    pub(crate) fn ask(&self, address: &str, method: &str, path: &str) -> (String, String) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: eve\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        lock(&self.0).answers.push((format!("{method} {path}"), answer.clone()));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// Ends the test if something that the daemon was given is in anything that came out.
    pub(crate) fn assert_clean(&self, desk: &Desk) {
        let watched = lock(&self.0);
        if watched.canaries.is_empty() {
            return;
        }
        let mut sinks = Sinks::default();
        let given: Vec<&str> = watched.given.iter().map(String::as_str).collect();
        sinks.files(desk, &given);
        for (what, answer) in &watched.answers {
            sinks.add(what.clone(), answer.clone());
        }
        for receiver in &watched.receivers {
            sinks.calls("call", &receiver.received());
        }
        for (queue, message) in watched.queues.iter().flat_map(|taken| lock(taken).clone()) {
            sinks.messages(&queue, &[message]);
        }
        sinks.scan(&watched.canaries, &["log-", "said-"]).assert_clean();
    }
}

/// What came out so far.
#[derive(Default)]
pub(crate) struct Sinks(Vec<(String, Vec<u8>)>);

impl Sinks {
    pub(crate) fn add(&mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.push((name.into(), content.into()));
    }

    /// Every file: the logs, with what panics say, the journal, outcomes; but for those that the daemon is given secrets in.
    pub(crate) fn files(&mut self, desk: &Desk, given: &[&str]) {
        let files = desk.files(".").into_iter();
        let files = files.map(|(name, content)| (name.trim_start_matches("./").to_owned(), content));
        for (name, content) in files.filter(|(name, _)| !given.contains(&name.as_str())) {
            self.add(name, content);
        }
    }

    /// What somebody was called with.
    pub(crate) fn calls(&mut self, what: &str, calls: &[Received]) {
        for (number, call) in calls.iter().enumerate() {
            let head = format!("{} {} {:?}", call.method, call.target, call.headers);
            self.add(format!("head of {what} {number}"), head);
            self.add(format!("body of {what} {number}"), call.body.clone());
        }
    }

    /// Messages of a queue, with their attributes.
    pub(crate) fn messages(&mut self, what: &str, messages: &[Value]) {
        for (number, message) in messages.iter().enumerate() {
            self.add(format!("{what} {number}"), message.to_string());
        }
    }

    /// What is served at this address.
    pub(crate) async fn served(&mut self, address: &str) {
        for path in SERVED {
            let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
            let head = format!("{:?}", answer.headers());
            self.add(path, head + &answer.text().await.unwrap());
        }
    }

    /// Every object of a namespace, events among them; of Secrets all but their values.
    pub(crate) async fn objects(&mut self, control_plane: &ControlPlane, namespace: &str) {
        let client = control_plane.admin_client().await;
        for (version, plural) in COLLECTIONS {
            let path = format!("/{version}/namespaces/{namespace}/{plural}");
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            let mut list: Value = client.request(request).await.unwrap();
            for object in list["items"].as_array_mut().unwrap() {
                if plural == "secrets" {
                    object.as_object_mut().unwrap().remove("data");
                }
                let name = object["metadata"]["name"].as_str().unwrap();
                self.add(format!("{plural}/{name}"), object.to_string());
            }
        }
    }

    /// Looks for these in all of it, after something was found in every place of these names.
    #[track_caller]
    pub(crate) fn scan(&self, canaries: &[Canary], places: &[&str]) -> CanaryScan {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let seen = |place: &&str| names.iter().any(|name| name.starts_with(*place));
        let missing: Vec<&&str> = places.iter().filter(|place| !seen(place)).collect();
        assert!(missing.is_empty(), "nothing came out of {missing:?}, but of {names:?}");
        let mut scan = CanaryScan::new(canaries.to_vec());
        for (name, content) in &self.0 {
            scan.sink(name, content);
        }
        scan
    }
}
