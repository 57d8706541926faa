//! The folder of runs: who may hold what, what is listed, what is kept.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use eve_core::ids::RunId;
use eve_core::ports::RunStore as _;
use eve_core::run::{Outcome, StopMode};
use eve_core::time::Timestamp;
use eve_store::{FileError, Listed, Retention, RunFolder, RunHeader, RunState};
use support::{append_each, batch, finished, folder, header, samples};

fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn names(folder: &RunFolder) -> Vec<String> {
    let name = |listed: Listed| match listed {
        Listed::Run(run) => run.header.run.to_string(),
        Listed::Damaged { path, .. } => format!("damaged {}", path.file_name().unwrap().to_string_lossy()),
    };
    folder.list().unwrap().into_iter().map(name).collect()
}

#[tokio::test]
async fn what_was_appended_is_there_for_the_next_process() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    append_each(&file, &samples()[..12]).await;
    drop(file);
    let again = folder.resume(&header.run).unwrap();
    assert_eq!(again.header(), &header);
    assert_eq!(again.load(&header.run).await.unwrap(), samples()[..12]);
    append_each(&again, &samples()[12..]).await;
    assert_eq!(folder.read(&header.run).unwrap().records().unwrap(), samples());
    let listed = folder.list().unwrap();
    let [Listed::Run(run)] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(run.header, header);
    assert_eq!((run.progress.records, run.progress.outcome), (20, Some(Outcome::Failed)));
    assert_eq!(run.progress.last_at, Some(samples()[19].at));
    assert_eq!(run.state, RunState::Finished(Outcome::Failed));
}

#[tokio::test]
async fn a_live_run_is_held_and_the_refusal_says_by_whom() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    let refused = folder.resume(&header.run).unwrap_err();
    let FileError::Held { what, holder: Some(holder) } = &refused else { panic!("{refused:?}") };
    assert_eq!((what.as_str(), holder.process), ("run r1", std::process::id()));
    assert!(refused.to_string().contains(&format!("process {} on {}", std::process::id(), holder.host)));
    assert_eq!(folder.state(&header.run).unwrap(), RunState::Live(Some((**holder).clone())));
    drop(file);
    assert_eq!(folder.state(&header.run).unwrap(), RunState::Interrupted);
    folder.resume(&header.run).unwrap();
}

#[tokio::test]
async fn one_run_of_a_plan_at_a_time_on_each_cluster_and_namespace() {
    let (_keep, folder) = folder();
    let first = header(&folder, "r1");
    let second = RunHeader { plan: first.plan.clone(), ..header(&folder, "r2") };
    let file = folder.create(&first).unwrap();
    let refused = folder.create(&second).unwrap_err().to_string();
    let expected = "plan plan-of-r1 in namespace shop of https://prod.example.net:6443 is held by process";
    assert!(refused.starts_with(expected) && refused.contains("with run r1"), "{refused}");
    assert_eq!(names(&folder), ["r1"]);
    let elsewhere = [
        RunHeader { run: RunId::new("r3"), cluster: "https://test:6443".into(), ..second.clone() },
        RunHeader { run: RunId::new("r4"), namespace: "other".into(), ..second.clone() },
    ];
    let _others = elsewhere.map(|header| folder.create(&header).unwrap());
    drop(file);
    let _second = folder.create(&second).unwrap();
    let refused = folder.resume(&first.run).unwrap_err();
    assert!(matches!(&refused, FileError::Held { what, .. } if what.starts_with("plan")), "{refused}");
}

#[tokio::test]
async fn a_name_is_used_once_and_cannot_leave_the_folder() {
    let (_keep, folder) = folder();
    let first = header(&folder, "r1");
    drop(folder.create(&first).unwrap());
    assert!(matches!(folder.create(&first), Err(FileError::Exists { .. })));
    for bad in ["", ".", "..", ".hidden", "../key", "a/b", "a b", "ä", &"x".repeat(129)] {
        let run = RunId::new(bad);
        let errors = [
            folder.create(&RunHeader { run: run.clone(), ..first.clone() }).unwrap_err(),
            folder.resume(&run).unwrap_err(),
            folder.read(&run).unwrap_err(),
            folder.request_stop(&run, StopMode::Now, "kim").unwrap_err(),
        ];
        assert!(errors.iter().all(|error| *error == FileError::BadRunId(run.clone())), "{bad}: {errors:?}");
    }
}

