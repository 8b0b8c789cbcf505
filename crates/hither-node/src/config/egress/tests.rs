//! What may be said of budgets and prices.

use std::error::Error;

use hither_types::spending::Money;
use hither_types::unit::ByteCount;

use crate::config::{NodeConfig, Overrides};
use crate::kernel::Source;

const CLOUD: &str =
    "[endpoint.cloud]\nurl = \"https://models.example\"\nmodels = [\"a\"]\njurisdiction = \"US\"\noperator = \"x\"\n";

fn load(text: &str) -> Result<NodeConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hither.toml"), text).unwrap();
    let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
    NodeConfig::load(None, overrides).map_err(|error| {
        let causes = std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    })
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = load(text).map(|config| config.budgets).expect_err(text);
    assert!(error.contains(part), "{error}");
}

#[test]
fn without_a_word_nothing_is_limited() {
    let budgets = load("").unwrap().budgets;
    assert_eq!((budgets.site, budgets.apps.len(), budgets.other_apps, budgets.compared), (None, 0, None, None));
}

#[test]
fn bytes_are_limited_by_site_and_by_app() {
    let text = "[egress]\nsite_mb_per_day = 20_000\napps_mb_per_day = { ct-triage = 100, \"*\" = 5 }";
    let budgets = load(text).unwrap().budgets;
    assert_eq!(budgets.site, Some(ByteCount(20_000_000_000)));
    assert_eq!(budgets.apps.values().copied().collect::<Vec<_>>(), [ByteCount(100_000_000)]);
    assert_eq!(budgets.other_apps, Some(ByteCount(5_000_000)));
    refused("[egress]\napps_mb_per_day = { \"a b\" = 1 }", "[egress] apps_mb_per_day names \"a b\"");
    refused("[egress]\nsite_gb_per_day = 1", "unknown field `site_gb_per_day`");
    refused("[egress]\nsite_mb_per_day = -1", "invalid value");
}

#[test]
fn the_counters_of_a_kernel_come_from_a_file_or_a_command() {
    assert_eq!(load("").unwrap().kernel, None);
    let kernel = |text: &str| load(&format!("[egress.kernel]\n{text}")).unwrap().kernel.unwrap();
    let of_file = kernel("file = \"/run/hither/counters.json\"");
    assert_eq!(of_file.source, Source::File("/run/hither/counters.json".into()));
    assert_eq!(of_file.every.as_secs(), 3600);
    let of_command = kernel("command = [\"nft\", \"-j\"]\nevery_s = 600");
    assert_eq!(of_command.source, Source::Command(vec!["nft".to_owned(), "-j".to_owned()]));
    assert_eq!(of_command.every.as_secs(), 600);
    refused("[egress.kernel]", "one of them is needed");
    refused("[egress.kernel]\nfile = \"a\"\ncommand = [\"b\"]", "only one is read");
    refused("[egress.kernel]\ncommand = []", "names no program");
    refused("[egress.kernel]\nminutes = 5", "unknown field `minutes`");
}

#[test]
fn money_is_limited_where_something_has_a_price() {
    let price = "price = { per_million_input_tokens = 2.5, per_million_output_tokens = 10, per_request = 0.001 }\n";
    let limits = "spend_per_day = 5\nspend_per_app_per_day = 0.5\napps = [\"till\"]\n";
    let currency = "[egress]\ncurrency = \"EUR\"\n";
    let budgets = load(&format!("{currency}{CLOUD}{price}{limits}")).unwrap().budgets;
    let (server, purse) = budgets.purses.first_key_value().unwrap();
    assert_eq!((purse.price.input, purse.price.request), (Money(2_500_000), Money(1_000)));
    assert_eq!((purse.day, purse.app_day), (Some(Money(5_000_000)), Some(Money(500_000))));
    assert_eq!(purse.apps.as_ref().map(|apps| apps.len()), Some(1));
    assert_eq!(budgets.compared.as_ref(), Some(server), "with one price there is nothing to choose");
    refused(&format!("{CLOUD}{price}"), "[endpoint.cloud] has a price, and [egress] does not say in which currency");
    refused(
        &format!("{currency}{CLOUD}spend_per_day = 5"),
        "[endpoint.cloud] spend_per_day limits what is spent, and nothing",
    );
    refused(&format!("{currency}{CLOUD}{price}spend_per_day = -1"), "[endpoint.cloud] spend_per_day is -1");
    refused(&format!("{currency}{CLOUD}{price}spend_per_day = nan"), "must be a sum of money");
    refused(&format!("{currency}compare_with = \"moon\"\n{CLOUD}{price}"), "compare_with is \"moon\"");
    refused(&format!("{CLOUD}price = {{ per_word = 1 }}"), "unknown field `per_word`");
    let here = "[endpoint.lab]\nurl = \"http://127.0.0.1:9\"\nmodels = [\"a\"]\napps = [\"till\"]";
    refused(here, "[endpoint.lab] is on this machine");
}

#[test]
fn ways_to_members_have_prices_in_a_currency() {
    let text = "[egress]\ncurrency = \"EUR\"\nprice_per_gb = { inter-site = 0.02, cross-border = 0.08 }";
    let links = load(text).unwrap().budgets.links;
    assert_eq!((links.lan, links.inter_site, links.cross_border), (Money(0), Money(20_000), Money(80_000)));
    refused("[egress]\nprice_per_gb = { relay = 1 }", "[egress] price_per_gb has a price");
    refused("[egress]\ncurrency = \"EUR\"\nprice_per_gb = { relay = -1 }", "[egress] price_per_gb.relay is -1");
    refused("[egress]\nprice_per_gb = { cloud = 1 }", "unknown field `cloud`");
}
