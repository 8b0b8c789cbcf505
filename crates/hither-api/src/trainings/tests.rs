//! Lines that are examples, and hand-overs as clients of OpenAI ask for them. What the law says of them is tested in the core,
//! what becomes of them in the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hither_engine::work::{Piece, Work};
use hither_types::id::{AppName, SiteName};
use hither_types::label::DataClass;
use hither_types::refusal::Refusal;
use hither_types::request::RequestKind;
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::examples::example;
use super::{Begun, Left, NewTraining, Stage, Training, TrainingError, TrainingId, TrainingStore};
use crate::batches::{
    Batch, BatchId, BatchStore, FileHead, FileId, FilePurpose, KeptError, Line, NewBatch, NewFile, Progress, Upload,
};
use crate::door::{Answer, Reply, Submission};
use crate::endpoint::TrainingThere;
use crate::jobs::{Accepted, End, Head, Job, JobError, JobId, JobStore, NewJob, Next, Pause, Tried, Whose};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, done, routed, unlawful};
use crate::tests::lab::{Came, Lab};

const GOOD: &str = r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"canary"}]}"#;

#[test]
fn a_line_is_an_example_or_refused_by_what_is_wrong_with_it() {
    let call = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}],"weight":0},{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[]}"#;
    for good in [GOOD, call, &format!("  {GOOD}\r\n")] {
        assert_eq!(example(good.as_bytes()), Ok(good.trim().to_owned()));
    }
    let other = |from: &str, to: &str| GOOD.replace(from, to);
    for (line, what) in [
        ("canary".to_owned(), "no JSON"),
        ("[1]".to_owned(), "no object"),
        (r#"{"prompt":"canary","completion":"x"}"#.to_owned(), "a field that is not known"),
        (r#"{"messages":"canary"}"#.to_owned(), "no list of messages"),
        (r#"{"messages":[]}"#.to_owned(), "nothing to learn"),
        (other("assistant", "user"), "nothing to learn"),
        (other("\"user\"", "\"canary\""), "message 1: its role"),
        (other("\"hi\"", "7"), "message 1: its content is no text"),
        (other("\"hi\"", "null"), "message 1: its content is no text"),
        (other("\"hi\"", r#"[{"type":"image_url","image_url":{"url":"canary"}}]"#), "a part that is no text"),
        (other("\"role\":\"user\"", "\"role\":\"user\",\"canary\":1"), "message 1: it has a field"),
        (other("\"role\":\"user\"", "\"role\":\"user\",\"weight\":2"), "neither 0 nor 1"),
        ("[".repeat(500), "nests deeper"),
    ] {
        let said = example(line.as_bytes()).expect_err(&line);
        assert!(said.contains(what), "{line}: {said}");
        assert!(!said.contains("canary"), "the words of the app are not repeated: {said}");
    }
    assert!(example(&[0xff, 0xfe]).is_err());
}

#[test]
fn ids_are_read_as_they_are_written_and_not_otherwise() {
    let id = TrainingId(7 << 100);
    assert_eq!(TrainingId::parse(&id.to_string()), Some(id));
    for wrong in
        ["", "ftjob-", "ftjob-1", "ftjob-0000000000000000000000000000000G", "file-00000000000000000000000000000007"]
    {
        assert_eq!(TrainingId::parse(wrong), None, "{wrong}");
    }
}

/// Files, and a record of what is handed over.
#[derive(Default)]
struct Kept {
    files: BTreeMap<FileId, (FileHead, String)>,
    trainings: Mutex<BTreeMap<TrainingId, Training>>,
}

impl Kept {
    fn stage(&self, id: u128, stage: Stage) {
        self.trainings.lock().unwrap().get_mut(&TrainingId(id)).unwrap().stage = stage;
    }

    fn all(&self) -> Vec<Training> {
        self.trainings.lock().unwrap().values().cloned().collect()
    }
}

impl TrainingStore for Kept {
    fn begin(&self, new: NewTraining) -> Result<Begun, TrainingError> {
        let mut trainings = self.trainings.lock().unwrap();
        let same = trainings.values().find(|known| known.new.fingerprint == new.fingerprint && known.is_there());
        if let Some(known) = same.cloned().map(Box::new) {
            return match known.stage {
                Stage::Handed { .. } => Ok(Begun::Known(known)),
                _ => Err(TrainingError::There(known)),
            };
        }
        let id = TrainingId(trainings.len() as u128 + 1);
        let created = WallTime(1_800_000_000_000);
        let training = Training { id, new, created, stage: Stage::New, is_open: true, left: None, trouble: None };
        trainings.insert(id, training);
        Ok(Begun::New(id))
    }

    fn list(&self, app: &AppName, _: Option<TrainingId>, most: usize) -> Vec<Training> {
        self.all().into_iter().rev().filter(|known| known.new.app == *app).take(most).collect()
    }

    fn show(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError> {
        let found = self.all().into_iter().find(|known| known.id == id && known.new.app == *app);
        found.ok_or(TrainingError::Unknown(id))
    }

    fn answered(&self, id: TrainingId, left: Left) -> Result<(), TrainingError> {
        self.trainings.lock().unwrap().get_mut(&id).unwrap().left = Some(left);
        Ok(())
    }

    fn let_go(&self, id: TrainingId, trouble: &str) {
        let mut trainings = self.trainings.lock().unwrap();
        let known = trainings.get_mut(&id).unwrap();
        known.is_open = false;
        match known.stage {
            Stage::New => drop(trainings.remove(&id)),
            Stage::Handed { .. } => {}
            _ => known.trouble = Some(trouble.to_owned()),
        }
    }

    fn ask(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>> {
        Box::pin(async move { TrainingStore::show(&*self, &app, id) })
    }

    fn cancel(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>> {
        Box::pin(async move {
            let site = SiteName::parse("cloud").unwrap();
            TrainingStore::show(&*self, &app, id)?;
            self.stage(id.0, Stage::Withdrawn { site });
            TrainingStore::show(&*self, &app, id)
        })
    }
}

/// What a training does not ask of a store.
const UNASKED: &str = "nothing here is asked of jobs";

impl JobStore for Kept {
    fn submit(&self, _: NewJob) -> Result<Accepted, JobError> {
        unreachable!("{UNASKED}")
    }
    fn list(&self, _: &Whose, _: Option<JobId>, _: usize) -> Vec<Head> {
        unreachable!("{UNASKED}")
    }
    fn show(&self, _: &Whose, _: JobId) -> Result<Job, JobError> {
        unreachable!("{UNASKED}")
    }
    fn cancel(&self, _: &Whose, _: JobId) -> Result<Head, JobError> {
        unreachable!("{UNASKED}")
    }
    fn remove(&self, _: &Whose, _: JobId) -> Result<(), JobError> {
        unreachable!("{UNASKED}")
    }
    fn lease(&self) -> Next {
        Next::Wait(Duration::MAX)
    }
    fn settle(&self, _: JobId, _: u32, _: End) -> Result<(), JobError> {
        unreachable!("{UNASKED}")
    }
    fn release(&self, _: JobId, _: u32, _: Tried, _: Pause) {
        unreachable!("{UNASKED}")
    }
    fn holds(&self, _: JobId, _: u32) -> bool {
        unreachable!("{UNASKED}")
    }
    fn wake(&self) {}
    fn changed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

impl BatchStore for Kept {
    fn create(self: Arc<Self>, _: NewFile) -> Result<Box<dyn Upload>, KeptError> {
        unreachable!("{UNASKED}")
    }
    fn files(&self, _: &AppName, _: Option<FileId>, _: usize) -> Vec<FileHead> {
        unreachable!("{UNASKED}")
    }
    fn file(&self, app: &AppName, id: FileId) -> Result<FileHead, KeptError> {
        let found = self.files.get(&id).filter(|(head, _)| head.app == *app);
        found.map(|(head, _)| head.clone()).ok_or(KeptError::UnknownFile(id))
    }
    fn part(&self, id: FileId, number: u32) -> Result<Bytes, KeptError> {
        assert_eq!(number, 0);
        Ok(Bytes::from(self.files[&id].1.clone()))
    }
    fn delete(&self, _: &AppName, _: FileId) -> Result<(), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn begin(&self, _: NewBatch) -> Result<Batch, KeptError> {
        unreachable!("{UNASKED}")
    }
    fn batches(&self, _: &AppName, _: Option<BatchId>, _: usize) -> Vec<Batch> {
        unreachable!("{UNASKED}")
    }
    fn batch(&self, _: &AppName, _: BatchId) -> Result<Batch, KeptError> {
        unreachable!("{UNASKED}")
    }
    fn take_back(&self, _: &AppName, _: BatchId) -> Result<Batch, KeptError> {
        unreachable!("{UNASKED}")
    }
    fn open(&self) -> Vec<BatchId> {
        Vec::new()
    }
    fn lines(&self, _: BatchId) -> Result<(Batch, Vec<Line>), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn hand_in(&self, _: BatchId, _: u32, _: NewJob) -> Result<(), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn append(&self, _: BatchId, _: FileId, _: u32, _: &[u8]) -> Result<(), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn advance(&self, _: BatchId, _: &dyn Fn(&mut Progress)) -> Result<(), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn forget(&self, _: BatchId) -> Result<(), KeptError> {
        unreachable!("{UNASKED}")
    }
    fn clock(&self) -> WallTime {
        WallTime(1_800_000_000_000)
    }
}

/// A file of the anonymous app.
const FILE: FileId = FileId(0xf11e);

fn there(id: &str, status: &str) -> Stage {
    let there = TrainingThere {
        id: id.to_owned(),
        status: status.to_owned(),
        made: None,
        tokens: None,
        finished: None,
        error: None,
    };
    Stage::Handed { site: SiteName::parse("cloud").unwrap(), file: "file-abc".to_owned(), there }
}

/// A node with a file of two examples, and a server that does with a hand-over what is said.
fn lab(
    content: &str,
    becomes: impl Fn(&Kept, u128) -> Result<Vec<Answer>, Refusal> + Send + Sync + 'static,
) -> (Lab, Arc<Kept>) {
    let head = FileHead {
        id: FILE,
        app: AppName::parse("anonymous").unwrap(),
        class: DataClass::Personal,
        name: "chats.jsonl".to_owned(),
        purpose: FilePurpose::FineTune,
        bytes: content.len() as u64,
        parts: 1,
        created: WallTime(0),
        expires: WallTime(u64::MAX),
    };
    let files = [(FILE, (head, content.to_owned()))].into();
    let kept = Arc::new(Kept { files, trainings: Mutex::default() });
    let book = Arc::clone(&kept);
    let mut door = FakeDoor::new(move |submission: &Submission| {
        let Ok(Work::Train(work)) = Work::decode(&submission.payload) else { panic!("no training") };
        becomes(&book, work.training)
    });
    door.batches = Some(Arc::clone(&kept) as _);
    door.trainings = Some(Arc::clone(&kept) as _);
    (Lab::behind(door, Listener::Tcp), kept)
}

fn taken(kept: &Kept, id: u128) -> Result<Vec<Answer>, Refusal> {
    kept.stage(id, there("ftjob-there", "queued"));
    Ok(vec![routed(), Answer::Piece(Piece::Outputs(Vec::new())), done()])
}

async fn create(lab: &Lab, headers: &str, more: Value) -> Came {
    let mut body = json!({ "model": "assistant", "training_file": FILE.to_string() });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.send(&format!("POST /v1/fine_tuning/jobs\nx-hither-class: personal\n{headers}"), body.to_string()).await
}

#[tokio::test]
async fn a_file_is_handed_over_as_one_request_with_its_label_and_told_in_openais_form() {
    let (lab, kept) = lab(&format!("{GOOD}\n\n{GOOD}\n"), taken);
    let said = json!({ "suffix": "mine", "seed": 3, "method": { "type": "supervised" } });
    let came = create(&lab, "x-hither-prefer: cloud\nx-hither-purpose: care", said).await;
    let training = came.json();
    assert_eq!(came.status, 200, "{training}");
    assert_eq!(came.header("x-hither-served-by"), "munich");
    let id = TrainingId(1).to_string();
    assert_eq!(
        (training["object"].as_str(), training["id"].as_str(), training["status"].as_str(), training["model"].as_str()),
        (Some("fine_tuning.job"), Some(id.as_str()), Some("queued"), Some("assistant"))
    );
    assert_eq!(training["training_file"], FILE.to_string());
    let place = &training["hither"];
    assert_eq!(
        (place["endpoint"].as_str(), place["training"].as_str(), place["file"].as_str(), place["rule"].as_str()),
        (Some("cloud"), Some("ftjob-there"), Some("file-abc"), Some("eea-personal"))
    );
    let submissions = lab.door.submissions.lock().unwrap();
    let [submission] = &submissions[..] else { panic!("it is one request") };
    let envelope = &submission.envelope;
    assert_eq!((envelope.kind, envelope.model.as_str()), (RequestKind::Train, "assistant"));
    assert_eq!((envelope.label.class, submission.patience), (DataClass::Personal, Micros(3_600_000_000)));
    assert_eq!(envelope.label.purpose.as_ref().map(|purpose| purpose.as_str()), Some("care"));
    assert_eq!(envelope.prefer.as_ref().map(SiteName::as_str), Some("cloud"));
    let Ok(Work::Train(work)) = Work::decode(&submission.payload) else { panic!("no training") };
    assert_eq!(work.examples, [GOOD, GOOD]);
    let options: Value = serde_json::from_str(&work.options).unwrap();
    assert_eq!(options, json!({ "suffix": "mine", "seed": 3, "method": { "type": "supervised" } }));
    assert!(!kept.all()[0].is_open, "nobody is at it any more");
}

#[tokio::test]
async fn the_same_again_is_met_and_what_may_lie_there_is_not_sent_twice() {
    let (lab, kept) = lab(GOOD, taken);
    assert_eq!(create(&lab, "", json!({})).await.json()["hither"]["met"], false);
    let again = create(&lab, "", json!({})).await.json();
    assert_eq!(
        (again["hither"]["met"].as_bool(), again["hither"]["training"].as_str()),
        (Some(true), Some("ftjob-there"))
    );
    assert_eq!(lab.door.submissions.lock().unwrap().len(), 1, "nothing was sent again");
    let site = || SiteName::parse("cloud").unwrap();
    for stage in [Stage::Leaving { site: site() }, Stage::Lying { site: site(), file: "file-abc".to_owned() }] {
        kept.stage(1, stage);
        let refused = create(&lab, "", json!({})).await;
        let error = refused.json()["error"].clone();
        assert_eq!((refused.status, error["hither_code"].as_str()), (409, Some("E0461")), "{error}");
        assert!(error["message"].as_str().unwrap().contains("cloud"), "{error}");
        assert!(error["help"].to_string().contains("hither jobs cancel ftjob-"), "{error}");
    }
    // Other words, another hand-over; and one that was taken back or has ended may be handed over again.
    assert_eq!(create(&lab, "", json!({ "suffix": "b" })).await.status, 200);
    let id = TrainingId(1);
    assert_eq!(lab.send(&format!("POST /v1/fine_tuning/jobs/{id}/cancel"), "").await.json()["status"], "cancelled");
    assert_eq!(create(&lab, "", json!({})).await.json()["id"], TrainingId(3).to_string());
    kept.stage(3, there("ftjob-there", "succeeded"));
    assert_eq!(create(&lab, "", json!({})).await.json()["id"], TrainingId(4).to_string());
    let listed = lab.send("GET /v1/fine_tuning/jobs?limit=2", "").await.json();
    assert_eq!((listed["data"].as_array().unwrap().len(), listed["has_more"].as_bool()), (2, Some(true)), "{listed}");
}

#[tokio::test]
async fn a_no_of_the_law_is_told_as_one_and_nothing_is_kept() {
    let (lab, kept) = lab(GOOD, |_, _| Ok(vec![Answer::Refused(unlawful())]));
    let refused = create(&lab, "", json!({})).await;
    let error = refused.json()["error"].clone();
    assert_eq!((refused.status, error["hither_code"].as_str()), (451, Some("E0301")), "{error}");
    let help = error["help"].to_string();
    assert!(help.contains("enqueue") && help.contains("hither explain") && !help.contains("models pull"), "{help}");
    assert!(kept.all().is_empty(), "what never left is not kept");
}

#[tokio::test]
async fn a_failure_says_what_lies_where() {
    let (lab, kept) = lab(GOOD, |kept, id| {
        let site = SiteName::parse("cloud").unwrap();
        kept.stage(id, Stage::Lying { site, file: "file-abc".to_owned() });
        Ok(vec![Answer::Failed(hither_types::refusal::Failure::Silent)])
    });
    let failed = create(&lab, "", json!({})).await;
    let error = failed.json()["error"].clone();
    assert_eq!(failed.status, 503, "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("it lies at endpoint cloud as file file-abc"), "{message}");
    assert!(error["help"].to_string().contains("hither jobs cancel ftjob-"), "{error}");
    assert_eq!(kept.all()[0].status(), "failed");
}

#[tokio::test]
async fn what_may_not_rest_or_is_wrong_is_refused_before_anything_is_asked() {
    let nobody = |_: &Kept, _: u128| -> Result<Vec<Answer>, Refusal> { panic!("nothing is handed in") };
    let (ours, kept) = lab(&format!("{GOOD}\n{{\"messages\":[]}}\n"), nobody);
    let post = |headers: &str, body: Value| {
        let (head, body) = (format!("POST /v1/fine_tuning/jobs\n{headers}"), body.to_string());
        let ours = &ours;
        async move { ours.send(&head, body).await }
    };
    let good = || json!({ "model": "assistant", "training_file": FILE.to_string() });
    let with = |name: &str, value: Value| {
        let mut body = good();
        body[name] = value;
        body
    };
    for (headers, body, status, code, word) in [
        // The file was sent as personal.
        ("x-hither-class: internal", good(), 400, "E0303", "only be tightened"),
        ("x-hither-class: personal", good(), 400, "E0601", "line 2: no message is the assistant's"),
        ("x-hither-class: personal", with("training_file", json!("file-1")), 404, "E0426", "no file"),
        ("x-hither-class: personal", with("model", json!("")), 404, "E0401", "no model can have this name"),
        ("x-hither-class: personal", with("validation_file", json!("file-1")), 400, "E0604", "nothing beside it"),
        ("x-hither-class: personal", with("method", json!({ "type": "dpo" })), 400, "E0604", "supervised"),
        ("x-hither-class: personal", with("surprise", json!(1)), 400, "E0604", "surprise"),
        ("x-hither-class: personal", with("suffix", json!("x".repeat(65))), 400, "E0605", "suffix"),
        ("x-hither-class: personal", with("seed", json!("a")), 400, "E0601", "seed"),
    ] {
        let came = post(headers, body).await;
        let error = came.json()["error"].clone();
        assert_eq!((came.status, error["hither_code"].as_str()), (status, Some(code)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{word}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert!(kept.all().is_empty());
    let (empty, _) = lab("\n \n", nobody);
    assert!(create(&empty, "", json!({})).await.text().contains("no example"));
    let off = Lab::new(|_| unreachable!("nothing here submits"));
    for head in ["GET /v1/fine_tuning/jobs", "POST /v1/fine_tuning/jobs"] {
        assert_eq!(off.send(head, "{}").await.status, 501, "{head}");
    }
    let unknown = ours.send(&format!("GET /v1/fine_tuning/jobs/{}", TrainingId(9)), "").await;
    assert_eq!((unknown.status, unknown.json()["error"]["hither_code"].as_str()), (404, Some("E0460")));
}
