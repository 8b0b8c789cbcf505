//! What a decision costs the mind that makes it: requests that start here, one after the other, in a node that knows many.
//!
//! `cargo run --release -p hither-sim --example decide` prints quantiles of the time of `Core::handle`. For instructions:
//! `valgrind --tool=callgrind --toggle-collect='*hither_core::machine::Core::handle*' decide 2000`.

use hither_types::time::Day;
use std::sync::Arc;
use std::time::Instant;

use hither_core::{Action, Config, Core, Event, LocalModel, PullPolicy};
use hither_types::id::{AppName, Digest, MeshId, ModelName, NodeId, Operator, RequestId, SiteName};
use hither_types::label::{DataClass, Label};
use hither_types::member::{Member, Roles};
use hither_types::message::{ModelPresence, ModelStage, Presence};
use hither_types::model::{Device, Manifest, ModelFormat, ModelIo};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::request::{Cost, Envelope, Priority, Quality, RequestKind};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::{ByteCount, Micros, Milliwatts};

const PEERS: u64 = 192;
const SLOTS: u16 = 8;
const MODEL: Digest = Digest([7; 32]);
const LAW: &str = r#"
version = 1
[default]
unlabelled = "special"
[[permit]]
id = "home"
action = ["infer"]
class = ["public", "internal", "personal"]
[[permit]]
id = "models"
action = ["replicate"]
"#;

fn member(number: u64) -> Member {
    let mut node = [0; 32];
    // Spread as keys are.
    node[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Member {
        node: NodeId(node),
        mesh: MeshId([9; 32]),
        site: SiteName::parse(&format!("site-{number}")).expect("a name"),
        jurisdiction: Jurisdiction::parse("DE").expect("a country"),
        control: None,
        operator: Operator::parse("acme").expect("a name"),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    }
}

/// A node that knows many and holds a model.
fn node(model: &ModelName) -> Core {
    let mut core = Core::new(Config {
        me: member(0),
        policy: Arc::new(hither_law::parse(LAW, Day(0)).expect("the law is well formed")),
        seed: 7,
        incarnation: 1,
        cap: Milliwatts::from_watts(500),
        idle: Milliwatts::from_watts(10),
        pull: PullPolicy::Manual,
        memory: None,
        ladder: Vec::new(),
        announce_every: Micros::from_millis(500),
        traces: 1000,
        settled: Timestamp(0),
        near: hither_core::limits::NEAR_RTT,
    });
    let mut tell = |event| core.handle(event, Timestamp(0)).for_each(drop);
    tell(Event::Catalogued(Manifest {
        name: model.clone(),
        digest: MODEL,
        sha256: [0; 32],
        size: ByteCount(1),
        format: ModelFormat::Stub,
        licence: "MIT".to_owned(),
        io: ModelIo::Language { context_tokens: 2048 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: member(0).node,
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }));
    for number in 1..=PEERS {
        tell(Event::MemberAdded(member(number)));
        let held = ModelPresence {
            digest: MODEL,
            stage: ModelStage::Ready,
            device: Device::Cpu,
            slots: SLOTS,
            busy: 1,
            queued: 0,
            service: Micros(5000),
        };
        let presence = Presence {
            incarnation: 1,
            sequence: 1,
            models: vec![held],
            power: Milliwatts(0),
            cap: Milliwatts(0),
            policy: Digest([1; 32]),
            placing: None,
        };
        tell(Event::Presence { from: member(number).node, presence: Arc::new(presence) });
    }
    tell(Event::ModelStored(MODEL));
    tell(Event::ModelReady(LocalModel {
        digest: MODEL,
        slots: SLOTS,
        slot_power: Milliwatts::from_watts(10),
        memory: None,
        device: Device::Cpu,
    }));
    core
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let model = ModelName::parse("fraud").expect("a name");
    let mut core = node(&model);
    let envelope = Envelope {
        app: AppName::parse("till").expect("a name"),
        model,
        label: Label { class: DataClass::Personal, tags: vec![], subjects: vec![], purpose: None },
        kind: RequestKind::Infer,
        size: ByteCount(1000),
        priority: Priority::Normal,
        prefer: None,
        quality: Quality::Exact,
    };
    let mut running = std::collections::VecDeque::new();
    let mut decisions = Vec::with_capacity(count as usize);
    let mut events = 0;
    for number in 0..count {
        let now = Timestamp(1_000_000 + number * 1000);
        let event = Event::Submitted {
            request: RequestId(u128::from(number) + 1),
            envelope: envelope.clone(),
            deadline: now.after(Micros::from_millis(1000)),
            affinity: None,
        };
        let began = Instant::now();
        let actions = core.handle(event, now);
        // The list of actions is made when `handle` returns; to read it is the driver's part.
        let took = began.elapsed();
        let before = running.len();
        running.extend(actions.filter_map(|action| match action {
            Action::Run { task, .. } => Some(task),
            _ => None,
        }));
        assert_eq!(running.len(), before + 1, "each request starts here at once");
        decisions.push(took.as_nanos() as u64);
        events += 1;
        if running.len() > 4 {
            let task = running.pop_front().expect("some run");
            core.handle(Event::Done { task, cost: Cost::default() }, now.after(Micros(500))).for_each(drop);
            events += 1;
        }
        while core.deadline().is_some_and(|due| due <= now) {
            core.handle(Event::Tick, now).for_each(drop);
            events += 1;
        }
    }
    decisions.sort_unstable();
    let quantile = |permille: usize| decisions[(decisions.len() - 1) * permille / 1000];
    println!(
        "{count} decisions to start here, {PEERS} members known, {events} events in all; Core::handle for a decision: \
         p50 {} ns, p99 {} ns, p99.9 {} ns",
        quantile(500),
        quantile(990),
        quantile(999)
    );
}
