//! What people read of budgets.

use hither_api::admin::{AppMoneyDto, AppSpendingDto, LinkDto, ServerSpendingDto, SpendingDto};

use super::{egress, line};
use crate::output::Colour;

fn spending() -> SpendingDto {
    let link = |link: &str, requests, answers| LinkDto { link: link.to_owned(), requests, answers, cost: 0 };
    let app = |app: &str, bytes, bytes_max| AppSpendingDto { app: app.to_owned(), bytes, bytes_max };
    SpendingDto {
        day: 20_421,
        bytes: 2_500_000,
        bytes_max: Some(20_000_000),
        links: vec![
            link("lan", 0, 0),
            link("inter-site", 0, 0),
            link("cross-border", 2_000_000, 0),
            link("cloud", 500_000, 0),
            link("relay", 1_000_000, 0),
        ],
        apps: vec![app("till", 2_000_000, Some(2_000_000)), app("press", 500_000, None)],
        servers: vec![ServerSpendingDto {
            server: "cloud".to_owned(),
            spent: 1_230_000,
            spent_max: Some(5_000_000),
            app_max: None,
            apps: vec![AppMoneyDto { app: "press".to_owned(), spent: 1_230_000 }],
        }],
        currency: "EUR".to_owned(),
        saved: 17_200_000,
        carried: 0,
        compared_with: Some("cloud".to_owned()),
    }
}

#[test]
fn every_budget_is_shown_with_what_is_spent_of_it() {
    let text = egress(&spending(), Colour::Off);
    let expected = "  left the site since midnight UTC  2.5 MB of 20.0 MB\n    \
                    lan           0 B in requests · 0 B in answers\n    \
                    inter-site    0 B in requests · 0 B in answers\n    \
                    cross-border  2.0 MB in requests · 0 B in answers\n    \
                    cloud         500.0 kB in requests · 0 B in answers\n    \
                    relay         1.0 MB in requests · 0 B in answers  (of those above, over a relay)\n  \
                    app       till          2.0 MB of 2.0 MB: spent\n  \
                    app       press         500.0 kB, no budget\n  \
                    server    cloud         1.23 of 5.00 EUR\n    \
                    press           1.23, no budget EUR\n  \
                    saved     17.20 EUR  (what this node and its peers answered, at the price of cloud)\n";
    assert_eq!(text, expected);
}

#[test]
fn status_says_it_in_one_line_where_there_is_something_to_say() {
    let expected = "  today     2.5 MB of 20.0 MB left the site · cross-border 2.0 MB · cloud 500.0 kB · spent 1.23 EUR, saved 17.20 EUR\n";
    assert_eq!(line(&spending()), expected);
    assert_eq!(line(&SpendingDto::default()), "");
}

#[test]
fn what_ways_cost_is_shown_and_taken_off_what_was_saved() {
    let mut spending = SpendingDto { carried: 200_000, ..spending() };
    spending.links[2].cost = 160_000;
    let text = egress(&spending, Colour::Off);
    assert!(text.contains("cross-border  2.0 MB in requests · 0 B in answers · 0.16 EUR\n"), "{text}");
    assert!(text.contains("saved     17.00 EUR  (what this node and its peers answered, at the price of cloud, 17.20 EUR, less 0.20 for the ways there)"), "{text}");
    assert!(line(&spending).contains("saved 17.00 EUR"), "{}", line(&spending));
    assert!(line(&SpendingDto { saved: 0, ..spending }).contains("saved -0.20 EUR"));
}
