//! Each action of each node, judged as it is done.

use hither_core::event::Action;
use hither_types::fact::Fact;
use hither_types::id::{Attempt, Digest, ModelName, NodeId, RequestId, RuleId, Task};
use hither_types::label::DataClass;
use hither_types::law::Verdict;
use hither_types::model::Manifest;
use hither_types::refusal::Refusal;
use hither_types::request::{Envelope, Priority, Quality, RequestKind};

use super::{Ending, MOST_ATTEMPTS, MOST_COPIES, Observer, Sample};

/// What was promised may take so much longer: the record, and the word that an engine is free, in microseconds.
const LATE: u64 = 150_000;

impl Observer {
    /// A node acts.
    pub(crate) fn action(&mut self, at: u64, node: usize, action: &Action) {
        match action {
            Action::Run { task, digest, prefix } => {
                self.run(at, node, *task, *digest);
                self.keeps(at, node, (*task, *digest), *prefix);
            }
            Action::StopRun(task) => self.stop(at, node, *task),
            Action::Forward { task, peer, digest, envelope, prefix, .. } => {
                self.forward(at, node, *task, *peer, envelope);
                self.lets_keep(at, node, (*task, *peer, *digest), *prefix);
            }
            Action::Route { request, attempt, served_by, rule, instead: _, version: _ } => {
                self.route(at, node, *request, (*attempt, *served_by), rule);
            }
            Action::Finish { request, .. } => self.ends(at, node, *request, Ending::Finished),
            Action::Refuse { request, refusal } => self.refuses(at, node, *request, refusal),
            Action::Fail { request, .. } => self.ends(at, node, *request, Ending::Failed),
            Action::Load(digest) => self.loads(at, node, *digest),
            Action::Unload(digest) => self.unloads(at, node, *digest),
            Action::Evict { .. } => {
                self.breach("I7", at, node, "a model is evicted, and nobody decides that here".to_owned())
            }
            Action::Prove(_) | Action::Judge(_) => {}
            Action::Fetch { manifest, providers } => self.fetches(at, node, manifest, providers),
            Action::Record { fact, .. } => self.record(at, node, fact),
            Action::DeclineAsk { .. } => self.counts.add("declined", 1),
            Action::Accept(task) | Action::FinishAsk { task, .. } | Action::FailAsk { task, .. } => {
                if matches!(action, Action::Accept(_)) {
                    self.needs_ingress(at, node, *task, "is accepted");
                }
                if !self.nodes[node].asked.contains_key(task) {
                    self.breach("I2", at, node, format!("an answer to {task:?}, which nobody asks here"));
                }
            }
            Action::Abandon { task, .. } => self.attempt_over(*task),
            Action::Announce(presence) => self.announces(at, node, presence),
            Action::Tell { peer, signal } => self.tells(at, node, *peer, signal),
        }
    }

    fn loads(&mut self, at: u64, node: usize, digest: Digest) {
        if !self.nodes[node].stored.contains(&digest) {
            self.breach("I8", at, node, format!("{digest:?} is opened, and is not in the store"));
        }
        let watched = &mut self.nodes[node];
        watched.open.insert(digest);
        let size = |digest| self.models.get(digest).map_or(0, |manifest| manifest.memory.0);
        let used: u64 = watched.open.iter().map(size).sum();
        if let Some(memory) = watched.memory.filter(|memory| used > *memory) {
            self.breach("M1", at, node, format!("models take {used} bytes of memory, and may take {memory}"));
        }
    }

    fn unloads(&mut self, at: u64, node: usize, digest: Digest) {
        let watched = &mut self.nodes[node];
        watched.open.remove(&digest);
        watched.ready.remove(&digest);
        if let Some((task, _)) = watched.running.iter().find(|(_, (on, _))| *on == digest) {
            let what = format!("{digest:?} is closed, and {task:?} runs on it");
            self.breach("M1", at, node, what);
        }
        self.counts.add("evicted", 1);
    }

