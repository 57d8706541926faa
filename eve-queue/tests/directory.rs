//! The directory as a source: what is taken, what is left alone, what survives the death of the process.
//!
//! Time stands still while the disk is busy, however slow it is: a look is at its time.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use eve_core::digest::Digest;
use eve_core::ports::{Content, Delivery, Ending, Notice, Notifier as _, PlanSource as _, STALE_HANDLE};
use eve_core::run::StopMode;
use eve_core::scheduler::RequestKey;
use eve_core::testing::canary::{Canary, CanaryScan};
use eve_core::time::Timestamp;
use eve_queue::{DirectoryNotifier, DirectoryOptions, DirectorySource};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

fn quick() -> DirectoryOptions {
    let mut options = DirectoryOptions::default();
    options.look_every = Duration::from_millis(10);
    options.settled_for = Duration::from_millis(30);
    options.wait = Duration::from_millis(200);
    options.try_pause = Duration::from_millis(1);
    options
}

fn open(folder: &TempDir) -> DirectorySource {
    DirectorySource::open(folder.path(), quick()).unwrap()
}

/// As a sender should: written elsewhere, renamed in.
fn put(folder: &TempDir, name: &str, text: &str) {
    let temporary = folder.path().join(format!(".{name}.new"));
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, folder.path().join(name)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn next(source: &DirectorySource) -> Delivery {
    source.receive().await.unwrap().expect("there is a plan")
}

fn body(delivery: &Delivery) -> &[u8] {
    let Content::Plan { body, .. } = &delivery.content else { panic!("{delivery:?}") };
    body
}

/// What is in a file is in no word about it.
fn unseen(canary: Canary, said: &impl std::fmt::Debug) {
    let mut scan = CanaryScan::new([canary]);
    scan.sink("what is said", format!("{said:?}"));
    scan.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_plan_goes_from_the_directory_to_done_with_its_outcome_beside_it() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    put(&folder, "shop.yaml", "name: shop");
    let delivery = next(&source).await;
    assert_eq!(body(&delivery), b"name: shop");
    assert_eq!(delivery.digest, Digest::of(b"name: shop"));
    assert_eq!((delivery.receive_count, &*delivery.group), (1, ""));
    assert!(delivery.request.starts_with("shop.yaml@") && Delivery::is_request(&delivery.request));
    assert_eq!(names(&folder.path().join("claimed")), [format!("{}.1", delivery.request)]);
    assert_eq!(source.receive().await, Ok(None), "it is held");
    source.extend(&delivery.handle, Duration::from_secs(1)).await.unwrap();

    let notifier = DirectoryNotifier::new(folder.path());
    let mut notice = Notice::new("k", Timestamp::EPOCH, Ending::Succeeded);
    notice.request = delivery.request.to_string();
    notifier.notify(&notice).await.unwrap();
    notifier.notify(&notice).await.unwrap();
    source.acknowledge(&delivery.handle).await.unwrap();
    let request = delivery.request.to_string();
    assert_eq!(names(&folder.path().join("done")), [request.clone(), format!("{request}.outcome.json")]);
    assert_eq!(names(&folder.path().join("claimed")), Vec::<String>::new());
    let outcome = fs::read(folder.path().join("done").join(format!("{request}.outcome.json"))).unwrap();
    assert_eq!(serde_json::from_slice::<Notice>(&outcome).unwrap(), notice);
    let stale = source.extend(&delivery.handle, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(stale.code, STALE_HANDLE);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_held_is_the_same_request_again() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.yaml", "1");
    let first = next(&open(&folder)).await; // and the process is gone
    for count in 2..4 {
        let source = open(&folder);
        let again = next(&source).await;
        assert_eq!(
            (&again.request, again.digest, &again.content),
            (&first.request, first.digest, &first.content)
        );
        assert_eq!(again.receive_count, count);
    }
    let source = open(&folder);
    let last = next(&source).await;
    source.acknowledge(&last.handle).await.unwrap();
    drop(source);
    assert_eq!(open(&folder).receive().await, Ok(None));
}

/// The code of the reason for which a delivery cannot be used.
fn unusable(delivery: &Delivery) -> &str {
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    &failure.code
}

#[tokio::test(start_paused = true)]
async fn a_claimed_file_that_is_lost_or_changed_while_no_process_lives_ends_its_request() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    let mut accepted = Vec::new();
    for name in ["kept", "lost", "changed"] {
        put(&folder, &format!("{name}.yaml"), name);
        let Delivery { request, digest, .. } = next(&source).await;
        accepted.push(RequestKey { id: request, digest });
    }
    drop(source);
    let claimed = |request: &RequestKey| folder.path().join("claimed").join(format!("{}.1", request.id));
    let [kept, lost, changed] = accepted.as_slice() else { panic!("{accepted:?}") };
    fs::remove_file(claimed(lost)).unwrap();
    fs::write(claimed(changed), "another").unwrap();

    let source = open(&folder);
    source.expect(&accepted);
    let mut found = Vec::new();
    while let Some(delivery) = source.receive().await.unwrap() {
        source.acknowledge(&delivery.handle).await.unwrap();
        found.push(delivery);
    }
    let [first, second, third, fourth] = found.as_slice() else { panic!("{found:?}") };
    let key = |delivery: &Delivery| RequestKey { id: delivery.request.clone(), digest: delivery.digest };
    assert_eq!((&key(first), unusable(first)), (lost, "queue.payload.gone"));
    assert_eq!((&key(second), body(second)), (kept, b"kept".as_slice()));
    assert_eq!((&key(third), unusable(third)), (changed, "queue.payload.changed"));
    assert_eq!(body(fourth), b"another");
    assert!(fourth.request.starts_with("changed.yaml@") && fourth.request > changed.id, "{fourth:?}");
    let Content::Unusable { failure } = &third.content else { panic!("{third:?}") };
    assert!(failure.message.contains(&*fourth.request), "{failure}");
    assert_eq!(names(&folder.path().join("claimed")), [""; 0]);
    assert_eq!(names(&folder.path().join("done")), [&*fourth.request, &*kept.id]);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_new_says_nothing_of_what_was_accepted_elsewhere() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    source.expect(&[RequestKey { id: "a.yaml@5".into(), digest: Digest::of(b"a") }]);
    assert_eq!(source.receive().await, Ok(None));
}

/// As `cp --preserve` and `touch --date` do it: the time of the last write is chosen.
fn put_dated(folder: &TempDir, name: &str, text: &str) {
    let temporary = folder.path().join(format!(".{name}.new"));
    fs::write(&temporary, text).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    File::options().write(true).open(&temporary).unwrap().set_modified(written).unwrap();
    fs::rename(temporary, folder.path().join(name)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_file_put_there_again_is_another_request_whatever_its_time() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    put_dated(&folder, "a.yaml", "1");
    let first = next(&source).await;
    put_dated(&folder, "a.yaml", "1");
    let second = next(&source).await;
    assert_ne!(first.request, second.request, "while the first is held");
    assert_eq!(first.digest, second.digest);
    source.acknowledge(&first.handle).await.unwrap();
    source.acknowledge(&second.handle).await.unwrap();
    put_dated(&folder, "a.yaml", "1");
    let third = next(&source).await;
    assert!(![&first.request, &second.request].contains(&&third.request), "once they are done");
    source.acknowledge(&third.handle).await.unwrap();
    assert_eq!(names(&folder.path().join("done")).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_there_again_while_no_process_lives_is_a_second_request() {
    let folder = TempDir::new().unwrap();
    put_dated(&folder, "a.yaml", "1");
    let first = next(&open(&folder)).await; // and the process is gone before anybody knows of it
    put_dated(&folder, "a.yaml", "1");
    let source = open(&folder);
    let again = next(&source).await;
    assert_eq!((&again.request, again.receive_count), (&first.request, 2));
    let second = next(&source).await;
    assert_ne!(second.request, first.request);
    assert_eq!(source.receive().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_put_back_makes_no_request_twice() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    fs::write(folder.path().join("done/b.yaml@32503680000000000"), "").unwrap();
    put(&folder, "a.yaml", "1");
    assert_eq!(&*next(&open(&folder)).await.request, "a.yaml@32503680000000001");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_still_written_is_not_taken() {
    let folder = TempDir::new().unwrap();
    let mut options = quick();
    options.settled_for = Duration::from_millis(150);
    options.wait = Duration::from_secs(5);
    let source = DirectorySource::open(folder.path(), options).unwrap();
    let path = folder.path().join("a.yaml");
    let written = async {
        for length in 1..20 {
            fs::write(&path, "x".repeat(length)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (delivery, ()) = tokio::join!(next(&source), written);
    assert_eq!(body(&delivery).len(), 19);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_plan_is_left_alone_with_a_reason() {
    let folder = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    let canary = Canary::plain(13);
    fs::write(outside.path().join("secret"), canary.value()).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("link.yaml")).unwrap();
    symlink(folder.path().join("nowhere"), folder.path().join("loose.yaml")).unwrap();
    fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    let pipe = folder.path().join("pipe.yaml");
    // By no other program: while one begins, it has the locks of the tests beside this one.
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for name in ["app.yaml~", "#app.yaml#", "app.yaml.bak", "README.md", "app"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let source = open(&folder);
    assert_eq!(source.receive().await, Ok(None));
    let ignored: Vec<_> =
        source.ignored().into_iter().map(|ignored| (ignored.name, ignored.reason)).collect();
    unseen(canary, &ignored);
    let link = "it is a link, and links are not followed";
    let other = "it is no regular file";
    let ending = "its name does not end in `.yaml`, `.yml` or `.json`";
    assert_eq!(
        ignored,
        [
            ("#app.yaml#", ending),
            ("README.md", ending),
            ("app", ending),
            ("app.yaml.bak", ending),
            ("app.yaml~", ending),
            ("folder.yaml", other),
            ("link.yaml", link),
            ("loose.yaml", link),
            ("pipe.yaml", other)
        ]
        .map(|(name, reason)| (name.to_owned(), reason.to_owned()))
    );
    put(&folder, "plan.yaml", "x");
    assert_eq!(body(&next(&source).await), b"x");
    assert_eq!(names(&folder.path().join("claimed")).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hidden_files_are_told_only_when_nobody_is_at_work_on_them() {
    let folder = TempDir::new().unwrap();
    for name in [".app.yaml", ".app.yaml.swp"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let source = open(&folder);
    assert_eq!((source.receive().await, source.ignored()), (Ok(None), vec![]));
    let mut options = quick();
    options.hidden_for = Duration::from_millis(100);
    drop(source);
    let source = DirectorySource::open(folder.path(), options).unwrap();
    assert_eq!(source.receive().await, Ok(None));
    let ignored: Vec<_> = source.ignored().into_iter().map(|ignored| ignored.name).collect();
    assert_eq!(ignored, [".app.yaml", ".app.yaml.swp"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_extends_is_delivered_again_and_what_was_settled_is_not() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    put(&folder, "a.yaml", "1");
    let first = next(&source).await;
    source.extend(&first.handle, Duration::ZERO).await.unwrap();
    let again = next(&source).await;
    assert_eq!((&again.request, again.receive_count), (&first.request, 2));
    assert_eq!(source.acknowledge(&first.handle).await.unwrap_err().code, STALE_HANDLE);
    source.acknowledge(&again.handle).await.unwrap();
    assert_eq!(source.receive().await, Ok(None));
    assert_eq!(names(&folder.path().join("done")), [again.request.to_string()]);
}

#[tokio::test]
async fn what_was_taken_for_a_receiver_that_went_away_comes_next() {
    let folder = TempDir::new().unwrap();
    put(&folder, "a.yaml", "1");
    let source = open(&folder);
    // Dropped at every point at which it waits: of the thread for the disk it is not known what it did.
    for _ in 0..100 {
        let dropped = tokio::time::timeout(Duration::from_micros(500), source.receive()).await;
        if let Ok(received) = dropped {
            assert_eq!(body(&received.unwrap().unwrap()), b"1");
            return;
        }
    }
    tokio::time::pause();
    assert_eq!(body(&next(&source).await), b"1");
}

#[tokio::test(start_paused = true)]
async fn a_link_in_the_place_of_a_claimed_file_is_not_followed() {
    let folder = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    let canary = Canary::plain(15);
    fs::write(outside.path().join("secret"), canary.value()).unwrap();
    drop(open(&folder));
    symlink(outside.path().join("secret"), folder.path().join("claimed/a.yaml@5.1")).unwrap();
    let delivery = next(&open(&folder)).await;
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    assert_eq!(failure.code, "queue.payload.unreadable");
    unseen(canary, &delivery);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_holds_up_no_other_and_is_rejected_in_the_end() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    symlink("/nowhere", folder.path().join("claimed/a.yaml@5.1")).unwrap();
    put(&folder, "b.yaml", "b");
    put(&folder, "c.yaml", "c");
    let mut options = quick();
    options.settled_for = Duration::ZERO;
    options.try_pause = Duration::from_millis(100);
    options.tries_max = 4;
    options.wait = Duration::from_secs(5);
    let source = DirectorySource::open(folder.path(), options).unwrap();
    for text in ["b", "c"] {
        assert_eq!(body(&next(&source).await), text.as_bytes());
    }
    let ignored = source.ignored();
    let [one] = ignored.as_slice() else { panic!("{ignored:?}") };
    assert_eq!(one.name, "a.yaml@5");
    assert!(one.reason.starts_with("it cannot be read: "), "{}", one.reason);

    let delivery = next(&source).await;
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    assert_eq!((&*delivery.request, &*failure.code), ("a.yaml@5", "queue.payload.unreadable"));
    assert!(failure.message.contains("symbolic link"), "{failure}");
    source.reject(&delivery.handle, &failure.message).await.unwrap();
    assert_eq!(names(&folder.path().join("rejected")), ["a.yaml@5", "a.yaml@5.reason.txt"]);
    assert_eq!(source.ignored(), []);
}

#[tokio::test(start_paused = true)]
async fn too_large_is_rejected_with_the_reason_beside_it() {
    let folder = TempDir::new().unwrap();
    let mut options = quick();
    options.plan_bytes_max = 10;
    let source = DirectorySource::open(folder.path(), options).unwrap();
    put(&folder, "a.yaml", "12345678901");
    let delivery = next(&source).await;
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    assert_eq!(failure.code, "queue.payload.too-large");
    source.reject(&delivery.handle, &failure.message).await.unwrap();
    let request = delivery.request.to_string();
    let rejected = folder.path().join("rejected");
    assert_eq!(names(&rejected), [request.clone(), format!("{request}.reason.txt")]);
    let reason = fs::read_to_string(rejected.join(format!("{request}.reason.txt"))).unwrap();
    assert!(reason.contains("larger than 10 bytes"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_request_to_stop_names_another_request() {
    let folder = TempDir::new().unwrap();
    let source = open(&folder);
    put(&folder, "a.stop.json", r#"{"requestId":"shop.yaml@5","mode":"drain"}"#);
    let delivery = next(&source).await;
    assert_eq!(delivery.content, Content::Stop { request: "shop.yaml@5".into(), mode: StopMode::Drain });
    let canary = Canary::plain(14);
    put(&folder, "b.stop.json", canary.value());
    let delivery = next(&source).await;
    let Content::Unusable { failure } = &delivery.content else { panic!("{delivery:?}") };
    assert_eq!(failure.code, "queue.message.unreadable");
    unseen(canary, failure);
}

#[tokio::test(start_paused = true)]
async fn plans_come_in_the_order_in_which_they_were_written() {
    let folder = TempDir::new().unwrap();
    for name in ["c.yaml", "a.yaml", "b.yaml"] {
        put(&folder, name, name);
        // Times of files are as coarse as the ticks of the kernel.
        std::thread::sleep(Duration::from_millis(20));
    }
    let source = open(&folder);
    for name in ["c.yaml", "a.yaml", "b.yaml"] {
        assert_eq!(body(&next(&source).await), name.as_bytes());
    }
    drop(source);
    let source = open(&folder);
    for name in ["c.yaml", "a.yaml", "b.yaml"] {
        assert_eq!(body(&next(&source).await), name.as_bytes(), "also when they are delivered again");
    }
}

#[tokio::test(start_paused = true)]
async fn one_process_at_a_time_has_a_directory() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder);
    let failure = DirectorySource::open(folder.path(), quick()).unwrap_err();
    assert_eq!(failure.code, "directory.held");
    assert!(failure.hint.is_some());
    drop(first);
    drop(open(&folder));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_moved_stays_held_and_so_does_the_one_in_its_place() {
    let folder = TempDir::new().unwrap();
    let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
    let held = |path: &Path| DirectorySource::open(path, quick()).map(drop).map_err(|failure| failure.code);
    let first = DirectorySource::open(&here, quick()).unwrap();
    fs::rename(&here, &there).unwrap();
    assert_eq!(held(&there), Err("directory.held".into()), "its plans are under way");
    let second = DirectorySource::open(&here, quick()).unwrap();
    let failure = first.receive().await.unwrap_err();
    assert_eq!(failure.code, "directory.held");
    assert!(failure.message.contains(&*here.to_string_lossy()), "{failure}");
    fs::write(here.join("a.yaml"), "1").unwrap();
    assert_eq!(body(&next(&second).await), b"1");
    drop(second);
    assert_eq!(first.receive().await, Ok(None));
    for path in [&here, &there] {
        assert_eq!(held(path), Err("directory.held".into()), "{}", path.display());
    }
    fs::remove_file(here.join(".lock")).unwrap();
    assert_eq!(first.receive().await, Ok(None));
    assert_eq!(held(&here), Err("directory.held".into()));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_removed_is_told_by_its_path_and_made_again() {
    for removed in ["claimed", "done", ""] {
        let folder = TempDir::new().unwrap();
        let source = DirectorySource::open(folder.path().join("plans"), quick()).unwrap();
        fs::write(source.root().join("a.yaml"), "1").unwrap();
        let first = next(&source).await;
        let path = source.root().join(removed).components().collect::<std::path::PathBuf>();
        fs::remove_dir_all(&path).unwrap();
        let failure = source.receive().await.unwrap_err();
        let told = format!("{} was gone, with all that was in it; it is made again", path.display());
        assert_eq!((&*failure.code, failure.message), ("directory.io", told));
        source.acknowledge(&first.handle).await.unwrap();
        fs::write(source.root().join("b.yaml"), "2").unwrap();
        let second = next(&source).await;
        assert_eq!(body(&second), b"2");
        fs::remove_dir_all(&path).unwrap();
        source.acknowledge(&second.handle).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn old_plans_are_removed_with_what_stands_beside_them() {
    let folder = TempDir::new().unwrap();
    let mut options = quick();
    options.kept_max = 2;
    let source = DirectorySource::open(folder.path(), options).unwrap();
    let notifier = DirectoryNotifier::new(folder.path());
    let mut last = Vec::new();
    for name in ["a.yaml", "b.yaml", "c.yaml", "d.yaml"] {
        put(&folder, name, name);
        let delivery = next(&source).await;
        let mut notice = Notice::new("k", Timestamp::EPOCH, Ending::Failed);
        notice.request = delivery.request.to_string();
        notifier.notify(&notice).await.unwrap();
        source.acknowledge(&delivery.handle).await.unwrap();
        last.extend([notice.request.clone(), format!("{}.outcome.json", notice.request)]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(names(&folder.path().join("done")), last[4..]);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_request_of_another_name_stays_in_its_folder_and_is_removed_in_its_turn() {
    let folder = TempDir::new().unwrap();
    let mut options = quick();
    options.kept_max = 2;
    let source = DirectorySource::open(folder.path(), options).unwrap();
    let notifier = DirectoryNotifier::new(folder.path());
    for request in ["release-1", "../../release@2", "release@2", "release-3"] {
        let mut notice = Notice::new("k", Timestamp::EPOCH, Ending::Failed);
        request.clone_into(&mut notice.request);
        notifier.notify(&notice).await.unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    put(&folder, "a.yaml", "1");
    let delivery = next(&source).await;
    source.acknowledge(&delivery.handle).await.unwrap();
    let kept = names(&folder.path().join("done"));
    assert_eq!(kept, [delivery.request.to_string(), "release-3.outcome.json".to_owned()]);
}
