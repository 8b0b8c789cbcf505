//! The pulse of the law: now and then the mind is asked whether what must stay here would.

use std::time::Instant;

use hither_core::Event;
use hither_types::id::RequestId;

use crate::driver::Driver;
use crate::limits::{CANARY_EVERY, CANARY_FIRST};

/// When it is asked next.
#[derive(Debug)]
pub(crate) struct Canary(Instant);

impl Canary {
    /// After the start: by then others were heard.
    pub(crate) fn new() -> Self {
        Self(Instant::now() + CANARY_FIRST)
    }

    /// The law is another one: it is asked at the next look.
    pub(crate) fn soon(&mut self) {
        self.0 = Instant::now();
    }
}

impl Driver {
    /// Asks the mind, if it is time.
    pub(crate) fn look_at_canary(&mut self) {
        if Instant::now() >= self.canary.0 && !self.gave_way {
            self.canary.0 = Instant::now() + CANARY_EVERY;
            self.feed(Event::Canary(RequestId(uuid::Uuid::now_v7().as_u128())));
        }
    }
}