#[tokio::test]
async fn requests_reach_the_process_that_drives_the_run_once_each() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    assert_eq!(file.requests(0).await.unwrap(), []);
    assert_eq!(folder.request_stop(&header.run, StopMode::Drain, "kim on build-7").unwrap(), 1);
    append_each(&file, &samples()[..3]).await;
    assert_eq!(folder.request_stop(&header.run, StopMode::Now, "ann").unwrap(), 2);
    let requests = file.requests(0).await.unwrap();
    let asked: Vec<_> = requests.iter().map(|one| (one.number, one.mode, one.who.as_str())).collect();
    assert_eq!(asked, [(1, StopMode::Drain, "kim on build-7"), (2, StopMode::Now, "ann")]);
    assert!(requests.iter().all(|one| one.at <= now() && now().since(one.at) < Duration::from_mins(10)));
    assert_eq!(file.requests(1).await.unwrap(), requests[1..]);
    assert_eq!(file.requests(2).await.unwrap(), []);
    assert_eq!(folder.read(&header.run).unwrap().requests().unwrap(), requests);
    append_each(&file, &samples()[3..]).await;
}

#[tokio::test]
async fn another_reader_sees_whole_appends_while_the_run_goes_on() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    let reader = folder.read(&header.run).unwrap();
    for pair in samples().chunks(2) {
        file.append(batch(&header.run, pair)).await.unwrap();
        let seen = reader.records().unwrap();
        assert_eq!(seen, samples()[..usize::try_from(pair[1].seq.get()).unwrap()]);
        assert_eq!(reader.progress().unwrap().records, pair[1].seq.get());
        reader.check().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_with_the_reason() {
    let (_keep, folder) = folder();
    let at = |seconds: u64| Timestamp::from_micros(1_000_000 * seconds);
    finished(&folder, "older", at(10)).await;
    finished(&folder, "newer", at(20)).await;
    let runs = folder.path().join("runs");
    fs::write(runs.join("cut.run"), "").unwrap();
    fs::write(runs.join("notes.txt"), "mine").unwrap();
    fs::create_dir(runs.join("deep.run")).unwrap();
    fs::copy(runs.join("newer.run"), runs.join("copy.run")).unwrap();
    let mut bytes = fs::read(runs.join("newer.run")).unwrap();
    let place = bytes.windows(9).position(|text| text == b"succeeded").unwrap();
    bytes[place] ^= 1;
    fs::write(runs.join("flipped.run"), bytes).unwrap();
    let mut names = names(&folder);
    names[..5].sort();
    let damaged =
        ["copy.run", "cut.run", "deep.run", "flipped.run", "notes.txt"].map(|name| format!("damaged {name}"));
    assert_eq!(names[..5], damaged);
    assert_eq!(names[5..], ["newer", "older"]);
    for listed in folder.list().unwrap() {
        if let Listed::Damaged { path, error } = listed {
            assert!(
                error.to_string().contains(path.to_str().unwrap()) && !error.hint().is_empty(),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn finished_runs_are_kept_by_count_and_age_and_nothing_else_is_removed() {
    let (_keep, folder) = folder();
    let day = Duration::from_hours(24);
    for (name, days) in [("a", 40_u32), ("b", 3), ("c", 2), ("d", 1)] {
        finished(&folder, name, now().minus(day * days)).await;
    }
    let interrupted = header(&folder, "interrupted");
    append_each(&folder.create(&interrupted).unwrap(), &samples()[..5]).await;
    let live = header(&folder, "live");
    let file = folder.create(&live).unwrap();
    append_each(&file, &samples()).await;
    fs::write(folder.path().join("runs/broken.run"), "x").unwrap();
    assert_eq!(folder.prune(Retention::default()).unwrap(), [RunId::new("a")]);
    // Held although it has finished: its process may still be showing the end.
    let two = Retention { count: 2, age: day * 30 };
    let removed = folder.prune(two).unwrap();
    assert!(removed.contains(&RunId::new("b")) && !removed.contains(&live.run), "{removed:?}");
    let left = names(&folder);
    for kept in ["d", "interrupted", "live", "damaged broken.run"] {
        assert!(left.iter().any(|name| name == kept), "{kept}: {left:?}");
    }
    drop(file);
    let none = Retention { count: 0, age: day * 30 };
    folder.prune(none).unwrap();
    let mut left = names(&folder);
    left.sort();
    assert_eq!(left, ["damaged broken.run", "interrupted"]);
    for file in fs::read_dir(folder.path().join("runs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(["broken.run", "interrupted."].iter().any(|kept| name.starts_with(kept)), "{name} is left");
    }
}

#[tokio::test]
async fn runs_are_pruned_once_a_day_or_when_there_are_a_tenth_too_many() {
    let (_keep, folder) = folder();
    let count = 10;
    let retention = Retention { count, age: Duration::from_hours(24) };
    assert_eq!(folder.prune_when_due(retention).unwrap(), [], "the first look finds none");
    for index in 0..=count {
        finished(&folder, &format!("r{index:02}"), now()).await;
    }
    assert_eq!(folder.prune_when_due(retention).unwrap(), [], "one more than are kept");
    finished(&folder, "last", now()).await;
    assert_eq!(folder.prune_when_due(retention).unwrap(), [RunId::new("r01"), RunId::new("r00")]);
    finished(&folder, "another", now()).await;
    let mark = fs::File::options().write(true).open(folder.path().join("pruned")).unwrap();
    mark.set_modified(SystemTime::now() - Duration::from_hours(25)).unwrap();
    assert_eq!(folder.prune_when_due(retention).unwrap(), [RunId::new("r02")], "a day is over");
}

#[tokio::test]
async fn a_run_without_a_record_leaves_nothing_behind() {
    let (_keep, folder) = folder();
    let [discarded, dead, live, begun] =
        ["discarded", "dead", "live", "begun"].map(|run| header(&folder, run));
    assert!(folder.discard(folder.create(&discarded).unwrap()).unwrap());
    let file = folder.create(&begun).unwrap();
    append_each(&file, &samples()[..5]).await;
    assert!(!folder.discard(file).unwrap(), "what was done is kept");
    drop(folder.create(&dead).unwrap());
    let _live = folder.create(&live).unwrap();
    assert_eq!(folder.prune(Retention::default()).unwrap(), [dead.run]);
    let mut left = names(&folder);
    left.sort();
    assert_eq!(left, ["begun", "live"]);
    for file in fs::read_dir(folder.path().join("runs")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(["begun.", "live."].iter().any(|kept| name.starts_with(kept)), "{name} is left");
    }
    // Nothing of it is held either.
    folder.create(&discarded).unwrap();
}

#[test]
fn the_folder_is_closed_to_other_users() {
    let (_keep, folder) = folder();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let folders = [folder.path().to_owned(), folder.path().join("runs"), folder.path().join("locks")];
    assert!(folders.iter().all(|path| mode(path) == 0o700));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    RunFolder::open(folder.path()).unwrap();
    assert_eq!(mode(folder.path()), 0o700);
    let file = folder.create(&header(&folder, "r1")).unwrap();
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(&file.path().with_extension("lock")), 0o600);
}

#[tokio::test]
async fn records_out_of_order_are_refused_and_end_the_store() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    append_each(&file, &samples()[..2]).await;
    file.append(batch(&header.run, &samples()[3..4])).await.unwrap_err();
    let expected = FileError::OutOfOrder { run: header.run.clone(), expected: 3, found: 4 };
    assert_eq!(file.failure(), Some(&expected));
    let error = file.append(batch(&header.run, &samples()[2..3])).await.unwrap_err().to_string();
    assert!(error.contains("nothing is appended after a failure"), "{error}");
    drop(file);
    assert_eq!(folder.read(&header.run).unwrap().records().unwrap(), samples()[..2]);
}

#[tokio::test]
async fn a_run_belongs_to_the_cluster_that_was_named_before_its_first_record() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let mut file = folder.create(&header).unwrap();
    file.belongs_to("c1").unwrap();
    assert_eq!(folder.read(&header.run).unwrap().cluster().unwrap(), None, "nothing is synced for it alone");
    append_each(&file, &samples()[..1]).await;
    assert_eq!(folder.read(&header.run).unwrap().cluster().unwrap().as_deref(), Some("c1"));
    drop(file);
    let mut file = folder.resume(&header.run).unwrap();
    file.belongs_to("c1").unwrap();
    let (known, found) = ("c1".to_owned(), "c2".to_owned());
    let other = FileError::OtherCluster { path: file.path().to_owned(), known, found };
    assert_eq!(file.belongs_to("c2").unwrap_err(), other);
}

#[tokio::test]
async fn a_run_of_which_no_cluster_was_named_belongs_to_the_one_that_is_named_next() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    append_each(&file, &samples()[..1]).await;
    drop(file);
    let mut file = folder.resume(&header.run).unwrap();
    file.belongs_to("c2").unwrap();
    append_each(&file, &samples()[1..2]).await;
    drop(file);
    let mut file = folder.resume(&header.run).unwrap();
    assert!(matches!(file.belongs_to("c1"), Err(FileError::OtherCluster { .. })));
}

#[test]
fn the_key_of_a_run_is_the_one_that_it_began_with() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    folder.key_of(&file).unwrap();
    let path = folder.path().join("key");
    let (first, made) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
    fs::write(&path, [7; 32]).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(made).unwrap();
    let error = folder.key_of(&file).unwrap_err();
    assert_eq!(error, FileError::OtherKey { path: path.clone(), of: file.path().to_owned() });
    folder.key().unwrap();
    fs::write(&path, first).unwrap();
    folder.key_of(&file).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(folder.key_of(&file).unwrap_err(), FileError::Missing { path });
}

/// The files of an eve that knew no facts.
#[tokio::test]
async fn a_run_that_says_nothing_of_its_cluster_and_its_key_goes_on() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    let path = file.path().to_owned();
    drop(file);
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE facts").unwrap();
    assert_eq!(folder.read(&header.run).unwrap().cluster().unwrap(), None);
    let mut file = folder.resume(&header.run).unwrap();
    folder.key_of(&file).unwrap();
    file.belongs_to("c1").unwrap();
    append_each(&file, &samples()[..1]).await;
    assert_eq!(folder.read(&header.run).unwrap().cluster().unwrap().as_deref(), Some("c1"));
}

