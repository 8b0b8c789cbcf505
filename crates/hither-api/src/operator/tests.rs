//! The operator's interface: what is shown to all, what is taken over the socket alone.

use futures_util::StreamExt;

use crate::admin::{
    DoneDto, ExplanationDto, InviteStageDto, InviteStateDto, InvitedDto, JoinDto, ModelDto, PolicyDto, ProblemDto,
    StateDto, ViewDto,
};
use crate::limits::{VIEW_EVERY, VIEW_SILENCE};
use crate::routes::Listener;
use crate::tests::fake::{FakeDoor, example};
use crate::tests::lab::Lab;

fn lab(listener: Listener) -> Lab {
    Lab::behind(FakeDoor::new(|_| unreachable!("nothing here submits")), listener)
}

#[tokio::test]
async fn the_view_reads_back_as_it_was_written() {
    let came = lab(Listener::Tcp).send("GET /hither/v1/view", "").await;
    let view: ViewDto = serde_json::from_slice(&came.bytes).unwrap();
    assert_eq!(view, ViewDto::from(&example()));
    assert_eq!(view.summary, "All 3 sites serving. 1 warning.");
    assert_eq!((view.nodes[0].models[1].fetched, view.nodes[0].models[1].size), (64_000_000, Some(101_000_000)));
    let refused = &view.recent[2];
    let problem = refused.problem.as_ref().unwrap();
    assert_eq!((refused.state, problem.status, problem.rule.as_deref()), (StateDto::Refused, 451, Some("id-bank")));
    assert_eq!(refused.age_us, 10_000_000);
    let models: Vec<ModelDto> =
        serde_json::from_slice(&lab(Listener::Tcp).send("GET /hither/v1/models", "").await.bytes).unwrap();
    assert_eq!(models, view.models);
}

#[tokio::test]
async fn the_summary_counts_sites_not_nodes() {
    use hither_types::view::PresenceView::Gone;
    let mut view = example();
    view.warnings.clear();
    view.nodes[2].presence = Gone(None);
    assert_eq!(crate::explain::summary(&view), "2 of 3 sites serving, jakarta is gone.");
    view.nodes[1].presence = Gone(None);
    assert_eq!(crate::explain::summary(&view), "1 of 3 sites serving, jakarta and munich are gone.");
    view.nodes.truncate(1);
    assert_eq!(crate::explain::summary(&view), "paris is serving alone.");
}

#[tokio::test]
async fn a_request_is_explained_in_sentences() {
    let came = lab(Listener::Tcp).send("GET /hither/v1/requests/01900000-0000-7000-8000-000000000008", "").await;
    let explained: ExplanationDto = serde_json::from_slice(&came.bytes).unwrap();
    let said: Vec<String> =
        explained.steps.iter().map(|step| format!("{} {} {}", step.after_us, step.kind, step.text)).collect();
    assert_eq!(
        said,
        [
            "0 arrived arrived at this node",
            "40 permitted munich: permitted by eea-personal",
            "41 denied jakarta: denied, no rule permits it; eea-personal came closest, but target: ID is not in [\"EEA\"]",
            "60 chosen munich: chosen, answer expected in 380 ms",
            "800 recorded egress of 1832 B is on the record",
            "412000 answered munich: answered",
        ]
    );
    let what_ifs: Vec<&str> =
        explained.steps.iter().flat_map(|step| &step.what_ifs).map(|one| one.text.as_str()).collect();
    assert_eq!(
        what_ifs,
        [
            "if the place stood in [\"EEA\"] (now ID): permitted by eea-personal (for the place and its certificate)",
            "if a rule permitted infer of personal data by app chat at ID: a permit would hold, and id-bank would still forbid it (for \
             the policy)",
        ]
    );
    for (id, status, code) in [("01900000-0000-7000-8000-0000000000ff", 404, "E0407"), ("nonsense", 400, "E0601")] {
        let came = lab(Listener::Tcp).send(&format!("GET /hither/v1/requests/{id}"), "").await;
        assert_eq!((came.status, came.json()["code"].as_str()), (status, Some(code)), "{id}");
    }
}

