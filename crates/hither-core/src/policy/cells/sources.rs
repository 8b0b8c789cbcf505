//! The last fact of a case: where the data come from, and whom they concern. A permit wants all of these places, a
//! forbid any, so mixtures of places are told apart by what each place adds to them.

use std::collections::BTreeMap;

use hither_types::law::LawAction;
use hither_types::place::Jurisdiction;

use super::divide::Bits;
use super::walk::{Stop, Walk, is_local};
use super::{MIXTURES_MAX, Pick, Ruling, TooMany};

/// Places together, as far as rules tell.
struct Mixture {
    places: Vec<usize>,
    /// Permits that all of them satisfy.
    permits: Bits,
    /// Other rules that some of them satisfy, by `origin` and by `origin_not`.
    origin: Bits,
    origin_not: Bits,
}

/// What two mixtures that get the same answers, whatever is added to them, have in common.
type Kind = (Vec<bool>, Bits, Bits, Bits);

/// Which mixtures are looked at.
enum Grow {
    /// Those that are given.
    No,
    /// Those, and all that contain one of them.
    Yes,
}

impl Walk<'_, '_, '_> {
    /// Looks at the mixtures of sources of a case whose other facts are chosen.
    pub(super) fn sources(&mut self, live: &Bits, pick: &mut Pick) -> Result<(), Stop> {
        let cells = self.cells;
        let everywhere = 0..cells.places.len();
        let of_target = pick.targets.first().copied().unwrap_or_default();
        match pick.action {
            LawAction::Relay => self.relays(live, of_target, pick),
            LawAction::Replicate => {
                let pair = |at| self.with(live, &self.alone(live, at), of_target);
                let pairs = everywhere.filter(|at| self.may_come_from(*at)).map(pair).collect();
                self.mixtures(live, pairs, Grow::No, cells.scope.origin, pick)
            }
            _ if pick.at_home => {
                let start = vec![self.alone(live, of_target)];
                self.mixtures(live, start, Grow::Yes, Some(pick.target), pick)
            }
            _ => {
                let grow = if cells.scope.origin.is_some() { Grow::No } else { Grow::Yes };
                let start = everywhere.filter(|at| self.may_come_from(*at)).map(|at| self.alone(live, at)).collect();
                self.mixtures(live, start, grow, cells.scope.origin, pick)
            }
        }
    }

    fn may_come_from(&self, at: usize) -> bool {
        let origin = self.cells.scope.origin;
        origin.is_none_or(|origin| self.cells.places[at].members.contains(&origin))
    }

    fn alone(&self, live: &Bits, at: usize) -> Mixture {
        let place = &self.cells.places[at];
        let permits = live.and(&self.permits);
        Mixture {
            places: vec![at],
            permits: permits.and(&place.origin).and(&place.origin_not),
            origin: live.and(&place.origin).without(&permits),
            origin_not: live.and(&place.origin_not).without(&permits),
        }
    }

    fn with(&self, live: &Bits, mixture: &Mixture, at: usize) -> Mixture {
        let added = self.alone(live, at);
        Mixture {
            places: mixture.places.iter().copied().chain([at]).collect(),
            permits: mixture.permits.and(&added.permits),
            origin: mixture.origin.or(&added.origin),
            origin_not: mixture.origin_not.or(&added.origin_not),
        }
    }

    /// Whether each policy permits a case with these sources.
    fn permitted(&self, mixture: &Mixture, built_in: bool) -> Vec<bool> {
        let matched = mixture.origin.and(&mixture.origin_not);
        let of = |(permits, forbids): (&Bits, &Bits)| {
            !matched.meets(forbids) && (built_in || mixture.permits.meets(permits))
        };
        self.permits_of.iter().zip(&self.forbids_of).map(of).collect()
    }

    /// More sources never turn a no into a yes, so of a policy that says no nothing more need be known.
    fn kind(&self, mixture: &Mixture, permitted: &[bool], built_in: bool) -> Kind {
        let mut open = self.claims.clone();
        for ((permits, forbids), permitted) in self.permits_of.iter().zip(&self.forbids_of).zip(permitted) {
            if *permitted {
                open = open.or(forbids);
                if !built_in {
                    open = open.or(permits);
                }
            }
        }
        let left = |bits: &Bits| bits.and(&open);
        (permitted.to_vec(), left(&mixture.permits), left(&mixture.origin), left(&mixture.origin_not))
    }

    fn mixtures(
        &mut self,
        live: &Bits,
        start: Vec<Mixture>,
        grow: Grow,
        origin: Option<Jurisdiction>,
        pick: &mut Pick,
    ) -> Result<(), Stop> {
        let built_in = is_local(pick);
        let mut known: BTreeMap<Kind, usize> = BTreeMap::new();
        // A mixture, what each policy says of it, and the places that alone are of its kind.
        let mut found: Vec<(Mixture, Vec<bool>, Vec<usize>)> = Vec::new();
        for mixture in start {
            let permitted = self.permitted(&mixture, built_in);
            let at = *known.entry(self.kind(&mixture, &permitted, built_in)).or_insert(found.len());
            let place = mixture.places[0];
            if at == found.len() {
                found.push((mixture, permitted, Vec::new()));
            }
            found[at].2.push(place);
        }
        let mut next = 0;
        while next < found.len() {
            self.say(&found[next], origin, pick)?;
            let goes_on = matches!(grow, Grow::Yes) && found[next].1.contains(&true);
            for at in (0..self.cells.places.len()).filter(|_| goes_on) {
                let mixture = self.with(live, &found[next].0, at);
                let permitted = self.permitted(&mixture, built_in);
                let kind = self.kind(&mixture, &permitted, built_in);
                if known.contains_key(&kind) {
                    continue;
                }
                if found.len() >= MIXTURES_MAX {
                    return Err(TooMany { what: "mixtures of origins and subjects", most: MIXTURES_MAX as u64 }.into());
                }
                known.insert(kind, found.len());
                found.push((mixture, permitted, Vec::new()));
            }
            next += 1;
        }
        Ok(())
    }

    /// Puts a case with these sources, if it is one that is claimed.
    fn say(
        &mut self,
        (mixture, permitted, alone): &(Mixture, Vec<bool>, Vec<usize>),
        origin: Option<Jurisdiction>,
        pick: &mut Pick,
    ) -> Result<(), Stop> {
        if self.cells.claim.is_some() && !mixture.origin.and(&mixture.origin_not).meets(&self.claims) {
            return Ok(());
        }
        let one = |at: &usize| self.cells.places[*at].members[0];
        pick.sources = mixture.places.iter().map(one).collect();
        if let (Some(origin), Some(first)) = (origin, pick.sources.first_mut()) {
            *first = origin;
        }
        pick.origins.clone_from(alone);
        let rulings = self.put(pick)?;
        debug_assert!(
            rulings.iter().map(Ruling::is_permitted).eq(permitted.iter().copied()),
            "the evaluator and the division of its domain differ: {pick:?}"
        );
        Ok(())
    }

    /// Relays: one's own country is told from others as well, whatever rules say.
    fn relays(&mut self, live: &Bits, of_target: usize, pick: &mut Pick) -> Result<(), Stop> {
        let cells = self.cells;
        let sources: Vec<usize> = (0..cells.places.len()).filter(|at| self.may_come_from(*at)).collect();
        for at in sources {
            let mixture = self.alone(live, at);
            let origins: Vec<Jurisdiction> = match cells.scope.origin {
                Some(origin) => vec![origin],
                None => cells.places[at].members.clone(),
            };
            let targets = &cells.places[of_target].members;
            for own in [true, false] {
                let is = |origin: Jurisdiction, target: Jurisdiction| {
                    own == (!origin.is_unknown() && target.within(origin.country()))
                };
                let pairs = origins.iter().flat_map(|origin| targets.iter().map(move |target| (*origin, *target)));
                let Some((origin, target)) = pairs.into_iter().find(|(origin, target)| is(*origin, *target)) else {
                    continue;
                };
                pick.target = target;
                pick.targets = if own { Vec::new() } else { vec![of_target] };
                let permitted = self.permitted(&mixture, own);
                let alone = if own { Vec::new() } else { vec![at] };
                self.say(&(self.alone(live, at), permitted, alone), Some(origin), pick)?;
            }
        }
        (pick.target, pick.targets) = (cells.places[of_target].members[0], vec![of_target]);
        Ok(())
    }
}
