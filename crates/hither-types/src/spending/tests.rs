//! Sums, prices and words.

use super::{Flow, Link, LinkPrices, Money, Price, Spent};
use crate::unit::ByteCount;

#[test]
fn money_is_written_with_as_many_decimals_as_it_needs() {
    let cases =
        [(0, "0.00"), (1, "0.000001"), (2_500, "0.0025"), (10_000, "0.01"), (1_234_567, "1.23"), (12_000_000, "12.00")];
    for (millionths, text) in cases {
        assert_eq!(Money(millionths).to_string(), text);
    }
}

#[test]
fn a_request_costs_its_parts_rounded_up() {
    let euro = |units: u64| Money(units * 1_000_000);
    let price = Price { request: Money(500), input: euro(2), output: euro(8), gigabyte: Money(90_000) };
    assert_eq!(price.of(ByteCount(0), 0, 0), Money(500));
    assert_eq!(price.of(ByteCount(1), 1_000, 250), Money(500 + 2_000 + 2_000 + 1));
    assert_eq!(Price::default().of(ByteCount(u64::MAX), u64::MAX, u64::MAX), Money(0));
    let dear = Price { request: Money(u64::MAX), ..price };
    assert_eq!(dear.of(ByteCount(1), 1, 1), Money(u64::MAX), "nothing wraps around");
}

#[test]
fn what_stays_on_the_lan_has_not_left_the_site() {
    let flow = |requests, answers| Flow { requests: ByteCount(requests), answers: ByteCount(answers) };
    let spent = Spent { links: [flow(1_000, 1_000), flow(1, 20), flow(300, 0), flow(0, 4_000)], ..Spent::default() };
    assert_eq!(spent.out_of_site(), ByteCount(4_321));
    assert_eq!(Link::ALL.map(Link::leaves_the_site), [false, true, true, true]);
}

#[test]
fn payload_costs_what_its_way_costs_and_a_relay_beside_it() {
    let flow = |requests, answers| Flow { requests: ByteCount(requests), answers: ByteCount(answers) };
    let links = [flow(0, 0), flow(1_000_000_000, 0), flow(500_000_000, 500_000_000), flow(9_000_000_000, 0)];
    let spent = Spent { links, relayed: flow(1, 0), ..Spent::default() };
    let prices =
        LinkPrices { inter_site: Money(20_000), cross_border: Money(80_000), relay: Money(10_000), lan: Money(1) };
    assert_eq!(
        spent.carried(&prices),
        Money(20_000 + 80_000 + 1),
        "each rounded up, and servers have their own prices"
    );
    assert_eq!(spent.carried(&LinkPrices::default()), Money(0));
}
