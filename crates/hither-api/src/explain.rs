//! A view and the steps of a request, as sentences for people.

use std::collections::BTreeMap;

use hither_types::id::{RuleId, SiteName};
use hither_types::law::{Denial, LawAction, WhatIf};
use hither_types::member::Role;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::Prefix;
use hither_types::spending::Budget;
use hither_types::time::WallTime;
use hither_types::unit::{Micros, Milliwatts};
use hither_types::view::{PresenceView, Step, View};

use crate::errors::Problem;

/// The state of the mesh in one or two sentences.
pub fn summary(view: &View) -> String {
    let mut sites: BTreeMap<&SiteName, bool> = BTreeMap::new();
    for node in &view.nodes {
        let there = !matches!(node.presence, PresenceView::Gone(_));
        *sites.entry(&node.member.site).or_default() |= there;
    }
    let gone: Vec<&str> = sites.iter().filter(|(_, there)| !**there).map(|(site, _)| site.as_str()).collect();
    let mut text = match (sites.len(), gone.as_slice()) {
        (0 | 1, []) => format!("{} is serving alone.", view.me.site),
        (all, []) => format!("All {all} sites serving."),
        (all, [one]) => format!("{} of {all} sites serving, {one} is gone.", all - 1),
        (all, several) => {
            format!("{} of {all} sites serving, {} are gone.", all - several.len(), several.join(" and "))
        }
    };
    match view.warnings.len() {
        0 => {}
        1 => text.push_str(" 1 warning."),
        several => text.push_str(&format!(" {several} warnings.")),
    }
    text
}

/// The word for a step.
pub(crate) fn kind(step: &Step) -> &'static str {
    match step {
        Step::Arrived => "arrived",
        Step::Permitted { .. } => "permitted",
        Step::Denied { .. } => "denied",
        Step::PassedOver { .. } => "passed_over",
        Step::Chosen { .. } => "chosen",
        Step::Queued => "queued",
        Step::Recorded { .. } => "recorded",
        Step::Started { .. } => "started",
        Step::AttemptFailed { .. } => "attempt_failed",
        Step::FetchBegun { .. } => "fetch_begun",
        Step::Answered { .. } => "answered",
        Step::Refused(_) => "refused",
        Step::Cancelled => "cancelled",
        Step::ServedFor { .. } => "served_for",
        Step::SteppedDown { .. } => "stepped_down",
        Step::Version { .. } => "version",
        Step::Hedged { .. } => "hedged",
        Step::Masked { .. } => "masked",
    }
}

/// The place that a step speaks of.
pub(crate) fn site(step: &Step) -> Option<&SiteName> {
    match step {
        Step::Permitted { site, .. }
        | Step::Denied { site, .. }
        | Step::PassedOver { site, .. }
        | Step::Chosen { site, .. }
        | Step::Started { site, .. }
        | Step::AttemptFailed { site, .. }
        | Step::FetchBegun { from: site }
        | Step::Hedged { site }
        | Step::Masked { site, .. }
        | Step::Answered { site } => Some(site),
        Step::Arrived
        | Step::Queued
        | Step::Recorded { .. }
        | Step::Refused(_)
        | Step::Cancelled
        | Step::SteppedDown { .. }
        | Step::Version { .. }
        | Step::ServedFor { .. } => None,
    }
}

/// The rule that a step speaks of.
pub(crate) fn rule(step: &Step) -> Option<&RuleId> {
    match step {
        Step::Permitted { rule, .. } | Step::Denied { denial: Denial::Forbidden { rule, .. }, .. } => Some(rule),
        Step::Denied { denial: Denial::NotPermitted { nearest }, .. } => nearest.as_ref().map(|miss| &miss.rule),
        Step::Denied { denial: Denial::Role(_), .. } => None,
        _ => None,
    }
}

/// What would have opened the place that a step speaks of.
pub(crate) fn what_ifs(step: &Step) -> &[WhatIf] {
    match step {
        Step::Denied { what_ifs, .. } => what_ifs,
        _ => &[],
    }
}

/// A step as a sentence.
pub(crate) fn text(step: &Step) -> String {
    match step {
        Step::Arrived => "arrived at this node".to_owned(),
        Step::Permitted { site, action: LawAction::Infer, rule } => format!("{site}: permitted by {rule}"),
        Step::Permitted { site, action, rule } => format!("{site}: {} permitted by {rule}", of_action(*action)),
        Step::Denied { site, action, denial: said, .. } => format!("{site}: denied, {}", denied(*action, said)),
        Step::PassedOver { site, why } => format!("{site}: lawful, passed over: {why}"),
        Step::Chosen { site, predicted } => format!("{site}: chosen, answer expected in {}", span(*predicted)),
        Step::Queued => "waits here for a slot".to_owned(),
        Step::Recorded { bytes, prefix } => {
            let kept = match prefix {
                Some(Prefix::Goes) => "; what is read of it there goes with it, for no rule permits cache",
                Some(Prefix::Stays) => "; what is read of it may stay in memory there, by a permit for cache",
                None => "",
            };
            format!("egress of {bytes} is on the record{kept}")
        }
        Step::Started { site, device: None } => format!("{site}: started"),
        Step::Started { site, device: Some(device) } => format!("{site}: started, on its {}", device.as_str()),
        Step::AttemptFailed { site, failure: why } => format!("{site}: gave no answer, {}", failure(why)),
        Step::FetchBegun { from } => format!("the model is being fetched from {from}, to answer here next time"),
        Step::Answered { site } => format!("{site}: answered"),
        Step::Refused(refusal) => format!("refused: {}", Problem::from(refusal).message),
        Step::Cancelled => "the client left".to_owned(),
        Step::ServedFor { node } => format!("served for node {}", node.short()),
        Step::Version { model, why } => format!("the name means {model}: {why}"),
        Step::SteppedDown { model } => format!("no room: {model}, a smaller model of the family, takes it"),
        Step::Masked { site, findings } => format!("{site}: {findings} masked before it leaves for there"),
        Step::Hedged { site } => format!("late there: a second copy goes to {site}, and the first answer counts"),
    }
}

