//! The keys of functions out of Vault: for steps of a plan by the login of the run, for whoever is told by one of its own.

use std::sync::Arc;

use eve_core::failure::FailureClass;
use eve_core::ids::RunId;
use eve_core::plan::graph::Graph;
use eve_core::plan::load::Loaded;
use eve_core::ports::{Ending, Notice, Notifier as _};
use eve_core::time::Timestamp;
use eve_daemon::config::FunctionConfig;
use eve_daemon::keys::{ReceiverKey, StepKeys};
use eve_daemon::secrets::Keeper;
use eve_queue::{FunctionClient, FunctionKeys as _, FunctionNotifier, KeyFor};
use eve_testbed::{Receiver, Reply};
use serde_json::{Value, json};

use crate::desk::{Desk, canary, plan_of};

fn config(url: &str, key: &str) -> FunctionConfig {
    serde_json::from_value(json!({ "url": url, "key": key })).unwrap()
}

/// A plan that calls these functions.
fn plan(urls: &[&str]) -> (Loaded, Graph) {
    let step =
        |(number, url): (usize, &&str)| json!({ "name": format!("s{number}"), "function": { "url": url } });
    let plan = plan_of(&json!({ "components": urls.iter().enumerate().map(step).collect::<Vec<Value>>() }));
    let graph = plan.graph().unwrap();
    (plan, graph)
}

async fn key(keys: &StepKeys, run: &RunId, url: &str) -> String {
    let key = keys.key(KeyFor { url, run: Some(run) }).await.unwrap();
    key.unwrap().expose().to_owned()
}

fn steps(desk: &Desk, keeper: &Arc<Keeper>) -> StepKeys {
    let map = format!("vault:{}/fn_codes", desk.mount);
    let functions = [
        config("https://fn.example/api", &map),
        config("https://fn.example/api/own", &format!("{map}#https://fn.example/other@")),
    ];
    StepKeys::new(&functions, Arc::clone(keeper)).unwrap()
}

const A: &str = "https://fn.example/api/a";
const OWN: &str = "https://fn.example/api/own/x";

#[tokio::test]
async fn the_steps_of_a_run_have_their_keys_by_url_with_one_login_and_one_read() {
    let desk = Desk::new().await;
    let codes = json!({ A: canary(1).value(), "https://fn.example/other@": canary(2).value() });
    desk.put("fn_codes", codes).await;
    desk.put("db", json!({ "k": "v" })).await;
    let (keeper, run) = (Arc::new(desk.keeper()), RunId::new("r-1"));
    let (keys, (plan, graph)) = (steps(&desk, &keeper), plan(&[A, OWN, A]));
    keeper.of_run(&run, &desk.plan(&["db"]), None).await.unwrap();
    keys.read_for(&run, &plan, &graph).await.unwrap();
    assert!(keys.may_ask(&graph), "the login of the run is needed as long as it is under way");
    for (url, canary) in [(A, canary(1)), (OWN, canary(2)), ("https://fn.example/api/a?x=1", canary(1))] {
        assert_eq!(key(&keys, &run, url).await, canary.value(), "{url}");
    }
    assert_eq!((desk.logins(), desk.reads("fn_codes"), desk.reads("db")), (1, 1, 1));

    // A newer key is read when the function refuses the one that is known, once for whoever knows the same.
    let other = canary(3);
    desk.put("fn_codes", json!({ A: other.value() })).await;
    assert_eq!(key(&keys, &run, A).await, canary(1).value());
    for _ in 0..2 {
        let wanted = KeyFor { url: A, run: Some(&run) };
        let after = keys.key_after(wanted, &canary(1).secret()).await.unwrap().unwrap();
        assert_eq!(after.expose(), other.value());
    }
    assert_eq!((desk.logins(), desk.reads("fn_codes")), (1, 2), "{:#?}", desk.vault.audit());
    desk.unseen((&keys, &keeper));
    keeper.let_go(&run);
    desk.until_given_back(1).await;
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_told_with_their_places_before_anything_is_written() {
    let desk = Desk::new().await;
    desk.put("fn_codes", json!({ A: canary(1).value() })).await;
    let (keeper, run) = (Arc::new(desk.keeper()), RunId::new("r-1"));
    let keys = steps(&desk, &keeper);
    let (plan, graph) = plan(&[A, "https://fn.example/api/b?code2=hunter2", OWN]);
    let unread = keys.read_for(&run, &plan, &graph).await.unwrap_err();
    assert!(unread.problems.iter().all(|problem| problem.place.is_some()), "{unread:?}");
    let told: Vec<&str> = unread.problems.iter().map(|problem| problem.message.as_str()).collect();
    let absent = |shown: &str, key: &str| {
        let path = format!("{}/fn_codes", desk.mount);
        format!("the key of function {shown}: the secret at `{path}` has no key `{key}`")
    };
    let b = "https://fn.example/api/b";
    assert_eq!(told, [absent(b, b), absent(OWN, "https://fn.example/other@")]);
    let failure = unread.failure(&plan);
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(!failure.message.contains("hunter2"), "{failure}");
    let wanted = KeyFor { url: "https://fn.example/api/b", run: Some(&run) };
    let failure = keys.key(wanted).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("vault.absent-key", FailureClass::Permanent));
    assert_eq!(desk.logins(), 1);

    desk.vault.seal().await.unwrap();
    let run = RunId::new("r-2");
    let unread = keys.read_for(&run, &plan, &graph).await.unwrap_err();
    assert!(unread.may_pass && unread.problems.len() == 3, "{unread:?}");

    std::fs::remove_file(desk.secret_id()).unwrap();
    let lost = keys.read_for(&RunId::new("r-3"), &plan, &graph).await.unwrap_err();
    assert!(
        lost.may_pass && lost.problems.len() == 3,
        "credentials of the daemon are no fault of the plan: {lost:?}"
    );
    desk.unseen((unread, lost, failure, keys, keeper));
}

