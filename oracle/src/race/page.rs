//! The page that the race writes.

use std::fmt::Write as _;

use super::{IN_WORDS, Outcome, PLACES, QUESTIONS, RULE_BY_RULE, SIZES};

/// One decision at 30 rules.
const GOAL_NS: f64 = 50.0;

/// All places of one request at 30 rules.
const GOAL_PLACES_NS: f64 = 1_000.0;

/// The page.
pub(super) fn page(found: &Outcome) -> String {
    let mut text = format!(
        "# One decision of the law beside other engines\n\nWritten by `cargo run --release --manifest-path oracle/Cargo.toml -- race --to PATH`; do not edit by \
         hand.\n\nProcessor time of the thread for one decision, the best of nine runs of at least 20 ms each, all in one process. Each \
         engine was given the same policy in its own words, and had to answer {QUESTIONS} drawn questions as ours does before it was \
         timed. Texts are parsed and compiled outside the clock, and questions are in the form that the engine takes; the others say \
         yes or no, ours says which rule. The policy: eight rules as operators write them, two of them forbids, \
         and the rest a permit for an app each; the one that permits stands last. Asked is about personal data from Germany, in France \
         (allow, by that rule) and in the United States (deny, for want of a permit).\n\n{}\n\n",
        machine()
    );
    goals(&mut text, found);
    text.push_str("\n## Beside others\n\nTimes, and how many of ours that is.\n\n| engine |");
    for rules in SIZES {
        let _ = write!(text, " {rules} rules: allow | deny |");
    }
    let _ = writeln!(text, "\n|{}", " --- |".repeat(1 + 2 * SIZES.len()));
    let of_size = |rules: usize| found.laps.iter().filter(move |lap| lap.rules == rules);
    for name in of_size(SIZES[0]).map(|lap| lap.name.clone()) {
        let _ = write!(text, "| {name} |");
        for rules in SIZES {
            let (Some(lap), Some(ours)) = (of_size(rules).find(|lap| lap.name == name), of_size(rules).next()) else {
                continue;
            };
            let cell = |ns: f64, ours_ns: f64| {
                if std::ptr::eq(lap, ours) { time(ns) } else { format!("{} ({} ×)", time(ns), short(ns / ours_ns)) }
            };
            let _ = write!(text, " {} | {} |", cell(lap.allow_ns, ours.allow_ns), cell(lap.deny_ns, ours.deny_ns));
        }
        text.push('\n');
    }
    text.push_str(
        "\n\"As exported\" is the output of `hither policy export --cedar`, which is exact also where something is unknown; \"own words\" is \
         written for Cedar, with lists of countries as groups that the target is a member of, and with the groups that hold all sources \
         named in the question. Rego has its lists as data. CEL has no policies: each rule is a program, forbids first, and they run until \
         one decides; its lists are variables.\n\n## Versions\n\n",
    );
    let _ = writeln!(text, "{}.", versions());
    text
}

fn goals(text: &mut String, found: &Outcome) {
    text.push_str("| what | goal | measured | verdict |\n| --- | --- | --- | --- |\n");
    let ours = found.laps.iter().find(|lap| lap.rules == 30 && lap.name == "ours");
    let (allow, deny) = ours.map_or((f64::NAN, f64::NAN), |lap| (lap.allow_ns, lap.deny_ns));
    let verdict = |ns: f64, goal: f64| if ns <= goal { "met" } else { "**missed**" };
    let mut row = |what: &str, ns: f64, goal: f64| {
        let _ = writeln!(text, "| {what} | ≤ {} | {} | {} |", time(goal), time(ns), verdict(ns, goal));
    };
    row("one decision at 30 rules, allow", allow, GOAL_NS);
    row("one decision at 30 rules, deny", deny, GOAL_NS);
    let places = format!("{PLACES} places at 30 rules, {} of them lawful", found.places_permitted);
    row(&places, found.places_ns, GOAL_PLACES_NS);
    let missed = deny.max(allow) > GOAL_NS || found.places_ns > GOAL_PLACES_NS;
    if missed {
        text.push_str(
            "\nMissed on a machine as busy as that: what such a decision takes is a few dozen lookups and ANDs.\n",
        );
    }
    without_index(text, found);
}

/// What stands beside the decision: the words of a denial, and how it was without an index.
fn without_index(text: &mut String, found: &Outcome) {
    let of = |name: &str, pick: fn(&super::Lap) -> f64| {
        found.laps.iter().find(|lap| lap.rules == 30 && lap.name == name).map_or(f64::NAN, pick)
    };
    let ratio = |slow: f64, quick: f64| format!("{} ×", short(slow / quick));
    let (allow, deny) = (|lap: &super::Lap| lap.allow_ns, |lap: &super::Lap| lap.deny_ns);
    text.push_str(
        "\nA decision is a rule or none. What is in the way of a denial, in words, is made when somebody asks for it: for an \
         explanation, a refusal, an event. That tests each permit constraint by constraint, and writes two texts for each that failed \
         in the nearest. In the same run:\n\n| at 30 rules | the decision | with words | rule by rule, with words |\n\
         | --- | --- | --- | --- |\n",
    );
    let mut row = |what: &str, decision: f64, words: f64, rules: f64| {
        let beside = |ns: f64| format!("{} ({})", time(ns), ratio(ns, decision));
        let _ = writeln!(text, "| {what} | {} | {} | {} |", time(decision), beside(words), beside(rules));
    };
    row("allow", of("ours", allow), of(IN_WORDS, allow), of(RULE_BY_RULE, allow));
    row("deny", of("ours", deny), of(IN_WORDS, deny), of(RULE_BY_RULE, deny));
    row(&format!("{PLACES} places"), found.places_ns, found.places_in_words_ns, found.places_rule_by_rule_ns);
    let _ = writeln!(
        text,
        "\nThe index says for each value of each fact which rules it leaves in play, sixty-four of them to a word; it is made when a \
         policy is read, which takes {} at 30 rules. \"Rule by rule\" is the evaluator without it, of whose constraints the index is \
         made and to which it is held on drawn policies.",
        time(found.read_ns)
    );
}

/// Three digits that matter.
fn short(number: f64) -> String {
    match number {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn time(ns: f64) -> String {
    if ns > 1_000.0 { format!("{} µs", short(ns / 1_000.0)) } else { format!("{} ns", short(ns)) }
}

/// The engines, as the lock file has them.
fn versions() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split('"').next()?))
    };
    ["cedar-policy", "regorus", "cel"].into_iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

/// What this machine is, and how busy.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", ");
    format!(
        "Machine: {count} processors, {}, virtual; load when the page was written (1, 5, 15 minutes): {load}.",
        model.map_or("unknown", |(_, name)| name.trim())
    )
}
