//! Any word that may be said, for properties.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hither_types::id::{
    AppName, Attempt, Digest, MeshId, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, SiteName, Tag,
};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, FIELDS, FailedField, LawAction, NearMiss};
use hither_types::member::{Address, Member, MemberRecord, Relay, Role, Roles, Signed};
use hither_types::message::{
    Ask, ChunkTalk, ChunkWord, Comparison, Frame, Hello, HelloReply, Invite, Load, ModelPresence, ModelStage,
    PeerMessage, Placing, PolicyWord, Presence, Pulse, Room, Rumour, Signal, Start, StartProof, StartWord,
};
use hither_types::model::{
    Datatype, Device, Golden, KnownAnswer, Manifest, ModelFormat, ModelIo, Question, TensorSpec,
};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::refusal::{Crash, DeniedPlace, Failure, InputFault, Refusal};
use hither_types::request::{Cost, Envelope, Priority, Quality, RequestKind};
use hither_types::rollout::{Rollout, RolloutFault, RolloutWord, Verdict};
use hither_types::time::WallTime;
use hither_types::trace::TraceParent;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros, Millijoules, Milliwatts};
use hither_types::witness::WitnessWord;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

mod authority;
mod near;

pub(crate) use authority::authority_entry;
pub(crate) use near::near_report;

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn site() -> impl Strategy<Value = SiteName> {
    "[A-Za-z0-9._-]{1,63}".prop_map(|name| SiteName::parse(&name).unwrap())
}

fn model() -> impl Strategy<Value = ModelName> {
    "[A-Za-z0-9._/:-]{1,120}".prop_map(|name| ModelName::parse(&name).unwrap())
}

fn jurisdiction() -> impl Strategy<Value = Jurisdiction> {
    "[A-Z]{2}(-[A-Z0-9]{1,3})?".prop_map(|code| Jurisdiction::parse(&code).unwrap())
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<Ipv4Addr>(), any::<u16>()).prop_map(SocketAddr::from);
    let v6 = (any::<Ipv6Addr>(), any::<u16>()).prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}

fn address() -> impl Strategy<Value = Address> {
    let relay = (any::<[u8; 32]>(), socket()).prop_map(|(node, address)| Relay { node: NodeId(node), address });
    prop_oneof![socket().prop_map(Address::Direct), relay.prop_map(Address::Relayed)]
}

/// A sentence as it comes out of an encoder: bounded and on one line.
fn sentence() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,200}"
}

fn micros() -> impl Strategy<Value = Micros> {
    any::<u64>().prop_map(Micros)
}

fn milliwatts() -> impl Strategy<Value = Milliwatts> {
    any::<u64>().prop_map(Milliwatts)
}

fn signed() -> impl Strategy<Value = Signed> {
    (vec(any::<u8>(), 0..300), node(), vec(any::<u8>(), 64)).prop_map(|(bytes, signer, signature)| Signed {
        bytes,
        signer,
        signature: signature.try_into().unwrap(),
    })
}

fn record() -> impl Strategy<Value = MemberRecord> {
    (signed(), vec(address(), 0..=4)).prop_map(|(certificate, addresses)| MemberRecord { certificate, addresses })
}

pub(crate) fn member() -> impl Strategy<Value = Member> {
    (
        (node(), any::<[u8; 32]>(), site(), jurisdiction()),
        option::of(vec(jurisdiction(), 0..=16)),
        "[A-Za-z0-9._-]{1,63}",
        select(vec![Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware]),
        any::<u64>(),
        roles(),
    )
        .prop_map(|((node, mesh, site, jurisdiction), control, operator, assurance, expires, roles)| Member {
            node,
            mesh: MeshId(mesh),
            site,
            jurisdiction,
            control,
            operator: Operator::parse(&operator).unwrap(),
            assurance,
            expires: WallTime(expires),
            roles,
        })
}

