//! The `[ladder]` of the configuration: families of models, each from the largest member to the smallest.
//!
//! What must stay true: a model is in one family at most, so that there is one answer to "what is smaller than this".

use std::collections::BTreeMap;

use hither_types::id::{ModelName, ParseIdError};

#[cfg(test)]
mod tests;

/// What the file says: the name of a family, and its models.
pub(crate) type LadderSection = BTreeMap<String, Vec<String>>;

/// Why a ladder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LadderError {
    /// Nothing is smaller than the only member.
    #[error("family {family} has {members} of the two models or more that it needs, the largest first")]
    TooFew {
        /// The family.
        family: String,
        /// How many it has.
        members: usize,
    },
    /// A member cannot be a model.
    #[error("family {family} names what cannot be a model")]
    Name {
        /// The family.
        family: String,
        /// What is wrong with the name.
        #[source]
        source: ParseIdError,
    },
    /// A model stands twice in one family.
    #[error("family {family} names {model} twice")]
    Twice {
        /// The family.
        family: String,
        /// The model.
        model: ModelName,
    },
    /// A model stands in two families.
    #[error("model {model} is in two families, {first} and {second}; it can be in one")]
    TwoFamilies {
        /// The model.
        model: ModelName,
        /// One family.
        first: String,
        /// The other.
        second: String,
    },
}

/// Checks the families, and gives them as the mind takes them.
pub(crate) fn families(section: LadderSection) -> Result<Vec<Vec<ModelName>>, LadderError> {
    let mut home: BTreeMap<ModelName, String> = BTreeMap::new();
    let mut families = Vec::with_capacity(section.len());
    for (family, members) in section {
        if members.len() < 2 {
            return Err(LadderError::TooFew { members: members.len(), family });
        }
        let mut models = Vec::with_capacity(members.len());
        for member in members {
            let model =
                ModelName::parse(&member).map_err(|source| LadderError::Name { family: family.clone(), source })?;
            match home.insert(model.clone(), family.clone()) {
                None => models.push(model),
                Some(first) if first == family => return Err(LadderError::Twice { family, model }),
                Some(first) => return Err(LadderError::TwoFamilies { model, first, second: family }),
            }
        }
        families.push(models);
    }
    Ok(families)
}
