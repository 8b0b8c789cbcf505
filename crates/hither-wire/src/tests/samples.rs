//! One sample of each variant of each form: the content of the golden files.

use hither_types::authority::{
    AuthorityEntry, Change, Issuer, Publication, PublishedPolicy, Quorum, Range, Scope, Statement,
};
use hither_types::id::{
    AppName, Attempt, Digest, MeshId, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, SiteName, Tag,
};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, FailedField, LawAction, NearMiss};
use hither_types::member::{Address, Member, MemberRecord, Relay, Role, Roles, Signed};
use hither_types::message::{
    Ask, ChunkTalk, ChunkWord, Comparison, Frame, Hello, HelloReply, Invite, Load, ModelPresence, ModelStage,
    PeerMessage, Placing, PolicyWord, Presence, Pulse, Room, Rumour, Signal, Start, StartProof, StartWord,
};
use hither_types::model::{
    Datatype, Device, Golden, KnownAnswer, Manifest, ModelFormat, ModelIo, Question, TensorSpec,
};
use hither_types::near::{NearReport, NearSample};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::refusal::{Crash, DeniedPlace, Failure, InputFault, Refusal};
use hither_types::request::{Cost, Envelope, Priority, Quality, RequestKind};
use hither_types::rollout::{Rollout, RolloutFault, RolloutWord, Verdict};
use hither_types::time::WallTime;
use hither_types::trace::TraceParent;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros, Millijoules, Milliwatts};
use hither_types::witness::WitnessWord;

fn site(name: &str) -> SiteName {
    SiteName::parse(name).unwrap()
}

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

