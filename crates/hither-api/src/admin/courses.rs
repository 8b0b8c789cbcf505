//! Files on their way, as JSON.

use hither_types::view::{ChunkCell, CourseView, View};
use serde::{Deserialize, Serialize};

/// A file on its way to the node that answers or, from it, to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Course"))]
pub struct CourseDto {
    /// Its digest, 64 hexadecimal digits.
    pub digest: String,
    /// The model; absent if the catalog does not name it.
    pub model: Option<String>,
    /// How many chunks the file has.
    pub chunks: u32,
    /// How many of them are here, verified.
    pub here: u32,
    /// How many are on their way here.
    pub coming: u32,
    /// How many are neither, and another node has them.
    pub elsewhere: u32,
    /// The file from its beginning to its end, at most 256 letters, each for as many chunks; the last may be for fewer. `h`:
    /// here; `c`: on its way here; `e`: at another node; `n`: at no node, as far as is known. A letter for several says how
    /// far the one is that is farthest from being here.
    pub cells: String,
    /// Who takes part besides.
    pub partners: Vec<CoursePartnerDto>,
}

/// A node that takes part in a file's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CoursePartner"))]
pub struct CoursePartnerDto {
    /// Its key, 64 hexadecimal digits.
    pub node: String,
    /// Its site; absent if it is no member any more.
    pub site: Option<String>,
    /// How many chunks it has, as far as is known.
    pub chunks: u32,
}

impl CourseDto {
    /// All of a picture.
    pub(super) fn all(view: &View) -> Vec<Self> {
        view.courses.iter().map(|course| Self::of(course, view)).collect()
    }

    fn of(course: &CourseView, view: &View) -> Self {
        let CourseView { digest, chunks, here, coming, elsewhere, cells, partners } = course;
        let model = view.models.iter().find(|model| model.digest == *digest);
        let site = |node| view.nodes.iter().find(|known| known.member.node == node).map(|known| &known.member.site);
        Self {
            digest: digest.to_string(),
            model: model.map(|model| model.name.to_string()),
            chunks: *chunks,
            here: *here,
            coming: *coming,
            elsewhere: *elsewhere,
            cells: cells.iter().map(|cell| letter(*cell)).collect(),
            partners: partners
                .iter()
                .map(|partner| CoursePartnerDto {
                    node: partner.node.to_string(),
                    site: site(partner.node).map(ToString::to_string),
                    chunks: partner.chunks,
                })
                .collect(),
        }
    }
}

fn letter(cell: ChunkCell) -> char {
    match cell {
        ChunkCell::Here => 'h',
        ChunkCell::Coming => 'c',
        ChunkCell::Elsewhere => 'e',
        ChunkCell::Nowhere => 'n',
    }
}