    fn fetches(&mut self, at: u64, node: usize, manifest: &Manifest, providers: &[NodeId]) {
        if self.models.get(&manifest.digest) != Some(manifest) {
            self.breach("I8", at, node, format!("the manifest of {} changed", manifest.name));
        }
        for provider in providers {
            match self.index.get(provider).copied() {
                None => self.breach("I8", at, node, format!("{} comes from who is not a member", manifest.name)),
                Some(from) if !self.may_copy(&manifest.name, from, node) => {
                    self.breach("I3", at, node, format!("{} comes from an unlawful place", manifest.name));
                }
                Some(_) => {}
            }
        }
    }

    fn run(&mut self, at: u64, node: usize, task: Task, digest: Digest) {
        let Some(&origin) = self.index.get(&task.origin) else {
            return self.breach("I3", at, node, format!("{task:?} runs, and its origin is not a member"));
        };
        let Some(watch) = self.requests.get(&task.request) else {
            return self.breach("I2", at, node, format!("{task:?} runs, and no client asked"));
        };
        let envelope = watch.envelope.clone();
        let start_by = match origin == node {
            true => Some(watch.deadline),
            false => self.nodes[node].asked.get(&task).map(|asked| asked.start_by),
        };
        match start_by {
            None => self.breach("I3", at, node, format!("{task:?} runs, and nobody asked for it here")),
            Some(by) if at > by => self.breach("I6", at, node, format!("{task:?} starts {} us too late", at - by)),
            Some(_) => {}
        }
        let model = self.models.get(&digest).map(|manifest| manifest.name.clone());
        if let Some(model) = model.as_ref().filter(|model| **model != envelope.model) {
            self.counts.add("stepped_down", 1);
            let smaller = Envelope { model: model.clone(), ..envelope.clone() };
            if let Verdict::Denied(denial) = self.verdict(&self.nodes[node].policy.clone(), &smaller, origin, node) {
                self.breach("I3", at, node, format!("{task:?} runs on {model} against the law: {denial:?}"));
            }
        }
        if model.is_none_or(|model| !self.may_answer(&model, &envelope)) {
            self.breach("I8", at, node, format!("{task:?} runs on a model that it did not ask for"));
        }
        let policy = self.nodes[node].policy.clone();
        if let Verdict::Denied(denial) = self.verdict(&policy, &envelope, origin, node) {
            self.breach("I3", at, node, format!("{task:?} runs against the law of this node: {denial:?}"));
        }
        if origin == node {
            self.counts.add("ran_at_home", 1);
            self.attempt(at, node, task, node);
        } else {
            self.needs_ingress(at, node, task, "runs");
            self.keeps_promise(at, node, task);
        }
        self.occupy(at, node, task, digest);
    }

    /// Whatever a node does about a task of a peer, its ingress is on disk first.
    fn needs_ingress(&mut self, at: u64, node: usize, task: Task, does: &str) {
        let watched = &self.nodes[node];
        if watched.asked.contains_key(&task) && !watched.ingress.contains(&task) {
            self.breach("P2", at, node, format!("{task:?} {does}, and its ingress is not on disk"));
        }
    }

    /// A task of a peer starts: as soon as its origin was promised, or it is counted.
    fn keeps_promise(&mut self, at: u64, node: usize, task: Task) {
        let promised = self.requests.get(&task.request).and_then(|watch| watch.promised);
        let Some((_, wait)) = promised.filter(|(attempt, _)| *attempt == task.attempt) else { return };
        let waited = self.nodes[node].asked.get(&task).map_or(0, |asked| at - asked.at);
        self.counts.add("promises_late", u64::from(waited > wait + wait / 4 + LATE));
    }

    /// Whether a model may answer a request: it is the one, or a smaller one of its family and the caller allows that.
    fn may_answer(&self, model: &ModelName, envelope: &Envelope) -> bool {
        let place = |family: &[ModelName], name: &ModelName| family.iter().position(|member| member == name);
        let below = |family: &Vec<ModelName>| {
            place(family, model).zip(place(family, &envelope.model)).is_some_and(|(this, asked)| this > asked)
        };
        *model == envelope.model || envelope.quality == Quality::Family && self.ladder.iter().any(below)
    }