fn model(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

fn signed() -> Signed {
    let mut signature = [0xee; 64];
    signature[0] = 0xaa;
    signature[63] = 0xbb;
    Signed { bytes: vec![1, 2, 3], signer: NodeId([0x11; 32]), signature }
}

fn record() -> MemberRecord {
    let addresses = ["192.0.2.7:4433", "[2001:db8::7]:4433"].map(|address| Address::Direct(address.parse().unwrap()));
    MemberRecord { certificate: signed(), addresses: addresses.to_vec() }
}

pub(crate) fn member() -> Vec<Member> {
    let known = Member {
        node: NodeId([0x11; 32]),
        mesh: MeshId([0x22; 32]),
        site: site("munich"),
        jurisdiction: place("DE-BY"),
        control: Some(vec![place("DE"), place("US")]),
        operator: Operator::parse("klinik-ag").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(1_800_000_000_000),
        roles: Roles::ALL,
    };
    let asks = Member { roles: Roles::of([Role::Request, Role::Publish]), ..known.clone() };
    let unknown = Member { control: None, jurisdiction: place("ID"), assurance: Assurance::Claimed, ..known.clone() };
    vec![known, unknown, asks]
}

pub(crate) fn message() -> Vec<PeerMessage> {
    let held = |stage, byte| ModelPresence {
        digest: Digest([byte; 32]),
        stage,
        device: Device::Cpu,
        slots: 4,
        busy: 1,
        queued: 300,
        service: Micros(70_000),
    };
    let presence = Presence {
        incarnation: 3,
        sequence: 1000,
        models: vec![held(ModelStage::Ready, 0x44), held(ModelStage::Fetching, 0x45), held(ModelStage::Stored, 0x46)],
        power: Milliwatts(31_000),
        cap: Milliwatts(65_000),
        policy: Digest([0x55; 32]),
        placing: None,
    };
    let on = |device, byte| ModelPresence { device, ..held(ModelStage::Ready, byte) };
    let later = Presence {
        models: vec![held(ModelStage::Quarantined, 0x47), on(Device::Gpu, 0x48), on(Device::Npu, 0x49)],
        ..presence.clone()
    };
    let room = Room { memory: ByteCount(24_000_000_000), free: Eighths::new(5), power: Eighths::ALL, speed: 4 };
    let demand = vec![(Digest([0x44; 32]), MicroHertz(30_700)), (Digest([0x45; 32]), MicroHertz(2_000_000))];
    let places = Presence { placing: Some(Placing { room, demand }), ..presence.clone() };
    let mut messages = vec![
        PeerMessage::Presence(presence),
        PeerMessage::Catalog(vec![signed(), signed()]),
        PeerMessage::Members(vec![record()]),
    ];
    messages.extend(signals().into_iter().map(PeerMessage::Signal));
    messages.push(PeerMessage::Presence(later.clone()));
    messages.push(PeerMessage::Authority(vec![signed()]));
    messages.push(PeerMessage::Pulse(Pulse { number: 300, echo: 299, watches: true, heads: 7, words: 8 }));
    let (node, by) = (NodeId([0x51; 32]), NodeId([0x52; 32]));
    let (incarnation, sequence) = (3, 900);
    messages.push(PeerMessage::Rumours(vec![
        Rumour::Said { node, presence: later.into() },
        Rumour::Gone { node, incarnation, sequence },
        Rumour::Doubt { node, incarnation, sequence, by },
    ]));
    let start = start_proof()[0].start;
    let words = [
        StartWord::Mine { start, now: WallTime(1_764_000_000_500) },
        StartWord::Asked { challenge: [0x66; 32] },
        StartWord::Proved(signed()),
    ];
    messages.extend(words.map(PeerMessage::Start));
    messages.push(PeerMessage::Rollouts(vec![signed()]));
    messages.extend(words_of_witnesses().map(PeerMessage::Witness));
    messages.push(PeerMessage::Presence(places.clone()));
    messages.push(PeerMessage::Rumours(vec![Rumour::Said { node, presence: places.into() }]));
    let words = [PolicyWord::Wanted(Digest([0x77; 32])), PolicyWord::Text("version = 8\n".to_owned())];
    messages.extend(words.map(PeerMessage::Policy));
    messages.push(PeerMessage::Near(vec![signed()]));
    messages
}

pub(crate) fn rollout_word() -> Vec<RolloutWord> {
    let name = ModelName::parse("fraud").unwrap();
    let (revision, publisher, by) = (300, NodeId([0x61; 32]), NodeId([0x62; 32]));
    let failures = RolloutFault::Failures { tried: 300, failed: 9 };
    let verdict = |fault| RolloutWord::Judged(Verdict { name: name.clone(), revision, publisher, by, fault });
    let rollout = Rollout {
        name: name.clone(),
        revision,
        from: Digest([0x63; 32]),
        to: Digest([0x64; 32]),
        share: 100,
        sites: vec![SiteName::parse("munich").unwrap()],
        tolerance: 20,
        publisher,
        at: WallTime(1_764_000_000_000),
    };
    vec![RolloutWord::Begun(rollout), verdict(failures), verdict(RolloutFault::WrongAnswer)]
}

pub(crate) fn near_report() -> Vec<NearReport> {
    let at = WallTime(1_764_000_000_000);
    let sample = |byte, before| NearSample {
        node: NodeId([byte; 32]),
        incarnation: 512,
        rtt: Micros(8_300),
        at: WallTime(1_763_999_400_000),
        before,
    };
    let report = |samples| NearReport { mesh: MeshId([0x22; 32]), at, samples };
    vec![report(vec![sample(0x51, None), sample(0x52, Some(Micros(900)))]), report(Vec::new())]
}

pub(crate) fn start_proof() -> Vec<StartProof> {
    let start = Start { at: WallTime(1_764_000_000_000), challenge: [0x67; 32], incarnation: 300 };
    vec![StartProof { answers: [0x66; 32], start }]
}

pub(crate) fn chunk_talk() -> Vec<ChunkTalk> {
    let words = [
        ChunkWord::Have(vec![0..1, 3..300]),
        ChunkWord::Offer(vec![7, 300, 70_000]),
        ChunkWord::Decline(7),
        ChunkWord::Coming(300),
        ChunkWord::Lost(300),
    ];
    words.map(|word| ChunkTalk { digest: Digest([0x45; 32]), word }).into()
}

fn signals() -> Vec<Signal> {
    let (number, digest) = (7, Digest([0x44; 32]));
    let (request, attempt) = (RequestId(0x0197_0000_0000_7000_8000_0000_0000_0001), Attempt(2));
    let load =
        Load { slots: 4, busy: 3, queued: 300, wait: Micros(1500), urgent: Micros(700), service: Micros(70_000) };
    vec![
        Signal::Probe { number, digest, queued: 2 },
        Signal::State { number, digest, load },
        Signal::Offer {
            request,
            attempt,
            digest,
            envelope: envelope(RequestKind::Infer, Priority::Critical, DataClass::Special),
            remaining: Micros(900_000),
            promised: Micros(1500),
        },
        Signal::Accept { request, attempt, load },
        Signal::Reject { request, attempt, refusal: Refusal::Stopping, load },
        Signal::Steal { number, answers: 9, digest, load },
        Signal::Nothing { number, digest },
    ]
}

fn envelope(kind: RequestKind, priority: Priority, class: DataClass) -> Envelope {
    Envelope {
        app: AppName::parse("ct-triage").unwrap(),
        model: model("smollm2-135m"),
        label: Label {
            class,
            tags: vec![Tag::parse("phi").unwrap()],
            subjects: vec![place("DE-BY"), place("ID")],
            purpose: Some(Purpose::parse("triage").unwrap()),
        },
        kind,
        size: ByteCount(4096),
        priority,
        prefer: Some(site("munich")),
        quality: Quality::Family,
    }
}

pub(crate) fn ask() -> Vec<Ask> {
    let resumed = Ask {
        request: RequestId(0x0197_0000_0000_7000_8000_0000_0000_0001),
        attempt: Attempt(2),
        digest: Digest([0x44; 32]),
        envelope: envelope(RequestKind::Generate, Priority::Critical, DataClass::Special),
        remaining: Micros(30_000_000),
        resume: vec![0, 127, 128, 49_151],
        payload: b"work".to_vec(),
        trace: Some(TraceParent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        }),
    };
    let mut plain = resumed.clone();
    plain.envelope = envelope(RequestKind::Infer, Priority::Low, DataClass::Public);
    plain.envelope.label = Label { class: DataClass::Public, tags: vec![], subjects: vec![place("FR")], purpose: None };
    plain.envelope.prefer = None;
    plain.resume.clear();
    plain.trace = None;
    vec![resumed, plain]
}

