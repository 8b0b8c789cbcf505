//! Any entry of the authority log.

use hither_types::authority::{
    AuthorityEntry, Change, Issuer, Publication, PublishedPolicy, Quorum, Range, Scope, Statement,
};
use hither_types::id::{Digest, MeshId, Operator};
use hither_types::time::WallTime;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof};

use super::{jurisdiction, node, roles, signed};

fn operators() -> impl Strategy<Value = Vec<Operator>> {
    vec("[A-Za-z0-9._-]{1,63}".prop_map(|name| Operator::parse(&name).unwrap()), 0..=16)
}

fn publication() -> impl Strategy<Value = Publication> {
    let policy = option::of((any::<[u8; 32]>(), any::<u32>()));
    (policy, vec(jurisdiction(), 0..=64), operators()).prop_map(|(policy, within, operators)| Publication {
        policy: policy.map(|(digest, version)| PublishedPolicy { digest: Digest(digest), version }),
        range: Range { within, operators },
    })
}

fn issuer() -> impl Strategy<Value = Issuer> {
    (node(), vec(jurisdiction(), 0..=64), operators(), roles())
        .prop_map(|(node, within, operators, roles)| Issuer { node, scope: Scope { within, operators, roles } })
}

fn quorum() -> impl Strategy<Value = Quorum> {
    (any::<u8>(), vec(node(), 0..=16)).prop_map(|(needed, approvers)| Quorum { needed, approvers })
}

pub(crate) fn authority_entry() -> impl Strategy<Value = AuthorityEntry> {
    let change = prop_oneof![
        issuer().prop_map(Change::Appoint),
        (node(), any::<u64>()).prop_map(|(node, keep)| Change::Dismiss { node, keep }),
        quorum().prop_map(Change::Quorum),
        publication().prop_map(Change::Publish),
    ];
    let statement = prop_oneof![
        any::<[u8; 16]>().prop_map(|nonce| Statement::Found { nonce }),
        node().prop_map(|node| Statement::Revoke { node }),
        issuer().prop_map(Statement::Appoint),
        (node(), any::<u64>()).prop_map(|(node, keep)| Statement::Dismiss { node, keep }),
        signed().prop_map(|certificate| Statement::Leave { certificate }),
        quorum().prop_map(Statement::Quorum),
        publication().prop_map(Statement::Publish),
        change.prop_map(Statement::Propose),
        any::<[u8; 32]>().prop_map(|proposal| Statement::Approve { proposal }),
        (any::<u64>(), vec(signed(), 0..=2)).prop_map(|(proposal, approvals)| Statement::Enact { proposal, approvals }),
    ];
    (any::<[[u8; 32]; 2]>(), any::<[u64; 2]>(), statement).prop_map(|([mesh, previous], [number, at], statement)| {
        AuthorityEntry { mesh: MeshId(mesh), number, previous, at: WallTime(at), statement }
    })
}
