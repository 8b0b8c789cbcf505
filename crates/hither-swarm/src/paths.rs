//! Which of several paths to a member is used.
//!
//! As the transport does it by itself, the nearest, without wavering for a few milliseconds; and beyond that, what it lacks
//! (1.4.1): when the address of a machine changes, it goes on choosing the path that it used, since some connection has it
//! still, until every connection has timed out. So a path from an address that this machine has no more is none; and
//! where the other end has left a path on one connection and comes by another, that other one is taken for all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use iroh::endpoint::transports::{FourTuple, PathSelection, PathSelectionContext, PathSelector};
use tokio::time::Instant;

use crate::addresses::is_of_this_machine;
use crate::limits;

/// A path is changed for another one if that is nearer by so much.
const NEARER: Duration = Duration::from_millis(5);

/// How long a path that the other end has left on one connection is in doubt on the others, and a path is new.
const IN_DOUBT: Duration = Duration::from_secs(3);

/// Paths to one member, as they were when they were looked at last: on how many connections each was, and since when.
#[derive(Debug, Default)]
struct Known {
    paths: HashMap<FourTuple, (usize, Instant)>,
    /// When the other end left a path on a connection, which others have still.
    left: Option<Instant>,
    /// When the other end was followed: two ends that follow each other would never come to rest.
    followed: Option<Instant>,
}

/// The choice between paths.
#[derive(Debug, Default)]
pub(crate) struct Paths(Mutex<Vec<Known>>);

/// A path that can be chosen.
#[derive(Debug, Clone)]
struct Path {
    tuple: FourTuple,
    rtt: Duration,
    connections: usize,
    /// It comes from an address of this machine, as far as is known.
    here: bool,
}

impl Paths {
    /// The path that is to be used from now on; `None` if it is the one that is.
    fn choose(&self, current: Option<&FourTuple>, paths: &[Path], now: Instant) -> Option<FourTuple> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who the member is, is not said; a path leads to one member alone.
        let same = known.iter().position(|known| paths.iter().any(|path| known.paths.contains_key(&path.tuple)));
        let mut before = same.map(|at| known.swap_remove(at)).unwrap_or_default();
        let in_use = current.and_then(|current| paths.iter().find(|path| path.tuple == *current));
        if in_use.is_some_and(|path| before.paths.get(&path.tuple).is_some_and(|(count, _)| *count > path.connections))
        {
            before.left = Some(now);
        }
        let lately = |when: Instant| now.saturating_duration_since(when) < IN_DOUBT;
        // The word that the old path is left and the first one over the new path come in either order.
        let since = |tuple: &FourTuple| before.paths.get(tuple).map_or(now, |(_, since)| *since);
        let is_new = |path: &&Path| lately(since(&path.tuple));
        let in_doubt = before.left.is_some_and(lately) && !before.followed.is_some_and(lately);
        let usable = || paths.iter().filter(|path| path.here);
        let key = |path: &&Path| (path.tuple.is_relay(), path.rtt);
        let nearest = usable().min_by_key(key);
        let chosen = match in_use.filter(|path| path.here) {
            None => nearest,
            Some(used) => {
                let follows = |path: &&Path| in_doubt && is_new(path) && path.tuple.is_relay() <= used.tuple.is_relay();
                let nearer = |path: &&Path| match (path.tuple.is_relay(), used.tuple.is_relay()) {
                    (false, true) => true,
                    (true, false) => false,
                    _ => path.rtt + NEARER <= used.rtt,
                };
                let others = || usable().filter(|path| path.tuple != used.tuple);
                let followed = others().filter(follows).min_by_key(key);
                before.followed = followed.map(|_| now).or(before.followed);
                followed.or(nearest.filter(nearer))
            }
        };
        let chosen = chosen.map(|path| path.tuple.clone()).filter(|chosen| Some(chosen) != current);
        if chosen.is_some() {
            before.left = None;
        }
        before.paths = paths.iter().map(|path| (path.tuple.clone(), (path.connections, since(&path.tuple)))).collect();
        if known.len() >= limits::PATHS_KNOWN {
            known.remove(0);
        }
        known.push(before);
        chosen
    }
}

/// Whether packets can leave by an address. One of a link alone says too little to be asked about.
fn is_here(local: IpAddr) -> bool {
    let of_a_link = matches!(local, IpAddr::V6(ip) if ip.is_unicast_link_local());
    of_a_link || is_of_this_machine((local, 0).into())
}

