//! A site is lost at once: how soon its loss is known to the gateways of all others, and to everybody.

use super::Scale;
use super::membership::ABOUT;
use super::table::{Page, Study};
use crate::crowd::{Crowd, Weather};

const SECOND: u64 = 1_000_000;

/// Sites, nodes of each, and the seed.
type Lost = (usize, usize, u64);

/// A site is lost at once.
fn site_lost((sites, size, seed): &Lost) -> (usize, Option<u64>, Option<u64>, u64) {
    let known = 8;
    let mut crowd = Crowd::new(&vec![*size; *sites], known, Weather { loss: 10, slow: 0, far: 0 }, *seed);
    crowd.acquaint();
    let lost: Vec<usize> = (0..*size).collect();
    for second in (5..=30).step_by(5) {
        crowd.run_until(second * SECOND);
        // The largest of them takes minutes.
        eprintln!("membership-sites: {sites} × {size}, second {second}, {} events", crowd.tally.events);
    }
    let shown = |crowd: &Crowd| lost.iter().filter(|at| crowd.sees(size * (sites - 1), **at)).count();
    let before = shown(&crowd);
    lost.iter().for_each(|at| crowd.kill(*at));
    let gateways: Vec<usize> = crowd.living().filter(|at| crowd.is_gateway(*at)).collect();
    let none = |crowd: &Crowd, at: usize| lost.iter().all(|lost| !crowd.sees(at, *lost));
    let by_gateways = crowd.run_while(60 * SECOND, |crowd| gateways.iter().all(|at| none(crowd, *at)));
    let by_all = crowd.run_while(60 * SECOND, |crowd| crowd.living().all(|at| none(crowd, at)));
    let by_all = by_gateways.zip(by_all).map(|(gateways, rest)| gateways + rest);
    (before, by_gateways, by_all, crowd.tally.evictions)
}

fn seconds(micros: Option<u64>) -> String {
    micros.map_or("not within 60 s".to_owned(), |micros| format!("{:.2} s", micros as f64 / 1e6))
}

/// Whole sites are lost.
pub(super) fn sites(scale: Scale) -> Study {
    let jobs: &[Lost] = match scale {
        Scale::Full => &[(10, 10, 1), (100, 20, 1), (100, 100, 1)],
        Scale::Quick => &[(5, 5, 1)],
    };
    let mut page = Page::new("membership-sites", "A site is lost", ABOUT);
    let mut wrong = 0;
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            let (shown, by_gateways, by_all, evictions) = site_lost(job);
            wrong += evictions;
            let (sites, size, _) = job;
            vec![
                format!("{sites} × {size}"),
                shown.to_string(),
                seconds(by_gateways),
                seconds(by_all),
                evictions.to_string(),
            ]
        })
        .collect();
    page.table(&["sites × nodes", "of it shown before", "all gateways know", "all know", "wrong"], &rows);
    page.text(
        "All nodes of one site die at one instant, at 1 % loss. The goal is 10 s for all gateways of ten thousand nodes. Each node \
         knows all members of its site and eight of each other, and has heard of all of them before.",
    );
    let mut study = page.ended();
    study.violations = wrong;
    study.first = (wrong > 0).then(|| "somebody who lived was taken for gone".to_owned());
    study
}
