//! Nobody is believed whose signature, mesh, issuer or time does not fit; the log says the same in whatever order its
//! entries came; who is revoked stays so.

use hither_types::id::{Operator, SiteName};
use hither_types::member::{Role, Roles};
use hither_types::place::{Assurance, Jurisdiction};

use super::*;
use crate::trust::{certify, node_id, sign};

mod publish;
mod quorum;

const NOW: WallTime = WallTime(1_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn id(n: u8) -> NodeId {
    node_id(&key(n))
}

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

/// A mesh that key 1 founded.
fn founded() -> Authority {
    let mut authority = Authority::new(mesh_id(id(1), &[5; 16]), id(1));
    authority.state(&key(1), Statement::Found { nonce: [5; 16] }, NOW).unwrap();
    authority
}

fn member(authority: &Authority, n: u8) -> Member {
    Member {
        node: id(n),
        mesh: authority.mesh,
        site: SiteName::parse("munich").unwrap(),
        jurisdiction: place("DE-BY"),
        control: Some(vec![]),
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(NOW.0 + 1000),
        roles: Roles::ALL,
    }
}

fn refused(authority: &Authority, signed: &Signed) -> String {
    authority.check_certificate(signed, NOW).unwrap_err().to_string()
}

fn appoint(n: u8, within: &[&str]) -> Statement {
    Statement::Appoint(issuer(n, within))
}

fn issuer(n: u8, within: &[&str]) -> Issuer {
    let within = within.iter().map(|code| place(code)).collect();
    Issuer { node: id(n), scope: Scope { within, operators: Vec::new(), roles: Roles::ALL } }
}

fn revoke(n: u8) -> Statement {
    Statement::Revoke { node: id(n) }
}

#[test]
fn a_certificate_of_the_founder_is_believed() {
    let authority = founded();
    let wanted = member(&authority, 2);
    assert_eq!(authority.check_certificate(&certify(&key(1), &wanted), NOW).unwrap(), wanted);
}

#[test]
fn every_other_certificate_is_not() {
    let authority = founded();
    let good = member(&authority, 2);
    assert!(refused(&authority, &certify(&key(2), &good)).contains("no issuer"));
    let mut forged = certify(&key(2), &good);
    forged.signer = authority.founder;
    assert!(refused(&authority, &forged).contains("does not fit"));
    let foreign = Member { mesh: MeshId([8; 32]), ..good.clone() };
    assert!(refused(&authority, &certify(&key(1), &foreign)).contains("another mesh"));
    let grace = u64::try_from(crate::limits::CLOCK_GRACE.as_millis()).unwrap();
    let old = Member { expires: WallTime(NOW.0 - grace - 1), ..good.clone() };
    assert!(refused(&authority, &certify(&key(1), &old)).contains("expired"));
    // Clocks differ: one that ended a moment ago, and one that was made by a clock that is far ahead.
    for expires in [NOW.0 - grace, NOW.0 + 60 * 86_400_000] {
        let shifted = Member { expires: WallTime(expires), ..good.clone() };
        assert_eq!(authority.check_certificate(&certify(&key(1), &shifted), NOW).unwrap(), shifted);
    }
    let whole = certify(&key(1), &good);
    for at in 0..whole.bytes.len() {
        let mut flipped = whole.clone();
        flipped.bytes[at] ^= 1;
        assert!(refused(&authority, &flipped).contains("does not fit"), "byte {at}");
    }
    // A signature for one purpose does not serve another.
    let bytes = hither_wire::encode_member(&good).unwrap();
    assert!(authority.check_certificate(&sign(&key(1), Seal::Manifest, bytes), NOW).is_err());
}

#[test]
fn nobody_claims_the_site_or_the_place_of_another() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &["FR"]), NOW).unwrap();
    let given = certify(&key(1), &member(&authority, 3));
    for claimed in [
        Member { site: SiteName::parse("vault").unwrap(), ..member(&authority, 3) },
        Member { jurisdiction: place("US"), ..member(&authority, 3) },
        Member { operator: Operator::parse("zwei").unwrap(), ..member(&authority, 3) },
        Member { node: id(4), ..member(&authority, 3) },
    ] {
        assert!(refused(&authority, &certify(&key(3), &claimed)).contains("no issuer"), "{claimed:?}");
        // The signature is of what was given, and of nothing else.
        let bytes = hither_wire::encode_member(&claimed).unwrap();
        assert!(refused(&authority, &Signed { bytes, ..given.clone() }).contains("does not fit"), "{claimed:?}");
    }
    // An issuer says nothing of itself, and of others what it may.
    let itself = Member { jurisdiction: place("FR"), ..member(&authority, 2) };
    assert!(authority.check_certificate(&certify(&key(2), &itself), NOW).is_err());
    let beyond = Member { jurisdiction: place("US"), ..member(&authority, 3) };
    assert!(authority.check_certificate(&certify(&key(2), &beyond), NOW).is_err());
}

