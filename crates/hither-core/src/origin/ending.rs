//! How a request ends, once.

use hither_types::fact::{Fact, Outcome};
use hither_types::id::{Attempt, RequestId};
use hither_types::refusal::Failure;
use hither_types::unit::Micros;
use hither_types::view::{RequestState, Step};

use crate::event::Action;
use crate::machine::Core;
use crate::request::{Ending, Leave, is_by_law};
use crate::timers::Timer;

impl Core {
    /// The one way out.
    pub(super) fn end(&mut self, id: RequestId, ending: Ending) {
        let outcome = match &ending {
            Ending::Answered { .. } => Outcome::Answered,
            Ending::Refused(_) | Ending::Failed(_) => Outcome::Refused,
            Ending::Gone => Outcome::Cancelled,
        };
        self.leave(id, Leave::Stop(outcome));
        // The copy that did not answer is not wanted any more.
        let loser = if outcome == Outcome::Answered { Outcome::Cancelled } else { outcome };
        self.drop_hedge(id, None, if mutant!(LoserRunsOn) { Leave::Over } else { Leave::Stop(loser) });
        let Some(request) = self.requests.remove(&id) else { return };
        if mutant!(EndsTwice) && request.attempts > 1 {
            self.act(Action::Fail { request: id, failure: Failure::Silent });
        }
        self.timers.clear(Timer::Deadline(id));
        let served_by = if let Ending::Answered { by, .. } = &ending { Some(*by) } else { None };
        let took = self.now.since(request.arrived);
        self.tell_end(id, ending, took);
        // Of one that nobody answered no model is the one that did.
        let ran = request.digest.filter(|_| outcome == Outcome::Answered);
        let subject = self.subject(id, Attempt(0), &request.envelope, ran);
        let (attempts, energy) = (request.attempts, request.energy);
        // Only the hands see what was asked.
        self.note(Fact::Ended { subject, served_by, outcome, attempts, energy, took, reference: None });
    }

    fn tell_end(&mut self, id: RequestId, ending: Ending, took: Micros) {
        let totals = &mut self.trace.totals;
        let (state, step, action) = match ending {
            Ending::Answered { by, cost } => {
                totals.answered += 1;
                let peer = self.peers.get(by).map(|peer| &peer.member);
                let site = peer.unwrap_or(&self.me).site.clone();
                let action = Action::Finish { request: id, cost };
                (RequestState::Answered(took), Some(Step::Answered { site }), Some(action))
            }
            Ending::Refused(refusal) => {
                let by_law = is_by_law(&refusal);
                *(if by_law { &mut totals.refused_by_law } else { &mut totals.refused_otherwise }) += 1;
                let action = Action::Refuse { request: id, refusal: refusal.clone() };
                (RequestState::Refused(refusal.clone()), Some(Step::Refused(refusal)), Some(action))
            }
            Ending::Failed(failure) => {
                totals.refused_otherwise += 1;
                let action = Action::Fail { request: id, failure: failure.clone() };
                (RequestState::Failed(failure), None, Some(action))
            }
            Ending::Gone => (RequestState::Cancelled, Some(Step::Cancelled), None),
        };
        self.trace.state(id, state);
        step.into_iter().for_each(|step| self.trace.step(id, step, self.now));
        action.into_iter().for_each(|action| self.act(action));
    }
}
