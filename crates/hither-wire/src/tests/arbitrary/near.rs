//! Any report of round trips.

use hither_types::id::MeshId;
use hither_types::near::{NearReport, NearSample};
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any};

use super::node;
use crate::limits::{MAX_NEAR_RTT, MAX_NEAR_SAMPLES};

fn sample() -> impl Strategy<Value = NearSample> {
    let rtt = || 0..=MAX_NEAR_RTT;
    (node(), any::<[u64; 2]>(), rtt(), option::of(rtt())).prop_map(|(node, [incarnation, at], rtt, before)| {
        NearSample { node, incarnation, rtt: Micros(rtt), at: WallTime(at), before: before.map(Micros) }
    })
}

pub(crate) fn near_report() -> impl Strategy<Value = NearReport> {
    (any::<[u8; 32]>(), any::<u64>(), vec(sample(), 0..=MAX_NEAR_SAMPLES)).prop_map(|(mesh, at, samples)| NearReport {
        mesh: MeshId(mesh),
        at: WallTime(at),
        samples,
    })
}