fn roles() -> impl Strategy<Value = Roles> {
    vec(select(Role::ALL.to_vec()), 0..5).prop_map(Roles::of)
}

fn model_presence() -> impl Strategy<Value = ModelPresence> {
    let stages = select(vec![
        (ModelStage::Fetching, Device::Cpu),
        (ModelStage::Stored, Device::Cpu),
        (ModelStage::Ready, Device::Cpu),
        (ModelStage::Ready, Device::Gpu),
        (ModelStage::Ready, Device::Npu),
        (ModelStage::Quarantined, Device::Cpu),
    ]);
    (digest(), stages, any::<[u16; 3]>(), micros()).prop_map(
        |(digest, (stage, device), [slots, busy, queued], service)| ModelPresence {
            digest,
            stage,
            device,
            slots,
            busy,
            queued,
            service,
        },
    )
}

fn presence() -> impl Strategy<Value = Presence> {
    let placing = proptest::option::of(placing());
    (any::<[u64; 2]>(), vec(model_presence(), 0..=64), milliwatts(), milliwatts(), digest(), placing).prop_map(
        |([incarnation, sequence], models, power, cap, policy, placing)| Presence {
            incarnation,
            sequence,
            models,
            power,
            cap,
            policy,
            placing,
        },
    )
}

fn placing() -> impl Strategy<Value = Placing> {
    let demand = vec((digest(), any::<u64>().prop_map(MicroHertz)), 0..=32);
    (any::<u64>(), any::<[u8; 3]>(), demand).prop_map(|(memory, [free, power, speed], demand)| {
        let (free, power) = (Eighths::new(free % 9), Eighths::new(power % 9));
        Placing { room: Room { memory: ByteCount(memory), free, power, speed }, demand }
    })
}

pub(crate) fn message() -> impl Strategy<Value = PeerMessage> {
    prop_oneof![
        presence().prop_map(PeerMessage::Presence),
        vec(signed(), 0..20).prop_map(PeerMessage::Catalog),
        vec(record(), 0..20).prop_map(PeerMessage::Members),
        signal().prop_map(PeerMessage::Signal),
        vec(signed(), 0..20).prop_map(PeerMessage::Authority),
        start_word().prop_map(PeerMessage::Start),
        (any::<[u32; 2]>(), any::<bool>(), any::<[u64; 2]>()).prop_map(|([number, echo], watches, [heads, words])| {
            PeerMessage::Pulse(Pulse { number, echo, watches, heads, words })
        }),
        vec(rumour(), 0..20).prop_map(PeerMessage::Rumours),
        vec(signed(), 0..20).prop_map(PeerMessage::Rollouts),
        witness().prop_map(PeerMessage::Witness),
        any::<[u8; 32]>().prop_map(|digest| PeerMessage::Policy(PolicyWord::Wanted(Digest(digest)))),
        "\\PC{0,300}".prop_map(|text| PeerMessage::Policy(PolicyWord::Text(text))),
        vec(signed(), 0..20).prop_map(PeerMessage::Near),
    ]
}

pub(crate) fn rollout_word() -> impl Strategy<Value = RolloutWord> {
    let name = || "[a-z]{1,20}".prop_map(|name| ModelName::parse(&name).unwrap());
    let site = "[a-z]{1,20}".prop_map(|name| SiteName::parse(&name).unwrap());
    let key = || any::<[u8; 32]>();
    let fault = prop_oneof![
        any::<[u32; 2]>().prop_map(|[tried, failed]| RolloutFault::Failures { tried, failed }),
        Just(RolloutFault::WrongAnswer),
    ];
    let begun = (name(), any::<[u64; 2]>(), key(), key(), any::<[u16; 2]>(), vec(site, 0..9), key()).prop_map(
        |(name, [revision, at], from, to, [share, tolerance], sites, publisher)| {
            let (from, to, publisher, at) = (Digest(from), Digest(to), NodeId(publisher), WallTime(at));
            RolloutWord::Begun(Rollout { name, revision, from, to, share, sites, tolerance, publisher, at })
        },
    );
    let judged = (name(), any::<u64>(), key(), key(), fault).prop_map(|(name, revision, publisher, by, fault)| {
        let (publisher, by) = (NodeId(publisher), NodeId(by));
        RolloutWord::Judged(Verdict { name, revision, publisher, by, fault })
    });
    prop_oneof![begun, judged]
}

