//! Reports of how far members are.

use hither_types::id::{MeshId, NodeId};
use hither_types::near::{NearReport, NearSample};
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::List;
use crate::limits::{MAX_NEAR_RTT, MAX_NEAR_SAMPLES};

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

impl TryFrom<SampleForm> for NearSample {
    type Error = DecodeError;

    fn try_from(form: SampleForm) -> Result<Self, DecodeError> {
        let SampleForm { node, incarnation, rtt, at, before } = form;
        if rtt.max(before.unwrap_or(0)) > MAX_NEAR_RTT {
            return Err(DecodeError::Malformed { form: "a report of round trips" });
        }
        let before = before.map(Micros);
        Ok(Self { node: NodeId(node), incarnation, rtt: Micros(rtt), at: WallTime(at), before })
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_NEAR_RTT, MeshId, Micros, NearReport, NearSample, NodeId, WallTime};
    use crate::{decode_near_report, encode_near_report};

    #[test]
    fn a_round_trip_of_more_than_a_minute_is_refused() {
        let read = |rtt, before: Option<u64>| {
            let (rtt, before) = (Micros(rtt), before.map(Micros));
            let sample = NearSample { node: NodeId([1; 32]), incarnation: 256, rtt, at: WallTime(7), before };
            let report = NearReport { mesh: MeshId([2; 32]), at: WallTime(8), samples: vec![sample] };
            decode_near_report(&encode_near_report(&report).unwrap())
        };
        assert!(read(MAX_NEAR_RTT, None).is_ok());
        assert!(read(MAX_NEAR_RTT, Some(MAX_NEAR_RTT)).is_ok());
        assert!(read(MAX_NEAR_RTT + 1, None).is_err());
        assert!(read(9, Some(u64::MAX)).is_err());
    }
}