    /// A slot is taken.
    fn occupy(&mut self, at: u64, node: usize, task: Task, digest: Digest) {
        let watched = &mut self.nodes[node];
        let Some(model) = watched.ready.get(&digest).copied() else {
            return self.breach("I8", at, node, format!("{task:?} runs on a model that no engine here has ready"));
        };
        if watched.running.insert(task, (digest, at)).is_some() {
            self.breach("I2", at, node, format!("{task:?} runs twice here"));
        }
        let busy = self.nodes[node].running.values().filter(|(running, _)| *running == digest).count();
        if busy > usize::from(model.slots) {
            self.breach("I4", at, node, format!("{busy} of {} slots are busy", model.slots));
        }
    }

    fn stop(&mut self, at: u64, node: usize, task: Task) {
        let over = self.power(node) > self.nodes[node].cap;
        if self.nodes[node].running.contains_key(&task) {
            self.counts.add("preempted", u64::from(over));
        }
        self.engine_free(at, node, task);
    }

    fn forward(&mut self, at: u64, node: usize, task: Task, peer: NodeId, envelope: &Envelope) {
        let Some(&target) = self.index.get(&peer) else {
            return self.breach("I3", at, node, format!("{task:?} goes to who is not a member"));
        };
        self.counts.add("forwarded", 1);
        let Some(watch) = self.requests.get(&task.request) else {
            return self.breach("I2", at, node, format!("{task:?} is forwarded, and no client asked"));
        };
        let (deadline, ended, same) = (watch.deadline, watch.ended.is_some(), watch.envelope == *envelope);
        if watch.origin != node || task.origin != self.members[node].node || target == node {
            self.breach("I5", at, node, format!("{task:?} is forwarded by who is not its origin, or to itself"));
        }
        if ended {
            self.breach("I2", at, node, format!("{task:?} is forwarded after its end"));
        }
        if !same {
            self.breach("I10", at, node, format!("the envelope of {} changed before it left", task.request));
        }
        if at > deadline {
            self.breach("I6", at, node, format!("{task:?} leaves {} us after its deadline", at - deadline));
        }
        let policy = self.nodes[node].policy.clone();
        if let Verdict::Denied(denial) = self.verdict(&policy, envelope, node, target) {
            self.breach("I3", at, node, format!("{task:?} leaves for an unlawful place: {denial:?}"));
        }
        let egress = (task.request, task.attempt, peer);
        if self.nodes[node].egresses.get(&egress).is_none_or(|open| *open <= 0) {
            self.breach("P2", at, node, format!("{task:?} leaves, and its egress is not on disk"));
        }
        self.attempt(at, node, task, target);
    }

    /// A new attempt begins at a place.
    pub(super) fn attempt(&mut self, at: u64, node: usize, task: Task, place: usize) {
        let Some(watch) = self.requests.get_mut(&task.request) else { return };
        let unpaid = self.nodes[node].pay(place, watch);
        let mut broken: Vec<String> =
            unpaid.iter().map(|what| format!("{what} of {} is beyond the budget", task.request)).collect();
        // At home an engine may be lost or stopped, and tried again: nothing leaves by that.
        if place != watch.origin && watch.attempts.iter().any(|(_, before)| *before == place) {
            broken.push(format!("{} tries node {place} twice", task.request));
        }
        if watch.attempts.iter().any(|(before, _)| *before >= task.attempt) {
            broken.push(format!("attempt {} of {} is not newer than those before", task.attempt.0, task.request));
        }
        if watch.routed.iter().any(|(routed, to)| *routed == task.attempt && *to != place) {
            broken.push(format!("attempt {} of {} is not where its client was told", task.attempt.0, task.request));
        }
        watch.attempts.push((task.attempt, place));
        let count = watch.attempts.len();
        self.attempts += 1;
        self.measure.began(!watch.flying.is_empty());
        let copied = watch.envelope.label.class < DataClass::Special && watch.envelope.kind == RequestKind::Infer;
        if !watch.flying.is_empty() && !copied {
            broken.push(format!("{} has two copies, and must not be copied", task.request));
        }
        watch.flying.push(task.attempt);
        if watch.flying.len() > MOST_COPIES {
            broken.push(format!("{} is under way at {} places", task.request, watch.flying.len()));
        }
        if task.attempt.0 == 0 || task.attempt.0 > MOST_ATTEMPTS || count > usize::from(MOST_ATTEMPTS) {
            broken.push(format!("attempt {} of {}, the {count}th", task.attempt.0, task.request));
        }
        if count == 2 {
            self.counts.add("retried", 1);
        }
        for what in broken {
            self.breach("I5", at, node, what);
        }
    }

