//! What the displays say about sample runs, word for word.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId, Seq};
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Dependency, Until};
use eve_core::run::{
    Applied, Change, Event, Outcome, Outputs, Phase, Prepared, Record, Run, RunOptions, RunStart, SkipReason,
    StopMode, StopReason, UndoReport,
};
use eve_core::testing::{
    sample_announced, sample_events, sample_graph, sample_rollback, sample_rollback_graph, sample_undoing,
};
use eve_core::time::Timestamp;
use eve_store::{Progress, RunFolder, RunHeader, RunState, RunSummary};

use super::board::Board;
use super::json::{line as json_line, summary as json_summary};
use super::lines::line;
use super::live::{Size, frame};
use super::recorded::{Standing, status};
use super::report;
use super::summary::Summary;
use super::text::{Precision, rfc3339};
use super::timeline::Timeline;
use crate::exit::Exit;

/// Records at seconds of a run.
struct Story {
    graph: Arc<Graph>,
    records: Vec<Record>,
}

impl Story {
    fn begin(graph: Arc<Graph>) -> Self {
        let run = RunStart {
            id: RunId::new("run-1"),
            plan: graph.name().into(),
            namespace: graph.namespace().into(),
            components: 0,
            options: RunOptions::default(),
            undoes: None,
        };
        Self { graph, records: Vec::new() }.at(0.0, Event::RunStarted { run: Box::new(run) })
    }

    fn at(mut self, s: f64, event: Event) -> Self {
        let seq = Seq::new(self.records.len() as u64 + 1);
        self.records.push(Record { seq, at: moment(s), event });
        self
    }

    /// The component is written between these times.
    fn created(self, name: &str, from_s: f64, to_s: f64) -> Self {
        let (component, attempt) = (self.id(name), Attempt::FIRST);
        let prepared = Prepared::new(Change::Create);
        self.at(from_s, Event::Prepared { component, prepared })
            .at(from_s, Event::Started { component, attempt })
            .at(to_s, Event::Applied { component, attempt, applied: Applied::new(Change::Create) })
    }

    fn ready(self, name: &str, s: f64) -> Self {
        let component = self.id(name);
        self.at(s, Event::Ready { component, outputs: Outputs::NONE })
    }

    fn waiting(self, name: &str, s: f64, message: &str) -> Self {
        let component = self.id(name);
        self.at(s, Event::Waiting { component, cause: Box::new(Cause::new("test", message)) })
    }

    fn id(&self, name: &str) -> ComponentId {
        self.graph.find(name).unwrap()
    }

    fn board(&self) -> Board {
        let mut board = Board::new(self.graph.clone());
        for record in &self.records {
            board.record(record);
        }
        board
    }
}

fn moment(s: f64) -> Timestamp {
    Timestamp::from_micros(1_763_596_800_000_000).plus(Duration::from_secs_f64(s))
}

