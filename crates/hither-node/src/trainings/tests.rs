//! The record of what is handed over: what is on it before a byte leaves, what a start makes of it, and what is the same.

use hither_api::batches::FileId;
use hither_api::endpoint::TrainingThere;
use hither_api::trainings::{Begun, Left, NewTraining, Stage, Training, TrainingError, TrainingId};
use hither_types::id::{AppName, ModelName, RuleId, SiteName};
use hither_types::label::DataClass;
use hither_types::unit::ByteCount;

use super::{Book, TRAININGS_MAX, form};

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn cloud() -> SiteName {
    SiteName::parse("cloud").unwrap()
}

fn new(fingerprint: u8) -> NewTraining {
    NewTraining {
        app: app("till"),
        class: DataClass::Personal,
        model: ModelName::parse("assistant").unwrap(),
        file: FileId(7),
        examples: 12,
        suffix: Some("mine".to_owned()),
        fingerprint: [fingerprint; 32],
    }
}

fn there(status: &str) -> TrainingThere {
    TrainingThere {
        id: "ftjob-abc".to_owned(),
        status: status.to_owned(),
        made: Some("ft:big-1".to_owned()),
        tokens: Some(9),
        finished: None,
        error: None,
    }
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Book {
        let (book, trouble) = Book::open(self.0.path().join("trainings.json"));
        assert_eq!(trouble, None);
        book
    }
}

fn begun(book: &Book, fingerprint: u8) -> TrainingId {
    match book.begin(new(fingerprint)).unwrap() {
        Begun::New(id) => id,
        Begun::Known(known) => panic!("{known:?} is there"),
    }
}

fn of(book: &Book, id: TrainingId) -> Training {
    book.of(&app("till"), id).unwrap()
}

#[test]
fn what_is_on_its_way_is_on_the_disk_before_and_a_start_does_not_take_it_for_nothing() {
    let desk = Desk::new();
    let book = desk.open();
    let (leaving, lying, handed, never) = (begun(&book, 1), begun(&book, 2), begun(&book, 3), begun(&book, 4));
    for id in [leaving, lying, handed] {
        assert!(book.leaving(id, &cloud()).unwrap());
        // Another start, at this very moment.
        assert!(matches!(of(&desk.open(), id).stage, Stage::Leaving { .. }));
    }
    book.lies(lying, &cloud(), "file-abc").unwrap();
    book.lies(handed, &cloud(), "file-def").unwrap();
    book.handed(handed, there("queued")).unwrap();
    let rule = RuleId::parse("both").unwrap();
    book.change(handed, |training| training.left = Some(Left { rule, bytes: ByteCount(99) })).unwrap();
    let again = desk.open();
    for (id, word) in [(leaving, "is not known"), (lying, "file-abc")] {
        let found = of(&again, id);
        assert_eq!((found.status(), found.is_there()), ("failed", true));
        assert!(found.trouble.as_deref().is_some_and(|trouble| trouble.contains("the node ended")), "{found:?}");
        assert!(found.whereabouts().unwrap().contains(word), "{found:?}");
    }
    let found = of(&again, handed);
    let known = Training { is_open: false, ..of(&book, handed) };
    assert_eq!((found.status(), &found), ("queued", &known), "nothing of it is lost");
    assert!(matches!(again.of(&app("till"), never), Err(TrainingError::Unknown(_))), "it never left");
}

#[test]
fn the_same_is_met_or_refused_until_it_ended_or_was_given_up_and_apps_do_not_meet() {
    let desk = Desk::new();
    let book = desk.open();
    let first = begun(&book, 1);
    assert!(matches!(book.begin(new(1)), Err(TrainingError::There(_))), "it is under way");
    assert!(matches!(book.begin(NewTraining { app: app("other"), ..new(1) }), Ok(Begun::New(_))));
    assert!(matches!(book.of(&app("other"), first), Err(TrainingError::Unknown(_))));
    book.let_go(first, "the client left");
    assert!(matches!(book.of(&app("till"), first), Err(TrainingError::Unknown(_))), "it never left");
    let second = begun(&book, 1);
    assert!(book.leaving(second, &cloud()).unwrap());
    book.let_go(second, "the client left");
    assert!(matches!(book.begin(new(1)), Err(TrainingError::There(known)) if known.id == second));
    book.withdrawn(second, None).unwrap();
    let third = begun(&book, 1);
    assert!(book.leaving(third, &cloud()).unwrap());
    book.lies(third, &cloud(), "file-abc").unwrap();
    book.handed(third, there("running")).unwrap();
    book.let_go(third, "it was not handed over");
    assert_eq!(of(&book, third).trouble, None);
    assert!(matches!(book.begin(new(1)), Ok(Begun::Known(known)) if known.id == third));
    book.handed(third, there("succeeded")).unwrap();
    assert_ne!(begun(&book, 1), third, "it has ended: whoever wants another has another");
}

#[test]
fn what_nobody_hands_over_any_more_does_not_leave() {
    let desk = Desk::new();
    let book = desk.open();
    let gone = begun(&book, 1);
    book.let_go(gone, "the client left");
    assert!(!book.leaving(gone, &cloud()).unwrap());
    let twice = begun(&book, 2);
    assert!(book.leaving(twice, &cloud()).unwrap());
    assert!(!book.leaving(twice, &cloud()).unwrap(), "it leaves once");
    book.stays(twice).unwrap();
    assert_eq!(of(&book, twice).stage, Stage::New);
    // A disk that takes nothing: then nothing leaves, and nothing is known to have.
    let stuck = begun(&book, 3);
    drop(desk);
    assert!(book.leaving(stuck, &cloud()).is_err());
    assert_eq!(of(&book, stuck).stage, Stage::New);
}

#[test]
fn a_damaged_record_is_put_aside_and_told_and_a_full_one_forgets_what_has_ended() {
    let desk = Desk::new();
    let path = desk.0.path().join("trainings.json");
    for damaged in ["nonsense", "[{}]"] {
        std::fs::write(&path, damaged).unwrap();
        let (_, trouble) = Book::open(path.clone());
        assert!(trouble.is_some_and(|text| text.contains("trainings.damaged")), "{damaged}");
        assert_eq!(std::fs::read_to_string(path.with_extension("damaged")).unwrap(), damaged);
    }
    let book = desk.open();
    let first = begun(&book, 1);
    book.known().values_mut().for_each(|training| training.stage = Stage::Leaving { site: cloud() });
    let model = of(&book, first);
    for number in 1..TRAININGS_MAX as u128 {
        let id = TrainingId(first.0 + number);
        book.known().insert(id, Training { id, ..model.clone() });
    }
    assert!(matches!(book.begin(new(2)), Err(TrainingError::Full(TRAININGS_MAX))));
    book.known().get_mut(&first).unwrap().stage = Stage::Withdrawn { site: cloud() };
    book.known().get_mut(&first).unwrap().is_open = false;
    assert!(matches!(book.begin(new(2)), Ok(Begun::New(_))));
    assert!(matches!(book.of(&app("till"), first), Err(TrainingError::Unknown(_))), "the oldest that has ended");
}

#[test]
fn no_words_of_the_app_but_its_suffix_are_in_the_file() {
    let desk = Desk::new();
    let book = desk.open();
    let id = begun(&book, 1);
    assert!(book.leaving(id, &cloud()).unwrap());
    let text = String::from_utf8(form::write(book.known().values())).unwrap();
    let fields: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = fields[0].keys().map(String::as_str).collect();
    let mut expected =
        vec!["app", "class", "created", "examples", "file", "fingerprint", "id", "model", "stage", "suffix"];
    expected.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, expected);
}
