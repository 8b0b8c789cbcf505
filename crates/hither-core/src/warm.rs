//! Models in the memory of this node: opened when they are asked for, closed when others need the room, and asked again
//! every hour what the catalog knows the answers to.

use hither_types::id::{Digest, RequestId, Task};
use hither_types::refusal::{Failure, Refusal};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::catalog::Stage;
use crate::circle::Circle;
use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::memory::{Room, Want};
use crate::router::Lawful;
use crate::scheduler::Waiting;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

impl Core {
    /// Opens a model whose file is here, if there is room or room can be made. `false`: it stays cold.
    pub(crate) fn warm(&mut self, digest: Digest, want: Want) -> bool {
        if self.catalog.has_expired(digest) {
            self.catalog.local_mut(digest).stage = Stage::Cold;
            return false;
        }
        let room = self.memory.room(self.need(digest), want, |other| self.is_in_use(other), self.now);
        self.catalog.local_mut(digest).stage = Stage::Cold;
        let leave = match room {
            Room::After(leave) => leave,
            Room::Later => return false,
            Room::Never => {
                self.complain(self.too_large(digest));
                return false;
            }
        };
        for other in leave {
            self.memory.evict(other);
            self.catalog.local_mut(other).stage = Stage::Cold;
            self.close(other);
        }
        self.memory.open(digest, self.need(digest), self.now);
        self.catalog.local_mut(digest).stage = Stage::Loading;
        self.act(Action::Load(digest));
        true
    }

    /// A cold model is asked for. `true`: it is being opened.
    pub(crate) fn demand(&mut self, digest: Digest, want: Want) -> bool {
        self.catalog.stage(digest) == Stage::Cold && !self.draining && self.warm(digest, want)
    }

    /// Starts a task on an open model, and counts that.
    pub(crate) fn start(&mut self, task: Task, waiting: Waiting) {
        self.memory.uses(waiting.digest, self.now);
        if let Some(stock) = &mut self.stock {
            stock.used(waiting.digest);
        }
        self.scheduler.start(task, waiting, self.now);
    }

    /// Closes a model that nothing runs on.
    pub(crate) fn close(&mut self, digest: Digest) {
        self.timers.clear(Timer::Prove(digest));
        self.timers.clear(Timer::Trust(digest));
        self.scheduler.lost(digest);
        self.act(Action::Unload(digest));
    }

    /// Whether work runs or waits on a model here, or is on its way.
    pub(crate) fn is_in_use(&self, digest: Digest) -> bool {
        let scheduler = &self.scheduler;
        let counts = [scheduler.busy(digest), scheduler.kept(digest), scheduler.queued(digest)];
        counts.into_iter().any(|count| count > 0) || self.coming_for_peers(digest) > 0
    }

    /// What a model will take in memory: as it did here, or as its publisher said, or its file and a process around it.
    pub(crate) fn need(&self, digest: Digest) -> ByteCount {
        let Some(manifest) = self.catalog.manifest(digest) else { return ByteCount(0) };
        let guess = || ByteCount(manifest.size.0.saturating_add(limits::WORKER_MEMORY.0));
        let said = Some(manifest.memory).filter(|memory| *memory > ByteCount(0));
        self.catalog.measured(digest).or(said).unwrap_or_else(guess)
    }

    /// Whether a model would fit if nothing else were open.
    pub(crate) fn could_fit(&self, digest: Digest) -> bool {
        self.memory.budget().is_none_or(|budget| self.need(digest) <= budget)
    }

    fn too_large(&self, digest: Digest) -> String {
        let (need, budget) = (self.need(digest), self.memory.budget().unwrap_or_default());
        format!(
            "model {} needs {need} of memory, and models may use {budget} here: raise memory_mb under [models] in \
             hither.toml, or use a smaller model",
            self.name_of(digest)
        )
    }

    /// A request waits for a cold model: it is opened as soon as somebody leaves. `false`: there is no hope.
    pub(crate) fn thirst(&mut self, digest: Digest) -> bool {
        if self.demand(digest, Want::Urgent) {
            return true;
        }
        let usable = self.catalog.stage(digest) == Stage::Cold && !self.catalog.has_expired(digest);
        let hope = usable && !self.draining && self.could_fit(digest);
        if hope {
            self.thirsty.insert(digest);
        }
        hope
    }

    /// Something happened: perhaps there is room now for what waits for a cold model.
    pub(crate) fn quench(&mut self) {
        if self.thirsty.is_empty() {
            return;
        }
        for digest in std::mem::take(&mut self.thirsty) {
            let cold = self.catalog.stage(digest) == Stage::Cold && !mutant!(NeverWarms);
            let waits = self.scheduler.queued(digest) > 0 && cold;
            if waits && !self.demand(digest, Want::Urgent) {
                self.thirsty.insert(digest);
            }
        }
    }

    /// Somebody wants the memory of a model back. It goes on as one that was never opened: whoever asks for it opens it.
    pub(crate) fn close_wanted(&mut self, digest: Digest) {
        if matches!(self.catalog.stage(digest), Stage::Loading | Stage::Ready) {
            self.closing.insert(digest);
        }
    }

