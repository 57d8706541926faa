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

    fn renew(&self, claimed: &Claimed, after: u64) -> Result<(Claimed, u64), Obstacle> {
        Ok((Claimed { request: names::renewed(&claimed.request, after + 1), count: 1 }, after + 1))
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

/// A request of this name with this content, as an earlier process accepted it.
fn accepted(id: &str, content: &[u8]) -> RequestKey {
    RequestKey { id: id.into(), digest: Digest::of(content) }
}

/// A scan that begins with these claimed files, all of them empty.
fn begun(claimed: &[&str], accepted: &[RequestKey]) -> Scan {
    let files = claimed.iter().map(|request| Claimed { request: (*request).into(), count: 1 });
    let mut scan = Scan::new(files.collect(), 7);
    scan.expect(accepted);
    scan
}

/// The request and the digest of what comes next, and the code of why it is unusable.
fn delivered(scan: &mut Scan, disk: &Fake, now: Instant) -> Option<(String, Digest, Option<String>)> {
    let (claimed, digest, content) = scan.next(disk, now, &options()).unwrap()?;
    let Content::Unusable { failure } = content else {
        return Some((claimed.request.to_string(), digest, None));
    };
    Some((claimed.request.to_string(), digest, Some(failure.code.to_string())))
}

#[test]
fn what_was_accepted_and_has_no_file_is_delivered_once_as_gone() {
    let (disk, now) = (Fake::default(), Instant::now());
    let expected = [accepted("a@1", b"a"), accepted("b@2", b""), accepted("of-a-queue", b"")];
    let mut scan = begun(&["b@2"], &expected);
    let gone = Some("queue.payload.gone".to_owned());
    assert_eq!(delivered(&mut scan, &disk, now), Some(("a@1".into(), Digest::of(b"a"), gone)));
    assert_eq!(delivered(&mut scan, &disk, now), Some(("b@2".into(), Digest::of(b""), None)));
    assert_eq!(delivered(&mut scan, &disk, now), None, "what came from a queue is not known here");
}

#[test]
fn what_was_accepted_and_changed_since_is_given_up_and_a_request_of_its_own_from_then_on() {
    let (disk, now) = (Fake::default(), Instant::now());
    let mut scan = begun(&["a@1"], &[accepted("a@1", b"other")]);
    let changed = Some("queue.payload.changed".to_owned());
    assert_eq!(delivered(&mut scan, &disk, now), Some(("a@1".into(), Digest::of(b"other"), changed)));
    assert_eq!(delivered(&mut scan, &disk, now), Some(("a@8".into(), Digest::of(b""), None)));
    assert_eq!(delivered(&mut scan, &disk, now), None);
}

#[test]
fn what_was_accepted_and_goes_before_it_is_read_is_gone() {
    let (disk, now) = (Fake::default(), Instant::now());
    let mut scan = begun(&["a@1"], &[accepted("a@1", b"")]);
    disk.unreadable.borrow_mut().insert("a@1".into(), || Obstacle::Gone);
    let gone = Some("queue.payload.gone".to_owned());
    assert_eq!(delivered(&mut scan, &disk, now), Some(("a@1".into(), Digest::of(b""), gone)));
    assert_eq!(delivered(&mut scan, &disk, now), None);
}

#[test]
fn what_was_accepted_and_cannot_be_read_in_the_end_is_known_by_what_was_accepted() {
    let (disk, start) = (Fake::default(), Instant::now());
    let mut scan = begun(&["a@1"], &[accepted("a@1", b"a")]);
    disk.unreadable.borrow_mut().insert("a@1".into(), || Obstacle::OfOne("it cannot be read: denied".into()));
    for seconds in 0..2 {
        assert_eq!(delivered(&mut scan, &disk, start + Duration::from_secs(seconds)), None);
    }
    let unreadable = Some("queue.payload.unreadable".to_owned());
    let last = delivered(&mut scan, &disk, start + Duration::from_secs(2));
    assert_eq!(last, Some(("a@1".into(), Digest::of(b"a"), unreadable)));
}
