//! Words that people compare when a node joins: they are the same on both screens if nobody stands between the two.
//!
//! What must stay true: they hang on a number that each side draws, and the joiner's is promised before the issuer's is
//! said and shown after it. So whoever plays the issuer to one and the joiner to the other has one guess in four
//! thousand million, and no computing beforehand improves it. A hash of the keys alone would fall to a search among keys.

use std::fmt;

use hither_types::id::{MeshId, NodeId};

#[cfg(test)]
mod tests;

/// How many are shown: 32 bits.
const COUNT: usize = 4;

/// What two nodes know of each other when they have met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encounter {
    pub(crate) mesh: MeshId,
    /// The name of the invite.
    pub(crate) invite: [u8; 16],
    pub(crate) issuer: NodeId,
    pub(crate) joiner: NodeId,
    pub(crate) issuer_number: [u8; 32],
    pub(crate) joiner_number: [u8; 32],
}

/// Four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words([u8; COUNT]);

/// What a joiner promises before it knows the number of the issuer.
pub(crate) fn commitment(number: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("hither join promise 1", number)
}

impl Encounter {
    /// The words of it.
    pub(crate) fn words(&self) -> Words {
        let Self { mesh, invite, issuer, joiner, issuer_number, joiner_number } = self;
        let all = [&mesh.0[..], invite, &issuer.0, &joiner.0, issuer_number, joiner_number].concat();
        let hash = blake3::derive_key("hither join words 1", &all);
        let [first, second, third, fourth, ..] = hash;
        Words([first, second, third, fourth])
    }
}

impl Words {
    /// Reads what somebody typed: the words in their order, apart by whatever is no letter.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let typed = text.to_ascii_lowercase();
        let typed = typed.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let numbers: Option<Vec<u8>> = typed.map(|word| LIST.binary_search(&word).ok()?.try_into().ok()).collect();
        Some(Self(numbers?.try_into().ok()?))
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|number| LIST[usize::from(*number)]).collect();
        f.write_str(&words.join(" "))
    }
}

/// Short words of everyday English that are told apart by their sound; in the order of the alphabet. A change of it is a
/// change of what two programs show: new words need a new context of the hash.
const LIST: [&str; 256] = [
    "acorn", "adder", "album", "alley", "amber", "anchor", "anvil", "apple", "apron", "arrow", "atlas", "autumn",
    "awning", "badge", "bagel", "bakery", "ballad", "bamboo", "banjo", "barley", "basil", "basket", "beacon", "beaver",
    "bell", "bench", "berry", "birch", "biscuit", "blanket", "blossom", "boat", "bonfire", "border", "bottle",
    "boulder", "branch", "bread", "bridge", "brook", "bucket", "buffalo", "button", "cabin", "cactus", "camel",
    "candle", "canoe", "canyon", "carpet", "castle", "cedar", "cello", "cherry", "chimney", "cider", "cinema",
    "circle", "clover", "cobalt", "coconut", "comet", "compass", "copper", "coral", "cotton", "cradle", "crane",
    "cricket", "crown", "crystal", "cushion", "dagger", "daisy", "dancer", "desert", "diamond", "dinner", "dolphin",
    "donkey", "dragon", "drum", "eagle", "earth", "elbow", "ember", "engine", "evening", "fable", "falcon", "farmer",
    "feather", "fennel", "fern", "ferry", "fiddle", "finger", "flamingo", "flute", "forest", "fossil", "fountain",
    "fox", "frost", "galaxy", "garden", "garlic", "gazelle", "ginger", "giraffe", "glacier", "goblet", "granite",
    "grape", "guitar", "gull", "hammer", "harbour", "harvest", "hazel", "hedge", "helmet", "heron", "hill", "hockey",
    "honey", "horizon", "hotel", "iceberg", "igloo", "indigo", "insect", "iron", "island", "ivory", "jacket", "jaguar",
    "jasmine", "jelly", "jigsaw", "jungle", "juniper", "kayak", "kettle", "kingdom", "kitten", "knight", "ladder",
    "lagoon", "lantern", "lapwing", "lemon", "lentil", "library", "lilac", "lizard", "llama", "lobster", "lotus",
    "magnet", "mango", "maple", "marble", "meadow", "melon", "mirror", "mitten", "monsoon", "mosaic", "mountain",
    "mustard", "napkin", "nectar", "needle", "nickel", "noodle", "nutmeg", "oasis", "ocean", "octopus", "olive",
    "onion", "opal", "orange", "orchid", "otter", "oyster", "paddle", "palace", "panda", "paper", "parrot", "pebble",
    "pelican", "pencil", "pepper", "piano", "picnic", "pigeon", "pillow", "pine", "planet", "plum", "pocket", "poem",
    "pond", "poppy", "potato", "prairie", "pumpkin", "quarry", "quilt", "rabbit", "radish", "raven", "ribbon", "river",
    "robin", "rocket", "saddle", "saffron", "salmon", "satchel", "saturn", "shadow", "sparrow", "spinach", "squirrel",
    "summer", "sunset", "swallow", "tailor", "teapot", "temple", "thistle", "ticket", "tiger", "timber", "tomato",
    "trumpet", "tulip", "tunnel", "turnip", "umbrella", "valley", "vanilla", "velvet", "violin", "volcano", "waffle",
    "walnut", "walrus", "window", "winter", "zebra", "zinc",
];