fn rumour() -> impl Strategy<Value = Rumour> {
    let (node, by) = (any::<[u8; 32]>(), any::<[u8; 32]>());
    prop_oneof![
        (node, presence()).prop_map(|(node, presence)| Rumour::Said { node: NodeId(node), presence: presence.into() }),
        (node, any::<u64>(), any::<u64>()).prop_map(|(node, incarnation, sequence)| Rumour::Gone {
            node: NodeId(node),
            incarnation,
            sequence
        }),
        (node, any::<u64>(), any::<u64>(), by).prop_map(|(node, incarnation, sequence, by)| {
            Rumour::Doubt { node: NodeId(node), incarnation, sequence, by: NodeId(by) }
        }),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    (any::<[u64; 2]>(), any::<[u8; 32]>()).prop_map(|([at, incarnation], challenge)| Start {
        at: WallTime(at),
        challenge,
        incarnation,
    })
}

fn start_word() -> impl Strategy<Value = StartWord> {
    prop_oneof![
        (start(), any::<u64>()).prop_map(|(start, now)| StartWord::Mine { start, now: WallTime(now) }),
        any::<[u8; 32]>().prop_map(|challenge| StartWord::Asked { challenge }),
        signed().prop_map(StartWord::Proved),
    ]
}

pub(crate) fn chunk_talk() -> impl Strategy<Value = ChunkTalk> {
    // Gaps and lengths, one after the other.
    let ranges = vec((0..1_u32 << 26, 1..1_u32 << 26), 0..20).prop_map(|spans| {
        let mut end = 0;
        let next = |(gap, length): (u32, u32)| {
            let start = end + gap;
            end = start + length;
            start..end
        };
        spans.into_iter().map(next).collect::<Vec<_>>()
    });
    let word = prop_oneof![
        ranges.prop_map(ChunkWord::Have),
        vec(any::<u32>(), 0..=crate::limits::MAX_OFFERED).prop_map(ChunkWord::Offer),
        any::<u32>().prop_map(ChunkWord::Decline),
        any::<u32>().prop_map(ChunkWord::Coming),
        any::<u32>().prop_map(ChunkWord::Lost),
    ];
    (any::<[u8; 32]>(), word).prop_map(|(digest, word)| ChunkTalk { digest: Digest(digest), word })
}

pub(crate) fn start_proof() -> impl Strategy<Value = StartProof> {
    (any::<[u8; 32]>(), start()).prop_map(|(answers, start)| StartProof { answers, start })
}

fn load() -> impl Strategy<Value = Load> {
    (any::<[u16; 3]>(), micros(), micros(), micros()).prop_map(|([slots, busy, queued], wait, urgent, service)| Load {
        slots,
        busy,
        queued,
        wait,
        urgent,
        service,
    })
}

fn signal() -> impl Strategy<Value = Signal> {
    let number = any::<u32>();
    let tried = || (any::<u128>().prop_map(RequestId), any::<u8>().prop_map(Attempt));
    prop_oneof![
        (number, digest(), any::<u16>()).prop_map(|(number, digest, queued)| Signal::Probe { number, digest, queued }),
        (number, digest(), load()).prop_map(|(number, digest, load)| Signal::State { number, digest, load }),
        (tried(), digest(), envelope(), micros(), micros()).prop_map(
            |((request, attempt), digest, envelope, remaining, promised)| Signal::Offer {
                request,
                attempt,
                digest,
                envelope,
                remaining,
                promised,
            }
        ),
        (tried(), load()).prop_map(|((request, attempt), load)| Signal::Accept { request, attempt, load }),
        (tried(), refusal(), load()).prop_map(|((request, attempt), refusal, load)| Signal::Reject {
            request,
            attempt,
            refusal,
            load
        }),
        (number, any::<u32>(), digest(), load()).prop_map(|(number, answers, digest, load)| Signal::Steal {
            number,
            answers,
            digest,
            load
        }),
        (number, digest()).prop_map(|(number, digest)| Signal::Nothing { number, digest }),
    ]
}

fn label() -> impl Strategy<Value = Label> {
    let tags = vec("[A-Za-z0-9._-]{1,31}".prop_map(|tag| Tag::parse(&tag).unwrap()), 0..=16);
    let purpose = "[A-Za-z0-9._-]{1,63}".prop_map(|purpose| Purpose::parse(&purpose).unwrap());
    (select(DataClass::ALL.to_vec()), tags, vec(jurisdiction(), 0..=64), option::of(purpose))
        .prop_map(|(class, tags, subjects, purpose)| Label { class, tags, subjects, purpose })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let app = "[A-Za-z0-9._-]{1,63}".prop_map(|app| AppName::parse(&app).unwrap());
    let kind = select(vec![RequestKind::Infer, RequestKind::Generate]);
    let priority = select(vec![Priority::Low, Priority::Normal, Priority::Critical]);
    let quality = select(vec![Quality::Exact, Quality::Family]);
    (app, model(), label(), kind, any::<u64>(), priority, option::of(site()), quality).prop_map(
        |(app, model, label, kind, size, priority, prefer, quality)| Envelope {
            app,
            model,
            label,
            kind,
            size: ByteCount(size),
            priority,
            prefer,
            quality,
        },
    )
}

pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    let trace = (any::<u128>(), any::<u64>(), any::<bool>());
    let trace = trace.prop_map(|(trace, span, sampled)| TraceParent { trace, span, sampled });
    let rest = (vec(any::<u32>(), 0..400), vec(any::<u8>(), 0..2000), option::of(trace));
    (any::<u128>(), any::<u8>(), digest(), envelope(), micros(), rest).prop_map(
        |(request, attempt, digest, envelope, remaining, (resume, payload, trace))| Ask {
            request: RequestId(request),
            attempt: Attempt(attempt),
            digest,
            envelope,
            remaining,
            resume,
            payload,
            trace,
        },
    )
}

