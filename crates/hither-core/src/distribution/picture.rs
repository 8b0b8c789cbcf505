//! What a person is shown of a file on its way.

use hither_types::id::Digest;
use hither_types::view::{ChunkCell, CoursePartner, CourseView};

use super::Distribution;
use crate::limits;

impl Distribution {
    /// How far the file is, in at most [`limits::CHUNK_CELLS`] cells.
    pub fn picture(&self, digest: Digest) -> CourseView {
        let chunks: Vec<ChunkCell> = (0..self.most).map(|chunk| self.cell(chunk)).collect();
        let count = |wanted: ChunkCell| chunks.iter().filter(|cell| **cell == wanted).count() as u32;
        let each = chunks.len().div_ceil(limits::CHUNK_CELLS).max(1);
        let partners = self.partners.iter();
        CourseView {
            digest,
            chunks: self.most,
            here: count(ChunkCell::Here),
            coming: count(ChunkCell::Coming),
            elsewhere: count(ChunkCell::Elsewhere),
            cells: chunks.chunks(each).filter_map(|some| some.iter().min().copied()).collect(),
            partners: partners
                .map(|(node, partner)| CoursePartner { node: *node, near: partner.near, chunks: partner.have.count() })
                .collect(),
        }
    }

    fn cell(&self, chunk: u32) -> ChunkCell {
        if self.have.has(chunk) {
            ChunkCell::Here
        } else if self.taking.contains_key(&chunk) {
            ChunkCell::Coming
        } else if self.copies.get(chunk as usize).is_some_and(|copies| *copies > 0) {
            ChunkCell::Elsewhere
        } else {
            ChunkCell::Nowhere
        }
    }
}
