//! Strangers that have connected and are about to say hello.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{HEARD, HEARD_OF_ONE};

/// How many of each address there are; those over relays are counted together.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<Option<IpAddr>, usize>>);

/// One of them, for as long as it is kept.
pub(crate) struct Place<'a> {
    heard: &'a Heard,
    of: Option<IpAddr>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one of an address. `None` if that address, or all of them, have as many as they may.
    pub(crate) fn enter(&self, of: Option<IpAddr>) -> Option<Place<'_>> {
        let mut heard = self.lock();
        let all: usize = heard.values().sum();
        let of_one = heard.entry(of).or_default();
        if all >= HEARD || *of_one >= HEARD_OF_ONE {
            return None;
        }
        *of_one += 1;
        drop(heard);
        Some(Place { heard: self, of })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut heard = self.heard.lock();
        if let Some(of_one) = heard.get_mut(&self.of) {
            *of_one -= 1;
        }
        heard.retain(|_, of_one| *of_one > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_a_few_places_and_all_together_as_many_as_there_are() {
        let heard = Heard::default();
        let address = |number: u8| Some(IpAddr::from([192, 0, 2, number]));
        let mut places: Vec<Place<'_>> = std::iter::from_fn(|| heard.enter(address(1))).collect();
        assert_eq!(places.len(), HEARD_OF_ONE);
        let others = (2..).map_while(|number| heard.enter(address(number)));
        places.extend(others);
        assert_eq!(places.len(), HEARD);
        assert!(heard.enter(None).is_none());
        places.pop();
        assert!(heard.enter(address(1)).is_none() && heard.enter(None).is_some());
        drop(places);
        assert!(heard.lock().is_empty());
    }
}
