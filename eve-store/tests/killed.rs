//! A writer that is killed, that may not write, or that finds no room: nothing that was acknowledged is lost.
//!
//! Each of these needs a process of its own: this program again, with `ROLE` set, running only the test `child`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use eve_core::ids::{Attempt, ComponentId, RunId, Seq};
use eve_core::ports::RunStore as _;
use eve_core::run::{Event, Record};
use eve_core::time::Timestamp;
use eve_store::{FileError, RunFolder, RunState};
use support::{batch, folder, header};

const ROLE: &str = "EVE_STORE_TEST_ROLE";
const ROOT: &str = "EVE_STORE_TEST_ROOT";

fn record(seq: u64) -> Record {
    let event = Event::Started { component: ComponentId::new(7), attempt: Attempt::FIRST };
    Record { seq: Seq::new(seq), at: Timestamp::from_micros(seq), event }
}

fn command(role: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    prepare(&mut command, role, root);
    command
}

fn prepare(command: &mut Command, role: &str, root: &Path) {
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env(ROOT, root).stdout(Stdio::piped());
}

/// What a child says, line by line: its lines begin with `said `.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("said ")?.1.to_owned()))
}

/// What the other process does; nothing when this is the first.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let root = PathBuf::from(std::env::var(ROOT).unwrap());
    let run = RunId::new("r1");
    if role == "look" {
        let opened = RunFolder::open(&root).and_then(|folder| folder.resume(&run).map(drop));
        println!("said {opened:?}");
        let read = eve_store::RunReader::open(root.join("runs/r1.run")).and_then(|reader| reader.records());
        println!("said {}", read.map_or_else(|error| error.to_string(), |records| records.len().to_string()));
        return;
    }
    let folder = RunFolder::open(&root).unwrap();
    let file = folder.resume(&run).unwrap();
    let mut next = file.load(&run).await.unwrap().len() as u64 + 1;
    loop {
        // As many at once as a turn of a busy driver has, so that a kill finds appends half done.
        let records: Vec<Record> = (next..next + 40).map(record).collect();
        if let Err(error) = file.append(batch(&run, &records)).await {
            println!("said failed {error}");
            let again = file.append(batch(&run, &records)).await.unwrap_err();
            println!("said then {again}");
            return;
        }
        next += 40;
        println!("said {}", next - 1);
    }
}

#[test]
fn what_was_acknowledged_survives_the_kill_of_its_writer() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    drop(folder.create(&header).unwrap());
    let (mut acknowledged, mut torn) = (0, 0);
    for round in 0..20 {
        let mut child = command("write", folder.path()).spawn().unwrap();
        let mut said = lines(&mut child);
        for _ in 0..=round % 7 {
            acknowledged = said.next().unwrap().parse().unwrap();
        }
        assert!(
            matches!(folder.state(&header.run).unwrap(), RunState::Live(Some(holder)) if holder.process == child.id())
        );
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between our last look and its end.
        acknowledged = said.last().map_or(acknowledged, |line| line.parse().unwrap());
        let reader = folder.read(&header.run).unwrap();
        reader.check().unwrap();
        let found = reader.records().unwrap();
        assert!(found.len() >= acknowledged, "{} of {acknowledged}", found.len());
        assert_eq!(found.len() % 40, 0, "an append is all or nothing");
        assert!(found.iter().zip(1..).all(|(found, seq)| *found == record(seq)));
        torn += usize::from(found.len() > acknowledged);
        assert_eq!(
            folder.state(&header.run).unwrap(),
            RunState::Interrupted,
            "the locks ended with the process"
        );
    }
    println!("{acknowledged} records, {torn} kills between commit and acknowledgement");
}

#[test]
fn a_write_that_fails_ends_the_store_and_keeps_what_was_there() {
    let (_keep, folder) = folder();
    let header = header(&folder, "r1");
    drop(folder.create(&header).unwrap());
    // 128 KiB a file, and an error instead of a signal beyond them.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());
    prepare(&mut limited, "write", folder.path());
    let mut child = limited.spawn().unwrap();
    let said: Vec<String> = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let [acknowledged @ .., failed, then] = said.as_slice() else { panic!("{said:?}") };
    assert!(
        failed.starts_with("failed the run store is not available: ") && failed.contains("r1.run"),
        "{failed}"
    );
    assert!(then.contains("nothing is appended after a failure"), "{then}");
    let acknowledged: usize = acknowledged.last().unwrap().parse().unwrap();
    let reader = folder.read(&header.run).unwrap();
    reader.check().unwrap();
    assert_eq!(reader.records().unwrap().len(), acknowledged);
    assert_eq!(folder.state(&header.run).unwrap(), RunState::Interrupted);
}

#[test]
fn a_folder_that_may_not_be_written_is_named_and_can_still_be_read() {
    let (keep, folder) = folder();
    let header = header(&folder, "r1");
    let file = folder.create(&header).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(file.append(batch(&header.run, &[record(1), record(2)]))).unwrap();
    drop(file);
    // Nobody may write here, and a user who is not root is nobody in particular.
    let script = "chmod -R a+rX,a-w \"$EVE_STORE_TEST_ROOT\" \"$(dirname \"$EVE_STORE_TEST_ROOT\")\"; \
        if [ \"$(id -u)\" = 0 ]; then exec setpriv --reuid=65534 --clear-groups \"$0\" \"$@\"; else exec \"$0\" \"$@\"; fi";
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(keep.path(), everybody).unwrap();
    let copy = keep.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut other = Command::new("sh");
    other.args(["-c", script]).arg(&copy);
    prepare(&mut other, "look", folder.path());
    let mut child = other.spawn().unwrap();
    let said: Vec<String> = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let restore = Command::new("chmod").args(["-R", "u+w"]).arg(keep.path()).status().unwrap();
    assert!(restore.success());
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("Err(ReadOnly {"), "{}", said[0]);
    assert_eq!(said[1], "2");
    assert!(FileError::ReadOnly { path: "/r".into() }.to_string().contains("read-only"));
}