fn graph(components: impl IntoIterator<Item = ComponentBuilder>) -> Arc<Graph> {
    Arc::new(Graph::from_plan(&PlanBuilder::new("shop", "shop").components(components)).unwrap())
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// One log of each sort.
fn samples() -> [(Arc<Graph>, Vec<Record>); 3] {
    let graph = sample_rollback_graph();
    [(sample_graph(), sample_events()), (Arc::clone(&graph), sample_rollback()), (graph, sample_undoing())]
}

/// The same, and of a run that died between an announcement and its write.
fn all_samples() -> Vec<(Arc<Graph>, Vec<Record>)> {
    let announced = (sample_rollback_graph(), sample_announced());
    samples().into_iter().chain([announced]).collect()
}

#[test]
fn a_rollback_is_told_step_by_step_and_what_it_leaves_with_how_to_go_on() {
    let mut shown = String::new();
    for (graph, records) in samples().into_iter().skip(1) {
        let mut board = Board::new(graph);
        for record in records {
            board.record(&record);
            let said = line(&board, &record).map_or_else(|| "-".into(), |line| plain(&line.text));
            let _ = writeln!(shown, "{said}");
            for line in frame(&board, Size { width: 80, height: 24 }, record.at) {
                let _ = writeln!(shown, "    |{}", plain(&line));
            }
            let _ = writeln!(shown, "    {}", json_line(&board, &record));
        }
        let summary = Summary::of(&board);
        let _ = write!(shown, "---\n{}", plain(&report::failures(&board, &summary)));
        let _ = writeln!(shown, "---\n{}", plain(&report::figures(&board, &summary)));
        let _ = writeln!(shown, "{}\n===", json_summary(&board, Exit::RollbackFailed));
    }
    insta::assert_snapshot!(shown);
}

fn sample_board() -> Board {
    let mut board = Board::new(sample_graph());
    for record in sample_events() {
        board.record(&record);
    }
    board
}

#[test]
fn plain_lines_of_every_event() {
    let mut board = Board::new(sample_graph());
    let mut shown = String::new();
    for record in sample_events() {
        board.record(&record);
        let said = line(&board, &record).map(|line| format!("{:?}: {}", line.weight, plain(&line.text)));
        let at = rfc3339(record.at, Precision::Seconds);
        let _ = writeln!(shown, "{at} {}", said.unwrap_or_else(|| "-".into()));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn json_lines_of_every_event() {
    let mut board = Board::new(sample_graph());
    let mut shown = String::new();
    for record in sample_events() {
        board.record(&record);
        let _ = writeln!(shown, "{}", json_line(&board, &record));
    }
    let _ = writeln!(shown, "{}", json_summary(&board, Exit::Failed));
    insta::assert_snapshot!(shown);
}

#[test]
fn every_json_object_is_described_in_the_reference() {
    let reference =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/apply-json.md"))
            .unwrap();
    let mut objects = vec![];
    for (graph, records) in all_samples() {
        let mut board = Board::new(graph);
        for record in records {
            board.record(&record);
            objects.push(json_line(&board, &record));
        }
        objects.push(json_summary(&board, Exit::Failed));
    }
    for object in objects {
        let name = object["type"].as_str().unwrap();
        let section = reference.split("\n## ").find(|section| section.starts_with(&format!("`{name}`")));
        let section = section.unwrap_or_else(|| panic!("`{name}` is not described"));
        for field in object.as_object().unwrap().keys() {
            let known = ["type", "run", "seq", "at"].contains(&field.as_str());
            assert!(
                known || section.contains(&format!("`{field}`")),
                "`{field}` of `{name}` is not described"
            );
        }
    }
}

#[test]
fn the_report_names_reason_notes_hint_and_cost_of_each_failure() {
    let board = sample_board();
    let summary = Summary::of(&board);
    let text = format!("{}---\n{}\n", report::failures(&board, &summary), report::figures(&board, &summary));
    insta::assert_snapshot!(plain(&text));
}

#[test]
fn text_of_a_cluster_cannot_drive_the_terminal() {
    let graph = graph([ComponentBuilder::new("web", "object"), ComponentBuilder::new("db", "object")]);
    let story = Story::begin(graph).created("web", 0.0, 0.1).waiting("web", 1.0, "\u{1b}[2Jgone\nnext");
    let component = story.id("web");
    let attempt = Attempt::FIRST;
    let failure =
        Failure::permanent("x", "bad \u{1b}]0;title\u{7}").with_note("\rlog").with_hint("\u{9b}31m");
    let before = story.board();
    let waiting = line(&before, story.records.last().unwrap()).unwrap().text;
    let size = Size { width: 100, height: 24 };
    let drawn = frame(&before, size, moment(2.0)).join("");
    let failed = Event::AttemptFailed {
        component,
        attempt,
        phase: Phase::Wait,
        failure: Box::new(failure),
        retry_at: None,
    };
    let after = story.at(2.0, failed);
    let failed = line(&after.board(), after.records.last().unwrap()).unwrap().text;
    let report = report::failures(&after.board(), &Summary::of(&after.board())).replace('\n', "");
    for text in [waiting, drawn, failed, report] {
        // What is left after our own styles are taken out is what the cluster said.
        let text = text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        let text = ["31", "33", "36", "2"]
            .iter()
            .fold(text, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// Three that wait, one that is applied, one that pauses, one that is done.
fn busy() -> Story {
    let names =
        ["db", "cache", "a-component-with-a-name-that-is-far-too-long-for-any-table", "web", "mail", "done"];
    let story = Story::begin(graph(names.map(|name| ComponentBuilder::new(name, "object"))))
        .created("db", 0.2, 0.3)
        .created("done", 0.2, 0.3)
        .waiting("db", 1.0, "0 of 1 replicas are available")
        .ready("done", 4.0)
        .created("cache", 5.0, 5.5)
        .created(names[2], 6.0, 6.5)
        .waiting(
            names[2],
            30.0,
            "pod a-component-with-a-name-0 is not ready: container main: waiting for the probe",
        )
        .at(40.0, Event::Prepared { component: ComponentId::new(3), prepared: Prepared::new(Change::Update) })
        .at(41.0, Event::Started { component: ComponentId::new(3), attempt: Attempt::FIRST });
    let component = story.id("mail");
    let failed = Event::AttemptFailed {
        component,
        attempt: Attempt::FIRST,
        phase: Phase::Apply,
        failure: Box::new(Failure::transient("k8s.connection", "the connection was lost")),
        retry_at: Some(moment(72.0)),
    };
    story.at(70.0, failed)
}

#[test]
fn the_frame_fits_the_terminal() {
    let board = busy().board();
    let mut shown = String::new();
    for (columns, height) in [(120, 40), (80, 24), (50, 24), (80, 6), (8, 3), (0, 0)] {
        let lines = frame(&board, Size { width: columns, height }, moment(71.0));
        let _ = writeln!(shown, "{columns}x{height}");
        for line in lines {
            let line = plain(&line);
            assert!(super::text::width(&line) <= columns, "{columns}: {line}");
            let _ = writeln!(shown, "|{line}");
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn given_up_components_are_grouped_by_what_they_waited_for() {
    let story = Story::begin(graph(["a", "b", "c"].map(|name| ComponentBuilder::new(name, "object"))));
    let given_up = |component, message: &str| Event::AttemptFailed {
        component,
        attempt: Attempt::FIRST,
        phase: Phase::Wait,
        failure: Box::new(Failure::new(FailureClass::Cancelled, "run.cancelled", message)),
        retry_at: None,
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| story.id(name));
    let story = story.at(1.0, Event::Stopping { reason: StopReason::Asked { mode: StopMode::Now } });
    let story = story.at(1.0, given_up(a, "given up: x")).at(1.0, given_up(b, "given up: y"));
    let board = story.at(1.0, given_up(c, "given up: x")).board();
    let text = report::failures(&board, &Summary::of(&board));
    assert_eq!(plain(&text), "given up: x: a, c\ngiven up: y: b\n");
}

#[test]
fn there_is_no_frame_before_and_after_a_run() {
    let size = Size { width: 80, height: 24 };
    let story = busy();
    assert!(frame(&Board::new(story.graph.clone()), size, moment(0.0)).is_empty());
    let over = story.at(80.0, Event::Finished { outcome: Outcome::Failed });
    assert!(frame(&over.board(), size, moment(81.0)).is_empty());
}

#[test]
fn a_frame_tells_how_far_the_comparison_is() {
    let story = Story::begin(graph(["a", "b"].map(|name| ComponentBuilder::new(name, "object"))));
    let prepared = Prepared::new(Change::Create);
    let story = story.at(0.1, Event::Prepared { component: ComponentId::new(0), prepared });
    let lines = frame(&story.board(), Size { width: 80, height: 24 }, moment(0.3));
    assert_eq!(plain(&lines.join("\n")), "shop 0s: comparing with the cluster, 1 of 2");
}

fn path(story: &Story) -> Vec<(String, u128)> {
    let board = story.board();
    let path = Summary::of(&board).critical_path;
    path.iter().map(|(id, took)| (board.name(*id).to_owned(), took.as_millis())).collect()
}

#[test]
fn the_critical_path_follows_whatever_was_waited_for_last() {
    let graph = graph([
        ComponentBuilder::new("db", "object"),
        ComponentBuilder::new("cache", "object"),
        ComponentBuilder::join("stores").after("db").after("cache"),
        ComponentBuilder::new("web", "object").after("stores"),
        ComponentBuilder::new("aside", "object"),
    ]);
    let story = Story::begin(graph)
        .created("db", 0.1, 0.2)
        .created("cache", 0.1, 0.2)
        .created("aside", 0.1, 0.2)
        .ready("cache", 2.0)
        .ready("db", 5.0)
        .ready("stores", 5.0)
        .created("web", 5.0, 5.1)
        .ready("aside", 6.0)
        .ready("web", 8.0);
    assert_eq!(path(&story), [("db".into(), 5000), ("web".into(), 3000)]);
}

#[test]
fn an_edge_until_applied_counts_only_the_writes() {
    let graph = graph([
        ComponentBuilder::new("db", "object"),
        ComponentBuilder::new("web", "object")
            .depends_on(Dependency { component: "db".into(), until: Until::Applied }),
    ]);
    let story = Story::begin(graph).created("db", 0.1, 0.5).created("web", 0.5, 0.6).ready("db", 3.0);
    assert_eq!(path(&story.ready("web", 9.0)), [("db".into(), 500), ("web".into(), 8500)]);
}

#[test]
fn an_unchanged_component_has_its_turn_when_its_dependencies_open() {
    let graph = graph([
        ComponentBuilder::new("db", "object"),
        ComponentBuilder::new("same", "object").after("db"),
        ComponentBuilder::new("web", "object").depends_on(Dependency::applied("same")),
    ]);
    let same =
        Event::Prepared { component: graph.find("same").unwrap(), prepared: Prepared::new(Change::None) };
    let story = Story::begin(graph).created("db", 0.1, 0.5).at(0.5, same).ready("db", 3.0);
    let story = story.ready("same", 3.5).created("web", 3.0, 3.1).ready("web", 5.0);
    let expected = [("db".into(), 3000), ("same".into(), 0), ("web".into(), 2000)];
    assert_eq!(path(&story), expected);
}

#[test]
fn what_was_created_stays_created_when_a_later_attempt_finds_nothing_to_change() {
    let story = Story::begin(graph([ComponentBuilder::new("web", "object")])).created("web", 0.1, 0.2);
    let component = story.id("web");
    let lost = Box::new(Failure::transient("t", "lost"));
    let (attempt, phase, retry_at) = (Attempt::FIRST, Phase::Wait, Some(moment(2.0)));
    let again = attempt.next();
    let story = story
        .at(1.0, Event::AttemptFailed { component, attempt, phase, failure: lost, retry_at })
        .at(2.0, Event::Prepared { component, prepared: Prepared::new(Change::Update) })
        .at(2.0, Event::Started { component, attempt: again })
        .at(2.1, Event::Applied { component, attempt: again, applied: Applied::new(Change::None) })
        .ready("web", 3.0);
    let summary = Summary::of(&story.board());
    assert_eq!((summary.created, summary.changed, summary.unchanged), (1, 0, 0));
}

#[test]
fn what_somebody_made_before_eve_could_is_changed_and_not_created() {
    let story = Story::begin(graph([ComponentBuilder::new("web", "object")]));
    let (component, attempt) = (story.id("web"), Attempt::FIRST);
    let story = story
        .at(0.1, Event::Prepared { component, prepared: Prepared::new(Change::Create) })
        .at(0.2, Event::Started { component, attempt })
        .at(0.3, Event::Applied { component, attempt, applied: Applied::new(Change::Update) })
        .ready("web", 1.0);
    let summary = Summary::of(&story.board());
    assert_eq!((summary.created, summary.changed, summary.unchanged), (0, 1, 0));
}

#[test]
fn what_was_skipped_is_counted_to_the_failure_that_caused_it() {
    let board = sample_board();
    let summary = Summary::of(&board);
    let web = board.graph.find("web").unwrap();
    let announce = board.graph.find("announce").unwrap();
    assert_eq!(summary.skips.get(&Some(web)), Some(&vec![announce]));
    assert_eq!((summary.created, summary.changed, summary.unchanged), (2, 0, 1));
    assert_eq!((summary.ready, summary.failed, summary.skipped), (2, 1, 1));
}

/// A run whose process died when the write of `web` was announced and may have begun.
fn died_while_announced() -> Story {
    let name = |name: &str| ComponentBuilder::new(name, "object");
    let story = Story::begin(graph([name("db"), name("web").after("db")]));
    let (component, attempt) = (story.id("web"), Attempt::FIRST);
    let prepared = Prepared::new(Change::Create);
    let story = story.at(0.1, Event::Prepared { component, prepared });
    let db = story.id("db");
    let prepared = Prepared::new(Change::Create);
    story
        .at(0.1, Event::Prepared { component: db, prepared })
        .at(0.2, Event::Started { component: db, attempt })
        .at(0.2, Event::Announced { component })
}

#[test]
fn what_was_announced_when_its_process_died_is_left_by_the_run() {
    let died = died_while_announced();
    let both = ["db", "web"].map(str::to_owned).into();
    assert_eq!(died.board().left_by(), both, "nobody goes on with it");
    assert_eq!(died.at(9.0, Event::Resumed).board().left_by(), both);
    let component = died_while_announced().id("web");
    let skipped = Event::Skipped { component, because: SkipReason::Stopping };
    let left = died_while_announced().at(1.0, skipped).board().left_by();
    assert_eq!(left, ["db".to_owned()].into(), "who announced it knows that it has not begun");
}

#[test]
fn what_a_run_may_have_written_is_what_the_engine_says_wherever_its_log_ends() {
    for (graph, records) in all_samples() {
        let Event::RunStarted { run: start } = &records[0].event else { panic!("a log begins with its run") };
        for cut in 1..=records.len() {
            let (log, now) = (&records[..cut], records[cut - 1].at);
            let options = RunOptions::default();
            let mut run = Run::resume(Arc::clone(&graph), options, start.id.clone(), log, now).unwrap();
            let mut board = Board::of(Arc::clone(&graph), log);
            while let Some(record) = run.poll_event() {
                board.record(&record);
            }
            for id in graph.ids() {
                let name = graph.node(id).name();
                assert_eq!(board.row(id).is_touched(), run.view().is_touched(id), "{name} of {cut} records");
            }
        }
    }
}

#[test]
fn what_was_announced_and_is_found_as_wanted_after_a_crash_was_created() {
    let story = died_while_announced().at(9.0, Event::Resumed);
    let (db, component, attempt) = (story.id("db"), story.id("web"), Attempt::FIRST);
    let story = story
        .at(9.0, Event::Interrupted { component: db, attempt })
        .at(9.1, Event::Prepared { component, prepared: Prepared::new(Change::None) })
        .at(9.2, Event::Applied { component: db, attempt, applied: Applied::new(Change::None) })
        .ready("db", 9.3)
        .ready("web", 9.4);
    let summary = Summary::of(&story.board());
    assert_eq!(story.board().left_by(), ["db", "web"].map(str::to_owned).into());
    assert_eq!((summary.created, summary.unchanged), (1, 1));
}

#[test]
fn what_may_have_been_written_before_a_crash_is_not_said_to_be_not_started() {
    let story = died_while_announced().at(9.0, Event::Resumed);
    let component = story.id("web");
    let story = story.at(9.1, Event::Skipped { component, because: SkipReason::Stopping });
    let text = plain(&report::failures(&story.board(), &Summary::of(&story.board())));
    assert!(text.contains("may have been written, and nobody has looked since: web\n"), "{text}");
    assert!(!text.contains("not started"), "{text}");
}

#[test]
fn long_lists_are_cut() {
    let names: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    let graph = graph(names.iter().map(|name| ComponentBuilder::new(name, "object")));
    let mut story = Story::begin(graph);
    for id in story.graph.ids() {
        story = story.at(1.0, Event::Skipped { component: id, because: SkipReason::Stopping });
    }
    let text = report::failures(&story.board(), &Summary::of(&story.board()));
    assert_eq!(plain(&text), "not started: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, and 30 more\n");
}

/// One that is removed, one that was not there, one that stays, one that blocks.
fn removal() -> Story {
    let names = ["page", "api", "settings", "held"];
    let delete = |name| ComponentBuilder::new(name, "object").action(eve_core::plan::Action::Delete);
    let mut story = Story::begin(graph(names.map(delete)));
    for name in ["page", "held"] {
        let (component, attempt) = (story.id(name), Attempt::FIRST);
        let applied = Applied::new(Change::Delete);
        story = story
            .at(0.1, Event::Prepared { component, prepared: Prepared::new(Change::Delete) })
            .at(0.2, Event::Started { component, attempt })
            .at(0.3, Event::Applied { component, attempt, applied });
    }
    for (name, outputs) in
        [("api", Outputs::NONE), ("settings", Outputs::NONE.with(crate::wiring::KEPT, "it was there before"))]
    {
        let component = story.id(name);
        story = story
            .at(0.4, Event::Prepared { component, prepared: Prepared::new(Change::None) })
            .at(0.5, Event::Ready { component, outputs });
    }
    let component = story.id("held");
    let failure = Box::new(Failure::permanent("k8s.delete.deadline", "ConfigMap held is not gone in time"));
    let (attempt, phase) = (Attempt::FIRST, Phase::Wait);
    story
        .ready("page", 1.3)
        .waiting("held", 2.0, "finalizer `example.com/hold`")
        .at(9.0, Event::AttemptFailed { component, attempt, phase, failure, retry_at: None })
        .at(9.0, Event::Finished { outcome: Outcome::Failed })
}

#[test]
fn what_counts_as_ready_without_a_status_is_said_to_have_none() {
    let graph = graph([ComponentBuilder::new("widget", "x"), ComponentBuilder::new("web", "x")]);
    let component = graph.find("widget").unwrap();
    let outputs = Outputs::NONE.with(crate::wiring::NO_STATUS, "applied, no status reported");
    let story = Story::begin(graph)
        .created("widget", 0.0, 0.5)
        .created("web", 0.0, 0.5)
        .at(1.0, Event::Ready { component, outputs })
        .ready("web", 2.0);
    let mut board = Board::new(story.graph.clone());
    let said = |board: &mut Board, record: &Record| {
        board.record(record);
        line(board, record).map(|said| plain(&said.text))
    };
    let lines: Vec<String> = story.records.iter().filter_map(|record| said(&mut board, record)).collect();
    let unseen: Vec<&String> = lines.iter().filter(|line| line.contains("no status")).collect();
    assert_eq!(unseen, ["widget: ready (created; applied, no status reported) after 1.0s"]);
    let figures = plain(&report::figures(&board, &Summary::of(&board)));
    assert!(figures.contains("for no status is reported: widget"), "{figures}");
}

#[test]
fn what_is_removed_is_told_in_its_own_words() {
    let story = removal();
    let mut board = Board::new(story.graph.clone());
    let mut shown = String::new();
    for record in &story.records {
        board.record(record);
        if let Some(said) = line(&board, record) {
            let _ = writeln!(shown, "{}", plain(&said.text));
        }
    }
    let summary = Summary::of(&board);
    let _ = write!(shown, "---\n{}{}", report::failures(&board, &summary), report::figures(&board, &summary));
    insta::assert_snapshot!(plain(&shown));
    assert_eq!((summary.deleted, summary.absent, summary.kept.len(), summary.failed), (1, 1, 1, 1));
    assert_eq!((summary.created, summary.changed, summary.unchanged), (0, 0, 0));
}

#[test]
fn timeline_tells_phases_waits_by_cause_the_critical_path_and_slack() {
    let graph = graph([
        ComponentBuilder::new("db", "x"),
        ComponentBuilder::new("cache", "x"),
        ComponentBuilder::new("web", "x").after("db").after("cache"),
        ComponentBuilder::new("late", "x").after("web"),
    ]);
    let story = Story::begin(graph)
        .created("db", 0.0, 0.5)
        .created("cache", 0.0, 0.1)
        .waiting("db", 1.0, "0 of 1 pods")
        .ready("cache", 2.0)
        .waiting("db", 3.0, "1 of 1 pods, not ready")
        .ready("db", 4.0)
        .created("web", 4.2, 4.5)
        .at(9.5, Event::Resumed)
        .ready("web", 10.0);
    let timeline = Timeline::of(story.graph.clone(), &story.records);
    insta::assert_snapshot!(plain(&timeline.text()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&timeline.json()).unwrap());
}

#[test]
fn time_without_a_process_is_no_time_of_a_phase() {
    let graph = graph([ComponentBuilder::new("db", "x"), ComponentBuilder::new("web", "x").after("db")]);
    let story = Story::begin(graph)
        .created("db", 0.0, 1.0)
        .waiting("db", 1.0, "0 of 1 pods")
        .waiting("db", 3.0, "1 of 1 pods, not ready")
        .at(100.0, Event::Resumed)
        .ready("db", 104.0)
        .at(1000.0, Event::Resumed)
        .created("web", 1001.0, 1002.0);
    let timeline = Timeline::of(story.graph.clone(), &story.records).json();
    let phases = |lane: usize| {
        let phases = timeline["components"][lane]["phases"].as_array().unwrap().iter();
        let phase = |phase: &serde_json::Value| {
            (phase["phase"].as_str().unwrap().to_owned(), phase["seconds"].as_f64().unwrap())
        };
        let mut sums: Vec<(String, f64)> = Vec::new();
        for (word, seconds) in phases.map(phase) {
            match sums.iter_mut().find(|(known, _)| *known == word) {
                Some((_, sum)) => *sum += seconds,
                None => sums.push((word, seconds)),
            }
        }
        sums
    };
    let own = |expected: &[(&str, f64)]| {
        expected.iter().map(|(word, seconds)| ((*word).to_owned(), *seconds)).collect::<Vec<_>>()
    };
    assert_eq!(phases(0), own(&[("applying", 1.0), ("waiting", 6.0)]));
    assert_eq!(phases(1), own(&[("queued", 1.0), ("applying", 1.0), ("waiting", 0.0)]));
}

fn header() -> RunHeader {
    let folder = tempfile::tempdir().unwrap();
    let key = RunFolder::open(folder.path()).unwrap().key().unwrap();
    RunHeader {
        run: RunId::new("run-1"),
        plan: "shop".to_owned(),
        namespace: "shop".to_owned(),
        cluster: "https://one:6443".to_owned(),
        context: None,
        kubeconfigs: Vec::new(),
        verb: "apply".to_owned(),
        sources: Vec::new(),
        arguments: Vec::new(),
        digest: key.hash(["plan"]),
        graph: String::new(),
        started_at: moment(0.0),
        eve_version: "0.1.0".to_owned(),
    }
}

/// One that was made and is put back.
fn going_back() -> Story {
    let story =
        Story::begin(graph([ComponentBuilder::new("db", "x")])).created("db", 0.0, 1.0).ready("db", 4.0);
    let (component, attempt) = (story.id("db"), Attempt::FIRST);
    story.at(60.0, Event::RollingBack).at(61.0, Event::UndoStarted { component, attempt })
}

#[test]
fn time_between_the_way_forward_and_the_way_back_is_no_wait() {
    let story = going_back();
    let (component, report) = (story.id("db"), Box::new(UndoReport::new(Change::Delete)));
    let phases = |story: &Story| {
        let timeline = Timeline::of(story.graph.clone(), &story.records).json();
        let lane = timeline["components"][0].clone();
        let phases: Vec<(String, f64)> = lane["phases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|phase| (phase["phase"].as_str().unwrap().to_owned(), phase["seconds"].as_f64().unwrap()))
            .collect();
        (lane["seconds"].as_f64().unwrap(), phases)
    };
    let own = |undoing: f64| {
        let phases = [("applying", 1.0), ("waiting", 3.0), ("undoing", undoing)];
        (4.0, phases.map(|(word, seconds)| (word.to_owned(), seconds)).to_vec())
    };
    assert_eq!(phases(&story), own(0.0));
    let story = story.at(63.0, Event::Undone { component, report }).at(70.0, Event::Verifying);
    assert_eq!(phases(&story), own(2.0));
}

#[test]
fn a_run_that_rolls_back_says_so_and_how_far_it_is() {
    let progress = Progress { records: 7, last_at: Some(moment(61.0)), outcome: None };
    let run = RunSummary { header: header(), progress, state: RunState::Live(None) };
    let text = plain(&status((&run, None), &going_back().board(), &[], moment(62.0)));
    assert!(text.contains("rolling back for 2.0s: 0 of 1 put back, 1 under way"), "{text}");
    assert!(text.contains("   1.0s  db  being put back"), "{text}");
    assert!(!text.contains("ready"), "{text}");
}

#[test]
fn what_holds_up_an_undo_is_shown_while_it_does() {
    let story = going_back();
    let mut board = story.board();
    board.waits_for(story.id("db"), &Cause::new("test", "finalizer `example.com/hold`"), moment(62.0));
    let shown = |board: &Board| plain(&frame(board, Size { width: 80, height: 24 }, moment(63.0)).join("\n"));
    assert!(shown(&board).contains("undoing       2s  finalizer `example.com/hold`"), "{}", shown(&board));
    let (component, report) = (story.id("db"), Box::new(UndoReport::new(Change::Delete)));
    let undone = Record { seq: Seq::new(9), at: moment(63.0), event: Event::Undone { component, report } };
    board.record(&undone);
    assert!(!shown(&board).contains("finalizer"), "{}", shown(&board));
}

#[test]
fn a_run_that_nobody_can_go_on_with_is_not_called_interrupted_and_its_way_out_is_named() {
    let progress = Progress { records: 4, last_at: Some(moment(1.0)), outcome: None };
    let run = RunSummary { header: header(), progress, state: RunState::Interrupted };
    let later = RunId::new("run-2");
    let text = plain(&status((&run, Some(&later)), &going_back().board(), &[], moment(62.0)));
    for part in ["; superseded", "run run-2 of this plan came after it", "`eve rollback run-1`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("eve resume"), "{text}");
    let over = RunState::Finished(Outcome::Failed);
    let standing = Standing { state: &over, newest_after: Some(&later) };
    assert_eq!((standing.word(), standing.superseded_by()), ("failed", None));
}

#[test]
fn what_is_under_way_is_measured_to_now_while_a_process_drives_the_run() {
    let story = Story::begin(graph([ComponentBuilder::new("db", "x")])).created("db", 0.0, 1.0);
    let header = header();
    let progress = Progress { records: 4, last_at: Some(moment(1.0)), outcome: None };
    for (state, since) in [(RunState::Live(None), "  40.0s  db"), (RunState::Interrupted, "   1.0s  db")] {
        let run = RunSummary { header: header.clone(), progress, state };
        let text = plain(&status((&run, None), &story.board(), &[], moment(40.0)));
        assert!(text.contains(since), "{text}");
    }
}
