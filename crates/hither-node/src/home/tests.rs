//! A data directory is held by one node, keeps its key, and says when it is damaged.

use hither_types::id::{Operator, SiteName};
use hither_types::incarnation::started_anew;
use hither_types::place::Jurisdiction;

use super::*;

fn options(dir: &Path) -> InitOptions {
    InitOptions {
        data_dir: dir.to_owned(),
        site: SiteName::parse("munich").unwrap(),
        jurisdiction: Jurisdiction::parse("DE-BY").unwrap(),
        operator: Operator::parse("acme").unwrap(),
    }
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
