//! The operator's interface.

use serde_json::json;

use super::codes::BODY;
use super::operation::{Operation, Place};
use super::parts::{said, text};
use crate::admin::{
    AddAppDto, AddModelDto, AppDto, AppKeyDto, AuthorityDto, ChangeDto, DoneDto, ExplanationDto, ExportDto, InviteDto,
    InviteStateDto, InvitedDto, IsolateDto, IssuerDto, JoinDto, MemberDto, ModelDto, NewPolicyDto, NewPublicationDto,
    NewRolloutDto, PingDto, PoliciesDto, PolicyDto, PolicyTextDto, PongDto, PowerDto, PublishDto, QuorumDto,
    RemoveModelDto, TicketDto, ViewDto, WordsDto,
};
use crate::errors::Code;
use crate::respond::Form;

const OPERATOR: Place = Place("Operator", Form::Own);

pub(super) fn all() -> Vec<Operation> {
    let events = said(
        text(),
        "Server-sent events, each with a View as its data: at once, with each change, and after a silence.",
    );
    let seen = vec![
        OPERATOR.get("/hither/v1/view", "view", "What the node sees.").gives::<ViewDto>("The whole picture."),
        OPERATOR.get("/hither/v1/events", "events", "What the node sees, as it changes.").gives_as(
            200,
            "The picture, again and again.",
            "text/event-stream",
            events,
        ),
        OPERATOR
            .get("/hither/v1/requests/{id}", "explain", "Why a request went where it went.")
            .with(&["id"])
            .gives::<ExplanationDto>("What happened, in order.")
            .errors(&[Code::Malformed, Code::NotRemembered]),
        OPERATOR.get("/hither/v1/models", "catalog", "The catalog.").gives::<Vec<ModelDto>>("The models."),
    ];
    [seen, models(), mesh(), apps()].concat()
}

fn command(method: &'static str, path: &str, id: &str, summary: &'static str) -> Operation {
    let operation = match method {
        "delete" => OPERATOR.delete(path, id, summary),
        _ => OPERATOR.post(path, id, summary),
    };
    operation.about("A command: over the Unix socket alone.").errors(&[Code::SocketOnly, Code::NotAllowed]).commands()
}

fn models() -> Vec<Operation> {
    let add = json!({ "path": "/srv/models/fraud.onnx", "name": "fraud", "licence": "Apache-2.0" });
    vec![
        command("post", "/hither/v1/models", "addModel", "Takes a model file into the store, and publishes it.")
            .takes::<AddModelDto>(add)
            .gives::<ModelDto>("The model.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/models/{model}/publish",
            "publishModel",
            "Signs a model's entry in the catalog anew, as this node, with the same end or another.",
        )
        .takes::<PublishDto>(json!({ "valid_for_s": 7_776_000 }))
        .with(&["model"])
        .gives::<DoneDto>("All members hear of it.")
        .errors(BODY)
        .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/models/{model}/pull", "pullModel", "Fetches a model, or tries it again at once.")
            .with(&["model"])
            .gives::<DoneDto>("It has begun.")
            .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/models/{model}/remove",
            "removeModel",
            "Takes a model's file off this node's disk; the catalog keeps its entry.",
        )
        .takes::<RemoveModelDto>(json!({ "last": false }))
        .with(&["model"])
        .gives::<DoneDto>("Its file is gone from this disk.")
        .errors(BODY)
        .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/models/{model}/rollout",
            "rollOut",
            "Lets a new version of a model take over, by a share of the requests or by site.",
        )
        .takes::<NewRolloutDto>(json!({ "to": "fraud:2", "share": 0.1 }))
        .with(&["model"])
        .gives::<DoneDto>("All members hear of it.")
        .errors(BODY)
        .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/models/{model}/rollback", "rollBack", "Goes back to the version before.")
            .with(&["model"])
            .gives::<DoneDto>("All members hear of it.")
            .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/models/{model}/pin",
            "pinModel",
            "Keeps a model on this node, whatever else needs its room.",
        )
        .with(&["model"])
        .gives::<DoneDto>("It is pinned.")
        .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/models/{model}/unpin", "unpinModel", "Lets a model leave that was pinned.")
            .with(&["model"])
            .gives::<DoneDto>("It is not pinned any longer.")
            .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/models/{model}/verify",
            "verifyModel",
            "Asks a model what is known of its answers.",
        )
        .with(&["model"])
        .gives::<DoneDto>("It answers as it should.")
        .errors(&[Code::OutOfRange]),
    ]
}

