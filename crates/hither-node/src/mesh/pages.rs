//! Lists that are longer than a message holds, as several messages.

use hither_types::member::{MemberRecord, Signed};
use hither_types::message::PeerMessage;
use hither_wire::limits::{MAX_CATALOG, MAX_MEMBERS, MAX_MESSAGE, MAX_ROLLOUTS};

/// What one message takes of a list, with room for its head.
const PAGE_BYTES: usize = MAX_MESSAGE / 2;

/// Members, in as many messages as they need; one if there are none.
pub(crate) fn of_members(records: Vec<MemberRecord>) -> Vec<PeerMessage> {
    pages(records, MAX_MEMBERS, PeerMessage::Members)
}

/// Entries of the catalog, in as many messages as they need; one if there are none.
pub(crate) fn of_catalog(entries: Vec<Signed>) -> Vec<PeerMessage> {
    pages(entries, MAX_CATALOG, PeerMessage::Catalog)
}

/// Words about versions, in as many messages as they need; one if there are none.
pub(crate) fn of_rollouts(words: Vec<Signed>) -> Vec<PeerMessage> {
    pages(words, MAX_ROLLOUTS, PeerMessage::Rollouts)
}

fn pages<T: Clone>(list: Vec<T>, most: usize, message: impl Fn(Vec<T>) -> PeerMessage) -> Vec<PeerMessage> {
    let (mut pages, mut page, mut bytes) = (Vec::new(), Vec::new(), 0);
    for element in list {
        // What cannot be encoded alone fails with the page that it is on, and whoever sends that says so.
        let size = hither_wire::encode_message(&message(vec![element.clone()])).map_or(0, |encoded| encoded.len());
        if !page.is_empty() && (page.len() >= most || bytes + size > PAGE_BYTES) {
            pages.push(message(std::mem::take(&mut page)));
            bytes = 0;
        }
        bytes += size;
        page.push(element);
    }
    if pages.is_empty() || !page.is_empty() {
        pages.push(message(page));
    }
    pages
}

#[cfg(test)]
mod tests {
    use hither_types::id::NodeId;

    use super::*;

    fn entry(number: u32, bytes: usize) -> Signed {
        let mut content = vec![0; bytes];
        content[..4].copy_from_slice(&number.to_le_bytes());
        Signed { signer: NodeId([1; 32]), bytes: content, signature: [2; 64] }
    }

    fn entries(pages: &[PeerMessage]) -> Vec<Signed> {
        let of_page = |page: &PeerMessage| match page {
            PeerMessage::Catalog(entries) => entries.clone(),
            other => panic!("no page of a catalog: {other:?}"),
        };
        pages.iter().flat_map(of_page).collect()
    }

    #[test]
    fn a_list_of_any_length_and_of_long_elements_fits_its_messages_and_stays_in_order() {
        for (count, bytes, expected) in [(0, 4, 1), (1, 4, 1), (256, 4, 1), (257, 4, 2), (1000, 4, 4), (64, 60_000, 8)]
        {
            let list: Vec<Signed> = (0..count).map(|number| entry(number, bytes)).collect();
            let pages = of_catalog(list.clone());
            assert_eq!((pages.len(), entries(&pages)), (expected, list));
            assert!(pages.iter().all(|page| hither_wire::encode_message(page).is_ok()), "{count} of {bytes} bytes");
        }
    }
}
