//! The law of each site of the demo: three files, each with cases that it must answer as its author wants.

/// The law of a site.
pub(super) fn of(site: &str) -> &'static str {
    match site {
        "jakarta" => JAKARTA,
        _ => EEA,
    }
}

/// Munich and Paris: data of the bank within the EEA, public data anywhere, weights may travel.
const EEA: &str = r#"# The law of a site of the bank inside the EEA.
version = 1

[default]
unlabelled = "internal"

[[permit]]
id = "eea-bank"
action = ["infer", "cache"]
class = ["internal", "personal"]
origin = ["EEA"]
target = ["EEA"]
same_operator = true

[[permit]]
id = "public-anywhere"
action = ["infer"]
class = ["public"]

[[permit]]
id = "weights-travel"
action = ["replicate"]

[[permit]]
id = "auditors"
action = ["export"]
class = ["public", "internal", "personal"]
origin = ["EEA"]
target = ["EEA"]

[[test]]
given = { action = "export", class = "personal", origin = "FR", target = "US" }
expect = "deny"

[[test]]
given = { class = "personal", origin = "FR", target = "DE-BY" }
expect = "permit"

[[test]]
given = { class = "personal", origin = "DE-BY", target = "ID" }
expect = "deny"

[[test]]
given = { class = "special", origin = "DE-BY", target = "FR" }
expect = "deny"

[[test]]
given = { class = "public", origin = "DE-BY", target = "ID" }
expect = "permit"
"#;

/// Jakarta: data about people in Indonesia stays in Indonesia, whatever else is permitted.
const JAKARTA: &str = r#"# The law of the bank's site in Indonesia.
version = 1

[default]
unlabelled = "internal"

[ledger]
witness_within_days = 1

[blocs]
bank-hubs = ["DE", { code = "FR", until = 2031-01-01 }]

[[permit]]
id = "bank-internal"
action = ["infer"]
class = ["public", "internal"]
target = ["bank-hubs", "ID"]
same_operator = true

[[permit]]
id = "website-cloud"
action = ["infer"]
apps = ["website"]
class = ["public", "internal"]
target = ["US"]

[[permit]]
id = "id-personal-at-home"
action = ["infer"]
class = ["personal", "special"]
target = ["ID"]
same_operator = true

[[permit]]
id = "weights-travel"
action = ["replicate"]

[[forbid]]
id = "id-bank"
class = ["personal", "special", "secret"]
origin = ["ID"]
target_not = ["ID"]

[[test]]
given = { class = "personal", origin = "ID", target = "DE-BY" }
expect = "deny"

[[test]]
given = { class = "personal", origin = "DE-BY", subjects = ["ID"], target = "FR" }
expect = "deny"

[[test]]
given = { class = "personal", origin = "ID", target = "ID" }
expect = "permit"

[[test]]
given = { class = "internal", origin = "ID", target = "FR" }
expect = "permit"
on = 2030-12-31

[[test]]
given = { class = "internal", origin = "ID", target = "FR" }
expect = "deny"
on = 2031-01-01

[[test]]
given = { app = "website", class = "personal", origin = "ID", target = "US" }
expect = "deny"
"#;

#[cfg(test)]
mod tests;
