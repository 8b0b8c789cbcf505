//! How commands and reports look as bytes.

use hither_types::model::{Device, ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use hither_types::unit::{ByteCount, Micros, Millijoules};
use serde::{Deserialize, Serialize};

use super::{Command, Report};
use crate::engine::{JobFault, JobId, Loaded};
use crate::limits::{MAX_RANK, MAX_TENSORS, MAX_TOKEN_IDS};
use crate::work::DecodeError;
use crate::work::form::{Blob, append as append_form, bounded, datatype_from_form, datatype_to_form};

#[derive(Serialize, Deserialize)]
enum CommandForm<'a> {
    Run {
        job: u64,
        #[serde(borrow)]
        payload: Blob<'a>,
        #[serde(deserialize_with = "bounded::<_, _, MAX_TOKEN_IDS>")]
        resume: Vec<u32>,
    },
    Cancel(u64),
    Stop,
}

#[derive(Serialize, Deserialize)]
enum ReportForm<'a> {
    Ready {
        #[serde(borrow)]
        io: IoForm<'a>,
        slots: u16,
        batch: u16,
        device: u8,
        fallback: Option<&'a str>,
        engine: &'a str,
    },
    LoadFailed(&'a str),
    Piece {
        job: u64,
        #[serde(borrow)]
        bytes: Blob<'a>,
    },
    Progress(u64),
    Done(u64, CostForm),
    Failed(u64, FaultForm<'a>),
}

#[derive(Serialize, Deserialize)]
enum IoForm<'a> {
    Tensors(#[serde(borrow)] SpecsForm<'a>, #[serde(borrow)] SpecsForm<'a>),
    Language(u32),
}

#[derive(Serialize, Deserialize)]
struct SpecsForm<'a>(#[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TENSORS>")] Vec<SpecForm<'a>>);

#[derive(Serialize, Deserialize)]
struct SpecForm<'a>(&'a str, u8, #[serde(deserialize_with = "bounded::<_, _, MAX_RANK>")] Vec<Option<u64>>);

#[derive(Serialize, Deserialize)]
struct CostForm(u64, u64, u64, u32, u32, u64, u64);

#[derive(Serialize, Deserialize)]
enum FaultForm<'a> {
    Tensor(&'a str),
    ContextOverflow(u32, u32),
    Other(&'a str),
    Engine(&'a str),
}

pub(super) fn append_command(out: &mut Vec<u8>, command: &Command) {
    append(
        out,
        &match command {
            Command::Run { job, payload, resume } => {
                CommandForm::Run { job: job.0, payload: Blob(payload), resume: resume.clone() }
            }
            Command::Cancel { job } => CommandForm::Cancel(job.0),
            Command::Stop => CommandForm::Stop,
        },
    );
}

pub(super) fn read_command(body: &[u8]) -> Result<Command, DecodeError> {
    Ok(match read(body, "a command for a worker")? {
        CommandForm::Run { job, payload, resume } => {
            Command::Run { job: JobId(job), payload: payload.0.to_owned(), resume }
        }
        CommandForm::Cancel(job) => Command::Cancel { job: JobId(job) },
        CommandForm::Stop => Command::Stop,
    })
}

pub(super) fn append_report(out: &mut Vec<u8>, report: &Report) {
    append(
        out,
        &match report {
            Report::Ready(loaded) => ReportForm::Ready {
                io: io_to_form(&loaded.io),
                slots: loaded.slots,
                batch: loaded.batch,
                device: device_to_form(loaded.device),
                fallback: loaded.fallback.as_deref(),
                engine: &loaded.engine,
            },
            Report::LoadFailed(why) => ReportForm::LoadFailed(why),
            Report::Piece { job, bytes } => ReportForm::Piece { job: job.0, bytes: Blob(bytes) },
            Report::Progress { job } => ReportForm::Progress(job.0),
            Report::Done { job, cost } => ReportForm::Done(job.0, cost_to_form(*cost)),
            Report::Failed { job, fault } => ReportForm::Failed(job.0, fault_to_form(fault)),
        },
    );
}

pub(super) fn read_report(body: &[u8]) -> Result<Report, DecodeError> {
    const WHAT: &str = "a report of a worker";
    Ok(match read(body, WHAT)? {
        ReportForm::Ready { io, slots, batch, device, fallback, engine } => {
            let io = io_from_form(io).ok_or(DecodeError::Malformed(WHAT))?;
            let device = device_from_form(device).ok_or(DecodeError::Malformed(WHAT))?;
            let (fallback, engine) = (fallback.map(str::to_owned), engine.to_owned());
            Report::Ready(Loaded { io, slots, batch, device, fallback, engine })
        }
        ReportForm::LoadFailed(why) => Report::LoadFailed(why.to_owned()),
        ReportForm::Piece { job, bytes } => Report::Piece { job: JobId(job), bytes: bytes.0.to_owned() },
        ReportForm::Progress(job) => Report::Progress { job: JobId(job) },
        ReportForm::Done(job, cost) => Report::Done { job: JobId(job), cost: cost_from_form(cost) },
        ReportForm::Failed(job, fault) => Report::Failed { job: JobId(job), fault: fault_from_form(fault) },
    })
}

fn append(out: &mut Vec<u8>, form: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    *out = append_form(form, std::mem::take(out));
    let length = u32::try_from(out.len() - start - 4).expect("a frame is far smaller than 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &'static str) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((form, [])) => Ok(form),
        Ok(_) | Err(_) => Err(DecodeError::Malformed(what)),
    }
}

impl<'a> From<&'a TensorSpec> for SpecForm<'a> {
    fn from(spec: &'a TensorSpec) -> Self {
        Self(&spec.name, datatype_to_form(spec.datatype), spec.shape.clone())
    }
}

fn io_to_form(io: &ModelIo) -> IoForm<'_> {
    fn list(specs: &[TensorSpec]) -> SpecsForm<'_> {
        SpecsForm(specs.iter().map(SpecForm::from).collect())
    }
    match io {
        ModelIo::Tensors { inputs, outputs } => IoForm::Tensors(list(inputs), list(outputs)),
        ModelIo::Language { context_tokens } => IoForm::Language(*context_tokens),
    }
}