    /// A client is told who serves it and by which rule; both must be so.
    fn route(&mut self, at: u64, node: usize, request: RequestId, to: (Attempt, NodeId), rule: &RuleId) {
        let (attempt, served_by) = to;
        let Some(&target) = self.index.get(&served_by) else {
            return self.breach("I2", at, node, format!("{request} is said to be served by who is not a member"));
        };
        let Some(watch) = self.requests.get_mut(&request) else {
            return self.breach("I2", at, node, format!("a route of {request}, which no client asked for"));
        };
        watch.routed.retain(|(routed, _)| *routed != attempt);
        watch.routed.push((attempt, target));
        let ended = watch.ended.is_some();
        let elsewhere = watch.attempts.iter().any(|(known, place)| *known == attempt && *place != target);
        let (envelope, origin) = (watch.envelope.clone(), watch.origin);
        if ended {
            self.breach("I2", at, node, format!("a route of {request} after its end"));
        }
        if elsewhere {
            self.breach("I2", at, node, format!("attempt {} of {request} is said to be elsewhere", attempt.0));
        }
        let policy = self.nodes[node].policy.clone();
        if self.verdict(&policy, &envelope, origin, target) != Verdict::Permitted(rule.clone()) {
            self.breach("I3", at, node, format!("{request} is said to be allowed by {rule}, and is not"));
        }
    }

    fn refuses(&mut self, at: u64, node: usize, request: RequestId, refusal: &Refusal) {
        let by_law = matches!(refusal, Refusal::Unlawful { .. } | Refusal::UnlawfulThere(_));
        let watch = self.requests.get(&request).filter(|watch| watch.ended.is_none() && !watch.client_left);
        if let Some(watch) = watch {
            // A model that was lost too often stays in quarantine for longer than any run.
            let broken = matches!(refusal, Refusal::ModelBroken(_));
            if !by_law && !broken && watch.submitted >= self.calm {
                self.counts.add("refused_in_calm", 1);
            }
            self.counts.add("too_late", u64::from(matches!(refusal, Refusal::DeadlinePassed)));
            self.counts.add(if by_law { "refused_by_law" } else { "refused_otherwise" }, 1);
        }
        if let (Refusal::Unlawful { denied, .. }, Some(watch)) = (refusal, self.requests.get(&request)) {
            let (envelope, origin) = (watch.envelope.clone(), watch.origin);
            let policy = self.nodes[node].policy.clone();
            for place in denied {
                let lawful = self.index.get(&place.node).is_some_and(|target| {
                    matches!(self.verdict(&policy, &envelope, origin, *target), Verdict::Permitted(_))
                });
                if lawful {
                    let what = format!("{request} is refused for want of {:?}, which is lawful", place.node);
                    self.breach("I3", at, node, what);
                }
            }
        }
        if let Some(watch) = self.requests.get(&request)
            && Self::is_quick(refusal)
        {
            self.slowest_refusal = self.slowest_refusal.max(at - watch.submitted);
        }
        self.ends(at, node, request, Ending::Refused);
    }

