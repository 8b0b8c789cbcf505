//! The mesh that the door shows.

use super::*;

pub(super) fn site(name: &str) -> SiteName {
    SiteName::parse(name).unwrap()
}

pub(super) fn rule(id: &str) -> RuleId {
    RuleId::parse(id).unwrap()
}

pub(super) fn name(name: &str) -> ModelName {
    ModelName::parse(name).unwrap()
}

pub(super) fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

pub(super) fn member(node: u8, at: &str, code: &str) -> Member {
    Member {
        node: NodeId([node; 32]),
        mesh: MeshId([9; 32]),
        site: site(at),
        jurisdiction: place(code),
        control: Some(Vec::new()),
        operator: Operator::parse("klinik-ag").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(1_800_000_000_000),
        roles: Roles::ALL,
    }
}

fn spec(name: &str, datatype: Datatype, shape: &[Option<u64>]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

fn model(called: &str, digest: u8, size: u64, format: ModelFormat, io: ModelIo) -> Manifest {
    Manifest {
        name: name(called),
        digest: Digest([digest; 32]),
        sha256: [digest + 1; 32],
        size: ByteCount(size),
        format,
        licence: "Apache-2.0".to_owned(),
        io,
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: NodeId([1; 32]),
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }
}

fn held(digest: u8, stage: ModelStage, fetched: u64, busy: u16) -> ModelView {
    let device = (stage == ModelStage::Ready).then_some(Device::Npu);
    ModelView {
        digest: Digest([digest; 32]),
        stage,
        device,
        engine: String::new(),
        fetched: ByteCount(fetched),
        slots: 4,
        busy,
        queued: busy / 4,
        memory: ByteCount(0),
        note: String::new(),
        why: String::new(),
    }
}

fn recent(at: u64, id: u128, model: &str, class: DataClass, route: &[&str], state: RequestState) -> RequestView {
    RequestView {
        request: RequestId(0x0190_0000_0000_7000_8000_0000_0000_0000 + id),
        app: AppName::parse("anonymous").unwrap(),
        model: name(model),
        class,
        at: Timestamp(at),
        route: route.iter().map(|at| site(at)).collect(),
        state,
    }
}

fn example_models() -> Vec<Manifest> {
    let tensors = |inputs, outputs| ModelIo::Tensors { inputs, outputs };
    vec![
        model(
            "fraud",
            0x10,
            412_000,
            ModelFormat::Onnx,
            tensors(
                vec![spec("features", Datatype::Fp32, &[None, Some(4)])],
                vec![spec("label", Datatype::Int64, &[None]), spec("score", Datatype::Fp32, &[None, Some(2)])],
            ),
        ),
        model(
            "maintenance",
            0x20,
            98_000,
            ModelFormat::Onnx,
            tensors(
                vec![spec("features", Datatype::Fp32, &[None, Some(6)])],
                vec![spec("hours", Datatype::Fp32, &[None, Some(1)])],
            ),
        ),
        model("smollm2-135m", 0x30, 101_000_000, ModelFormat::Gguf, ModelIo::Language { context_tokens: 2048 }),
        model("echo", 0x40, 1_000, ModelFormat::Stub, tensors(every_type("in"), every_type("out"))),
    ]
}

pub(super) fn publication() -> Publication {
    let range = Range { within: vec![Jurisdiction::parse("DE").unwrap()], operators: Vec::new() };
    Publication { policy: Some(PublishedPolicy { digest: Digest([5; 32]), version: 2 }), range }
}

fn example_nodes() -> Vec<NodeView> {
    let node = |id: u8, at: &str, code: &str, presence, rtt: Option<u64>, models, power, cap| NodeView {
        member: member(id, at, code),
        presence,
        rtt: rtt.map(Micros),
        models,
        power: Milliwatts::from_watts(power),
        cap: Milliwatts::from_watts(cap),
        egress: match id {
            1 => Egress {
                requests: ByteCount(40_213),
                answers: ByteCount(9_120),
                relayed: ByteCount(700),
                masked: Findings([(DataKind::Email, 4)].into()),
                blocked: Findings([(DataKind::Iban, 1)].into()),
                withheld: 1,
            },
            3 => Egress { requests: ByteCount(8_000), ..Egress::default() },
            _ => Egress::default(),
        },
        program: Program::parse("0.1.0"),
        addresses: Vec::new(),
        policy: (id < 3).then_some(Digest([5; 32])),
        evidence: Some(Evidence {
            vouched: Assurance::Vouched,
            by: None,
            outdated: None,
            limit: Micros(25_000),
            samples: Vec::new(),
        }),
    };
    let ready = ModelStage::Ready;
    vec![
        node(
            2,
            "paris",
            "FR",
            PresenceView::Here,
            None,
            vec![held(0x10, ready, 412_000, 1), held(0x30, ModelStage::Fetching, 64_000_000, 0)],
            31,
            60,
        ),
        node(
            1,
            "munich",
            "DE-BY",
            PresenceView::Present,
            Some(20_900),
            vec![held(0x10, ready, 412_000, 0), held(0x20, ready, 98_000, 0), held(0x30, ready, 101_000_000, 4)],
            58,
            60,
        ),
        node(
            3,
            "jakarta",
            "ID",
            PresenceView::Present,
            Some(214_000),
            vec![held(0x10, ready, 412_000, 0), held(0x20, ModelStage::Stored, 98_000, 0)],
            12,
            40,
        ),
    ]
}

fn example_requests() -> Vec<RequestView> {
    let answered = |millis| RequestState::Answered(Micros::from_millis(millis));
    vec![
        recent(899_400_000, 9, "smollm2-135m", DataClass::Internal, &["munich"], RequestState::Open),
        recent(898_000_000, 8, "smollm2-135m", DataClass::Personal, &["munich", "paris"], answered(1_412)),
        recent(890_000_000, 7, "smollm2-135m", DataClass::Personal, &[], RequestState::Refused(unlawful())),
        recent(871_000_000, 6, "fraud", DataClass::Special, &["paris"], answered(2)),
        recent(
            860_000_000,
            5,
            "smollm2-135m",
            DataClass::Internal,
            &[],
            RequestState::Refused(Refusal::NoPower { cap: Milliwatts::from_watts(40) }),
        ),
        recent(640_000_000, 4, "maintenance", DataClass::Internal, &["munich"], answered(31)),
        recent(610_000_000, 3, "smollm2-135m", DataClass::Public, &["jakarta"], RequestState::Cancelled),
    ]
}

/// A tenth of the requests for the first model are its second version's, which is not in the catalog.
fn example_rollout() -> RolloutView {
    let name = example_models()[0].name.clone();
    RolloutView {
        rollout: Rollout {
            name,
            revision: 2,
            from: example_models()[0].digest,
            to: Digest([0x77; 32]),
            share: 100,
            sites: vec![member(1, "munich", "DE-BY").site],
            tolerance: 20,
            publisher: NodeId([1; 32]),
            at: WallTime(0),
        },
        old: Tally { tried: 900, failed: 1 },
        new: Tally { tried: 98, failed: 0 },
        unready: 3,
        back: None,
        against: vec![NodeId([3; 32])],
    }
}

/// Three sites, four models, and one request of each kind.
pub(crate) fn example() -> View {
    View {
        me: member(2, "paris", "FR"),
        at: Timestamp(900_000_000),
        nodes: example_nodes(),
        models: example_models(),
        expired: Vec::new(),
        recent: example_requests(),
        totals: Totals {
            requests: 184,
            answered: 171,
            refused_by_law: 6,
            refused_otherwise: 5,
            migrated: 2,
            served_for_peers: 12,
            egress_requests: ByteCount(48_213),
            egress_answers: ByteCount(9_120),
            energy: Millijoules(5_400_000),
            ..Totals::default()
        },
        rollouts: vec![example_rollout()],
        spending: Default::default(),
        courses: vec![CourseView {
            digest: Digest([6; 32]),
            chunks: 6,
            here: 2,
            coming: 1,
            elsewhere: 2,
            cells: vec![
                ChunkCell::Here,
                ChunkCell::Here,
                ChunkCell::Coming,
                ChunkCell::Elsewhere,
                ChunkCell::Elsewhere,
                ChunkCell::Nowhere,
            ],
            partners: vec![CoursePartner { node: NodeId([1; 32]), near: false, chunks: 5 }],
        }],
        policy: Digest([0x91; 32]),
        warnings: vec!["class special has one failover place left (munich)".to_owned()],
        reach: ReachView {
            addresses: vec![SocketAddr::from(([192, 168, 7, 9], 7843))],
            outside: vec![SocketAddr::from(([203, 0, 113, 9], 40_112))],
            lan: LanView::Runs(vec![[192, 168, 7, 9].into()]),
            relays: vec![RelayView {
                relay: Relay { node: NodeId([1; 32]), address: SocketAddr::from(([203, 0, 113, 7], 7844)) },
                by: Some(member(1, "munich", "DE-BY")),
                used_for: RelayUse::Everything,
                state: RelayState::Home,
            }],
        },
    }
}

/// A tensor of each type, of any length.
fn every_type(prefix: &str) -> Vec<TensorSpec> {
    let named = |datatype: Datatype| spec(&format!("{prefix}_{}", datatype.as_str()), datatype, &[None]);
    Datatype::ALL.into_iter().map(named).collect()
}