#[test]
fn a_certificate_that_was_cut_is_refused_whoever_signed_it() {
    let authority = founded();
    let whole = certify(&key(1), &member(&authority, 2));
    for length in 0..whole.bytes.len() {
        let bytes = whole.bytes[..length].to_vec();
        assert!(refused(&authority, &Signed { bytes: bytes.clone(), ..whole.clone() }).contains("does not fit"));
        // An issuer's program may be broken, too.
        let signed = sign(&key(1), Seal::Certificate, bytes);
        assert!(matches!(authority.check_certificate(&signed, NOW), Err(TrustError::Malformed(_))), "{length} bytes");
    }
}

#[test]
fn a_member_leaves_once_so_that_it_does_not_fill_the_log() {
    let mut authority = founded();
    let certificate = certify(&key(1), &member(&authority, 2));
    authority.state(&key(2), Statement::Leave { certificate: certificate.clone() }, NOW).unwrap();
    assert_eq!(authority.state(&key(2), Statement::Leave { certificate }, NOW), Err(EntryError::Forbidden));
}

#[test]
fn who_is_revoked_is_no_member_whatever_it_shows() {
    let mut authority = founded();
    let certificate = certify(&key(1), &member(&authority, 2));
    authority.check_certificate(&certificate, NOW).unwrap();
    authority.state(&key(1), revoke(2), NOW).unwrap();
    assert!(refused(&authority, &certificate).contains("revoked"));
    let newer = Member { expires: WallTime(NOW.0 + 9000), ..member(&authority, 2) };
    assert!(refused(&authority, &certify(&key(1), &newer)).contains("revoked"));
    assert!(authority.state(&key(1), revoke(1), NOW).is_err(), "nobody revokes the founder");
}

#[test]
fn a_member_leaves_by_its_own_word_and_nobody_elses() {
    let mut authority = founded();
    let certificate = certify(&key(1), &member(&authority, 2));
    let leave = || Statement::Leave { certificate: certificate.clone() };
    // Neither a stranger, nor another member with a certificate that is not its own, nor the founder.
    let own = certify(&key(3), &member(&authority, 3));
    assert_eq!(authority.state(&key(3), Statement::Leave { certificate: own }, NOW), Err(EntryError::Forbidden));
    assert_eq!(authority.state(&key(4), leave(), NOW), Err(EntryError::Forbidden));
    let founders = certify(&key(1), &member(&authority, 1));
    assert_eq!(authority.state(&key(1), Statement::Leave { certificate: founders }, NOW), Err(EntryError::Forbidden));
    authority.check_certificate(&certificate, NOW).unwrap();
    authority.state(&key(2), leave(), NOW).unwrap();
    assert!(authority.is_revoked(id(2)));
    assert!(refused(&authority, &certificate).contains("it left"));
    let newer = Member { expires: WallTime(NOW.0 + 9000), ..member(&authority, 2) };
    assert!(refused(&authority, &certify(&key(1), &newer)).contains("it left"), "for good");
    // Whoever hears the log, from the disk or from others, concludes the same.
    let mut other = Authority::new(authority.mesh, authority.founder);
    assert_eq!(other.take_all(authority.entries()), (2, Vec::new()));
    assert!(other.is_revoked(id(2)));
}

#[test]
fn who_left_has_left_also_when_the_issuer_of_its_certificate_is_dismissed() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    let certificate = certify(&key(2), &member(&authority, 3));
    authority.state(&key(3), Statement::Leave { certificate }, NOW).unwrap();
    authority.state(&key(1), Statement::Dismiss { node: id(2), keep: 0 }, NOW).unwrap();
    let mut again = Authority::new(authority.mesh, authority.founder);
    assert_eq!(again.take_all(authority.entries()).1, Vec::new(), "the log can be read from the disk");
    assert!(again.is_revoked(id(3)));
    // An issuer cannot leave those whom it let in.
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    let certificate = certify(&key(1), &member(&authority, 2));
    authority.state(&key(2), Statement::Leave { certificate }, NOW).unwrap();
    assert!(!authority.is_revoked(id(2)), "it does not count while it is an issuer");
    authority.state(&key(1), Statement::Dismiss { node: id(2), keep: 1 }, NOW).unwrap();
    assert!(authority.is_revoked(id(2)));
}

