//! The comparison: policies and questions from a seed, put to the evaluator and to Cedar.

use hither_types::time::Day;
use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy::Schema;
use hither_core::policy::{Law, judge_relay};
use hither_law::{cedar, parse};
use hither_types::law::{Denial, Question, Verdict};

use crate::cedar::{Asked, Loaded, Said, schema};
use crate::draw::{Act, Chance, Request, policy, request};

/// So many questions are put to each policy.
const QUESTIONS: usize = 10;

/// Of a hundred answers, each kind makes up so many at least: else the world is too dull to show anything.
const LEAST_PERCENT: usize = 10;

/// What was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) policies: usize,
    pub(crate) permitted: usize,
    pub(crate) forbidden: usize,
    pub(crate) by_default: usize,
    pub(crate) relays: usize,
}

impl Counts {
    pub(crate) fn pairs(&self) -> usize {
        self.permitted + self.forbidden + self.by_default
    }

    /// The kinds of answers that are rare.
    pub(crate) fn rare(&self) -> Vec<&'static str> {
        let kinds =
            [("permitted", self.permitted), ("forbidden", self.forbidden), ("denied by default", self.by_default)];
        kinds
            .into_iter()
            .filter(|(_, count)| count * 100 < self.pairs() * LEAST_PERCENT)
            .map(|(kind, _)| kind)
            .collect()
    }
}

/// Compares so many pairs. `fault` changes what was exported, to see whether it would be noticed.
pub(crate) fn compare(seed: u64, pairs: usize, fault: impl Fn(&str) -> String) -> Result<Counts, String> {
    let schema = schema()?;
    let mut chance = Chance::new(seed);
    let mut counts = Counts::default();
    while counts.pairs() < pairs {
        let text = policy(&mut chance);
        let read = parse(&text, Day(0)).map_err(|error| format!("a drawn policy cannot be read: {error}\n{text}"))?;
        let exported = fault(&cedar(&read));
        let law = Law::new(Arc::new(read));
        let loaded = Loaded::new(&exported, &schema).map_err(|error| format!("{error}\n\n{text}\n{exported}"))?;
        counts.policies += 1;
        for _ in 0..QUESTIONS.min(pairs - counts.pairs()) {
            let asked = request(&mut chance);
            one(&law, &loaded, &asked, &schema, &mut counts)
                .map_err(|error| format!("{error}\n\npolicy:\n{text}\nexported:\n{exported}\nquestion:\n{asked:#?}"))?;
        }
    }
    Ok(counts)
}

fn one(law: &Law, loaded: &Loaded, asked: &Request, schema: &Schema, counts: &mut Counts) -> Result<(), String> {
    let ours = ours(law, asked);
    let theirs = loaded.ask(&Asked::new(asked, schema)?);
    counts.relays += usize::from(matches!(asked, Request::Relay(_)));
    let (allowed, rule) = match &ours {
        Verdict::Permitted(rule) => {
            counts.permitted += 1;
            (true, Some(rule))
        }
        Verdict::Denied(Denial::Forbidden { rule, .. }) => {
            counts.forbidden += 1;
            (false, Some(rule))
        }
        Verdict::Denied(Denial::NotPermitted { .. }) => {
            counts.by_default += 1;
            (false, None)
        }
        Verdict::Denied(Denial::Role(_)) => return Err("the law spoke of roles".to_owned()),
    };
    // The first of the rules that Cedar names is the one that the node names, and without a rule neither names one.
    let same = theirs.errors.is_empty()
        && theirs.allowed == allowed
        && theirs.because.first().map(String::as_str) == rule.map(|rule| rule.as_str());
    if same { Ok(()) } else { Err(disagreement(&ours, &theirs)) }
}

fn disagreement(ours: &Verdict, theirs: &Said) -> String {
    let mut text = String::from("the evaluator and Cedar disagree\n");
    let _ = write!(text, "evaluator: {ours:?}\nCedar:     {theirs:?}");
    text
}

/// What the evaluator says.
pub(crate) fn ours(law: &Law, asked: &Request) -> Verdict {
    match asked {
        Request::Act(act) => law.judge(&question(act)),
        Request::Relay(ends) => judge_relay(law.policy(), &ends[0], &ends[1]),
    }
}

/// The question of an act.
pub(crate) fn question(act: &Act) -> Question<'_> {
    Question {
        action: act.action,
        app: &act.app,
        model: &act.model,
        label: &act.label,
        origin: act.origin,
        origin_operator: &act.operator,
        target: &act.target,
        kind: act.kind,
    }
}
