//! Who gets a handshake when many want one.
//!
//! A handshake costs about a millisecond of processor, and whoever begins one has proved nothing. So strangers have a share of
//! the places and a bucket of so many handshakes a second, and while many come they must first show that they are where they
//! say (the Retry packet, RFC 9000, 8.1.2). Addresses where members are known to be draw on no bucket; where many come from
//! them, too, they show that they are there, for the sender of a first packet can write any address on it.

use std::time::Instant;

use crate::limits::{HANDSHAKES, STRANGERS, STRANGERS_A_SECOND, STRANGERS_AT_ONCE, UNPROVED};

/// For whom a handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It comes from where a member is.
    Member,
    /// Nobody knows.
    Stranger,
}

/// What becomes of a first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The handshake begins.
    Accept,
    /// The sender is asked to show that it is where it says.
    Retry,
    /// Nothing is said: it will be sent again.
    Ignore,
}

/// Counts the handshakes that are under way.
#[derive(Debug)]
pub(crate) struct Doorway {
    members: usize,
    strangers: usize,
    /// How many strangers may begin one at once.
    left: f64,
    filled: Instant,
}

impl Doorway {
    pub(crate) fn new(now: Instant) -> Self {
        Self { members: 0, strangers: 0, left: f64::from(STRANGERS_AT_ONCE), filled: now }
    }

    /// Decides on a first packet. `proved`: the sender has shown that it is where it says.
    pub(crate) fn judge(&mut self, whose: Whose, proved: bool, now: Instant) -> Verdict {
        let flowed = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(STRANGERS_A_SECOND);
        (self.left, self.filled) = ((self.left + flowed).min(f64::from(STRANGERS_AT_ONCE)), now);
        let (room, calm) = match whose {
            Whose::Member => (self.members < HANDSHAKES, self.members < UNPROVED),
            Whose::Stranger => {
                (self.strangers < STRANGERS && self.left >= 1.0, self.left >= f64::from(STRANGERS_AT_ONCE) / 2.0)
            }
        };
        match (room, calm || proved) {
            (false, _) => Verdict::Ignore,
            (true, false) => Verdict::Retry,
            (true, true) => {
                self.count(whose);
                Verdict::Accept
            }
        }
    }

    fn count(&mut self, whose: Whose) {
        match whose {
            Whose::Member => self.members += 1,
            Whose::Stranger => {
                self.strangers += 1;
                self.left -= 1.0;
            }
        }
    }

    /// A handshake ended, one way or the other.
    pub(crate) fn ended(&mut self, whose: Whose) {
        match whose {
            Whose::Member => self.members -= 1,
            Whose::Stranger => self.strangers -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of each verdict there were.
    fn flood(doorway: &mut Doorway, whose: Whose, proved: bool, count: usize, now: Instant) -> [usize; 3] {
        let mut verdicts = [0; 3];
        for _ in 0..count {
            let verdict = doorway.judge(whose, proved, now);
            verdicts[verdict as usize] += 1;
            if verdict == Verdict::Accept {
                doorway.ended(whose);
            }
        }
        verdicts
    }

    #[test]
    fn strangers_get_so_many_handshakes_a_second_and_members_are_not_touched_by_it() {
        let now = Instant::now();
        let mut doorway = Doorway::new(now);
        let half = STRANGERS_AT_ONCE as usize / 2;
        // Those who prove nothing get the first half, and are asked for a proof then.
        assert_eq!(flood(&mut doorway, Whose::Stranger, false, 10_000, now), [half + 1, 10_000 - half - 1, 0]);
        assert_eq!(flood(&mut doorway, Whose::Stranger, true, 10_000, now), [half - 1, 0, 10_000 - half + 1]);
        assert_eq!(flood(&mut doorway, Whose::Member, false, 1_000, now), [1_000, 0, 0]);
        let later = now + Duration::from_millis(500);
        let flowed = STRANGERS_A_SECOND as usize / 2;
        assert_eq!(flood(&mut doorway, Whose::Stranger, true, 10_000, later), [flowed, 0, 10_000 - flowed]);
        // After a while everything is as it was.
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(doorway.judge(Whose::Stranger, false, much_later), Verdict::Accept);
    }

    #[test]
    fn handshakes_that_do_not_end_take_a_share_of_the_places_only() {
        let now = Instant::now();
        let mut doorway = Doorway::new(now);
        let mut open = 0;
        for second in 0..3600 {
            let now = now + Duration::from_secs(second);
            while doorway.judge(Whose::Stranger, true, now) == Verdict::Accept {
                open += 1;
            }
        }
        assert_eq!(open, STRANGERS);
        let mut verdicts = [0; 3];
        for proved in [false, true] {
            (0..HANDSHAKES).for_each(|_| verdicts[doorway.judge(Whose::Member, proved, now) as usize] += 1);
        }
        assert_eq!(verdicts, [HANDSHAKES, HANDSHAKES - UNPROVED, UNPROVED]);
        doorway.ended(Whose::Member);
        assert_eq!(doorway.judge(Whose::Member, true, now), Verdict::Accept);
    }
}
