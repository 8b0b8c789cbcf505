//! Figures are of the window and of nothing else.

use hither_types::request::Priority;

use super::{Ending, Measure, Sample};

#[test]
fn only_requests_of_the_window_count() {
    let mut measure = Measure::default();
    measure.set_window(2_000_000, 4_000_000);
    for (submitted, ended, ending) in [
        (1_000_000, 2_500_000, Ending::Finished),
        (2_000_000, 2_100_000, Ending::Finished),
        (2_500_000, 2_800_000, Ending::Finished),
        (3_000_000, 3_001_000, Ending::Refused),
        (3_900_000, 4_400_000, Ending::Finished),
    ] {
        measure.enters(submitted);
        measure.ran(submitted, ended);
        measure.ended(ended, Sample { submitted, place: 1, priority: Priority::Normal, ending });
    }
    let figures = measure.figures(1, 0);
    assert_eq!((figures.requests, figures.answered, figures.refused), (4, 3, 1));
    assert_eq!((figures.latency_mean, figures.latency_p50, figures.latency_p99), (300_000, 300_000, 300_000));
    assert_eq!(figures.goodput_milli, 1000);
    assert_eq!(figures.utilisation, (500 + 100 + 300 + 1 + 100) * 1000 / 2000);
    let series: Vec<_> = figures.series.iter().map(|second| (second.second, second.goodput, second.refused)).collect();
    assert_eq!(series, [(2, 2, 0), (3, 0, 1), (4, 1, 0)]);
}
