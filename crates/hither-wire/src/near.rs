//! Reports of how far members are.

use hither_types::id::{MeshId, NodeId};
use hither_types::near::{NearReport, NearSample};
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::List;
use crate::limits::MAX_NEAR_SAMPLES;

#[derive(Serialize, Deserialize)]
pub(crate) struct ReportForm {
    mesh: [u8; 32],
    at: u64,
    samples: List<SampleForm, MAX_NEAR_SAMPLES>,
}

impl TryFrom<&NearReport> for ReportForm {
    type Error = EncodeError;

    fn try_from(report: &NearReport) -> Result<Self, EncodeError> {
        let NearReport { mesh, at, samples } = report;
        Ok(Self { mesh: mesh.0, at: at.0, samples: List::of("measured members", samples)? })
    }
}

impl TryFrom<ReportForm> for NearReport {
    type Error = DecodeError;

    fn try_from(form: ReportForm) -> Result<Self, DecodeError> {
        Ok(Self { mesh: MeshId(form.mesh), at: WallTime(form.at), samples: form.samples.into_words()? })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SampleForm {
    node: [u8; 32],
    incarnation: u64,
    rtt: u64,
    at: u64,
    before: Option<u64>,
}

impl From<&NearSample> for SampleForm {
    fn from(sample: &NearSample) -> Self {
        let NearSample { node, incarnation, rtt, at, before } = *sample;
        Self { node: node.0, incarnation, rtt: rtt.0, at: at.0, before: before.map(|rtt| rtt.0) }
    }
}

impl From<SampleForm> for NearSample {
    fn from(form: SampleForm) -> Self {
        let SampleForm { node, incarnation, rtt, at, before } = form;
        Self { node: NodeId(node), incarnation, rtt: Micros(rtt), at: WallTime(at), before: before.map(Micros) }
    }
}