    fn ends(&mut self, at: u64, node: usize, request: RequestId, ending: Ending) {
        let Some(watch) = self.requests.get_mut(&request) else {
            return self.breach("I2", at, node, format!("an ending of {request}, which no client asked for"));
        };
        let mut broken = Vec::new();
        if watch.origin != node {
            broken.push(format!("{request} is ended by who is not its origin"));
        }
        if let Some(before) = watch.ended {
            broken.push(format!("{request} ends twice: {before:?}, then {ending:?}"));
        }
        if ending == Ending::Finished && watch.delivered != watch.tokens {
            broken.push(format!("{request} is finished with {} of {} tokens", watch.delivered, watch.tokens));
        }
        let left = watch.beaten.iter().find(|beaten| watch.flying.contains(beaten)).copied();
        let first = watch.ended.replace(ending).is_none() && !watch.client_left;
        let (stream, resumed, tries) = (Self::is_stream(watch), watch.resumed, watch.attempts.len());
        let calm = watch.submitted >= self.calm;
        if first {
            self.over.push(request);
            self.open -= u64::from(!watch.excused);
            let place = watch.attempts.last().map_or(watch.origin, |(_, place)| *place);
            let place = watch.routed.last().map_or(place, |(_, place)| *place);
            let place = watch.answerer().unwrap_or(place);
            let priority = watch.envelope.priority;
            self.measure.ended(at, Sample { submitted: watch.submitted, place, priority, ending });
            match ending {
                Ending::Finished => {
                    self.counts.add("answered", 1);
                    self.counts.add("answered_in_calm", u64::from(calm));
                    self.counts.add("migrated", u64::from(tries > 1));
                    self.counts.add("resumed", u64::from(stream && resumed));
                }
                Ending::Failed => {
                    self.counts.add("failed", 1);
                    self.counts.add("failed_in_calm", u64::from(calm));
                }
                Ending::Refused => {}
            }
            let critical = priority == Priority::Critical && ending != Ending::Finished;
            self.counts.add("critical_unanswered", u64::from(critical));
        }
        for what in broken {
            self.breach("I2", at, node, what);
        }
        if let Some(left) = left {
            self.breach("I5", at, node, format!("{request} ends, and its attempt {} goes on for nobody", left.0));
        }
    }

    /// A fact about an egress must be true before it is worth anything.
    fn record(&mut self, at: u64, node: usize, fact: &Fact) {
        if let Fact::Ended { subject, served_by: Some(by), .. } = fact {
            let (watch, by) = (self.requests.get(&subject.request), self.index.get(by).copied());
            if watch.zip(by).is_some_and(|(watch, by)| watch.is_beaten(by)) {
                let what = format!("{} is on the record as answered by who did not answer it", subject.request);
                self.breach("I2", at, node, what);
            }
        }
        let Fact::EgressIntent { subject, to, rule, bytes, rests: _, cache: _, reference: _ } = fact else { return };
        let Some(watch) = self.requests.get(&subject.request) else {
            return self.breach(
                "P2",
                at,
                node,
                format!("an intent for {}, which no client asked for", subject.request),
            );
        };
        let (envelope, origin) = (watch.envelope.clone(), watch.origin);
        let told = subject.class == envelope.label.class && subject.app == envelope.app && *bytes == envelope.size;
        let target = self.index.get(&to.node).copied();
        let placed = target.is_some_and(|target| {
            let member = &self.members[target];
            to.jurisdiction == member.jurisdiction && to.site == member.site
        });
        if !told || !placed {
            self.breach("P2", at, node, format!("the intent for {} does not tell the truth", subject.request));
        }
        let policy = self.nodes[node].policy.clone();
        let lawful = target.map(|target| self.verdict(&policy, &envelope, origin, target));
        if lawful != Some(Verdict::Permitted(rule.clone())) {
            self.breach("I3", at, node, format!("the intent for {} quotes {rule}, wrongly", subject.request));
        }
    }
}