/// A run as a kill leaves it, with its log gone.
async fn without_its_log(folder: &RunFolder, run: &str) -> std::path::PathBuf {
    let header = header(folder, run);
    let file = folder.create(&header).unwrap();
    let path = file.path().to_owned();
    let with = |ending: &str| std::path::PathBuf::from(format!("{}{ending}", path.display()));
    append_each(&file, samples().get(..3).unwrap()).await;
    let copies = ["", "-head"].map(|ending| (with(ending), fs::read(with(ending)).unwrap()));
    drop(file);
    for (path, bytes) in copies {
        fs::write(path, bytes).unwrap();
    }
    path
}

#[tokio::test]
async fn a_run_whose_log_is_lost_is_named_and_neither_gone_on_with_nor_removed() {
    let (_keep, folder) = folder();
    let path = without_its_log(&folder, "r1").await;
    let before = fs::read(&path).unwrap();
    let run = RunId::new("r1");
    let errors = [
        folder.resume(&run).unwrap_err(),
        folder.read(&run).unwrap().records().unwrap_err(),
        folder.request_stop(&run, StopMode::Now, "kim").unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("record 3 of a run was written and is missing"), "{error}");
    }
    assert_eq!(names(&folder), ["damaged r1.run"]);
    assert_eq!(folder.prune(Retention { count: 0, age: Duration::ZERO }).unwrap(), []);
    assert_eq!(fs::read(&path).unwrap(), before, "it is left as it was");
}

#[tokio::test]
async fn a_run_that_was_closed_by_whoever_asked_it_to_stop_has_lost_nothing() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    append_each(&file, &samples()[..3]).await;
    drop(file);
    folder.request_stop(&header.run, StopMode::Now, "kim").unwrap();
    let file = folder.resume(&header.run).unwrap();
    assert_eq!(file.load(&header.run).await.unwrap(), samples()[..3]);
    append_each(&file, &samples()[3..4]).await;
    let path = file.path().to_owned();
    drop(file);
    folder.resume(&header.run).unwrap();
    // A run without a record leaves nothing of itself.
    let other = RunHeader { run: RunId::new("r2"), ..header };
    drop(folder.resume(&RunId::new("r1")).unwrap());
    assert!(folder.discard(folder.create(&other).unwrap()).unwrap());
    let left = fs::read_dir(path.parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with("r1")), "{left:?}");
}
