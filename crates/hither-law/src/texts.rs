//! The policies that we write ourselves.

use hither_types::place::Jurisdiction;

use crate::places::{UNKNOWN_PLACE, country_name};

/// The policy of a node without one, as text.
pub const LOCAL_ONLY: &str = "version = 1\n";

/// The policy that a new node starts from: one's own machines in one country work together at once, and a border still
/// stops what is not public.
pub fn default_text(jurisdiction: Jurisdiction) -> String {
    let country = jurisdiction.country();
    let code = country.to_string();
    let name = country_name(country).unwrap_or("this country");
    if code == UNKNOWN_PLACE {
        return format!("{HEAD}{NOWHERE}{PUBLIC}{TESTS_ANYWHERE}");
    }
    let abroad = if code == "CH" { "NZ" } else { "CH" };
    let fill = |text: &str| text.replace("{code}", &code).replace("{name}", name).replace("{abroad}", abroad);
    format!("{HEAD}{}{PUBLIC}{TESTS_ANYWHERE}{}", fill(OWN_COUNTRY), fill(TESTS_OWN_COUNTRY))
}

const HEAD: &str = r#"# The law of this node: what may go where.
#
# What no rule permits stays where it is. A forbid beats every permit. Work on the node where a request enters is
# always permitted (rule "local"); everything below is about other machines.
#
# Both ends decide, each by its own policy. `hither policy check` reads this file, `hither explain` quotes its rules.

version = 1

[default]
cross_border = "deny"      # what no permit below allows
unlabelled   = "internal"  # a request that says nothing; public < internal < personal < special < secret
"#;

const OWN_COUNTRY: &str = r#"
# One's own machines in one country help one another, also with data about people. Data that came from elsewhere, or
# that concern people elsewhere, are not meant: origin is where a request entered and every person concerned.
#
# {code} is {name}.
[[permit]]
id            = "own-country"
action        = ["infer", "cache"]      # also: relay, enqueue, replicate, observe, export
class         = ["internal", "personal"]
origin        = ["{code}"]                  # a country (DE), a part of one (DE-BY), or EU, EEA, EU-ADEQUATE, ASEAN
target        = ["{code}"]
same_operator = true                    # machines that somebody else runs are not meant
assurance     = 1                       # how well it is known where they stand: 0 claimed, 1 vouched, 2 near
"#;

const NOWHERE: &str = r#"
# This node does not know where it stands (ZZ), so nothing but public data leaves it. Give it a place, and then permit
# what may move between machines of yours there:
#
# [[permit]]
# id            = "own-country"
# action        = ["infer", "cache"]
# class         = ["internal", "personal"]
# origin        = ["DE"]
# target        = ["DE"]
# same_operator = true
"#;

const PUBLIC: &str = r#"
# Public data may be processed by every member of the mesh. What an engine read of them may stay in its memory there,
# for the next request that begins alike (cache).
[[permit]]
id     = "public"
action = ["infer", "cache"]
class  = ["public"]

# Models may be copied to every member of the mesh. Their licences are the publisher's to check.
[[permit]]
id     = "models"
action = ["replicate"]

# To stop something for good, whatever is permitted above or by a later permit:
#
# [[forbid]]
# id         = "health-stays"
# class      = ["special", "secret"]
# origin     = ["DE"]
# target_not = ["DE"]

[retention]
default = 184   # days for which the ledger keeps its records, by origin

# A policy that fails its own tests is not put in force. A case is about another machine of the same operator.
"#;

const TESTS_ANYWHERE: &str = r#"
[[test]]
given  = { class = "public", origin = "DE", target = "ID" }
expect = "permit"

[[test]]
given  = { class = "special", origin = "DE", target = "ID" }
expect = "deny"

[[test]]
given  = { action = "replicate", class = "public", origin = "DE", target = "ID" }
expect = "permit"
"#;

const TESTS_OWN_COUNTRY: &str = r#"
[[test]]
given  = { class = "personal", origin = "{code}", target = "{code}" }
expect = "permit"

[[test]]
given  = { class = "special", origin = "{code}", target = "{code}" }
expect = "deny"

[[test]]
given  = { class = "internal", origin = "{code}", target = "{abroad}" }
expect = "deny"

[[test]]
given  = { class = "personal", origin = "{code}", subjects = ["{abroad}"], target = "{code}" }
expect = "deny"
"#;
