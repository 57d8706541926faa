//! A disk on which things go wrong.

use std::cell::RefCell;
use std::time::Duration;

use super::*;

/// Files by name with what comes of taking them, and of reading them.
#[derive(Default)]
struct Fake {
    files: RefCell<BTreeMap<String, Look>>,
    stuck: RefCell<BTreeMap<String, fn() -> Obstacle>>,
    unreadable: RefCell<BTreeMap<String, fn() -> Obstacle>>,
    tried: RefCell<Vec<String>>,
}

impl Fake {
    fn put(&self, name: &str, written_micros: u64) {
        self.files.borrow_mut().insert(name.to_owned(), Look { written_micros, bytes: 1, inode: 1 });
    }
}

impl Disk for Fake {
    fn waiting(&self) -> Result<Vec<(String, Entry)>, Failure> {
        Ok(self.files.borrow().iter().map(|(name, look)| (name.clone(), Entry::File(*look))).collect())
    }

    fn claim(&self, name: &str, after: u64) -> Result<(Claimed, u64), Obstacle> {
        self.tried.borrow_mut().push(name.to_owned());
        if let Some(obstacle) = self.stuck.borrow().get(name) {
            return Err(obstacle());
        }
        self.files.borrow_mut().remove(name).ok_or(Obstacle::Gone)?;
        Ok((Claimed { request: name.into(), count: 1 }, after + 1))
    }

    fn count_up(&self, claimed: &Claimed) -> Result<Claimed, Obstacle> {
        Ok(Claimed { count: claimed.count + 1, ..claimed.clone() })
    }

    fn sync_claims(&self) -> Result<(), Obstacle> {
        Ok(())
    }

    fn read(&self, claimed: &Claimed, _: u64) -> Result<(Digest, Content), Obstacle> {
        if let Some(obstacle) = self.unreadable.borrow().get(&*claimed.request) {
            return Err(obstacle());
        }
        Ok((Digest::of(b""), Content::Plan { body: Arc::default(), sequence: None }))
    }
}

fn denied() -> Obstacle {
    Obstacle::OfOne("it cannot be taken: denied".to_owned())
}

fn full() -> Obstacle {
    Obstacle::OfAll(Failure::transient("directory.io", "the disk is full"))
}

fn options() -> DirectoryOptions {
    DirectoryOptions { settled_for: Duration::ZERO, tries_max: 3, ..DirectoryOptions::default() }
}

fn next(scan: &mut Scan, disk: &Fake, now: Instant) -> Option<String> {
    scan.next(disk, now, &options()).unwrap().map(|(claimed, ..)| claimed.request.to_string())
}

#[test]
fn a_file_that_cannot_be_taken_holds_up_no_other() {
    let (disk, now) = (Fake::default(), Instant::now());
    let mut scan = Scan::new(Vec::new(), 0);
    disk.put("a", 1);
    disk.put("b", 2);
    disk.stuck.borrow_mut().insert("a".into(), denied);
    assert_eq!(next(&mut scan, &disk, now).as_deref(), Some("b"));
    let told = [Ignored { name: "a".into(), reason: "it cannot be taken: denied".into() }];
    assert_eq!(scan.ignored(), told);
    disk.stuck.borrow_mut().clear();
    assert_eq!(next(&mut scan, &disk, now + Duration::from_secs(1)).as_deref(), Some("a"));
    assert_eq!(scan.ignored(), []);
}

#[test]
fn tries_have_pauses_and_become_rare_in_the_end() {
    let (disk, start) = (Fake::default(), Instant::now());
    let mut scan = Scan::new(Vec::new(), 0);
    disk.put("a", 1);
    disk.stuck.borrow_mut().insert("a".into(), denied);
    let mut tenths = Vec::new();
    for tenth in 0..3100 {
        let before = disk.tried.borrow().len();
        assert_eq!(next(&mut scan, &disk, start + Duration::from_millis(tenth * 100)), None);
        if disk.tried.borrow().len() > before {
            tenths.push(tenth);
        }
    }
    assert_eq!(tenths, [0, 5, 15, 3015]);
    // Somebody has changed it: it is another file.
    disk.put("a", 2);
    let before = disk.tried.borrow().len();
    assert_eq!(next(&mut scan, &disk, start + Duration::from_secs(310)), None);
    assert_eq!(disk.tried.borrow().len(), before + 1);
}

#[test]
fn a_full_disk_is_told_and_costs_no_file_its_tries() {
    let (disk, start) = (Fake::default(), Instant::now());
    let mut scan = Scan::new(Vec::new(), 0);
    disk.put("a", 1);
    disk.put("b", 2);
    for name in ["a", "b"] {
        disk.stuck.borrow_mut().insert(name.into(), full);
    }
    for _ in 0..10 {
        let failure = scan.next(&disk, start, &options()).unwrap_err();
        assert_eq!(failure.message, "the disk is full");
    }
    disk.stuck.borrow_mut().clear();
    assert_eq!(next(&mut scan, &disk, start).as_deref(), Some("a"));
}

#[test]
fn what_cannot_be_read_is_delivered_as_unusable_after_the_last_try() {
    let (disk, start) = (Fake::default(), Instant::now());
    let mut scan = Scan::new(vec![Claimed { request: "a".into(), count: 4 }], 0);
    disk.unreadable.borrow_mut().insert("a".into(), || Obstacle::OfOne("it cannot be read: denied".into()));
    disk.put("b", 1);
    assert_eq!(next(&mut scan, &disk, start).as_deref(), Some("b"));
    assert_eq!(next(&mut scan, &disk, start + Duration::from_secs(1)), None);
    let last = scan.next(&disk, start + Duration::from_secs(2), &options()).unwrap();
    let Some((claimed, _, Content::Unusable { failure })) = last else { panic!("{last:?}") };
    assert_eq!(claimed, Claimed { request: "a".into(), count: 5 });
    assert_eq!(failure.message, "a was tried 3 times: it cannot be read: denied");
    assert_eq!(next(&mut scan, &disk, start + Duration::from_hours(1)), None);
}

#[test]
fn what_somebody_took_away_is_forgotten() {
    let (disk, start) = (Fake::default(), Instant::now());
    let mut scan = Scan::new(vec![Claimed { request: "a".into(), count: 1 }], 0);
    disk.unreadable.borrow_mut().insert("a".into(), || Obstacle::Gone);
    assert_eq!(next(&mut scan, &disk, start), None);
    disk.unreadable.borrow_mut().clear();
    assert_eq!((next(&mut scan, &disk, start), scan.ignored()), (None, vec![]));
}
