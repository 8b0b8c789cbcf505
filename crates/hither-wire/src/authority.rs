//! Entries of the authority log. The order of the variants is part of the form: new ones go to the end.

use hither_types::authority::{AuthorityEntry, Statement};
use hither_types::id::{MeshId, NodeId};
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{List, Text};
use crate::limits::MAX_WITHIN;
use crate::member::SignedForm;

#[derive(Serialize, Deserialize)]
pub(crate) struct EntryForm<'a> {
    mesh: [u8; 32],
    number: u64,
    previous: [u8; 32],
    at: u64,
    #[serde(borrow)]
    statement: StatementForm<'a>,
}

#[derive(Serialize, Deserialize)]
enum StatementForm<'a> {
    Found {
        nonce: [u8; 16],
    },
    Revoke {
        node: [u8; 32],
    },
    Appoint {
        node: [u8; 32],
        #[serde(borrow)]
        within: List<Text<'a>, MAX_WITHIN>,
    },
    Dismiss {
        node: [u8; 32],
        keep: u64,
    },
    Leave {
        #[serde(borrow)]
        certificate: SignedForm<'a>,
    },
}

impl<'a> TryFrom<&'a AuthorityEntry> for EntryForm<'a> {
    type Error = EncodeError;

    fn try_from(entry: &'a AuthorityEntry) -> Result<Self, EncodeError> {
        let AuthorityEntry { mesh, number, previous, at, statement } = entry;
        let statement = match statement {
            Statement::Found { nonce } => StatementForm::Found { nonce: *nonce },
            Statement::Revoke { node } => StatementForm::Revoke { node: node.0 },
            Statement::Appoint { node, within } => StatementForm::Appoint {
                node: node.0,
                within: List::of("jurisdictions that one issuer lets others in from", within)?,
            },
            Statement::Dismiss { node, keep } => StatementForm::Dismiss { node: node.0, keep: *keep },
            Statement::Leave { certificate } => StatementForm::Leave { certificate: certificate.into() },
        };
        Ok(Self { mesh: mesh.0, number: *number, previous: *previous, at: at.0, statement })
    }
}

impl TryFrom<EntryForm<'_>> for AuthorityEntry {
    type Error = DecodeError;

    fn try_from(form: EntryForm<'_>) -> Result<Self, DecodeError> {
        let statement = match form.statement {
            StatementForm::Found { nonce } => Statement::Found { nonce },
            StatementForm::Revoke { node } => Statement::Revoke { node: NodeId(node) },
            StatementForm::Appoint { node, within } => {
                Statement::Appoint { node: NodeId(node), within: within.into_words()? }
            }
            StatementForm::Dismiss { node, keep } => Statement::Dismiss { node: NodeId(node), keep },
            StatementForm::Leave { certificate } => Statement::Leave { certificate: certificate.into() },
        };
        let EntryForm { mesh, number, previous, at, .. } = form;
        Ok(Self { mesh: MeshId(mesh), number, previous, at: WallTime(at), statement })
    }
}
