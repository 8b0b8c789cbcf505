//! Codes that belong together: what reads a body can fail in these ways, what asks a model in those.

use crate::errors::Code;

/// Reading a body.
pub(super) const BODY: &[Code] =
    &[Code::Malformed, Code::TooLarge, Code::WrongEncoding, Code::TooSlow, Code::Overloaded];

/// Reading the label, and letting the app in.
pub(super) const LABEL: &[Code] = &[Code::LabelLoosened, Code::LabelUnreadable, Code::NotAllowed, Code::LimitReached];

/// What a field of a body can be.
pub(super) const FIELDS: &[Code] = &[Code::Unsupported, Code::OutOfRange];

/// A request that is run once under its key.
pub(super) const KEYED: &[Code] =
    &[Code::OutOfRange, Code::KeyReused, Code::KeyBusy, Code::AnswerNotKept, Code::NotKeptByLaw];

/// Finding a model that does this kind of work.
pub(super) const MODEL: &[Code] = &[Code::UnknownModel, Code::WrongKind];

/// Having a request answered by the mesh.
pub(super) const MESH: &[Code] = &[
    Code::Unlawful,
    Code::UnlawfulThere,
    Code::Withheld,
    Code::ModelBroken,
    Code::ModelExpired,
    Code::Overloaded,
    Code::NoPower,
    Code::NoCapacity,
    Code::DeadlinePassed,
    Code::LedgerUnavailable,
    Code::BudgetSpent,
    Code::Barred,
    Code::Stopping,
    Code::KeyInUse,
    Code::NotAMember,
    Code::EngineFailed,
    Code::PlacesLost,
];