fn io_from_form(form: IoForm<'_>) -> Option<ModelIo> {
    fn list(forms: SpecsForm<'_>) -> Option<Vec<TensorSpec>> {
        let spec = |SpecForm(name, datatype, shape): SpecForm<'_>| {
            Some(TensorSpec { name: name.to_owned(), datatype: datatype_from_form(datatype)?, shape })
        };
        forms.0.into_iter().map(spec).collect()
    }
    Some(match form {
        IoForm::Tensors(inputs, outputs) => ModelIo::Tensors { inputs: list(inputs)?, outputs: list(outputs)? },
        IoForm::Language(context_tokens) => ModelIo::Language { context_tokens },
    })
}

fn device_to_form(device: Device) -> u8 {
    match device {
        Device::Cpu => 0,
        Device::Gpu => 1,
        Device::Npu => 2,
    }
}

fn device_from_form(code: u8) -> Option<Device> {
    [Device::Cpu, Device::Gpu, Device::Npu].into_iter().find(|device| device_to_form(*device) == code)
}

fn cost_to_form(cost: Cost) -> CostForm {
    let Cost { queued, prefill, decode, prompt_tokens, output_tokens, answer, energy } = cost;
    CostForm(queued.0, prefill.0, decode.0, prompt_tokens, output_tokens, answer.0, energy.0)
}

fn cost_from_form(form: CostForm) -> Cost {
    let CostForm(queued, prefill, decode, prompt_tokens, output_tokens, answer, energy) = form;
    Cost {
        queued: Micros(queued),
        prefill: Micros(prefill),
        decode: Micros(decode),
        prompt_tokens,
        output_tokens,
        answer: ByteCount(answer),
        energy: Millijoules(energy),
    }
}

fn fault_to_form(fault: &JobFault) -> FaultForm<'_> {
    match fault {
        JobFault::Input(InputFault::Tensor(text)) => FaultForm::Tensor(text),
        JobFault::Input(InputFault::ContextOverflow { prompt_tokens, context_tokens }) => {
            FaultForm::ContextOverflow(*prompt_tokens, *context_tokens)
        }
        JobFault::Input(InputFault::Other(text)) => FaultForm::Other(text),
        JobFault::Engine(text) => FaultForm::Engine(text),
    }
}

fn fault_from_form(form: FaultForm<'_>) -> JobFault {
    match form {
        FaultForm::Tensor(text) => JobFault::Input(InputFault::Tensor(text.to_owned())),
        FaultForm::ContextOverflow(prompt_tokens, context_tokens) => {
            JobFault::Input(InputFault::ContextOverflow { prompt_tokens, context_tokens })
        }
        FaultForm::Other(text) => JobFault::Input(InputFault::Other(text.to_owned())),
        FaultForm::Engine(text) => JobFault::Engine(text.to_owned()),
    }
}
