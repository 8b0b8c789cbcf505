//! What must be true between two events, and when nothing is left to do: no power above the cap, no work for nobody, no
//! slot kept for nobody.

use hither_types::message::Presence;

use super::Observer;

/// A slot may be kept for so long after the last request ended: what was promised may still be on its way.
const KEPT: u64 = 2_500_000;

impl Observer {
    /// Power in use by the model of the meter: idle, and each busy slot.
    pub(super) fn power(&self, node: usize) -> u64 {
        let watched = &self.nodes[node];
        let busy = watched.running.values().filter_map(|(digest, _)| watched.ready.get(digest));
        watched.idle + busy.map(|model| model.slot_power.0).sum::<u64>()
    }

    /// Judges a node after all actions of one event were carried out: its power, and what it left behind of requests that
    /// are over.
    pub(crate) fn settle(&mut self, at: u64, node: usize) {
        if self.open > 0 {
            self.last_open = at;
        }
        for request in std::mem::take(&mut self.over) {
            let Some(watch) = self.requests.get(&request) else { continue };
            if !watch.excused && !watch.flying.is_empty() {
                let what = format!("{request} is over, and its attempts {:?} go on", watch.flying);
                self.breach("I5", at, node, what);
            }
        }
        let watched = &self.nodes[node];
        if watched.running.is_empty() {
            return;
        }
        let (power, cap) = (self.power(node), watched.cap);
        if power > cap {
            let what = format!("{power} mW in use under a cap of {cap} mW, {} running", watched.running.len());
            self.breach("I4", at, node, what);
        }
    }

    /// What a node tells of itself a while after the last request of all ended: it has nothing to be busy with.
    pub(super) fn at_rest(&mut self, at: u64, node: usize, presence: &Presence) {
        if self.open > 0 || at < self.last_open + KEPT {
            return;
        }
        for model in &presence.models {
            let running = self.nodes[node].running.values().filter(|(digest, _)| *digest == model.digest).count();
            if usize::from(model.busy) > running {
                let what = format!("{} slots are busy or kept with nothing, {running} with work", model.busy);
                self.breach("I4", at, node, what);
            }
            if model.queued > 0 {
                let what = format!("{} requests wait, and every request has ended", model.queued);
                self.breach("I1", at, node, what);
            }
        }
    }
}