const COMMANDS: [(&str, &str, &str); 27] = [
    (
        "models",
        r#"{"path":"/m/fraud.onnx","name":"fraud","licence":"MIT"}"#,
        "AddModel(AddModel { path: \"/m/fraud.onnx\", name: \"fraud\", licence: \"MIT\", golden: [], valid_for: None, signed: None })",
    ),
    ("models/smollm2%2D135m/pull", "", "PullModel(\"smollm2-135m\")"),
    (
        "models",
        r#"{"path":"/m/fraud.onnx","name":"fraud","valid_for_s":7200,"signed":{"by":"key sha256:5f","digest":"0505050505050505050505050505050505050505050505050505050505050505"}}"#,
        "AddModel(AddModel { path: \"/m/fraud.onnx\", name: \"fraud\", licence: \"\", golden: [], valid_for: Some(Micros(7200000000)), \
         signed: Some(SignedFile { by: \"key sha256:5f\", digest: Digest(0505050505) }) })",
    ),
    ("models/fraud/publish", r#"{"valid_for_s":60}"#, "Publish { name: \"fraud\", until: For(Micros(60000000)) }"),
    ("models/fraud/publish", "{}", "Publish { name: \"fraud\", until: AsBefore }"),
    ("models/fraud/publish", r#"{"no_end":true}"#, "Publish { name: \"fraud\", until: NoEnd }"),
    ("models/fraud/verify", "", "VerifyModel(\"fraud\")"),
    ("models/fraud/pin", "", "PinModel(\"fraud\")"),
    ("models/smollm2%2D135m/unpin", "", "UnpinModel(\"smollm2-135m\")"),
    ("models/fraud/remove", "{}", "RemoveModel { name: \"fraud\", last: false }"),
    (
        "models/fraud/rollout",
        r#"{"to":"fraud:2"}"#,
        "RollOut(NewRollout { name: \"fraud\", to: \"fraud:2\", share: 1000, sites: [], tolerance: 20 })",
    ),
    (
        "models/fraud/rollout",
        r#"{"to":"fraud:2","share":0.1,"sites":["lyon"],"tolerance":0}"#,
        "RollOut(NewRollout { name: \"fraud\", to: \"fraud:2\", share: 100, sites: [\"lyon\"], tolerance: 0 })",
    ),
    ("models/fraud/rollback", "", "RollBack(\"fraud\")"),
    ("models/smollm2%2D135m/remove", r#"{"last":true}"#, "RemoveModel { name: \"smollm2-135m\", last: true }"),
    (
        "invites",
        r#"{"site":"lyon","jurisdiction":"FR","lifetime_s":600}"#,
        "Invite(Invitation { site: \"lyon\", jurisdiction: FR, operator: None, roles: Roles(15), comparison: Shown, \
         lifetime: Micros(600000000) })",
    ),
    (
        "invites",
        r#"{"site":"lyon","jurisdiction":"FR","lifetime_s":1,"roles":["request"],"operator":"zwei","confirm":true}"#,
        "Invite(Invitation { site: \"lyon\", jurisdiction: FR, operator: Some(\"zwei\"), roles: Roles(2), \
         comparison: Typed, lifetime: Micros(1000000) })",
    ),
    (
        "invites/confirm",
        r#"{"words":"copper walnut piano lagoon"}"#,
        "Confirm { words: \"copper walnut piano lagoon\" }",
    ),
    ("quorum", r#"{"needed":0}"#, "Quorum(Quorum { needed: 0, approvers: [] })"),
    ("proposals/cdcdcd/approve", "", "Approve(\"cdcdcd\")"),
    ("join", r#"{"ticket":"hither1abc"}"#, "Join { ticket: \"hither1abc\" }"),
    ("power", r#"{"cap_w":40.5}"#, "SetCap(Milliwatts(40500))"),
    ("isolate", r#"{"isolated":true}"#, "Isolate(true)"),
    ("isolate", r#"{"isolated":false}"#, "Isolate(false)"),
    ("policy/reload", "", "ReloadPolicy"),
    ("ledger/witness", "", "AskWitnesses"),
    (
        "ledger/export",
        r#"{"jurisdiction":"FR","records":2,"root":"0505050505050505050505050505050505050505050505050505050505050505",
            "rules":["auditors"],"policy":"0505050505050505050505050505050505050505050505050505050505050505"}"#,
        "RecordExport(Export { to: FR, operator: None, records: 2, root: Digest(0505050505), rules: [\"auditors\"], policy: \
         Digest(0505050505) })",
    ),
    (
        "policy",
        r#"{"text":"version = 2","over":"0505050505050505050505050505050505050505050505050505050505050505"}"#,
        "ApplyPolicy(NewPolicy { text: \"version = 2\", over: Digest(0505050505) })",
    ),
];

#[tokio::test]
async fn commands_over_the_socket_are_carried_out() {
    let lab = lab(Listener::Unix);
    for (path, body, command) in COMMANDS {
        let came = lab.send(&format!("POST /hither/v1/{path}"), body).await;
        assert_eq!(came.status, 200, "{path}: {}", came.text());
        assert_eq!(lab.door.commands.lock().unwrap().last().unwrap(), command);
        match path {
            "models" => assert_eq!(serde_json::from_slice::<ModelDto>(&came.bytes).unwrap().name, "fraud"),
            "invites" => {
                let invited: InvitedDto = serde_json::from_slice(&came.bytes).unwrap();
                assert_eq!((invited.ticket.as_str(), invited.invite), ("hither1abc", "ab".repeat(16)));
            }
            "join" => {
                let join: JoinDto = serde_json::from_slice(&came.bytes).unwrap();
                assert_eq!(join.words.as_deref(), Some("copper walnut piano lagoon"));
                assert_eq!(join.member.unwrap().site, "paris");
            }
            "policy" => assert_eq!(serde_json::from_slice::<PolicyDto>(&came.bytes).unwrap().version, 2),
            _ => assert!(!serde_json::from_slice::<DoneDto>(&came.bytes).unwrap().message.is_empty()),
        }
    }
}

#[tokio::test]
async fn the_policy_in_force_is_told_over_the_socket_alone() {
    let came = lab(Listener::Unix).send("GET /hither/v1/policy", "").await;
    let policy: PolicyDto = serde_json::from_slice(&came.bytes).unwrap();
    assert_eq!((policy.text.as_str(), policy.file.as_str()), ("version = 2", "/etc/hither/policy.toml"));
    let came = lab(Listener::Tcp).send("GET /hither/v1/policy", "").await;
    assert_eq!((came.status, came.json()["code"].as_str()), (403, Some("E0114")));
}

#[tokio::test]
async fn what_became_of_an_invite_and_of_a_join_is_told() {
    let lab = lab(Listener::Unix);
    let name = "0102030405060708090a0b0c0d0e0f10";
    let came = lab.send(&format!("GET /hither/v1/invites/{name}"), "").await;
    let state: InviteStateDto = serde_json::from_slice(&came.bytes).unwrap();
    assert_eq!((state.stage, state.words.as_deref()), (InviteStageDto::Joined, Some("copper walnut piano lagoon")));
    let command = "InviteState([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])";
    assert_eq!(lab.door.commands.lock().unwrap().last().unwrap(), command);
    let came = lab.send("GET /hither/v1/join", "").await;
    assert_eq!(serde_json::from_slice::<JoinDto>(&came.bytes).unwrap().member.unwrap().site, "paris");
    for wrong in ["", "01", "zz02030405060708090a0b0c0d0e0f10", "+102030405060708090a0b0c0d0e0f10"] {
        let came = lab.send(&format!("GET /hither/v1/invites/{wrong}x"), "").await;
        assert_eq!(came.status, 400, "{wrong:?}: {}", came.text());
    }
}

#[tokio::test]
async fn a_role_that_nobody_knows_is_named_with_those_that_there_are() {
    let asked = r#"{"site":"lyon","jurisdiction":"FR","lifetime_s":600,"roles":["serve","rule"]}"#;
    let came = lab(Listener::Unix).send("POST /hither/v1/invites", asked).await;
    let error: ProblemDto = serde_json::from_slice(&came.bytes).unwrap();
    assert_eq!(came.status, 400);
    assert!(error.detail.contains("serve, request, relay or publish") && error.detail.contains("rule"), "{error:?}");
}

#[tokio::test]
async fn commands_over_tcp_are_refused_before_they_are_read() {
    let lab = lab(Listener::Tcp);
    for (path, body, _) in COMMANDS {
        let came = lab.send(&format!("POST /hither/v1/{path}"), body).await;
        let error: ProblemDto = serde_json::from_slice(&came.bytes).unwrap();
        assert_eq!((came.status, error.code.as_str(), error.help.is_empty()), (403, "E0114", false), "{path}");
    }
    assert!(lab.door.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused() {
    let lab = lab(Listener::Unix);
    for (path, body, status, code) in [
        ("models", "", 400, "E0601"),
        ("models", r#"{"path":"fraud.onnx","name":"fraud"}"#, 400, "E0605"),
        ("models", r#"{"path":"/fraud.onnx","name":"a b"}"#, 400, "E0605"),
        ("models", r#"{"path":"/fraud.onnx","name":"a","surprise":1}"#, 400, "E0601"),
        ("models/nobody%2Fhas/pull", "", 422, "E0207"),
        ("models/%FF/pull", "", 400, "E0605"),
        ("invites", r#"{"site":"lyon","jurisdiction":"fr","lifetime_s":600}"#, 400, "E0605"),
        ("invites", r#"{"site":"lyon","jurisdiction":"FR","lifetime_s":0}"#, 400, "E0605"),
        ("models/fraud/rollout", r#"{"to":"fraud:2","share":0}"#, 400, "E0605"),
        ("models/fraud/rollout", r#"{"to":"fraud:2","share":1.5}"#, 400, "E0605"),
        ("models/fraud/rollout", r#"{"to":"a b"}"#, 400, "E0605"),
        ("models/fraud/rollout", r#"{"to":"fraud:2","sites":["a b"]}"#, 400, "E0605"),
        ("models/fraud/rollout", "{}", 400, "E0601"),
        ("policy", r#"{"text":"version = 2"}"#, 400, "E0601"),
        ("policy", r#"{"text":"version = 2","over":"x"}"#, 400, "E0605"),
        ("power", r#"{"cap_w":-1}"#, 400, "E0605"),
        ("power", r#"{"cap_w":"40"}"#, 400, "E0601"),
    ] {
        let came = lab.send(&format!("POST /hither/v1/{path}"), body).await;
        assert_eq!((came.status, came.json()["code"].as_str()), (status, Some(code)), "{path} {body}: {}", came.text());
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_at_once_then_on_change_and_not_too_often() {
    let lab = lab(Listener::Tcp);
    let response = lab.open("GET /hither/v1/events", "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body().into_data_stream();
    let begun = tokio::time::Instant::now();
    let first = events.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: {\"summary\":\"All 3 sites serving. 1 warning.\"") && first.ends_with(b"\n\n"));
    assert_eq!(begun.elapsed(), std::time::Duration::ZERO);
    for warnings in 2..10 {
        let mut view = example();
        view.warnings = vec![String::new(); warnings];
        lab.door.show(view);
    }
    let second = events.next().await.unwrap().unwrap();
    assert!(second.starts_with(b"data: {\"summary\":\"All 3 sites serving. 9 warnings.\""));
    assert!((VIEW_EVERY..VIEW_EVERY * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let second_at = begun.elapsed();
    assert_eq!(events.next().await.unwrap().unwrap(), second, "a silence is broken by the same picture");
    assert!(begun.elapsed() - second_at >= VIEW_SILENCE);
    lab.stop.send(true).unwrap();
    assert!(events.next().await.is_none(), "a stopping node ends its streams");
}
