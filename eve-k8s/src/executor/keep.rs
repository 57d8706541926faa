//! Keeps how an object is before a run writes it for the first time, and removes what no run needs any more.

use eve_core::failure::Failure;
use eve_core::ids::RunId;
use eve_core::ports::{Context, Step};
use serde_json::Value;

use super::promise::{self, snapshots};
use super::{KubeExecutor, failure};
use crate::client::{Detail, Labelled, Location};
use crate::error::{ApiError, ApiStatus};
use crate::labels;
use crate::path::PathSegment;
use crate::snapshot::{self, Kept, Snapshot, SnapshotError};

impl KubeExecutor {
    /// Keeps the object as it is now, unless that was done in this run before: the first one wins, for a later one may
    /// hold what the run itself wrote.
    pub(super) async fn keep(
        &self,
        step: &Step,
        (place, promised): (&Location, &promise::Before),
        intent: Option<&Value>,
        cx: &Context,
    ) -> Result<(), Failure> {
        let before = match self.client.get(place).await {
            Ok(object) => Some(object),
            // That the kind is not served says nothing of the object.
            Err(error)
                if error.is_code(404) && !error.status().is_some_and(ApiStatus::is_unknown_resource) =>
            {
                None
            }
            Err(error) => return Err(failure::of_read(place, error)),
        };
        let home = promise::snapshot_place(step, &promised.snapshot)?;
        let snapshot = Snapshot { before, intent: intent.cloned() };
        let secret = snapshot
            .secret((&home, &promised.key), (step.plan(), step.run()), place, cx.now())
            .map_err(|error| unfit(place, error))?;
        match self.client.create(&home, &secret).await {
            Ok(_) => {}
            Err(error) if error.status().is_some_and(|status| status.reason == "AlreadyExists") => {
                self.kept(step, promised).await?;
            }
            Err(error) => {
                return Err(failure::of_write(&home, error).with_note(format!("to keep {place} as it is")));
            }
        }
        let keeping = self.surveys.keeping(step.graph());
        keeping.tidied.get_or_init(|| self.tidy(step, cx)).await;
        Ok(())
    }

    /// Removes the snapshots of the plan that no run needs any more. What cannot be removed is left for the next run.
    async fn tidy(&self, step: &Step, cx: &Context) {
        let tidied = async {
            let collection = snapshots(step)?;
            let plan = labels::value(step.plan());
            let mut kept = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let label = Labelled::Value(labels::SNAPSHOT_OF, &plan);
                let page =
                    self.client.list_labelled(&collection, label, Detail::Metadata, after.as_deref()).await?;
                let items = page.get("items").and_then(Value::as_array);
                kept.extend(items.into_iter().flatten().filter_map(Kept::read));
                after = page.pointer("/metadata/continue").and_then(Value::as_str).map(str::to_owned);
                if after.as_ref().is_none_or(String::is_empty) {
                    break;
                }
            }
            for run in snapshot::useless(&kept, step.run(), cx.now()) {
                self.client.delete_labelled(&collection, (labels::RUN, &run)).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(error) = tidied.await {
            tracing::warn!(%error, "old snapshots of `{}` could not be removed", step.plan());
        }
    }

    /// What was kept of an object; `None` where nothing is.
    pub(super) async fn kept(
        &self,
        step: &Step,
        promised: &promise::Before,
    ) -> Result<Option<Snapshot>, Failure> {
        let place = promise::snapshot_place(step, &promised.snapshot)?;
        let secret = match self.client.get(&place).await {
            Ok(secret) => secret,
            Err(error) if error.is_code(404) => return Ok(None),
            Err(error) => return Err(promise::unread(&place, error)),
        };
        Snapshot::read(&secret, &promised.snapshot, &promised.key).map(Some).map_err(|error| {
            let message = format!("{place}: what was kept to undo the run is not used: {error}");
            Failure::permanent("k8s.undo.snapshot", message)
                .with_hint("find out who writes Secrets there, and delete it")
        })
    }

    /// Removes everything that was kept to undo this run: it cannot be undone any more.
    ///
    /// # Errors
    /// [`ApiError`]; that there is nothing is none.
    pub async fn forget_run(&self, namespace: &str, run: &RunId) -> Result<(), ApiError> {
        self.remove_snapshots(namespace, (labels::RUN, run.as_str())).await
    }

    /// Removes everything that was kept to undo runs of this plan, as when the plan itself is deleted.
    ///
    /// # Errors
    /// [`ApiError`]; that there is nothing is none.
    pub async fn forget_plan(&self, namespace: &str, plan: &str) -> Result<(), ApiError> {
        self.remove_snapshots(namespace, (labels::SNAPSHOT_OF, plan)).await
    }

    /// Looks first: where nothing was kept, nobody needs the right to remove it.
    async fn remove_snapshots(&self, namespace: &str, (key, of): (&str, &str)) -> Result<(), ApiError> {
        let namespace = Some(PathSegment::namespace(namespace)?);
        let resource = crate::discovery::Resource::secrets()?.into();
        let collection = crate::client::Collection { resource, namespace, label: None };
        let value = labels::value(of);
        let label = Labelled::Value(key, &value);
        let removed = async {
            let page = self.client.list_labelled(&collection, label, Detail::Metadata, None).await?;
            if page.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return Ok(());
            }
            self.client.delete_labelled(&collection, (key, &value)).await
        };
        match removed.await {
            Err(error) if error.is_code(404) => Ok(()),
            ended => ended,
        }
    }
}

fn unfit(place: &Location, error: SnapshotError) -> Failure {
    let message = format!("{place}: how it is now cannot be kept for a rollback: {error}");
    Failure::permanent("k8s.undo.too-large", message)
        .with_hint("say `undo: never` for this component: then it is applied and never put back")
}
