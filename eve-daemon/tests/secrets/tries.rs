//! A run that cannot be opened at once: however often it is tried, it logs in once and reads each path once.

use eve_core::failure::FailureClass;
use eve_core::ids::RunId;
use serde_json::json;

use crate::desk::{Desk, canary};

#[tokio::test]
async fn all_tries_to_open_a_run_log_in_once_and_read_each_path_once() {
    let desk = Desk::new().await;
    let paths = [("a", canary(1)), ("b", canary(2)), ("c", canary(3))];
    for (path, value) in &paths {
        desk.put(path, json!({ "k": value.value() })).await;
    }
    desk.throttle("b").await;
    let (keeper, run, plan) = (desk.keeper(), RunId::new("r-1"), desk.plan(&["a", "b", "c"]));
    for _ in 0..2 {
        let unread = keeper.of_run(&run, &plan, None).await.unwrap_err();
        let failure = unread.failure(&plan);
        assert_eq!((failure.class, &*failure.code), (FailureClass::Transient, "vault.rate-limited"));
        desk.unseen((failure, &keeper));
    }
    desk.throttle_no_more().await;
    let found = keeper.of_run(&run, &plan, None).await.unwrap();
    desk.unseen(&found.values);
    for (path, value) in &paths {
        assert_eq!(found.values.get(path).unwrap().expose(), value.value());
        assert_eq!(desk.reads(path), 1, "{path}: {:#?}", desk.vault.audit());
    }
    assert_eq!(desk.logins(), 1, "{:#?}", desk.vault.audit());
    keeper.close(&run).await;
    desk.until_given_back(1).await;
}

#[tokio::test]
async fn runs_share_no_login_and_one_that_is_given_up_keeps_none() {
    let desk = Desk::new().await;
    for (path, value) in [("a", canary(1)), ("b", canary(2))] {
        desk.put(path, json!({ "k": value.value() })).await;
    }
    desk.throttle("b").await;
    let (keeper, plan) = (desk.keeper(), desk.plan(&["a", "b"]));
    let runs = ["r-1", "r-2"].map(RunId::new);
    for run in &runs {
        desk.unseen(keeper.of_run(run, &plan, None).await.unwrap_err());
    }
    assert_eq!((desk.logins(), desk.reads("a")), (2, 2));
    for run in &runs {
        keeper.let_go(run);
    }
    desk.until_given_back(2).await;
    desk.throttle_no_more().await;
    keeper.of_run(&runs[0], &plan, None).await.unwrap();
    assert_eq!((desk.logins(), desk.reads("a")), (3, 3), "what was let go of is forgotten");
}

#[tokio::test]
async fn a_credential_of_the_daemon_that_is_gone_is_no_fault_of_the_plan_and_is_waited_for() {
    let desk = Desk::new().await;
    desk.put("a", json!({ "k": canary(1).value() })).await;
    let (keeper, run, plan) = (desk.keeper(), RunId::new("r-1"), desk.plan(&["a"]));
    let secret_id = std::fs::read(desk.secret_id()).unwrap();
    std::fs::remove_file(desk.secret_id()).unwrap();
    let failure = keeper.of_run(&run, &plan, None).await.unwrap_err().failure(&plan);
    assert_eq!(
        (failure.class, &*failure.code),
        (FailureClass::Transient, "vault.credential-file"),
        "{failure}"
    );
    std::fs::write(desk.secret_id(), "no such identifier").unwrap();
    let failure = keeper.of_run(&run, &plan, None).await.unwrap_err().failure(&plan);
    assert_eq!(
        (failure.class, &*failure.code),
        (FailureClass::Transient, "vault.login-refused"),
        "{failure}"
    );
    std::fs::write(desk.secret_id(), secret_id).unwrap();
    let found = keeper.of_run(&run, &plan, None).await.unwrap();
    assert_eq!(found.values.get("a").unwrap().expose(), canary(1).value());
    desk.unseen((failure, found.values));
}