fn denial() -> Denial {
    let failed = FailedField { field: "target", wanted: "[\"EEA\"]".to_owned(), found: "ID".to_owned() };
    let near = NearMiss { rule: RuleId::parse("eea-personal").unwrap(), failed: vec![failed] };
    Denial::Forbidden { rule: RuleId::parse("id-bank").unwrap(), nearest: Some(near) }
}

fn refusals() -> Vec<Refusal> {
    let denied = vec![DeniedPlace {
        node: NodeId([0x11; 32]),
        jurisdiction: place("DE-BY"),
        action: LawAction::Infer,
        denial: denial(),
    }];
    vec![
        Refusal::UnknownModel(model("fraud")),
        Refusal::Unlawful { model: model("fraud"), class: DataClass::Personal, denied },
        Refusal::UnlawfulThere(Denial::NotPermitted { nearest: None }),
        Refusal::Overloaded { retry_after: Micros(250_000) },
        Refusal::NoPower { cap: Milliwatts(40_000) },
        Refusal::NoCapacity { tried: 3 },
        Refusal::DeadlinePassed,
        Refusal::LedgerUnavailable,
        Refusal::ModelBroken(model("org/model:q4")),
        Refusal::NotAMember,
        Refusal::Stopping,
        Refusal::KeyInUse,
        Refusal::ModelExpired { model: model("fraud"), ended: WallTime(1_800_000_000_000) },
        Refusal::UnlawfulThere(Denial::Role(Role::Serve)),
    ]
}