#[test]
fn an_issuer_lets_in_whom_it_may_and_never_itself() {
    let mut authority = founded();
    let of = |n, code: &str, authority: &Authority| Member { jurisdiction: place(code), ..member(authority, n) };
    assert!(refused(&authority, &certify(&key(2), &of(3, "DE-BY", &authority))).contains("no issuer"));
    authority.state(&key(1), appoint(2, &["DE", "FR"]), NOW).unwrap();
    for (code, may) in [("DE", true), ("DE-BY", true), ("FR", true), ("US", false)] {
        let certificate = certify(&key(2), &of(3, code, &authority));
        assert_eq!(authority.check_certificate(&certificate, NOW).is_ok(), may, "{code}");
    }
    assert!(refused(&authority, &certify(&key(2), &of(2, "DE", &authority))).contains("may not let in"));
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    authority.check_certificate(&certify(&key(2), &of(3, "US", &authority)), NOW).unwrap();
}

#[test]
fn an_issuer_vouches_for_the_operators_and_roles_of_its_scope_and_no_others() {
    let mut authority = founded();
    let operator = |name: &str| Operator::parse(name).unwrap();
    let scope = Scope {
        within: vec![place("DE")],
        operators: vec![operator("acme"), operator("zwei")],
        roles: Roles::of([Role::Serve, Role::Request]),
    };
    authority.state(&key(1), Statement::Appoint(Issuer { node: id(2), scope }), NOW).unwrap();
    let asks = Roles::of([Role::Request]);
    let good = Member { roles: asks, ..member(&authority, 3) };
    for (guest, may) in [
        (good.clone(), true),
        (Member { operator: operator("zwei"), ..good.clone() }, true),
        (Member { roles: Roles::of([Role::Serve, Role::Request]), ..good.clone() }, true),
        (Member { operator: operator("drei"), ..good.clone() }, false),
        (Member { roles: Roles::of([Role::Request, Role::Publish]), ..good.clone() }, false),
        (Member { roles: Roles::ALL, ..good.clone() }, false),
        (Member { jurisdiction: place("FR"), ..good }, false),
    ] {
        let certificate = certify(&key(2), &guest);
        assert_eq!(authority.check_certificate(&certificate, NOW).is_ok(), may, "{guest:?}");
        assert_eq!(authority.may_let_in(id(2), &guest), may, "{guest:?}");
        // The founder may let in all of them.
        authority.check_certificate(&certify(&key(1), &guest), NOW).unwrap();
    }
}

#[test]
fn who_let_others_in_leaves_once_it_is_dismissed() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    authority.state(&key(2), revoke(7), NOW).unwrap();
    let before = authority.clone();
    authority.state(&key(1), Statement::Dismiss { node: id(2), keep: 1 }, NOW).unwrap();
    let certificate = certify(&key(1), &member(&authority, 2));
    authority.state(&key(2), Statement::Leave { certificate }, NOW).unwrap();
    assert!(authority.is_revoked(id(2)) && authority.is_revoked(id(7)));
    // Its powers are over all the same.
    assert_eq!(authority.state(&key(2), revoke(8), NOW), Err(EntryError::Forbidden));
    // One that has not heard of the dismissal, and holds an entry that the dismissal ends.
    let mut other = before;
    other.state(&key(2), revoke(9), NOW).unwrap();
    for _ in 0..2 {
        other.take_all(authority.entries());
    }
    assert_eq!(other.view(), authority.view());
}

#[test]
fn a_dismissed_issuer_takes_along_what_it_signed_and_stated_too_late() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    let certificate = certify(&key(2), &member(&authority, 3));
    authority.state(&key(2), revoke(4), NOW).unwrap();
    authority.state(&key(2), revoke(5), NOW).unwrap();
    assert!(authority.is_revoked(id(4)) && authority.is_revoked(id(5)));
    authority.state(&key(1), Statement::Dismiss { node: id(2), keep: 1 }, NOW).unwrap();
    assert!(refused(&authority, &certificate).contains("no issuer"));
    assert!(authority.is_revoked(id(4)) && !authority.is_revoked(id(5)));
    assert_eq!(authority.state(&key(2), revoke(6), NOW), Err(EntryError::Forbidden));
    // It stays dismissed.
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    assert!(!authority.is_issuer(id(2)));
}

