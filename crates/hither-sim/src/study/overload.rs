//! What a mesh does when it is asked for more than it can do.

use super::routing::{axis, no_marks};
use super::table::{Page, Study};
use super::{Scale, Setup, beside, hash_of, load};
use crate::figures::Slice;
use crate::plot::{Chart, Scale as AxisScale, Series, Style, Unit};
use crate::report::Report;

const ABOUT: &str = "The mesh of [routing](routing.md), deadline 3 s, load 0.9 of capacity, a pulse of 30 s of so many times \
the capacity, then 0.9 again. A fiftieth of the work is of the critical class, in the pulse too: decisions that take 100 ms at \
speed 1, a tenth of all requests. Goodput is the work of requests of the normal class that came in the pulse (its first two \
seconds aside) and were answered within the deadline, counted at the mean of 500 ms, and that of the critical ones, as a share \
of what all slots together do in that time; a smaller model's answer counts as one, and the share of those is said. With \
the ladder every caller accepts a smaller model that takes 0.3 of the work; a node has watts for four busy slots, whichever \
model they run. Recovery is the time from the end of the pulse until 98 % of what comes is answered for 5 s in a row, to half \
a second.";

const PULSE: (u64, u64) = (20_000, 50_000);

#[derive(Debug, Clone, Copy)]
struct Job {
    times: f64,
    ladder: bool,
    seed: u64,
    nodes: u32,
}

fn run(job: &Job) -> Report {
    let quality = if job.ladder { "family" } else { "exact" };
    let stream = |rho: f64, priority: &str, window: &str| {
        let text =
            load(rho, &format!("deadline_ms = 3000\nquality = \"{quality}\"\npriority = \"{priority}\"\n{window}"));
        // A decision that must not wait is a short one: no lognormal tail that is longer than its deadline by itself.
        if priority == "critical" {
            text.replace("service_ms = 500", "service_ms = 100\nservice = \"fixed\"")
        } else {
            text
        }
    };
    let always = "from_ms = 1000\nmeasure_from_ms = 10000";
    let pulse = format!("from_ms = {}\nto_ms = {}", PULSE.0, PULSE.1);
    let more = job.times - 0.9;
    let rest = [
        stream(0.88, "normal", always),
        stream(0.02, "critical", always),
        stream(more - more / 50.0, "normal", &pulse),
        stream(more / 50.0, "critical", &pulse),
    ]
    .concat();
    let mut slices = vec![(PULSE.0 + 2000, PULSE.1), (10_000, PULSE.0)];
    slices.extend((0..40).map(|half| (PULSE.1 + half * 500, PULSE.1 + (half + 1) * 500)));
    let setup = Setup { slices, gossip_ms: 2000, ..Setup::new(job.nodes, 70, rest) };
    crate::run(&setup.scenario(), job.seed, None).expect("a study's scenario runs")
}

/// Half seconds after the pulse until all of ten in a row succeed.
fn recovery(slices: &[Slice]) -> Option<usize> {
    let fine = |slice: &Slice| slice.answered as f64 >= 0.98 * slice.offered() as f64;
    (0..slices.len().saturating_sub(9)).find(|first| slices[*first..first + 10].iter().all(fine))
}

/// By the size of the pulse.
pub(super) fn overload(scale: Scale) -> Study {
    let (nodes, times, seeds): (u32, &[f64], &[u64]) = match scale {
        Scale::Full => (100, &[1.4, 2.0, 3.0, 5.0, 10.0], &[1, 2, 3]),
        Scale::Quick => (40, &[2.0], &[1]),
    };
    let mut jobs = Vec::new();
    for ladder in [false, true] {
        for times in times {
            jobs.extend(seeds.iter().map(|seed| Job { times: *times, ladder, seed: *seed, nodes }));
        }
    }
    let reports = beside(&jobs, |job| {
        let capacity = capacity(job);
        (run(job), capacity)
    });
    let mut page = Page::new("overload", "More than can be done", ABOUT);
    reports.iter().for_each(|(report, _)| page.count(report));
    let goodput = |report: &Report, capacity: f64| {
        let slice = report.figures.slices[0];
        let work = (slice.answered - slice.critical) as f64 + slice.critical as f64 / 5.0;
        work / (capacity * (slice.to - slice.from) as f64 / 1e6)
    };
    for ladder in [false, true] {
        let mut rows = Vec::new();
        for (job, (report, capacity)) in jobs.iter().zip(&reports).filter(|(job, _)| job.ladder == ladder) {
            let (slice, before) = (report.figures.slices[0], report.figures.slices[1]);
            let recovered = recovery(&report.figures.slices[2..]);
            rows.push(vec![
                format!("{} ×", job.times),
                job.seed.to_string(),
                format!("{:.3}", goodput(report, *capacity)),
                format!("{:.1} %", 100.0 * slice.answered as f64 / slice.offered().max(1) as f64),
                format!(
                    "{:.1} %",
                    100.0 * report.count("stepped_down") as f64 / report.count("answered").max(1) as f64
                ),
                format!("{} of {}", slice.critical, slice.critical + slice.critical_lost),
                format!("{:.1} %", 100.0 * before.answered as f64 / before.offered().max(1) as f64),
                recovered.map_or("not within 15 s".to_owned(), |half| format!("{} s", half as f64 / 2.0)),
                format!("{} ms", slice.p99 / 1000),
            ]);
        }
        page.heading(if ladder { "With the ladder" } else { "Without the ladder" });
        page.table(
            &[
                "pulse",
                "seed",
                "goodput ÷ capacity",
                "answered",
                "by the smaller model",
                "critical in time",
                "answered before the pulse",
                "recovery",
                "p99",
            ],
            &rows,
        );
    }
    let line = |name: &str, ladder: bool| Series {
        name: name.to_owned(),
        points: jobs
            .iter()
            .zip(&reports)
            .filter(|(job, _)| job.ladder == ladder && job.seed == seeds[0])
            .map(|(job, (report, capacity))| (job.times, goodput(report, *capacity)))
            .collect(),
        style: Style::Line,
    };
    let chart = Chart {
        title: "Goodput when asked for too much".to_owned(),
        note: format!("{nodes} nodes, a pulse of 30 s, deadline 3 s, seed {}", seeds[0]),
        x: axis("offered ÷ capacity", AxisScale::Linear, Unit::Number),
        y: axis("goodput ÷ capacity", AxisScale::Linear, Unit::Number),
        series: vec![
            line("the model that was asked for", false),
            line("with the quality ladder", true),
            Series {
                name: "capacity".to_owned(),
                points: times.iter().map(|times| (*times, 1.0)).collect(),
                style: Style::Bound,
            },
        ],
        marks: no_marks(),
    };
    page.chart("goodput", "goodput against offered load", chart.svg());
    page.done(&format!("{seeds:?}"), hash_of(reports.iter().map(|(report, _)| report)))
}

/// What all slots together can do, in requests of the large model for each second.
fn capacity(job: &Job) -> f64 {
    let scenario = Setup::new(job.nodes, 1, load(0.1, "deadline_ms = 1000")).scenario().laid_out(job.seed);
    let work = scenario.mesh.as_ref().map_or(0, |mesh| mesh.capacity());
    work as f64 / 1000.0 / 0.5
}
