//! Words about witnesses of ledgers. The order of the variants is part of the form: new ones go to the end.

use hither_types::witness::WitnessWord;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::limits::{MAX_GROWTH, MAX_NOTE};

#[derive(Serialize, Deserialize)]
pub(crate) enum WitnessForm<'a> {
    Asked { checkpoint: &'a str, from: u64, growth: Vec<[u8; 32]> },
    Known(u64),
    Signed { size: u64, line: &'a str },
    Refused(u64),
}

impl<'a> TryFrom<&'a WitnessWord> for WitnessForm<'a> {
    type Error = EncodeError;

    fn try_from(word: &'a WitnessWord) -> Result<Self, EncodeError> {
        let bounded = |form, size: usize, most: usize| match size > most {
            true => Err(EncodeError::TooLarge { form, size, most }),
            false => Ok(()),
        };
        Ok(match word {
            WitnessWord::Asked { checkpoint, from, growth } => {
                bounded("a checkpoint", checkpoint.len(), MAX_NOTE)?;
                bounded("the growth of a ledger", growth.len(), MAX_GROWTH)?;
                Self::Asked { checkpoint, from: *from, growth: growth.clone() }
            }
            WitnessWord::Known(size) => Self::Known(*size),
            WitnessWord::Signed { size, line } => {
                bounded("the line of a witness", line.len(), MAX_NOTE)?;
                Self::Signed { size: *size, line }
            }
            WitnessWord::Refused(size) => Self::Refused(*size),
        })
    }
}

impl TryFrom<WitnessForm<'_>> for WitnessWord {
    type Error = DecodeError;

    fn try_from(form: WitnessForm<'_>) -> Result<Self, DecodeError> {
        let bounded = |form, size: usize, most: usize| match size > most {
            true => Err(DecodeError::TooLarge { form, size, most }),
            false => Ok(()),
        };
        Ok(match form {
            WitnessForm::Asked { checkpoint, from, growth } => {
                bounded("a checkpoint", checkpoint.len(), MAX_NOTE)?;
                bounded("the growth of a ledger", growth.len(), MAX_GROWTH)?;
                Self::Asked { checkpoint: checkpoint.to_owned(), from, growth }
            }
            WitnessForm::Known(size) => Self::Known(size),
            WitnessForm::Signed { size, line } => {
                bounded("the line of a witness", line.len(), MAX_NOTE)?;
                Self::Signed { size, line: line.to_owned() }
            }
            WitnessForm::Refused(size) => Self::Refused(size),
        })
    }
}