fn rule() -> impl Strategy<Value = RuleId> {
    "[A-Za-z0-9._-]{1,63}".prop_map(|rule| RuleId::parse(&rule).unwrap())
}

fn denial() -> impl Strategy<Value = Denial> {
    let failed = (select(FIELDS.to_vec()), sentence(), sentence()).prop_map(|(field, wanted, found)| FailedField {
        field,
        wanted,
        found,
    });
    let near = (rule(), vec(failed, 0..=4)).prop_map(|(rule, failed)| NearMiss { rule, failed });
    let of_law = (option::of(rule()), option::of(near)).prop_map(|(rule, nearest)| match rule {
        Some(rule) => Denial::Forbidden { rule, nearest },
        None => Denial::NotPermitted { nearest },
    });
    prop_oneof![of_law, select(Role::ALL.to_vec()).prop_map(Denial::Role)]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let place = (node(), jurisdiction(), denial()).prop_map(|(node, jurisdiction, denial)| DeniedPlace {
        node,
        jurisdiction,
        action: LawAction::Infer,
        denial,
    });
    let unlawful = (model(), select(DataClass::ALL.to_vec()), vec(place, 0..=8))
        .prop_map(|(model, class, denied)| Refusal::Unlawful { model, class, denied });
    prop_oneof![
        model().prop_map(Refusal::UnknownModel),
        unlawful,
        denial().prop_map(Refusal::UnlawfulThere),
        micros().prop_map(|retry_after| Refusal::Overloaded { retry_after }),
        milliwatts().prop_map(|cap| Refusal::NoPower { cap }),
        any::<u8>().prop_map(|tried| Refusal::NoCapacity { tried }),
        Just(Refusal::DeadlinePassed),
        Just(Refusal::LedgerUnavailable),
        model().prop_map(Refusal::ModelBroken),
        Just(Refusal::NotAMember),
        Just(Refusal::KeyInUse),
        (model(), any::<u64>()).prop_map(|(model, ended)| Refusal::ModelExpired { model, ended: WallTime(ended) }),
        Just(Refusal::Stopping),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    let fault = prop_oneof![
        sentence().prop_map(InputFault::Tensor),
        any::<[u32; 2]>()
            .prop_map(|[prompt_tokens, context_tokens]| InputFault::ContextOverflow { prompt_tokens, context_tokens }),
        sentence().prop_map(InputFault::Other),
    ];
    prop_oneof![
        fault.prop_map(Failure::BadInput),
        refusal().prop_map(Failure::Declined),
        Just(Failure::EngineLost),
        sentence().prop_map(Failure::Engine),
        Just(Failure::Unreachable),
        Just(Failure::Silent),
        Just(Failure::Stuck),
        any::<u8>().prop_map(|signal| Failure::EngineCrashed(Crash::Signal(signal))),
        any::<u8>().prop_map(|status| Failure::EngineCrashed(Crash::Exit(status))),
        Just(Failure::EngineCrashed(Crash::Hung)),
    ]
}

fn cost() -> impl Strategy<Value = Cost> {
    (any::<[u64; 5]>(), any::<[u32; 2]>()).prop_map(
        |([queued, prefill, decode, answer, energy], [prompt_tokens, output_tokens])| Cost {
            queued: Micros(queued),
            prefill: Micros(prefill),
            decode: Micros(decode),
            prompt_tokens,
            output_tokens,
            answer: ByteCount(answer),
            energy: Millijoules(energy),
        },
    )
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        Just(Frame::Accepted),
        any::<u64>().prop_map(|progress| Frame::Beat { progress }),
        vec(any::<u8>(), 0..2000).prop_map(Frame::Piece),
        cost().prop_map(Frame::Done),
        refusal().prop_map(Frame::Declined),
        failure().prop_map(Frame::Failed),
    ]
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let join = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 32]>(), vec(address(), 0..=16))
        .prop_map(|(mesh, invite, proof, addresses)| Hello::Join { mesh: MeshId(mesh), invite, proof, addresses });
    let meet = (any::<[[u8; 32]; 3]>(), any::<[u8; 16]>())
        .prop_map(|([mesh, proof, commitment], invite)| Hello::Meet { mesh: MeshId(mesh), invite, proof, commitment });
    let reveal = (any::<[u8; 16]>(), any::<[u8; 32]>(), vec(address(), 0..=16))
        .prop_map(|(invite, number, addresses)| Hello::Reveal { invite, number, addresses });
    prop_oneof![join, record().prop_map(Hello::Introduce), meet, reveal]
}

