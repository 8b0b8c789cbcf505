//! A "no" is a value with its reason. A failure is an event with its cause.

use std::fmt;

use crate::filter::Withheld;
use crate::id::{ModelName, NodeId, SiteName};
use crate::label::DataClass;
use crate::law::{Denial, LawAction};
use crate::place::Jurisdiction;
use crate::spending::Budget;
use crate::time::WallTime;
use crate::unit::{Micros, Milliwatts};

/// One place that the law left out, for a person who asks why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeniedPlace {
    /// The place.
    pub node: NodeId,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// What the law does not allow there.
    pub action: LawAction,
    /// Why.
    pub denial: Denial,
}

/// Why a request is not served. Every variant becomes an HTTP status and a text in `hither-api`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nobody in the mesh has such a model (404).
    UnknownModel(ModelName),
    /// Places hold the model, and the law allows none of them (451).
    Unlawful {
        /// The model.
        model: ModelName,
        /// The class of the data.
        class: DataClass,
        /// The places that hold the model, each with its denial; at most 8.
        denied: Vec<DeniedPlace>,
    },
    /// The target's own law said no, though the origin's allowed it (451).
    UnlawfulThere(Denial),
    /// Too much is asked for (429).
    Overloaded {
        /// When trying again makes sense.
        retry_after: Micros,
    },
    /// The site's power budget leaves no slot (503).
    NoPower {
        /// The cap in force.
        cap: Milliwatts,
    },
    /// Lawful places hold the model, and none can serve it now (503).
    NoCapacity {
        /// How many lawful places were tried or known.
        tried: u8,
    },
    /// The deadline passed (504).
    DeadlinePassed,
    /// The ledger cannot record an egress, so nothing leaves (503).
    LedgerUnavailable,
    /// The model is stored here and cannot be loaded (500).
    ModelBroken(ModelName),
    /// The sender is not a member, or the envelope is not believable.
    NotAMember,
    /// The node is stopping (503).
    Stopping,
    /// Another program runs with the key of this node, and was started before it (503).
    KeyInUse,
    /// The model's entry in the catalog has expired: it must not be used any more (410). Peers are not told so, for programs
    /// of the release before do not know the word: to them the model is unknown.
    ModelExpired {
        /// The model.
        model: ModelName,
        /// Since when.
        ended: WallTime,
    },
    /// Places could serve it, and what may go there today is spent (429). Of this node's own budgets alone: no peer says so.
    BudgetSpent {
        /// The first budget that leaves no room.
        budget: Budget,
        /// How long until the next day begins.
        renewed: Micros,
    },
    /// The filter of a server outside the mesh lets nothing of the request go there (422). It is this node's own, and no peer
    /// is ever told.
    Withheld {
        /// The server.
        site: SiteName,
        /// Why.
        why: Withheld,
    },
    /// A server outside the mesh does not take this node's key, or failed time after time, and is left alone for a while
    /// (503). It is this node's own, and no peer is ever told.
    Barred {
        /// The server.
        site: SiteName,
        /// Why.
        why: Bar,
        /// When it is asked again. Of no meaning where the driver says it: the mind decides.
        again: Micros,
    },
    /// No server outside the mesh that may be asked trains the model, or the one that was named does not (404). It is this
    /// node's own, and no peer is ever told.
    NotTrained {
        /// The model.
        model: ModelName,
        /// The server that was named, if one was.
        site: Option<SiteName>,
    },
}

/// Why a server outside the mesh is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bar {
    /// It does not let this node in; the HTTP status of its answer. Nothing was done.
    Key(u16),
    /// It has no such model. Nothing was done.
    NoModel,
    /// It failed several times in a row.
    Failing,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(status) => write!(f, "it refuses the key of this node (HTTP {status})"),
            Self::NoModel => f.write_str("it has no model of that name (HTTP 404)"),
            Self::Failing => f.write_str("it failed several times in a row"),
        }
    }
}

/// Why an attempt ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The request itself is wrong (400): the same everywhere, never retried.
    BadInput(InputFault),
    /// The place refused.
    Declined(Refusal),
    /// There is no worker any more: it was stopped, or ended before the request came to it.
    EngineLost,
    /// The engine failed inside.
    Engine(String),
    /// The peer could not be reached, or its stream broke.
    Unreachable,
    /// No frame for three beats.
    Silent,
    /// Beats without progress.
    Stuck,
    /// The worker ended under the request.
    EngineCrashed(Crash),
    /// An answer broke off of which the client has a part, and no other place can go on with it: an endpoint outside the
    /// mesh does not tell the tokens it said.
    Severed(String),
}

/// How a worker ended that nobody had stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crash {
    /// It was killed by this signal: by the kernel for what it did, or by somebody.
    Signal(u8),
    /// It ended by itself, with this exit status.
    Exit(u8),
    /// It had work and said nothing for too long, so its node killed it.
    Hung,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Exit(status) => return write!(f, "ended with exit status {status}"),
            Self::Hung => return f.write_str("said nothing for too long, and was killed"),
            // The numbers of Linux, the same on every processor that Hither runs on.
            Self::Signal(signal) => match signal {
                4 => "SIGILL (an instruction that this processor does not have)",
                5 => "SIGTRAP",
                6 => "SIGABRT (it gave up by itself, perhaps for want of memory)",
                7 => "SIGBUS (its model file changed or cannot be read)",
                8 => "SIGFPE",
                9 => "SIGKILL (by the kernel for want of memory, or by somebody)",
                11 => "SIGSEGV",
                15 => "SIGTERM",
                31 => "SIGSYS",
                other => return write!(f, "was killed by signal {other}"),
            },
        };
        write!(f, "was killed by {name}")
    }
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InputFault {
    /// A tensor is missing, extra, or of the wrong type or shape; the text says which and what was expected.
    Tensor(String),
    /// Prompt and answer do not fit the context.
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// What the model takes.
        context_tokens: u32,
    },
    /// Another fault of the request, in one sentence.
    Other(String),
}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(text) | Self::Other(text) => f.write_str(text),
            Self::ContextOverflow { prompt_tokens, context_tokens } => write!(
                f,
                "the prompt has {prompt_tokens} tokens, and the model takes {context_tokens} for prompt and answer together"
            ),
        }
    }
}
