//! One decision, timed: ours, and the engines that others would take, each given the same policy in its own words.
//!
//! Nobody is timed before it has given our answers to questions in which all is known. What is made once stays outside the
//! clock: texts are parsed and compiled, and the question is in the form that the engine takes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use hither_core::policy::judge;
use hither_law::parse;
use hither_types::law::{Policy, Verdict};

use crate::compare::question;
use crate::draw::{Act, Chance};

mod cedar;
mod cel;
mod clock;
mod page;
mod rego;
mod words;
mod world;

use clock::best_ns;

/// How many rules the policies have.
const SIZES: [usize; 3] = [10, 30, 200];

/// So many questions have to be answered alike before the clock starts.
const QUESTIONS: usize = 2_000;

/// How many places one request is about, where there are many.
const PLACES: usize = 16;

/// An engine with the policy loaded.
trait Engine {
    /// What it is called on the page.
    fn name(&self) -> String;
    /// Brings a question into the form that it takes.
    fn take(&mut self, act: &Act) -> Result<(), String>;
    /// Whether it permits the question that it took.
    fn permits(&mut self) -> Result<bool, String>;
}

/// What an engine took, for a policy of one size.
struct Lap {
    rules: usize,
    name: String,
    allow_ns: f64,
    deny_ns: f64,
}

/// What the race found.
struct Outcome {
    laps: Vec<Lap>,
    places_ns: f64,
    places_permitted: usize,
}

/// Runs the race and writes the page.
pub(crate) fn race(to: &Path) -> Result<(), String> {
    let mut laps = Vec::new();
    for rules in SIZES {
        let text = world::policy(rules);
        let policy = parse(&text).map_err(|error| format!("the policy of {rules} rules cannot be read: {error}"))?;
        laps.push(ours(&policy, rules));
        let mut engines: Vec<Box<dyn Engine>> = vec![
            Box::new(cedar::Exported::new(&policy)?),
            Box::new(cedar::Own::new(&policy)?),
            Box::new(rego::Interpreted::new(&policy)?),
            Box::new(rego::Compiled::new(&policy)?),
            Box::new(cel::Programs::new(&policy)?),
        ];
        for engine in &mut engines {
            agree(engine.as_mut(), &policy)?;
            laps.push(lap(engine.as_mut(), rules)?);
        }
    }
    let found = many(laps)?;
    let page = page::page(&found);
    std::fs::write(to, &page).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    let mut said = String::new();
    for lap in &found.laps {
        let _ =
            writeln!(said, "{:3} rules  {:24} {:10.0} ns {:10.0} ns", lap.rules, lap.name, lap.allow_ns, lap.deny_ns);
    }
    println!("{said}{PLACES} places: {:.0} ns; written to {}", found.places_ns, to.display());
    Ok(())
}

fn ours(policy: &Policy, rules: usize) -> Lap {
    let time = |act: &Act| {
        let asked = question(act);
        best_ns(|| drop(black_box(judge(black_box(policy), black_box(&asked)))))
    };
    Lap { rules, name: "ours".to_owned(), allow_ns: time(&world::allowed()), deny_ns: time(&world::denied()) }
}

/// All places of one request, one after the other.
fn many(laps: Vec<Lap>) -> Result<Outcome, String> {
    let policy = parse(&world::policy(30)).map_err(|error| error.to_string())?;
    let acts = world::places(PLACES);
    let places_permitted = acts.iter().filter(|act| permitted(&policy, act)).count();
    let places_ns = best_ns(|| {
        for act in &acts {
            drop(black_box(judge(black_box(&policy), black_box(&question(act)))));
        }
    });
    Ok(Outcome { laps, places_ns, places_permitted })
}

fn permitted(policy: &Policy, act: &Act) -> bool {
    matches!(judge(policy, &question(act)), Verdict::Permitted(_))
}

/// Demands that an engine says what we say.
fn agree(engine: &mut dyn Engine, policy: &Policy) -> Result<(), String> {
    let mut chance = Chance::new(1);
    let mut acts: Vec<Act> = (0..QUESTIONS).map(|_| world::drawn(&mut chance)).collect();
    acts.extend([world::allowed(), world::denied()]);
    let mut yes = 0;
    for act in &acts {
        let ours = permitted(policy, act);
        yes += usize::from(ours);
        engine.take(act)?;
        if engine.permits()? != ours {
            return Err(format!("{} and the evaluator disagree (the latter permits: {ours}): {act:#?}", engine.name()));
        }
    }
    let dull = yes * 10 < acts.len() || (acts.len() - yes) * 10 < acts.len();
    if dull { Err(format!("only {yes} of {} questions are permitted", acts.len())) } else { Ok(()) }
}

fn lap(engine: &mut dyn Engine, rules: usize) -> Result<Lap, String> {
    let mut time = |act: &Act| {
        engine.take(act)?;
        Ok::<f64, String>(best_ns(|| drop(black_box(engine.permits()))))
    };
    let (allow_ns, deny_ns) = (time(&world::allowed())?, time(&world::denied())?);
    Ok(Lap { rules, name: engine.name(), allow_ns, deny_ns })
}