pub(crate) fn hello_reply() -> impl Strategy<Value = HelloReply> {
    let welcome = (signed(), vec(record(), 0..10), vec(signed(), 0..10), vec(signed(), 0..10)).prop_map(
        |(certificate, members, catalog, authority)| HelloReply::Welcome { certificate, members, catalog, authority },
    );
    let met = any::<[u8; 32]>().prop_map(HelloReply::Met);
    prop_oneof![welcome, sentence().prop_map(HelloReply::Refused), met, Just(HelloReply::Waiting)]
}

fn tensors() -> impl Strategy<Value = Vec<TensorSpec>> {
    let shape = vec(option::of(any::<u64>()), 0..=16);
    let tensor = ("[^\\p{Cc}]{0,60}", select(Datatype::ALL.to_vec()), shape)
        .prop_map(|(name, datatype, shape)| TensorSpec { name, datatype, shape });
    vec(tensor, 0..10)
}

fn golden() -> impl Strategy<Value = Golden> {
    let question = prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Question::Given),
        (any::<u64>(), any::<u32>()).prop_map(|(seed, rows)| Question::Drawn { seed, rows }),
    ];
    let answer = prop_oneof![
        (vec(any::<u8>(), 0..40), any::<u32>(), any::<u32>())
            .prop_map(|(outputs, relative, absolute)| KnownAnswer::Tensors { outputs, relative, absolute }),
        ".{0,40}".prop_map(KnownAnswer::Begins),
    ];
    (question, answer).prop_map(|(question, answer)| Golden { question, answer })
}