pub(crate) fn frame() -> Vec<Frame> {
    let cost = Cost {
        queued: Micros(1),
        prefill: Micros(200),
        decode: Micros(30_000),
        prompt_tokens: 40,
        output_tokens: 5,
        answer: ByteCount(600),
        energy: Millijoules(7000),
    };
    let failures = [
        Failure::BadInput(InputFault::Tensor("input x is missing".to_owned())),
        Failure::BadInput(InputFault::ContextOverflow { prompt_tokens: 9000, context_tokens: 8192 }),
        Failure::BadInput(InputFault::Other("the prompt is empty".to_owned())),
        Failure::Declined(Refusal::Stopping),
        Failure::EngineLost,
        Failure::Engine("out of memory".to_owned()),
        Failure::Unreachable,
        Failure::Silent,
        Failure::Stuck,
        Failure::EngineCrashed(Crash::Signal(11)),
        Failure::EngineCrashed(Crash::Exit(1)),
        Failure::EngineCrashed(Crash::Hung),
    ];
    let mut frames =
        vec![Frame::Accepted, Frame::Beat { progress: 1_000_000 }, Frame::Piece(vec![0xca, 0xfe]), Frame::Done(cost)];
    frames.extend(refusals().into_iter().map(Frame::Declined));
    frames.extend(failures.map(Frame::Failed));
    frames
}

pub(crate) fn hello() -> Vec<Hello> {
    let join =
        Hello::Join { mesh: MeshId([0x22; 32]), invite: [0x66; 16], proof: [0x77; 32], addresses: record().addresses };
    let over_relays = MemberRecord { addresses: relayed(), ..record() };
    let meet = Hello::Meet { mesh: MeshId([0x22; 32]), invite: [0x66; 16], proof: [0x77; 32], commitment: [0x78; 32] };
    let reveal = Hello::Reveal { invite: [0x66; 16], number: [0x79; 32], addresses: record().addresses };
    vec![join, Hello::Introduce(record()), Hello::Introduce(over_relays), meet, reveal]
}

pub(crate) fn hello_reply() -> Vec<HelloReply> {
    vec![
        HelloReply::Welcome {
            certificate: signed(),
            members: vec![record()],
            catalog: vec![signed()],
            authority: vec![signed()],
        },
        HelloReply::Refused("this invite has ended".to_owned()),
        HelloReply::Met([0x7a; 32]),
        HelloReply::Waiting,
    ]
}

fn scope() -> Scope {
    Scope { within: vec![place("DE"), place("FR")], operators: Vec::new(), roles: Roles::ALL }
}

pub(crate) fn authority_entry() -> Vec<AuthorityEntry> {
    let node = NodeId([0x11; 32]);
    let operators = vec![Operator::parse("acme").unwrap()];
    let narrow = Issuer { node, scope: Scope { operators, roles: Roles::of([Role::Serve]), ..scope() } };
    let quorum = Quorum { needed: 2, approvers: vec![NodeId([0x12; 32]), NodeId([0x13; 32]), NodeId([0x14; 32])] };
    let range = Range { within: vec![place("DE")], operators: vec![Operator::parse("acme").unwrap()] };
    let publication = Publication { policy: Some(PublishedPolicy { digest: Digest([0x77; 32]), version: 8 }), range };
    let statements = [
        Statement::Found { nonce: [0x99; 16] },
        Statement::Revoke { node },
        Statement::Appoint(Issuer { node, scope: scope() }),
        Statement::Dismiss { node, keep: 3 },
        Statement::Leave { certificate: signed() },
        Statement::Quorum(quorum.clone()),
        Statement::Propose(Change::Appoint(narrow.clone())),
        Statement::Propose(Change::Dismiss { node, keep: 4 }),
        Statement::Propose(Change::Quorum(quorum)),
        Statement::Approve { proposal: [0xac; 32] },
        Statement::Enact { proposal: 7, approvals: vec![signed(), signed()] },
        Statement::Appoint(narrow),
        Statement::Publish(publication.clone()),
        Statement::Propose(Change::Publish(Publication { policy: None, ..publication })),
    ];
    let entry = |(number, statement)| AuthorityEntry {
        mesh: MeshId([0x22; 32]),
        number,
        previous: [0xab; 32],
        at: WallTime(1_800_000_000_000),
        statement,
    };
    (0..).zip(statements).map(entry).collect()
}