#[test]
fn nobody_states_what_is_not_theirs() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    authority.state(&key(1), appoint(3, &[]), NOW).unwrap();
    for (n, statement) in [
        (9, revoke(4)),
        (2, appoint(4, &[])),
        (2, Statement::Dismiss { node: id(3), keep: 0 }),
        (2, revoke(1)),
        (2, Statement::Found { nonce: [5; 16] }),
        (1, Statement::Found { nonce: [6; 16] }),
        (1, Statement::Dismiss { node: id(1), keep: 0 }),
    ] {
        assert_eq!(authority.state(&key(n), statement.clone(), NOW), Err(EntryError::Forbidden), "{n} {statement:?}");
    }
    // Of an issuer, the founder judges: another issuer's word does not count, whenever it came.
    authority.state(&key(2), revoke(3), NOW).unwrap();
    assert!(!authority.is_revoked(id(3)) && authority.is_issuer(id(3)));
}

/// A log with everything that can be stated, its entries in the order in which they were made.
fn eventful() -> Authority {
    let mut authority = founded();
    for (n, statement) in [
        (1, appoint(2, &["DE"])),
        (1, appoint(3, &[])),
        (2, revoke(7)),
        (3, revoke(8)),
        (3, revoke(2)),
        (3, revoke(9)),
        (1, Statement::Dismiss { node: id(3), keep: 2 }),
        (1, revoke(10)),
        (2, revoke(11)),
    ] {
        authority.state(&key(n), statement, NOW).unwrap();
    }
    authority
}

#[test]
fn the_log_says_the_same_in_whatever_order_it_comes() {
    let made = eventful();
    let entries = made.entries();
    let mut random = 1_u64;
    for round in 0..200 {
        let mut shuffled = entries.clone();
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (random >> 33) as usize % (at + 1));
        }
        let mut other = Authority::new(made.mesh, made.founder);
        // Told again and again, as members do.
        for _ in 0..entries.len() {
            other.take_all(shuffled.clone());
        }
        assert_eq!(other.view(), made.view(), "round {round}");
    }
    let mut once = Authority::new(made.mesh, made.founder);
    assert_eq!(once.take_all(entries.clone()), (entries.len(), Vec::new()), "its own order needs one round");
    assert_eq!(founder_of(made.mesh, &entries), Some(id(1)));
}

#[test]
fn entries_that_are_forged_cut_or_of_another_chain_are_refused() {
    let made = eventful();
    let fresh = || Authority::new(made.mesh, made.founder);
    let first = &made.entries()[0];
    for at in 0..first.bytes.len() {
        let mut flipped = first.clone();
        flipped.bytes[at] ^= 1;
        let refused = fresh().take(flipped).unwrap_err();
        assert!(matches!(refused, EntryError::Signature | EntryError::Malformed), "byte {at}: {refused}");
    }
    // After one that nobody signed, nothing of what was told with it is looked at.
    let mut forged = made.entries();
    forged[0].signature[5] ^= 1;
    let mut other = fresh();
    assert_eq!(other.take_all(forged), (0, vec![(id(1), EntryError::Signature)]));
    let mut foreign = Authority::new(mesh_id(id(1), &[6; 16]), id(1));
    foreign.state(&key(1), Statement::Found { nonce: [6; 16] }, NOW).unwrap();
    assert_eq!(fresh().take(foreign.entries()[0].clone()), Err(EntryError::Mesh));
    // Another key's mesh has another id, so nobody passes for its founder.
    assert_eq!(founder_of(made.mesh, &foreign.entries()), None);
    // The same key, the same number, something else.
    let (mut here, mut there) = (founded(), founded());
    here.state(&key(1), revoke(2), NOW).unwrap();
    there.state(&key(1), revoke(3), NOW).unwrap();
    assert_eq!(here.take(there.entries()[1].clone()), Err(EntryError::Forked));
    there.state(&key(1), revoke(4), NOW).unwrap();
    assert_eq!(here.take(there.entries()[2].clone()), Err(EntryError::Chain));
    assert!(!here.is_revoked(id(4)));
}

#[test]
fn the_log_is_bounded() {
    let mut authority = founded();
    let most = hither_wire::limits::MAX_AUTHORITY;
    for _ in 1..most {
        authority.state(&key(1), revoke(2), NOW).unwrap();
    }
    assert_eq!(authority.state(&key(1), revoke(3), NOW), Err(EntryError::Full));
    let message = hither_types::message::PeerMessage::Authority(authority.entries());
    assert!(hither_wire::encode_message(&message).is_ok(), "a full log fits a message");
}
