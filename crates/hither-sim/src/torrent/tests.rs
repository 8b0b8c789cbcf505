//! What holds among many: everybody gets everything, soon, and once over the long way.

use super::{Setting, Torrent};

const MIB: u64 = 1 << 20;

fn setting(sites: &[usize], chunks: u32) -> Setting {
    Setting {
        sites: sites.to_vec(),
        chunks,
        chunk: MIB,
        far: 12_500_000,
        near: 125_000_000,
        way: (5_000, 50_000),
        at_once: 1,
        picks: 8,
        picks_near: 8,
        seed: 7,
    }
}

/// Seconds until everybody who lives has all of it.
fn last(torrent: &mut Torrent) -> f64 {
    assert!(torrent.run(120_000_000), "not everybody has all of it: {:?}", torrent.done());
    torrent.done().into_iter().flatten().max().unwrap_or(0) as f64 / 1e6
}

#[test]
fn many_have_it_little_later_than_one() {
    let mut torrent = Torrent::new(setting(&[1; 33], 64));
    let alone = (64 * MIB) as f64 / 12.5e6;
    let took = last(&mut torrent);
    assert!(took < alone * 1.25, "{took} s beside {alone} s");
}

#[test]
fn each_chunk_crosses_into_a_site_once() {
    let mut torrent = Torrent::new(setting(&[6, 6, 6, 6], 64));
    last(&mut torrent);
    let least = 3 * 64 * MIB;
    assert!(torrent.bytes[0] * 100 <= least * 105, "{} bytes beside {least}", torrent.bytes[0]);
}

#[test]
fn half_of_them_die_and_the_rest_have_it() {
    let mut torrent = Torrent::new(setting(&[1; 33], 64));
    torrent.run(3_000_000);
    (1..17).for_each(|dead| torrent.kill(dead));
    last(&mut torrent);
}

#[test]
fn the_seed_dies_once_each_chunk_has_left_it() {
    let mut torrent = Torrent::new(setting(&[1; 33], 64));
    let mut until = 0;
    while torrent.outside() < 64 {
        until += 100_000;
        torrent.run(until);
    }
    let left = torrent.done().iter().filter(|done| done.is_none()).count();
    assert!(left > 8, "{left} are still without it");
    torrent.kill(0);
    last(&mut torrent);
}

#[test]
fn some_promise_and_give_nothing_and_the_rest_have_it() {
    let mut torrent = Torrent::new(setting(&[1; 33], 64));
    (1..5).for_each(|at| torrent.stall(at));
    last(&mut torrent);
}

#[test]
fn an_owner_who_gives_nothing_does_not_keep_its_site_from_it() {
    let mut torrent = Torrent::new(setting(&[2, 3], 64));
    torrent.stall(2);
    last(&mut torrent);
    let mut torrent = Torrent::new(setting(&[2, 3], 64));
    torrent.kill(2);
    last(&mut torrent);
}
