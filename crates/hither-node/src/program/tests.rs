//! Tests of the digest of the running program.

use super::*;

#[test]
fn it_is_that_of_the_file_that_runs() {
    let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(reading().recv().unwrap(), Some(Digest(*blake3::hash(&file).as_bytes())));
}

#[test]
fn what_nobody_reads_is_not_known() {
    let (done, reading) = channel();
    drop(done);
    assert_eq!(read_by_now(&reading), None);
}

#[test]
fn what_cannot_be_read_has_none() {
    assert!(read("/proc/self/no such file").is_err());
}
