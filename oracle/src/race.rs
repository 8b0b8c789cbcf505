//! One decision, timed: ours, and the engines that others would take, each given the same policy in its own words.
//!
//! Nobody is timed before it has given our answers to questions in which all is known. What is made once stays outside the
//! clock: texts are parsed and compiled, and the question is in the form that the engine takes.

use hither_types::time::Day;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use hither_core::policy::{Answer, Law, Matter, Target, judge};
use hither_law::parse;
use hither_types::law::Question;

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

/// Ours with what is in the way, in words.
const IN_WORDS: &str = "ours, a denial in words";

/// Ours without an index: what the index is held against.
const RULE_BY_RULE: &str = "ours, rule by rule, a denial in words";

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
    places_in_words_ns: f64,
    places_rule_by_rule_ns: f64,
    places_permitted: usize,
    /// What it takes to make the index of the policy of 30 rules.
    read_ns: f64,
}

/// Runs the race and writes the page.
pub(crate) fn race(to: &Path) -> Result<(), String> {
    let mut laps = Vec::new();
    for rules in SIZES {
        let text = world::policy(rules);
        let policy = parse(&text, Day(0)).map_err(|error| format!("the policy of {rules} rules cannot be read: {error}"))?;
        let law = Law::new(Arc::new(policy.clone()));
        laps.extend(ours(&law, rules));
        let mut engines: Vec<Box<dyn Engine>> = vec![
            Box::new(cedar::Exported::new(&policy)?),
            Box::new(cedar::Own::new(&policy)?),
            Box::new(rego::Interpreted::new(&policy)?),
            Box::new(rego::Compiled::new(&policy)?),
            Box::new(cel::Programs::new(&policy)?),
        ];
        for engine in &mut engines {
            agree(engine.as_mut(), &law)?;
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

/// The decision; the decision and, of a denial, what is in the way in words; and the same, rule by rule, without an index.
fn ours(law: &Law, rules: usize) -> [Lap; 3] {
    let lap = |name: &str, time: &dyn Fn(&Act) -> f64| {
        let (allow_ns, deny_ns) = (time(&world::allowed()), time(&world::denied()));
        Lap { rules, name: name.to_owned(), allow_ns, deny_ns }
    };
    let decide = |act: &Act| {
        let asked = question(act);
        best_ns(|| {
            let asked = black_box(&asked);
            black_box(black_box(law).about(Matter::of(asked)).at(&Target::new(asked.target, asked.kind)));
        })
    };
    let in_words = |act: &Act| {
        let asked = question(act);
        best_ns(|| drop(black_box(black_box(law).judge(black_box(&asked)))))
    };
    let rule_by_rule = |act: &Act| {
        let (policy, asked) = (law.policy(), question(act));
        best_ns(|| drop(black_box(judge(black_box(policy), black_box(&asked)))))
    };
    [lap("ours", &decide), lap(IN_WORDS, &in_words), lap(RULE_BY_RULE, &rule_by_rule)]
}

/// All places of one request, one after the other.
fn many(laps: Vec<Lap>) -> Result<Outcome, String> {
    let policy = parse(&world::policy(30), Day(0)).map_err(|error| error.to_string())?;
    let law = Law::new(Arc::new(policy));
    let acts = world::places(PLACES);
    let places_permitted = acts.iter().filter(|act| permitted(&law, act)).count();
    let questions: Vec<Question<'_>> = acts.iter().map(question).collect();
    let places_ns = best_ns(|| {
        let questions = black_box(&questions);
        let asked = black_box(&law).about(Matter::of(&questions[0]));
        for question in questions {
            black_box(asked.at(&Target::new(question.target, question.kind)));
        }
    });
    let places_in_words_ns = best_ns(|| {
        for question in black_box(&questions) {
            drop(black_box(black_box(&law).judge(question)));
        }
    });
    let places_rule_by_rule_ns = best_ns(|| {
        for question in black_box(&questions) {
            drop(black_box(judge(black_box(law.policy()), question)));
        }
    });
    let read_ns = best_ns(|| drop(black_box(Law::new(black_box(Arc::clone(law.policy()))))));
    Ok(Outcome { laps, places_ns, places_in_words_ns, places_rule_by_rule_ns, places_permitted, read_ns })
}

fn permitted(law: &Law, act: &Act) -> bool {
    let asked = question(act);
    matches!(law.about(Matter::of(&asked)).at(&Target::new(asked.target, asked.kind)), Answer::Permitted(_))
}

/// Demands that an engine says what we say.
fn agree(engine: &mut dyn Engine, law: &Law) -> Result<(), String> {
    let mut chance = Chance::new(1);
    let mut acts: Vec<Act> = (0..QUESTIONS).map(|_| world::drawn(&mut chance)).collect();
    acts.extend([world::allowed(), world::denied()]);
    let mut yes = 0;
    for act in &acts {
        let ours = permitted(law, act);
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
