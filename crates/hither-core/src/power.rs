//! Watts into slots. The meter is a model: what the machine takes idle, plus what each busy slot adds.

use hither_types::unit::Milliwatts;

/// The budget and what is used of it.
#[derive(Debug, Clone)]
pub(crate) struct Power {
    cap: Milliwatts,
    idle: Milliwatts,
    busy: Milliwatts,
    /// Promised to work on its way here.
    kept: Milliwatts,
}

impl Power {
    /// A meter of a machine that is idle.
    pub(crate) fn new(cap: Milliwatts, idle: Milliwatts) -> Self {
        Self { cap, idle, busy: Milliwatts(0), kept: Milliwatts(0) }
    }

    /// The cap in force.
    pub(crate) fn cap(&self) -> Milliwatts {
        self.cap
    }

    /// Sets the cap; what runs beyond it is for the caller to stop.
    pub(crate) fn set_cap(&mut self, cap: Milliwatts) {
        self.cap = cap;
    }

    /// Power in use.
    pub(crate) fn now(&self) -> Milliwatts {
        Milliwatts(self.idle.0.saturating_add(self.busy.0))
    }

    /// Whether more is used by slots than the cap allows.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.busy.0 > 0 && self.now() > self.cap
    }

    /// The share of the power for inference that is not in use, in thousandths.
    pub(crate) fn spare(&self) -> u64 {
        let all = self.cap.0.saturating_sub(self.idle.0);
        let spare = u128::from(all.saturating_sub(self.busy.0)) * 1000;
        spare.checked_div(u128::from(all)).unwrap_or(0) as u64
    }

    /// How many more slots of this power fit; `None` if a slot takes none, and any number fits.
    pub(crate) fn room(&self, slot: Milliwatts) -> Option<u64> {
        self.cap.0.saturating_sub(self.now().0).saturating_sub(self.kept.0).checked_div(slot.0)
    }

    /// A slot is kept for work on its way here.
    pub(crate) fn keep(&mut self, slot: Milliwatts) {
        self.kept.0 = self.kept.0.saturating_add(slot.0);
    }

    /// … or is not any longer.
    pub(crate) fn unkeep(&mut self, slot: Milliwatts) {
        debug_assert!(self.kept >= slot, "what is given up was kept");
        self.kept.0 = self.kept.0.saturating_sub(slot.0);
    }

    /// A slot got busy.
    pub(crate) fn take(&mut self, slot: Milliwatts) {
        self.busy.0 = self.busy.0.saturating_add(if mutant!(PowerHalved) { slot.0 / 2 } else { slot.0 });
    }

    /// A slot got free.
    pub(crate) fn give(&mut self, slot: Milliwatts) {
        debug_assert!(self.busy >= slot, "a slot gives back what it took");
        self.busy.0 = self.busy.0.saturating_sub(slot.0);
    }
}