pub(crate) fn manifest() -> impl Strategy<Value = Manifest> {
    let io = prop_oneof![
        (tensors(), tensors()).prop_map(|(inputs, outputs)| ModelIo::Tensors { inputs, outputs }),
        any::<u32>().prop_map(|context_tokens| ModelIo::Language { context_tokens }),
    ];
    let formats = select(vec![ModelFormat::Onnx, ModelFormat::Gguf, ModelFormat::Stub]);
    let proof = (any::<u64>(), vec(golden(), 0..4));
    // Half of them have nothing that only the third form says.
    let term =
        prop_oneof![Just((0, None, String::new())), (any::<u64>(), option::of(any::<u64>()), "[^\\p{Cc}]{0,60}")];
    let said = (proof, term);
    (model(), digest(), any::<[u8; 32]>(), any::<u64>(), formats, "[^\\p{Cc}]{0,60}", io, node(), said).prop_map(
        |(name, digest, sha256, size, format, licence, io, publisher, ((memory, golden), term))| Manifest {
            name,
            digest,
            sha256,
            size: ByteCount(size),
            format,
            licence,
            io,
            memory: ByteCount(memory),
            golden,
            publisher,
            revision: term.0,
            expires: term.1.map(WallTime),
            signed_by: term.2,
        },
    )
}

pub(crate) fn invite() -> impl Strategy<Value = Invite> {
    (
        any::<[[u8; 32]; 2]>(),
        vec(address(), 0..=16),
        any::<[u8; 16]>(),
        site(),
        jurisdiction(),
        any::<u64>().prop_map(WallTime),
        proptest::option::of(any::<[[u8; 32]; 2]>()),
        option::of((select(vec![Comparison::Shown, Comparison::Typed]), roles(), option::of(site()))),
    )
        .prop_map(|([mesh, issuer], addresses, secret, site, jurisdiction, expires, pass, more)| Invite {
            mesh: MeshId(mesh),
            issuer: NodeId(issuer),
            addresses,
            secret,
            site,
            jurisdiction,
            expires,
            pass: pass.map(|[first, second]| crate::member::joined(&(first, second))),
            comparison: more.as_ref().map(|(comparison, ..)| *comparison),
            roles: more.as_ref().map_or(Roles::ALL, |(_, roles, _)| *roles),
            operator: more.and_then(|(.., name)| name).map(|name| Operator::parse(name.as_str()).unwrap()),
        })
}

fn witness() -> impl Strategy<Value = WitnessWord> {
    prop_oneof![
        ("[ -~]{0,200}", any::<u64>(), vec(any::<[u8; 32]>(), 0..130))
            .prop_filter("peers take so many", |(_, _, growth)| growth.len() <= crate::limits::MAX_GROWTH)
            .prop_map(|(checkpoint, from, growth)| WitnessWord::Asked { checkpoint, from, growth }),
        any::<u64>().prop_map(WitnessWord::Known),
        (any::<u64>(), "[ -~]{0,200}").prop_map(|(size, line)| WitnessWord::Signed { size, line }),
        any::<u64>().prop_map(WitnessWord::Refused),
    ]
}
