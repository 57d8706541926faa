//! Folders of ordinary manifests, as people have them: applied, applied again, changed, disturbed, deleted.
//!
//! Each folder of `input` is a row of [`table`]; `generated` makes one more. Every row goes through all steps of [`steps`]
//! on one shared control plane, in a namespace of its own and as a user of its own whom `eve` impersonates: so the audit
//! log tells the requests for one folder from all others, also those that are in no namespace.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

mod cluster;
mod generated;
mod operators;
mod row;
mod steps;
mod table;

use row::Row;

/// All steps, in the order of a life.
async fn check(row: &'static Row) {
    let operators = operators::start(row.operators).await;
    let mut folder = steps::Folder::prepare(row).await;
    steps::apply(&mut folder).await;
    steps::nothing_to_do(&folder, "applied again").await;
    steps::edit(&mut folder).await;
    for foreign in row.foreign {
        steps::disturb(&folder, foreign).await;
    }
    steps::delete(&folder).await;
    steps::delete_again(&folder).await;
    operators.stop().await;
}

macro_rules! folders {
    ($($name:ident: $row:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                check(&$row).await;
            }
        )*

        #[test]
        fn every_folder_has_a_row() {
            let rows = [$($row.name),*];
            for folder in std::fs::read_dir(row::INPUT).unwrap() {
                let name = folder.unwrap().file_name().into_string().unwrap();
                assert!(rows.contains(&name.as_str()), "{name}");
            }
        }
    };
}

folders! {
    an_operator_with_definitions_webhooks_and_resources: table::OPERATOR;
    a_gateway_with_routes: table::GATEWAY;
    a_database_with_storage: table::STORAGE;
    jobs_and_schedules: table::JOBS;
    roles_accounts_and_lists: table::RBAC;
    three_hundred_objects: table::GENERATED;
    several_namespaces: table::TENANTS;
    configuration_of_all_sorts: table::CONFIG;
    services_ingresses_and_scalers: table::TRAFFIC;
    odd_input: table::ODD;
}