pub(crate) fn manifest() -> Vec<Manifest> {
    let tensor = |name: &str, datatype| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, Some(30)] };
    let language = Manifest {
        name: model("smollm2-135m"),
        digest: Digest([0x44; 32]),
        sha256: [0x88; 32],
        size: ByteCount(144_811_360),
        format: ModelFormat::Gguf,
        licence: "Apache-2.0".to_owned(),
        io: ModelIo::Language { context_tokens: 8192 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: NodeId([0x11; 32]),
        revision: 0,
        expires: None,
        signed_by: String::new(),
    };
    let tabular = Manifest {
        format: ModelFormat::Onnx,
        licence: String::new(),
        io: ModelIo::Tensors {
            inputs: Datatype::ALL.map(|datatype| tensor("x", datatype)).to_vec(),
            outputs: vec![tensor("größe", Datatype::Fp32)],
        },
        ..language.clone()
    };
    let drawn = Golden {
        question: Question::Drawn { seed: 7, rows: 64 },
        answer: KnownAnswer::Tensors { outputs: vec![1, 2, 3], relative: 1000, absolute: 100 },
    };
    let said =
        Golden { question: Question::Given(vec![9, 8, 7]), answer: KnownAnswer::Begins("Paris.\nIt is".to_owned()) };
    let proven = Manifest { memory: ByteCount(178_000_000), golden: vec![drawn, said], ..tabular.clone() };
    let renewed = Manifest { revision: 3, expires: Some(WallTime(1_800_000_000_000)), ..proven.clone() };
    let signed = Manifest { signed_by: "key sha256:5f3a, größer".to_owned(), ..language.clone() };
    let endless = Manifest { revision: 1, ..tabular.clone() };
    vec![language, tabular, proven, renewed, signed, endless]
}

/// The addresses of a node that is reached over a relay, too.
fn relayed() -> Vec<Address> {
    let relays = ["192.0.2.9:7844", "[2001:db8::9]:7844"]
        .map(|address| Address::Relayed(Relay { node: NodeId([0x44; 32]), address: address.parse().unwrap() }));
    record().addresses.into_iter().chain(relays).collect()
}

pub(crate) fn invite() -> Vec<Invite> {
    let plain = Invite {
        mesh: MeshId([0x22; 32]),
        issuer: NodeId([0x11; 32]),
        addresses: record().addresses,
        secret: [0x99; 16],
        site: site("paris"),
        jurisdiction: place("FR"),
        expires: WallTime(1_800_000_000_000),
        pass: None,
        comparison: None,
        roles: Roles::ALL,
        operator: None,
    };
    let with_relays = Invite { addresses: relayed(), pass: Some([0xaa; 64]), ..plain.clone() };
    let typed = Invite {
        comparison: Some(Comparison::Typed),
        roles: Roles::of([Role::Request]),
        operator: Some(Operator::parse("zwei").unwrap()),
        ..with_relays.clone()
    };
    let shown = Invite { comparison: Some(Comparison::Shown), ..plain.clone() };
    vec![plain, with_relays, typed, shown]
}

fn words_of_witnesses() -> [WitnessWord; 4] {
    let checkpoint =
        "hither/n4kq7x\n42\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} hither/n4kq7x AAAA\n".to_owned();
    [
        WitnessWord::Asked { checkpoint, from: 40, growth: vec![[7; 32]] },
        WitnessWord::Known(40),
        WitnessWord::Signed { size: 42, line: "\u{2014} hither/n7abcd AAAA\n".to_owned() },
        WitnessWord::Refused(43),
    ]
}
