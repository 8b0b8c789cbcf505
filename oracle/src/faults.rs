//! Faults that are planted in what was exported: each must be found, else the comparison would show nothing.

/// A fault: what it is, and what it does to the text of each exported policy.
pub(crate) type Fault = (&'static str, fn(&str) -> String);

/// All of them.
pub(crate) const FAULTS: [Fault; 12] = [
    ("a forbid does not match a place that nobody knows", |text| in_forbids(text, ", \"ZZ\"]", "]")),
    ("a forbid of a part does not match a place of which only the country is known", |text| {
        in_forbids(text, "\"DE\", \"DE-BY\"]", "\"DE-BY\"]")
    }),
    ("a forbid of some origins matches only if all are there", |text| {
        in_forbids(text, "containsAny(principal.from", "containsAll(principal.from")
    }),
    ("a purpose that is not said is a way around a forbid", |text| {
        in_forbids(text, "contains(context.purpose) else true", "contains(context.purpose) else false")
    }),
    ("a forbid is about relays only for some classes", |text| {
        in_forbids(text, "action == Hither::Action::\"relay\" || ", "")
    }),
    ("a permit takes one of several origins for all", |text| {
        in_permits(text, "containsAll(principal.from", "containsAny(principal.from")
    }),
    ("a permit takes unknown control for none", |text| in_permits(text, ".codes)) else false", ".codes)) else true")),
    ("a permit takes a country for its part", |text| in_permits(text, "then [\"DE-BY\"]", "then [\"DE\", \"DE-BY\"]")),
    ("a version is not of its model", |text| text.replace(":*\"", "::*\"")),
    ("every place is at home", |text| text.replace("when { context.home &&", "when { true &&")),
    ("data of any class may rest at home", |text| text.replace("action != Hither::Action::\"enqueue\" ||", "true ||")),
    ("an unknown place is in one's own country", |text| text.replace("resource.country != \"ZZ\" && ", "")),
];

fn in_permits(text: &str, old: &str, new: &str) -> String {
    within(text, "\npermit (", old, new)
}

fn in_forbids(text: &str, old: &str, new: &str) -> String {
    within(text, "\nforbid (", old, new)
}

fn within(text: &str, kind: &str, old: &str, new: &str) -> String {
    let changed = |policy: &str| if policy.contains(kind) { policy.replace(old, new) } else { policy.to_owned() };
    text.split("\n@id").map(changed).collect::<Vec<_>>().join("\n@id")
}