    /// Closes what shall be closed, where nobody uses it now.
    pub(crate) fn close_idle(&mut self) {
        for digest in std::mem::take(&mut self.closing) {
            match self.catalog.stage(digest) {
                Stage::Ready if !self.is_in_use(digest) => {
                    self.memory.close(digest);
                    self.catalog.local_mut(digest).stage = Stage::Cold;
                    self.close(digest);
                }
                Stage::Ready | Stage::Loading => {
                    self.closing.insert(digest);
                }
                Stage::Absent
                | Stage::Wanted
                | Stage::Fetching
                | Stage::Stored
                | Stage::Cold
                | Stage::Quarantined
                | Stage::Refuted => {}
            }
        }
    }

    /// Nobody has a model in memory: the nearest lawful member that has its file is asked, which makes it open it, and
    /// the request waits. `false`: nobody is left to ask.
    pub(crate) fn wake(&mut self, id: RequestId, digest: Digest, circle: &Circle) -> bool {
        let Some(request) = self.requests.get(&id).filter(|request| !request.grounded && !mutant!(NeverWakes)) else {
            return false;
        };
        // It was told to come again: it waits, and asks again if nobody calls.
        let told = matches!(request.failure, Some(Failure::Declined(Refusal::Overloaded { .. })));
        if request.woke && told && self.wait_here(id, digest, Timestamp(u64::MAX)) {
            let full = !circle.ready.is_empty();
            let span = if full { limits::LOAD_LOOK_FULL } else { limits::LOAD_LOOK };
            self.timers.set(Timer::Hold(id), self.now.after(span));
            return true;
        }
        if !circle.ready.is_empty() {
            return false;
        }
        let Some(request) = self.requests.get(&id) else { return false };
        let cold: Vec<_> = Lawful::of_cold(circle)
            .filter_map(|lawful| Some((self.peers.get(lawful.node())?, lawful)))
            .filter(|(peer, _)| !request.tried.contains(&peer.member.node))
            .filter(|(peer, _)| self.peers.is_present(peer, self.now) && !peer.is_cooling(self.now))
            .collect();
        let Some((peer, lawful)) = cold.iter().find(|(peer, _)| peer.declined_until(digest, self.now).is_none()) else {
            // Another request was just told no, perhaps because it is being opened.
            let first = request.failure.is_none() && !cold.is_empty();
            let waits = first && self.wait_here(id, digest, Timestamp(u64::MAX));
            if waits {
                self.timers.set(Timer::Hold(id), self.now.after(limits::LOAD_LOOK_FULL));
            }
            return waits;
        };
        let offer = self.offer_of(request, peer, digest, lawful.clone());
        if let Some(request) = self.requests.get_mut(&id) {
            request.woke = true;
        }
        self.offer(id, offer);
        true
    }

    /// A model is open, and has answered what the catalog knows.
    pub(crate) fn warmed(&mut self, digest: Digest, measured: Option<ByteCount>) {
        self.memory.opened(digest, measured, self.now);
        self.catalog.local_mut(digest).memory = measured;
        self.prove_later(digest);
    }

    /// It is time to ask a model once more what the catalog knows the answers to.
    pub(crate) fn prove(&mut self, digest: Digest) {
        if self.catalog.stage(digest) == Stage::Ready {
            self.act(Action::Prove(digest));
            self.prove_later(digest);
        }
    }

    fn prove_later(&mut self, digest: Digest) {
        if self.catalog.manifest(digest).is_some_and(|manifest| !manifest.golden.is_empty()) {
            self.timers.set(Timer::Prove(digest), self.now.after(limits::PROVE_EVERY));
        }
    }

    /// A model's engine gave another answer than the catalog knows: nothing more is asked of it for a while, and what
    /// runs on it goes on elsewhere.
    pub(crate) fn model_refuted(&mut self, digest: Digest) {
        if !matches!(self.catalog.stage(digest), Stage::Loading | Stage::Ready) {
            return;
        }
        self.new_version_is_wrong(digest);
        self.memory.close(digest);
        self.catalog.local_mut(digest).stage = Stage::Refuted;
        self.timers.set(Timer::Reload(digest), self.now.after(limits::PROVE_EVERY));
        for task in self.scheduler.lost(digest) {
            self.act(Action::StopRun(task));
        }
        self.close(digest);
        self.engine_gone(digest);
    }

    /// What a person would want to know of a model here, beside its stage.
    pub(crate) fn note_of(&self, digest: Digest, stage: Stage, now: Timestamp) -> String {
        let seconds = |span: Micros| format!("{:.1} s", span.0 as f64 / 1e6);
        let again = || self.timers.at(Timer::Reload(digest)).map_or_else(String::new, |at| seconds(now.until(at)));
        if self.catalog.has_expired(digest) {
            return "its entry in the catalog has expired".to_owned();
        }
        match stage {
            Stage::Absent | Stage::Fetching => String::new(),
            Stage::Wanted => "wanted, and nobody present has it".to_owned(),
            Stage::Stored => match self.timers.is_set(Timer::Reload(digest)) {
                true => format!("lost, loaded again in {}", again()),
                false => String::new(),
            },
            Stage::Loading => {
                let since = self.memory.opening_since(digest).unwrap_or(now);
                format!("loading for {}", seconds(now.since(since)))
            }
            Stage::Ready => {
                self.memory.load(digest).map_or_else(String::new, |load| format!("loaded in {}", seconds(load)))
            }
            Stage::Quarantined => format!("lost too often, tried again in {}", again()),
            Stage::Refuted => format!("gave wrong answers, tried again in {}", again()),
            Stage::Cold if self.could_fit(digest) => "not in memory, loaded when it is asked for".to_owned(),
            Stage::Cold => "too large for the memory that models may use".to_owned(),
        }
    }
}
