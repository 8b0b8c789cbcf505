//! The mesh is what its table says, and the same from the same seed.

use super::{Mesh, arrivals};
use crate::scenario::Scenario;

fn laid(from: &str, to: &str) -> Scenario {
    let text = include_str!("../../../../scenarios/mesh.toml");
    assert!(text.contains(from), "{from}");
    Scenario::parse(&text.replace(from, to)).unwrap().with_nodes(Some(400)).unwrap().laid_out(3)
}

fn mesh() -> std::sync::Arc<Mesh> {
    laid("", "").mesh.unwrap()
}

#[test]
fn the_nearest_come_first_and_a_site_is_nearer_than_all_others() {
    let mesh = mesh();
    let near = mesh.nearest(17, 64);
    assert_eq!(near.len(), 64);
    assert!(near[..9].iter().all(|node| (10..20).contains(node)), "{near:?}");
    let ways: Vec<_> = near.iter().map(|node| mesh.one_way(17, *node as usize)).collect();
    assert!(ways.is_sorted(), "{ways:?}");
    assert_eq!(mesh.nearest(17, 1000).len(), 399);
    assert_eq!(mesh.one_way(17, 250), mesh.one_way(250, 17));
}

#[test]
fn neighbours_mostly_share_a_jurisdiction() {
    let mesh = mesh();
    let same = |node: usize| {
        let land = mesh.spots[node].jurisdiction;
        mesh.nearest(node, 20).iter().filter(|other| mesh.spots[**other as usize].jurisdiction == land).count()
    };
    let shared: usize = (0..400).map(same).sum();
    assert!(shared > 400 * 20 / 2, "{shared} of 8000");
}

#[test]
fn the_load_is_the_share_of_the_capacity_that_was_asked_for() {
    let scenario = laid("duration_s = 6", "duration_s = 200");
    let capacity = scenario.mesh.as_ref().unwrap().capacity() * 200_000;
    let works: Vec<_> = arrivals(&scenario, 3).map(|arrival| arrival.work).collect();
    let share = works.iter().sum::<u64>() * 1000 / capacity;
    assert!((835..865).contains(&share), "{share} per mille");
    let times: Vec<_> = arrivals(&scenario, 3).map(|arrival| arrival.at).collect();
    assert!(times.is_sorted());
}

#[test]
fn a_pulse_brings_so_many_times_as_many() {
    let scenario = laid("service_ms = 400", "service_ms = 400\npulse = { from_ms = 3000, to_ms = 5000, times = 10 }");
    let of = |from, to| arrivals(&scenario, 3).filter(|arrival| (from..to).contains(&arrival.at)).count();
    let (before, within) = (of(1_000_000, 3_000_000), of(3_000_000, 5_000_000));
    assert!((9..11).contains(&(within / before)), "{before}, then {within}");
}