fn mesh() -> Vec<Operation> {
    vec![
        command("post", "/hither/v1/invites", "invite", "Makes an invite for one new member.")
            .takes::<InviteDto>(json!({ "site": "lyon", "jurisdiction": "FR", "lifetime_s": 3600 }))
            .gives::<InvitedDto>("The ticket.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        OPERATOR
            .get("/hither/v1/invites/{invite}", "inviteState", "What has become of an invite.")
            .about("Over the Unix socket alone.")
            .with(&["invite"])
            .gives::<InviteStateDto>("How far it is, and the words to compare.")
            .errors(&[Code::SocketOnly, Code::OutOfRange]),
        command("post", "/hither/v1/invites/confirm", "confirmInvite", "Lets in the node that shows these words.")
            .takes::<WordsDto>(json!({ "words": "copper walnut piano lagoon" }))
            .gives::<DoneDto>("It is let in.")
            .errors(BODY),
        command("post", "/hither/v1/join", "join", "Joins a mesh.")
            .takes::<TicketDto>(json!({ "ticket": "hither1…" }))
            .gives::<JoinDto>("This node is a member, or waits until a person has typed its words.")
            .errors(BODY),
        OPERATOR
            .get("/hither/v1/join", "joinState", "How far the last join of this node is.")
            .about("Over the Unix socket alone. A join that failed gives what its POST would have given.")
            .gives::<JoinDto>("Its words, and what this node is now.")
            .errors(&[Code::SocketOnly]),
        command("post", "/hither/v1/leave", "leave", "Leaves the mesh for good.")
            .gives::<MemberDto>("This node is a mesh of one."),
        OPERATOR
            .get("/hither/v1/authority", "authority", "Who may say who belongs.")
            .about("Over the Unix socket alone.")
            .gives::<AuthorityDto>("What the authority log says.")
            .errors(&[Code::SocketOnly]),
        command("post", "/hither/v1/members/{node}/revoke", "revokeMember", "Ends the membership of a node for good.")
            .with(&["node"])
            .gives::<DoneDto>("It is no member any more.")
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/members/{node}/ping", "pingMember", "Measures round trips to a member.")
            .with(&["node"])
            .takes::<PingDto>(json!({ "count": 10 }))
            .gives::<PongDto>("How long they took, and over which path.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/issuers", "appointIssuer", "Lets a member let others in.")
            .takes::<IssuerDto>(json!({ "node": "1f".repeat(32), "within": ["DE", "FR"] }))
            .gives::<DoneDto>("It may.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("delete", "/hither/v1/issuers/{node}", "dismissIssuer", "Takes back that a member may let others in.")
            .with(&["node"])
            .gives::<DoneDto>("It may not any more.")
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/quorum", "quorum", "Says whom the founder needs to appoint and dismiss.")
            .takes::<QuorumDto>(json!({ "needed": 1, "approvers": ["1f".repeat(32)] }))
            .gives::<DoneDto>("It is so, or proposed.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/proposals/{proposal}/approve", "approve", "Approves a proposal of the founder.")
            .with(&["proposal"])
            .gives::<DoneDto>("It is approved."),
        command("post", "/hither/v1/power", "power", "Changes the power cap.")
            .takes::<PowerDto>(json!({ "cap_w": 60.0 }))
            .gives::<DoneDto>("Done.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command(
            "post",
            "/hither/v1/ledger/witness",
            "askWitnesses",
            "Asks peers to sign the checkpoint of the ledger.",
        )
        .gives::<DoneDto>("They are asked."),
        command(
            "post",
            "/hither/v1/ledger/export",
            "recordExport",
            "Puts on the record that somebody gets a copy of the ledger.",
        )
        .takes::<ExportDto>(json!({
            "jurisdiction": "FR", "operator": "auditor", "records": 41, "root": "5a".repeat(32),
            "rules": ["auditors"], "policy": "5a".repeat(32),
        }))
        .gives::<DoneDto>("It is on the disk.")
        .errors(BODY)
        .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/isolate", "isolate", "Cuts the node off from all peers, or heals it: a drill.")
            .takes::<IsolateDto>(json!({ "isolated": true }))
            .gives::<DoneDto>("Done.")
            .errors(BODY),
        OPERATOR
            .get("/hither/v1/policy", "policy", "The policy in force.")
            .about("Over the Unix socket alone.")
            .gives::<PolicyDto>("Its text, and where the node reads it.")
            .errors(&[Code::SocketOnly]),
        command("post", "/hither/v1/policy", "applyPolicy", "Puts another policy in force, and keeps it.")
            .takes::<NewPolicyDto>(json!({ "text": "version = 2\n", "over": "5a".repeat(32) }))
            .gives::<PolicyDto>("It is in force; what it does not permit has ended.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/policy/reload", "reloadPolicy", "Reads the policy file again.")
            .gives::<DoneDto>("Done."),
        OPERATOR
            .get("/hither/v1/policies", "policies", "The policies that the founder of the mesh published.")
            .about("Over the Unix socket alone.")
            .gives::<PoliciesDto>("Which, for whom, and whether this node lives by them.")
            .errors(&[Code::SocketOnly]),
        command("post", "/hither/v1/policies", "publishPolicy", "Has the nodes of a range live by a policy.")
            .takes::<NewPublicationDto>(json!({ "text": "version = 2\n", "within": ["DE"] }))
            .gives::<DoneDto>("It is in the authority log, or proposed.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        OPERATOR
            .get("/hither/v1/policies/{digest}", "policyText", "The text of a policy.")
            .about(
                "Over the Unix socket alone. Of one that was published or proposed, or in force here once, by its digest or the \
                 beginning of it.",
            )
            .with(&["digest"])
            .gives::<PolicyTextDto>("Its text.")
            .errors(&[Code::SocketOnly]),
    ]
}

fn apps() -> Vec<Operation> {
    vec![
        OPERATOR
            .get("/hither/v1/apps", "apps", "The apps of this node.")
            .about("Over the Unix socket alone.")
            .gives::<Vec<AppDto>>("The apps.")
            .errors(&[Code::SocketOnly]),
        command("post", "/hither/v1/apps", "addApp", "Takes an app in, and makes its key.")
            .takes::<AddAppDto>(json!({ "name": "triage", "limits": { "requests_per_s": 10 } }))
            .gives::<AppKeyDto>("The app and its key.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("delete", "/hither/v1/apps/{app}", "removeApp", "Forgets an app and its key.")
            .with(&["app"])
            .gives::<AppDto>("What it was.")
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/apps/{app}/limits", "limitApp", "Changes what an app may do.")
            .with(&["app"])
            .takes::<ChangeDto>(json!({ "concurrent": 4 }))
            .gives::<AppDto>("The app.")
            .errors(BODY)
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/apps/{app}/rotate", "rotateKey", "Makes a new key; the old one is worth nothing.")
            .with(&["app"])
            .gives::<AppKeyDto>("The app and its key.")
            .errors(&[Code::OutOfRange]),
        command("post", "/hither/v1/apps/{app}/shred", "shredReferences", "Destroys the keys of an app's references.")
            .with(&["app"])
            .gives::<AppDto>("The app.")
            .errors(&[Code::OutOfRange]),
    ]
}