/// What is asked of the law beside the work itself, as the beginning of a sentence.
fn of_action(action: LawAction) -> String {
    match action {
        LawAction::Enqueue => "to rest there (enqueue)".to_owned(),
        action => format!("to {} there", action.as_str()),
    }
}

/// Why the law says no to what is asked, as the rest of a sentence.
pub(crate) fn denied(action: LawAction, said: &Denial) -> String {
    match action {
        LawAction::Infer => denial(said),
        action => format!("{}: {}", of_action(action), denial(said)),
    }
}

/// Why the law says no, as the rest of a sentence.
pub fn denial(denial: &Denial) -> String {
    let nearest = match denial {
        Denial::Forbidden { rule, .. } => return format!("forbidden by rule {rule}"),
        Denial::Role(Role::Request) => return "the certificate of the node that asks has no role request".to_owned(),
        Denial::Role(role) => return format!("its certificate has no role {role}"),
        Denial::NotPermitted { nearest } => nearest,
    };
    match nearest {
        None => "no rule permits anything like it".to_owned(),
        Some(miss) => {
            let failed: Vec<String> = miss.failed.iter().map(ToString::to_string).collect();
            format!("no rule permits it; {} came closest, but {}", miss.rule, failed.join(" and "))
        }
    }
}

/// Why an attempt ended, as the rest of a sentence.
pub(crate) fn failure(failure: &Failure) -> String {
    match failure {
        Failure::BadInput(fault) => fault.to_string(),
        Failure::Declined(refusal) => format!("it declined: {}", short(refusal)),
        Failure::EngineLost => "its engine was lost".to_owned(),
        Failure::EngineCrashed(crash) => format!("its engine crashed: the worker {crash}"),
        Failure::Engine(text) => format!("its engine failed: {text}"),
        Failure::Unreachable => "it cannot be reached".to_owned(),
        Failure::Silent => "nothing was heard from it for three beats".to_owned(),
        Failure::Stuck => "its engine makes no progress".to_owned(),
        Failure::Severed(text) => format!("its answer broke off: {text}"),
    }
}

fn short(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownModel(model) => format!("it does not know model {model}"),
        Refusal::Unlawful { .. } => "its law forbids it".to_owned(),
        Refusal::UnlawfulThere(said) => format!("its law says no, {}", denial(said)),
        Refusal::Overloaded { .. } => "it is overloaded".to_owned(),
        Refusal::NoPower { cap } => format!("its power budget of {} leaves no slot", watts(*cap)),
        Refusal::NoCapacity { .. } => "it has no slot".to_owned(),
        Refusal::DeadlinePassed => "the deadline passed".to_owned(),
        Refusal::LedgerUnavailable => "its ledger cannot record".to_owned(),
        Refusal::ModelBroken(model) => format!("it cannot load model {model}"),
        Refusal::NotAMember => "it does not know this node as a member".to_owned(),
        Refusal::Stopping => "it is stopping".to_owned(),
        Refusal::KeyInUse => "its key is in use on another machine".to_owned(),
        Refusal::Withheld { why, .. } => format!("its filter lets nothing leave for it: {why}"),
        Refusal::Barred { why, .. } => why.to_string(),
        Refusal::ModelExpired { model, ended } => format!("the entry of {model} ended {} there", day(*ended)),
        Refusal::BudgetSpent { budget, .. } => budget_text(budget),
        Refusal::NotTrained { model, .. } => format!("it does not train {model}"),
    }
}

/// Which budget leaves no room, and how large it is.
pub(crate) fn budget_text(budget: &Budget) -> String {
    match budget {
        Budget::Site(bytes) => {
            format!("of the {bytes} that may leave this site by this node in a day, too little is left")
        }
        Budget::App(app, bytes) => {
            format!("of the {bytes} that app {app} may send out of this site in a day, too little is left")
        }
        Budget::Server(server, money) => {
            format!("of the {money} that may be spent at {server} in a day, too little is left")
        }
        Budget::AppAtServer(app, server, money) => {
            format!("of the {money} that app {app} may spend at {server} in a day, too little is left")
        }
    }
}

/// A moment of the wall clock for people, to the second.
pub(crate) fn day(moment: WallTime) -> String {
    let seconds = i64::try_from(moment.0 / 1000).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    seconds.map_or_else(|| "in a far future".to_owned(), |moment| format!("at {moment}"))
}

/// Power for people.
pub(crate) fn watts(power: Milliwatts) -> String {
    format!("{:.1} W", power.watts())
}

/// A duration for people.
pub(crate) fn span(span: Micros) -> String {
    match span.0 {
        us if us >= 10_000_000 => format!("{:.0} s", us as f64 / 1e6),
        us if us >= 1_000_000 => format!("{:.1} s", us as f64 / 1e6),
        us if us >= 10_000 => format!("{:.0} ms", us as f64 / 1e3),
        us => format!("{:.1} ms", us as f64 / 1e3),
    }
}