impl PathSelector for Paths {
    fn select(&self, ctx: &PathSelectionContext<'_>) -> PathSelection {
        let mut paths: Vec<Path> = Vec::new();
        for data in ctx.paths() {
            let Some(stats) = data.stats() else { continue };
            let tuple = data.network_path();
            match paths.iter_mut().find(|path| path.tuple == *tuple) {
                Some(path) => {
                    path.connections += 1;
                    path.rtt = path.rtt.min(stats.rtt);
                }
                None => {
                    let here = match tuple {
                        FourTuple::Ip { local: Some(local), .. } => is_here(*local),
                        _ => true,
                    };
                    paths.push(Path { tuple: tuple.clone(), rtt: stats.rtt, connections: 1, here });
                }
            }
        }
        let chosen = self.choose(ctx.current(), &paths, Instant::now());
        let mut selection = PathSelection::none();
        if let Some(data) = ctx.paths().find(|data| Some(data.network_path()) == chosen.as_ref()) {
            selection.set(&data);
        }
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(local: &str, remote: &str, millis: u64, connections: usize) -> Path {
        let (local, remote) = (local.parse().unwrap(), format!("{remote}:7000").parse().unwrap());
        let tuple = FourTuple::Ip { remote, local: Some(local) };
        Path { tuple, rtt: Duration::from_millis(millis), connections, here: true }
    }

    const HERE: &str = "10.1.0.1";

    #[test]
    fn the_nearest_is_taken_and_kept_until_another_is_nearer_by_more_than_a_little() {
        let (paths, now) = (Paths::default(), Instant::now());
        let [far, near] = [path(HERE, "10.2.0.1", 20, 1), path(HERE, "10.2.0.2", 12, 1)];
        assert_eq!(paths.choose(None, &[far.clone(), near.clone()], now), Some(near.tuple.clone()));
        assert_eq!(paths.choose(Some(&far.tuple), &[far.clone(), near.clone()], now), Some(near.tuple.clone()));
        let nearly = Path { rtt: Duration::from_millis(16), ..near };
        assert_eq!(paths.choose(Some(&far.tuple), &[far.clone(), nearly], now), None);
    }

    #[test]
    fn a_path_from_an_address_that_is_gone_is_left_at_once() {
        let (paths, now) = (Paths::default(), Instant::now());
        let gone = Path { here: false, ..path(HERE, "10.2.0.1", 10, 2) };
        let fresh = path("10.1.0.9", "10.2.0.1", 12, 1);
        assert_eq!(paths.choose(Some(&gone.tuple), std::slice::from_ref(&gone), now), None);
        assert_eq!(paths.choose(Some(&gone.tuple), &[gone.clone(), fresh.clone()], now), Some(fresh.tuple));
    }

    #[test]
    fn who_leaves_a_path_on_one_connection_and_comes_by_another_is_followed_on_all() {
        let (paths, now) = (Paths::default(), Instant::now());
        let (old, new) = (path(HERE, "10.2.0.1", 10, 3), path(HERE, "10.2.0.9", 12, 1));
        let used = Some(&old.tuple);
        assert_eq!(paths.choose(used, std::slice::from_ref(&old), now), None);
        let left = Path { connections: 1, ..old.clone() };
        assert_eq!(paths.choose(used, std::slice::from_ref(&left), now), None);
        let late = now + IN_DOUBT;
        assert_eq!(paths.choose(used, &[left.clone(), new.clone()], late - NEARER), Some(new.tuple.clone()));
        // A second one, while nothing is in doubt, has to be nearer.
        let third = path(HERE, "10.2.0.10", 11, 1);
        assert_eq!(paths.choose(Some(&new.tuple), &[new.clone(), third], late), None);
    }

    #[test]
    fn another_path_alone_is_no_reason_to_leave_the_one_in_use() {
        let (paths, now) = (Paths::default(), Instant::now());
        let (old, new) = (path(HERE, "10.2.0.1", 10, 2), path(HERE, "203.0.113.1", 10, 1));
        assert_eq!(paths.choose(Some(&old.tuple), std::slice::from_ref(&old), now), None);
        assert_eq!(paths.choose(Some(&old.tuple), &[old.clone(), new.clone()], now), None);
        // Nor once it is no longer new, though the first was left by the other end.
        let left = Path { connections: 1, ..old.clone() };
        assert_eq!(paths.choose(Some(&old.tuple), &[left, new], now + IN_DOUBT), None);
    }

    #[test]
    fn who_comes_by_another_path_before_it_leaves_the_first_is_followed_as_well_but_not_twice() {
        let (paths, now) = (Paths::default(), Instant::now());
        let soon = |count: u32| now + count * IN_DOUBT / 4;
        let (old, new) = (path(HERE, "10.2.0.1", 10, 2), path(HERE, "10.2.0.9", 12, 1));
        assert_eq!(paths.choose(Some(&old.tuple), std::slice::from_ref(&old), now), None);
        assert_eq!(paths.choose(Some(&old.tuple), &[old.clone(), new.clone()], soon(8)), None);
        let left = Path { connections: 1, ..old.clone() };
        assert_eq!(paths.choose(Some(&old.tuple), &[left.clone(), new.clone()], soon(9)), Some(new.tuple.clone()));
        // Which is what this end does to the other one, too.
        let both = Path { connections: 2, ..new.clone() };
        assert_eq!(paths.choose(Some(&new.tuple), &[left.clone(), both], soon(10)), None);
        assert_eq!(paths.choose(Some(&new.tuple), &[left.clone(), new.clone()], soon(11)), None);
        // Another time it is.
        let (third, late) = (path(HERE, "10.2.0.10", 14, 1), soon(40));
        assert_eq!(paths.choose(Some(&new.tuple), &[Path { connections: 2, ..new.clone() }], late), None);
        assert_eq!(paths.choose(Some(&new.tuple), &[new.clone(), third.clone()], late), Some(third.tuple));
    }

    #[test]
    fn a_direct_path_is_taken_before_a_relay_however_far() {
        let (paths, now) = (Paths::default(), Instant::now());
        let relay = Path {
            tuple: FourTuple::Relay {
                url: "https://relay.example".parse().unwrap(),
                endpoint_id: iroh::SecretKey::from_bytes(&[1; 32]).public(),
            },
            ..path(HERE, "10.2.0.1", 5, 1)
        };
        let direct = path(HERE, "10.2.0.1", 50, 1);
        assert_eq!(paths.choose(Some(&relay.tuple), &[relay.clone(), direct.clone()], now), Some(direct.tuple.clone()));
        assert_eq!(paths.choose(Some(&direct.tuple), &[relay, direct.clone()], now), None);
    }
}
