//! The collector as the law sees it: where it stands, and what it may be shown (`observe`).
//!
//! What must stay true: the law is asked before the spans of a request are handed over, the one that is in force then, about
//! the label of the request and where it entered. What it does not permit is not sent, is counted, and is told once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hither_api::explain;
use hither_core::policy::judge;
use hither_core::policy::outside::{Outsider, Shown, judge_outside};
use hither_types::id::{AppName, ModelName, Operator};
use hither_types::label::Label;
use hither_types::law::{Denial, LawAction, Policy, Question, Verdict};
use hither_types::member::Member;
use hither_types::place::{Jurisdiction, PlaceKind};

use crate::config::telemetry::{CollectorPlace, Telemetry};
use crate::trust::wall_now;

/// How the text begins that says that something was kept back.
pub(crate) const KEPT_BACK: &str = "traces kept back: ";

/// Where spans go, as the law sees it.
pub(super) struct Collector {
    address: String,
    /// Who it is; none if it is on this machine.
    to: Option<Outsider>,
    withheld: AtomicU64,
    told: AtomicBool,
}

/// What the law is asked about.
pub(super) struct Matter {
    pub(super) app: AppName,
    /// The model that was asked for.
    pub(super) model: ModelName,
    pub(super) label: Label,
    /// Where it entered, and who runs the node there; none if it entered here.
    pub(super) entered: Option<(Jurisdiction, Option<Operator>)>,
}

impl Collector {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let to = match &telemetry.place {
            CollectorPlace::Here => None,
            CollectorPlace::Elsewhere(place) => Some(Outsider {
                jurisdiction: place.jurisdiction,
                operator: Some(place.operator.clone()),
                control: place.control.clone(),
            }),
            CollectorPlace::Unknown => {
                Some(Outsider { jurisdiction: Jurisdiction::UNKNOWN, operator: None, control: None })
            }
        };
        let (withheld, told) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { address: telemetry.otlp.clone(), to, withheld, told }
    }

    /// What its operator should know before anything is sent.
    pub(super) fn trouble(&self) -> Option<String> {
        let is_nowhere = self.to.as_ref().is_some_and(|to| to.jurisdiction.is_unknown());
        is_nowhere.then(|| {
            format!(
                "traces: the collector {} is not on this machine, and nobody says where: to the law its place is unknown, so \
                 that hardly any rule permits to show it anything (observe); add jurisdiction = \"DE\" and operator = \"…\" \
                 to [telemetry]",
                self.address
            )
        })
    }

    /// How many requests' spans were not sent.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Another law is in force: what it keeps back is told again.
    pub(super) fn law_changed(&self) {
        self.told.store(false, Ordering::Relaxed);
    }

    /// Whether it may be shown what is known of a request, by the law of this moment, under the model that was asked for and
    /// under each that `ran` in its place. Why not is told the first time.
    pub(super) fn admits(
        &self,
        law: (&Policy, &Member),
        matter: &Matter,
        ran: &[ModelName],
    ) -> Result<(), Option<String>> {
        let denial = std::iter::once(&matter.model).chain(ran).find_map(|model| self.denial(law, matter, model));
        let Some(denial) = denial else { return Ok(()) };
        self.withheld.fetch_add(1, Ordering::Relaxed);
        let is_first = !self.told.swap(true, Ordering::Relaxed);
        Err(is_first.then(|| self.told_once(matter, &denial)))
    }

    fn denial(&self, (policy, me): (&Policy, &Member), matter: &Matter, model: &ModelName) -> Option<Denial> {
        let (action, app, label) = (LawAction::Observe, &matter.app, &matter.label);
        let (origin, operator) = match &matter.entered {
            None => (me.jurisdiction, Some(&me.operator)),
            Some((origin, operator)) => (*origin, operator.as_ref()),
        };
        let verdict = match &self.to {
            Some(to) => judge_outside(policy, &Shown { action, app, model, label, origin, operator }, to),
            None => {
                let (origin_operator, kind) = (operator.unwrap_or(&me.operator), PlaceKind::Home);
                let target = &me.place_at(policy.certified_within, wall_now());
                judge(policy, &Question { action, app, model, label, origin, origin_operator, target, kind })
            }
        };
        match verdict {
            Verdict::Permitted(_) => None,
            Verdict::Denied(denial) => Some(denial),
        }
    }

    fn told_once(&self, matter: &Matter, denial: &Denial) -> String {
        let place = match &self.to {
            None => "on this machine".to_owned(),
            Some(to) if to.jurisdiction.is_unknown() => "at an unknown place".to_owned(),
            Some(to) => format!("in {}", to.jurisdiction),
        };
        let Matter { app, label, .. } = matter;
        format!(
            "{KEPT_BACK}spans of {} data of app {app} are not sent to the collector {} {place}: {} (observe); others may be \
             kept back as well: hither_traces_withheld_total counts them, and a [[permit]] with action = [\"observe\"] lets \
             them go",
            label.class,
            self.address,
            explain::denial(denial)
        )
    }
}

#[cfg(test)]
mod tests;
