//! A pass holds if an issuer of this mesh made it, until it ends.

use ed25519_dalek::SigningKey;
use hither_types::authority::{Issuer, Scope, Statement};
use hither_types::id::SiteName;
use hither_types::place::Jurisdiction;

use super::*;
use crate::authority::mesh_id;

const NOW: WallTime = WallTime(1_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// A mesh that key 1 founded.
fn founded() -> Authority {
    let founder = trust::node_id(&key(1));
    let mut authority = Authority::new(mesh_id(founder, &[5; 16]), founder);
    authority.state(&key(1), Statement::Found { nonce: [5; 16] }, NOW).unwrap();
    authority
}

/// What a joiner shows of an invite that a key made.
fn shown(mesh: MeshId, by: u8, expires: u64) -> String {
    let mut invite = Invite {
        mesh,
        issuer: trust::node_id(&key(by)),
        addresses: vec![],
        secret: [9; 16],
        site: SiteName::parse("paris").unwrap(),
        jurisdiction: Jurisdiction::parse("FR").unwrap(),
        expires: WallTime(expires),
        pass: None,
        comparison: None,
        roles: hither_types::member::Roles::ALL,
        operator: None,
    };
    assert_eq!(text(&invite), None);
    invite.pass = Some(issue(&key(by), &invite));
    text(&invite).unwrap()
}

#[test]
fn a_pass_of_an_issuer_holds_until_it_ends_and_no_other_does() {
    let mut authority = founded();
    let mesh = authority.mesh;
    assert!(holds(&authority, &shown(mesh, 1, NOW.0), NOW));
    assert!(!holds(&authority, &shown(mesh, 1, NOW.0 - 1), NOW), "it has ended");
    assert!(!holds(&authority, &shown(MeshId([3; 32]), 1, NOW.0), NOW), "it is for another mesh");
    assert!(!holds(&authority, &shown(mesh, 2, NOW.0), NOW), "whoever made it may let nobody in");
    let scope = Scope { within: vec![], operators: vec![], roles: hither_types::member::Roles::ALL };
    authority.state(&key(1), Statement::Appoint(Issuer { node: trust::node_id(&key(2)), scope }), NOW).unwrap();
    assert!(holds(&authority, &shown(mesh, 2, NOW.0), NOW));
    let keep = authority.length(trust::node_id(&key(2)));
    authority.state(&key(1), Statement::Dismiss { node: trust::node_id(&key(2)), keep }, NOW).unwrap();
    assert!(!holds(&authority, &shown(mesh, 2, NOW.0), NOW), "it may not any more");
}

#[test]
fn a_pass_with_a_changed_letter_does_not_hold() {
    let authority = founded();
    let good = shown(authority.mesh, 1, NOW.0);
    for at in 0..good.len() {
        let mut letters: Vec<char> = good.chars().collect();
        letters[at] = if letters[at] == 'A' { 'B' } else { 'A' };
        assert!(!holds(&authority, &letters.into_iter().collect::<String>(), NOW), "letter {at}");
    }
    for wrong in ["", "A", &good[1..]] {
        assert!(!holds(&authority, wrong, NOW));
    }
}
