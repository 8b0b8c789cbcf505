//! A data directory is held by one node, keeps its key, and says when it is damaged.

use hither_types::id::{MeshId, NodeId, Operator, SiteName};
use hither_types::incarnation::started_anew;
use hither_types::member::{Member, Roles, Signed};
use hither_types::message::{Invite, PeerMessage};
use hither_types::place::Jurisdiction;

use super::*;
use crate::trust::{self, TrustError, wall_now};

fn options(dir: &Path) -> InitOptions {
    InitOptions {
        data_dir: dir.to_owned(),
        site: SiteName::parse("munich").unwrap(),
        jurisdiction: Jurisdiction::parse("DE-BY").unwrap(),
        operator: Operator::parse("acme").unwrap(),
        control: None,
    }
}

fn codes(codes: &[&str]) -> Vec<Jurisdiction> {
    codes.iter().map(|code| Jurisdiction::parse(code).unwrap()).collect()
}

fn invite(home: &Home, site: &str, operator: &str) -> Invite {
    Invite {
        mesh: home.authority.mesh,
        issuer: home.me.node,
        addresses: Vec::new(),
        secret: [1; 16],
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse("FR").unwrap(),
        operator: Some(Operator::parse(operator).unwrap()),
        roles: Roles::ALL,
        expires: wall_now(),
        pass: None,
        comparison: None,
    }
}

#[test]
fn an_operator_is_compelled_where_its_founder_says_and_of_another_nothing_is_known() {
    let dir = tempfile::tempdir().unwrap();
    init(InitOptions { control: Some(codes(&["DE", "US"])), ..options(dir.path()) }).unwrap();
    let home = Home::open(dir.path()).unwrap();
    assert_eq!(home.me.control, Some(codes(&["DE", "US"])));
    let guest = |operator| home.guest(NodeId([2; 32]), &invite(&home, "paris", operator)).control;
    assert_eq!((guest("acme"), guest("other")), (Some(codes(&["DE", "US"])), None));
    let many = InitOptions { control: Some(codes(&["US"; 17])), ..options(&dir.path().join("other")) };
    assert!(matches!(init(many), Err(InitError::Control(17))));
    let plain = dir.path().join("plain");
    init(options(&plain)).unwrap();
    assert_eq!(Home::open(&plain).unwrap().me.control, Some(codes(&["DE"])));
}

#[test]
fn a_site_that_is_cut_off_goes_on_with_its_own_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    init(options(dir.path())).unwrap();
    let home = Home::open(dir.path()).unwrap();
    let now = wall_now();
    let cases = [
        ("munich", "acme", 29, true),
        ("munich", "acme", 31, true),
        ("munich", "acme", 119, true),
        ("munich", "acme", 121, false),
        // Another site, or another operator at the same one, is not its own.
        ("paris", "acme", 29, true),
        ("paris", "acme", 31, false),
        ("munich", "other", 29, true),
        ("munich", "other", 31, false),
    ];
    for (site, operator, after, holds) in cases {
        let (certificate, member) = home.certify(NodeId([2; 32]), &invite(&home, site, operator));
        let then = trust::wall_after(now, days(after));
        assert_eq!(home.check_member(&certificate, then).is_ok(), holds, "{site} of {operator} after {after} days");
        assert_eq!(home.check_again(certificate.signer, &member, then).is_ok(), holds);
    }
    // What was looked at once is looked at again, but for the signature.
    let (certificate, member) = home.certify(NodeId([2; 32]), &invite(&home, "munich", "acme"));
    assert!(matches!(home.check_again(NodeId([9; 32]), &member, now), Err(TrustError::Issuer)));
    let elsewhere = Member { mesh: MeshId([3; 32]), ..member };
    assert!(matches!(home.check_again(certificate.signer, &elsewhere, now), Err(TrustError::Mesh)));
}

#[test]
fn messages_are_kept_one_alone_as_before_and_several_behind_their_lengths() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("members");
    let page = |number: u8| {
        PeerMessage::Authority(vec![Signed { signer: NodeId([number; 32]), bytes: vec![number], signature: [0; 64] }])
    };
    assert_eq!(read_messages(&path), Ok(Vec::new()));
    for count in 1..4 {
        let pages: Vec<PeerMessage> = (0..count).map(page).collect();
        write_messages(&path, &pages).unwrap();
        assert_eq!(read_messages(&path), Ok(pages));
    }
    let whole = std::fs::read(&path).unwrap();
    for cut in 1..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let read = read_messages(&path);
        assert!(read.is_err() || read.is_ok_and(|pages| pages.len() < 3), "{cut} of {}", whole.len());
    }
    write_messages(&path, &[page(7)]).unwrap();
    let alone = hither_wire::encode_message(&page(7)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), alone, "a program of before reads it");
}

#[test]
fn a_fresh_directory_becomes_a_mesh_of_one_that_no_bloc_holds() {
    let dir = tempfile::tempdir().unwrap();
    let first = Home::open(dir.path()).unwrap();
    assert_eq!(first.me.jurisdiction.to_string(), "ZZ");
    assert!(first.is_issuer());
    let (node, mesh) = (first.me.node, first.authority.mesh);
    drop(first);
    let again = Home::open(dir.path()).unwrap();
    assert_eq!((again.me.node, again.authority.mesh), (node, mesh));
}

#[test]
fn init_makes_a_mesh_once() {
    let dir = tempfile::tempdir().unwrap();
    let done = init(options(dir.path())).unwrap();
    assert!(done.files.iter().all(|path| path.exists()), "{:?}", done.files);
    assert!(matches!(init(options(dir.path())), Err(InitError::AlreadyMember(_))));
    let home = Home::open(dir.path()).unwrap();
    assert_eq!((home.me.site.as_str(), home.me.jurisdiction.to_string().as_str()), ("munich", "DE-BY"));
    assert!(crate::commands::load_policy(&dir.path().join("policy.toml")).is_ok());
}

#[test]
fn two_nodes_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _held = Home::open(dir.path()).unwrap();
    assert!(matches!(Home::open(dir.path()), Err(InitError::Running(_))));
    assert!(matches!(init(options(dir.path())), Err(InitError::Running(_))));
}

#[test]
fn the_key_is_for_its_owner_only_and_incarnations_grow() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(dir.path()).unwrap();
    let mode = std::fs::metadata(dir.path().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = home.next_incarnation().unwrap();
    let risen = home.incarnation_above(first + 1).unwrap();
    assert!(risen > first + 1 && !started_anew(first + 1, risen), "{first}, {risen}");
    assert!(started_anew(risen, home.next_incarnation().unwrap()));
}

#[test]
fn a_damaged_membership_is_told_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(Home::open(dir.path()).unwrap());
    let path = dir.path().join("mesh.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("mesh = \"", "mesh = \"zz")).unwrap();
    assert!(matches!(Home::open(dir.path()), Err(InitError::Damaged { .. })));
}
