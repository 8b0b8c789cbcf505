//! A program that cargo links has an id, and it is in its bytes.

use super::build_id;

#[test]
fn the_id_of_this_build_is_in_its_file() {
    let id = build_id();
    assert_eq!(id.len(), 20, "a SHA-1, as GNU's linkers make it: {id:02x?}");
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(bytes.windows(id.len()).any(|window| window == id));
    assert_eq!(build_id(), id);
}