fn notice() -> Notice {
    Notice::new("r-1.outcome", Timestamp::EPOCH, Ending::Succeeded)
}

#[tokio::test]
async fn who_is_told_outcomes_is_called_with_the_key_of_vault_also_after_it_was_replaced() {
    let (desk, receiver) = (Desk::new().await, Receiver::start().await);
    let url = receiver.url("/told");
    desk.put("fn_codes", json!({ &*url: canary(1).value() })).await;
    let place = config(&url, &format!("vault:{}/fn_codes", desk.mount));
    let key = Arc::new(ReceiverKey::new(&place, Arc::new(desk.keeper())).unwrap());
    let told = FunctionNotifier::new(FunctionClient::new().unwrap(), &*url, key).unwrap();
    let answer = Reply::json(200, &json!({ "result": "success" }));
    receiver.otherwise(answer.clone());
    let (first, second) = (notice(), notice());
    let both = tokio::join!(told.notify(&first), told.notify(&second));
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    assert_eq!((desk.logins(), desk.reads("fn_codes")), (1, 1), "what was read is kept for a while");
    desk.until_given_back(1).await;

    desk.put("fn_codes", json!({ &*url: canary(2).value() })).await;
    receiver.then(Reply::status(401)).then(answer);
    told.notify(&first).await.unwrap();
    let codes = [1, 1, 1, 2].map(|number| format!("/told?code={}", canary(number).value()));
    assert_eq!(receiver.received().iter().map(|call| call.target.clone()).collect::<Vec<_>>(), codes);
    assert_eq!((desk.logins(), desk.reads("fn_codes")), (2, 2));

    // One that is refused for good is read once more for each call, and called once.
    receiver.then(Reply::status(403));
    let failure = told.notify(&first).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("function.key-refused", FailureClass::Transient));
    desk.unseen(&failure);
    assert_eq!((receiver.received().len(), desk.reads("fn_codes")), (5, 3));
    desk.put("fn_codes", json!({ "other": "x" })).await;
    receiver.then(Reply::status(401));
    let failure = told.notify(&first).await.unwrap_err();
    assert_eq!(&*failure.code, "function.key-refused");
    assert!(failure.notes.iter().any(|note| note.contains("has no key")), "{failure:?}");
    let failure = told.notify(&first).await.unwrap_err();
    assert_eq!((&*failure.code, failure.class), ("vault.absent-key", FailureClass::Permanent));
    desk.unseen(&failure);
}
