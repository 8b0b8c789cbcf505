//! An invite lets in one node, once.

use ed25519_dalek::SigningKey;
use hither_types::id::{MeshId, SiteName};
use hither_types::member::{Address, Roles};
use hither_types::place::Jurisdiction;

use super::*;

const NOW: WallTime = WallTime(1_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn invite(secret: u8, expires: u64) -> Invite {
    Invite {
        mesh: MeshId([7; 32]),
        issuer: node_id(&key(1)),
        addresses: vec![Address::Direct("127.0.0.1:1".parse().unwrap())],
        secret: [secret; 16],
        site: SiteName::parse("paris").unwrap(),
        jurisdiction: Jurisdiction::parse("FR").unwrap(),
        expires: WallTime(expires),
        pass: None,
        comparison: None,
        roles: Roles::ALL,
        operator: None,
    }
}

#[test]
fn an_invite_lets_in_one_node_once() {
    let dir = tempfile::tempdir().unwrap();
    let invites = Invites::open(dir.path().to_owned()).unwrap();
    let made = invite(3, NOW.0 + 10);
    invites.keep(&made, NOW).unwrap();
    let (name, joiner) = (invite_name(&made.secret), node_id(&key(2)));
    let proof = invite_proof(&made.secret, joiner);

    assert!(matches!(invites.take(&name, &proof, node_id(&key(9)), Manner::Plain, NOW), Err(InviteError::Proof)));
    assert_eq!(invites.take(&name, &proof, joiner, Manner::Plain, NOW).unwrap(), made);
    assert!(matches!(invites.take(&name, &proof, joiner, Manner::Plain, NOW), Err(InviteError::Used)));
    // Also after a restart.
    let again = Invites::open(dir.path().to_owned()).unwrap();
    assert!(matches!(again.take(&name, &proof, joiner, Manner::Plain, NOW), Err(InviteError::Used)));
}

#[test]
fn an_expired_or_unknown_invite_lets_in_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let invites = Invites::open(dir.path().to_owned()).unwrap();
    let made = invite(4, NOW.0 - 1);
    invites.keep(&made, NOW).unwrap();
    let joiner = node_id(&key(2));
    let take = |secret: [u8; 16]| {
        invites.take(&invite_name(&secret), &invite_proof(&secret, joiner), joiner, Manner::Plain, NOW)
    };
    assert!(matches!(take(made.secret), Err(InviteError::Expired)));
    assert!(matches!(take([5; 16]), Err(InviteError::Unknown)));
}

#[test]
fn open_invites_are_bounded_and_old_ones_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let invites = Invites::open(dir.path().to_owned()).unwrap();
    let mut made = invite(0, NOW.0 + 10);
    for n in 0..INVITES_MAX {
        made.secret = (n as u128).to_le_bytes();
        invites.keep(&made, NOW).unwrap();
    }
    made.secret = [0xff; 16];
    assert!(matches!(invites.keep(&made, NOW), Err(InviteError::TooMany)));
    // One that was used makes room, and so do those that have expired.
    let (secret, joiner) = (0_u128.to_le_bytes(), node_id(&key(2)));
    invites.take(&invite_name(&secret), &invite_proof(&secret, joiner), joiner, Manner::Plain, NOW).unwrap();
    invites.keep(&made, NOW).unwrap();
    made.secret = [0xfe; 16];
    assert!(matches!(invites.keep(&made, NOW), Err(InviteError::TooMany)));
    invites.keep(&made, WallTime(NOW.0 + 20)).unwrap();
    let much_later = WallTime(NOW.0 + 2 * 86_400_000);
    made.expires = WallTime(much_later.0 + 10);
    invites.keep(&made, much_later).unwrap();
}
